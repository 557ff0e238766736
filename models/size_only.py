"""Logistic regression on the nodule's size: how far diameter and volume alone get."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models._rules import Folds, Positive
from models._tabular import TunedClassifier

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

FEATURES = "diameter"


def build(
    seed: int, *, jobs: int = 1, C: Positive = 1.0, inner_folds: Folds = 5
) -> TunedClassifier:
    """Standardise, L2 logistic regression; nothing is tuned.

    Parameters
    ----------
    seed : int
        Of the inner folds, which serve the threshold only.
    jobs : int
        Changes nothing: the fits are shorter than a worker's start.
    C : float
        Inverse L2 penalty; at 1 and hundreds of ROIs it hardly shrinks.
    inner_folds : int
    """
    return TunedClassifier(
        _pipeline(C), {}, folds=inner_folds, seed=seed, jobs=1, calibration="none"
    )


def _pipeline(C: float) -> Pipeline:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    return Pipeline(
        [("scale", StandardScaler()), ("classify", LogisticRegression(C=C, max_iter=1000))]
    )
