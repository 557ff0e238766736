"""Random forest; features a split looks at and leaf size tuned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models._tabular import TunedClassifier

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

FEATURES = "radiomics"


def build(
    seed: int,
    *,
    jobs: int = 1,
    trees: int = 300,
    max_features: tuple[float, ...] = (0.1, 0.3),
    min_samples_leaf: tuple[int, ...] = (8, 3),
    max_correlation: float = 0.95,
    inner_folds: int = 5,
) -> TunedClassifier:
    """Drop near-duplicate columns, random forest; trees need no scaling.

    Parameters
    ----------
    seed : int
        Of the inner folds and of the trees.
    jobs : int
        Processes for the search.
    trees : int
    max_features : tuple of float
        Shares of the columns that a split draws from, to choose from.
    min_samples_leaf : tuple of int
        Smallest leaves to choose from, ROIs.
    max_correlation : float
        Columns that correlate more (Spearman, absolute) with an earlier one are dropped.
    inner_folds : int
    """
    return TunedClassifier(
        _pipeline(seed, trees, max_correlation),
        {"classify__max_features": max_features, "classify__min_samples_leaf": min_samples_leaf},
        folds=inner_folds,
        seed=seed,
        jobs=jobs,
    )


def _pipeline(seed: int, trees: int, max_correlation: float) -> Pipeline:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.pipeline import Pipeline

    from models._decorrelate import Decorrelate

    # n_jobs stays 1: threads add up the trees' votes in the order in which they finish.
    forest = RandomForestClassifier(n_estimators=trees, n_jobs=1, random_state=seed)
    return Pipeline([("select", Decorrelate(max_correlation)), ("classify", forest)])
