"""Support vector machine with an RBF kernel; C and gamma tuned, Platt scaling."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models._rules import Folds, Positives, Share
from models._tabular import Options, TunedClassifier

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

FEATURES = "radiomics"

_ALL_AT_BOUND = 0.01
"""At this C and below every row weighs C: the order of the scores no longer changes with it."""

_LINEAR = 1e-4
"""At this gamma and below the kernel is linear up to about 1 % between standardised rows, and only
the product of C and gamma counts (Keerthi & Lin, Neural Computation 2003;15:1667)."""


def build(
    seed: int,
    *,
    jobs: int = 1,
    C: Positives = (0.01, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0),
    gamma: Positives = (1e-4, 3e-4, 1e-3, 3e-3, 0.01),
    max_correlation: Share = 0.95,
    inner_folds: Folds = 5,
) -> TunedClassifier:
    """Standardise, drop near-duplicate columns, SVC.

    Probabilities are Platt's sigmoid of the decision value, fitted on out-of-fold decision
    values: SVC's own ``probability=True`` is deprecated and can disagree with its ranking.

    Parameters
    ----------
    seed : int
        Of the inner folds.
    jobs : int
        Processes for the search.
    C : tuple of float
        Inverse penalties to choose from, the smoothest first.
    gamma : tuple of float
        Kernel coefficients to choose from, on standardised columns, the smoothest first.
    max_correlation : float
        Columns that correlate more (Spearman, absolute) with an earlier one are dropped.
    inner_folds : int
    """
    return TunedClassifier(
        _pipeline(seed, max_correlation),
        {
            "C": Options("C", C, natural_ends=(_ALL_AT_BOUND,)),
            "gamma": Options("gamma", gamma, natural_ends=(_LINEAR,)),
        },
        folds=inner_folds,
        seed=seed,
        jobs=jobs,
        calibration="platt",
    )


def _pipeline(seed: int, max_correlation: float) -> Pipeline:
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    from models._decorrelate import Decorrelate

    # Without a seed SVC draws one from NumPy's global state, though nothing here is random.
    return Pipeline(
        [
            ("select", Decorrelate(max_correlation)),
            ("scale", StandardScaler()),
            ("classify", SVC(kernel="rbf", random_state=seed)),
        ]
    )
