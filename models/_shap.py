"""SHAP values of a fitted scikit-learn pipeline, a value for each of its input's columns.

Source: Lundberg & Lee 2017, "A unified approach to interpreting model predictions"; for trees,
Lundberg et al. 2020, "From local explanations to global understanding with explainable AI for
trees". All are interventional: a column left out takes the values that it has in the background
rows, whatever the other columns are.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models._calibration import IDENTITY, Sigmoid
from models._training import Floats

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

LOG_ODDS, VOTES = "log-odds of malignancy", "P(malignant) before calibration"

TREE_BACKGROUND = 100
"""Background rows for trees, whose values are exact; their cost grows with the rows."""

SAMPLED_BACKGROUND = 10
"""Background rows for models without a formula: each row explained asks for predictions of
columns x 2 x this many rows."""

_TOLERANCE = 1e-4  # XGBoost adds up its trees in float32


@dataclass(frozen=True, eq=False)
class Contributions:
    """Contributions of columns to a row's output, beside the mean output of the background.

    Attributes
    ----------
    base : float
        Mean output over the background rows.
    values : ndarray, shape (n, p)
        0 for columns that the model has dropped.
    output : ndarray, shape (n,)
        What is explained: ``base + values.sum(axis=1)``.
    unit : str
        Of all three: ``LOG_ODDS`` or ``VOTES``.
    """

    base: float
    values: Floats
    output: Floats
    unit: str


def explain(
    pipeline: Pipeline,
    X: NDArray[Any],
    background: NDArray[Any],
    sigmoid: Sigmoid,
) -> Contributions:
    """Explain rows of X by the columns of X.

    Linear models and XGBoost are explained on the calibrated log-odds, exactly; forests on the
    share of their trees' votes, exactly, which calibration puts on another scale in the same
    order; anything else on the calibrated log-odds, by walking once forwards and once backwards
    through a random order of the columns (``shap.PermutationExplainer``), which samples.

    Parameters
    ----------
    pipeline : sklearn.pipeline.Pipeline
        Fitted; steps before the last keep columns as they stand or choose them (``kept_``).
    X : ndarray, shape (n, p)
    background : ndarray, shape (m, p)
        Training rows. Evenly spaced ones are taken where they are more than is affordable.
    sigmoid : tuple of two floats
        Slope and intercept that make calibrated log-odds of log-odds or decision values.

    Raises
    ------
    ValueError
        Where base and contributions do not add up to the model's output.
    """
    steps, model = pipeline[:-1], pipeline[-1]
    columns = np.arange(X.shape[1])
    for step in steps:
        columns = columns[getattr(step, "kept_", slice(None))]
    rows, others, unit = steps.transform(X), steps.transform(background), LOG_ODDS
    if hasattr(model, "coef_"):
        base, values, output = _linear(model, rows, others)
    elif hasattr(model, "get_booster"):
        base, values, output = _boosted(model, rows, others)
    elif hasattr(model, "estimators_"):
        base, values, output = _forest(model, rows, others)
        sigmoid, unit = IDENTITY, VOTES
    else:
        base, values, output = _sampled(model, rows, others)
    error = float(np.abs(base + values.sum(axis=1) - output).max())
    if not error < _TOLERANCE:
        raise ValueError(
            f"base and SHAP values miss the output of {type(model).__name__} by up to {error:.3g}; "
            f"they must add up to within {_TOLERANCE:g}"
        )
    spread = np.zeros(X.shape, dtype=np.float64)
    slope, intercept = sigmoid
    spread[:, columns] = slope * values
    return Contributions(slope * base + intercept, spread, slope * output + intercept, unit)


_Parts = tuple[float, Floats, Floats]


def _linear(model: Any, rows: Floats, background: Floats) -> _Parts:
    shap = _load_shap()
    masker = shap.maskers.Independent(background, max_samples=len(background))
    found = shap.LinearExplainer(model, masker)(rows)
    return _base(found.base_values), found.values, model.decision_function(rows)


def _boosted(model: Any, rows: Floats, background: Floats) -> _Parts:
    shap = _load_shap()
    explainer = shap.TreeExplainer(model, evenly_spaced(background, TREE_BACKGROUND))
    found = explainer(rows, check_additivity=False)  # done above, for every kind of model
    margin = model.predict(rows, output_margin=True).astype(np.float64)
    return _base(found.base_values), found.values, margin


def _forest(model: Any, rows: Floats, background: Floats) -> _Parts:
    shap = _load_shap()
    explainer = shap.TreeExplainer(model, evenly_spaced(background, TREE_BACKGROUND))
    found = explainer(rows, check_additivity=False)
    malignant = model.predict_proba(rows)[:, 1]
    return _base(found.base_values[..., 1]), found.values[..., 1], malignant


def _sampled(model: Any, rows: Floats, background: Floats) -> _Parts:
    shap = _load_shap()
    few = evenly_spaced(background, SAMPLED_BACKGROUND)
    masker = shap.maskers.Independent(few, max_samples=len(few))
    explainer = shap.PermutationExplainer(model.decision_function, masker, seed=0)
    found = explainer(rows, max_evals=2 * rows.shape[1] + 1, silent=True)
    return _base(found.base_values), found.values, model.decision_function(rows)


@cache
def _load_shap() -> Any:
    """Import shap, and leave its loops to Python.

    Numba, which its releases for Python 3.11 use, takes twenty times as long to compile the few
    that are needed as Python does to run them.
    """
    if find_spec("numba") is None:
        import shap

        return shap
    config: Any = import_module("numba.core.config")
    compiled = config.DISABLE_JIT
    config.DISABLE_JIT = 1  # read where a function is declared, as shap is imported
    try:
        import shap
    finally:
        config.DISABLE_JIT = compiled
    return shap


def evenly_spaced(rows: Floats, most: int) -> Floats:
    """All rows, or as many of them, evenly spaced, as ``most``."""
    if len(rows) <= most:
        return rows
    chosen = np.linspace(0, len(rows) - 1, most).round().astype(int)
    return np.asarray(rows[chosen])


def _base(values: Any) -> float:
    """The one base value, which shap repeats for every row."""
    return float(np.ravel(values)[0])
