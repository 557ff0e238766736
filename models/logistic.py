"""L2 logistic regression on standardised, decorrelated features; C and calibration chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models._rules import Folds, Positives, Share
from models._tabular import Options, TunedClassifier

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

FEATURES = "radiomics"

_STRONGEST = 1e-3
"""At this C, on a hundred standardised rows, coefficients are about proportional to the classes'
differences in means, and a stronger penalty leaves the order of the scores as it is."""


def build(
    seed: int,
    *,
    jobs: int = 1,
    C: Positives = (_STRONGEST, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0),
    max_correlation: Share = 0.95,
    inner_folds: Folds = 5,
) -> TunedClassifier:
    """Standardise, drop near-duplicate columns, L2 logistic regression.

    Parameters
    ----------
    seed : int
        Of the inner folds.
    jobs : int
        Processes for the search.
    C : tuple of float
        Inverse penalties to choose from, the strongest penalty first.
    max_correlation : float
        Columns that correlate more (Spearman, absolute) with an earlier one are dropped.
    inner_folds : int
    """
    return TunedClassifier(
        _pipeline(max_correlation),
        {"C": Options("C", C, natural_ends=(_STRONGEST,))},
        folds=inner_folds,
        seed=seed,
        jobs=jobs,
    )


def _pipeline(max_correlation: float) -> Pipeline:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    from models._decorrelate import Decorrelate

    return Pipeline(
        [
            ("select", Decorrelate(max_correlation)),
            ("scale", StandardScaler()),
            ("classify", LogisticRegression(max_iter=5000)),
        ]
    )
