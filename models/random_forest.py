"""Random forest; features a split looks at, leaf size and calibration chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models._rules import Count, Counts, Folds, Share, Shares
from models._tabular import Options, TunedClassifier

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

FEATURES = "radiomics"

_ONE_COLUMN = 0.02
"""Of fewer than a hundred columns, this share is a single one."""


def build(
    seed: int,
    *,
    jobs: int = 1,
    trees: Count = 300,
    trees_in_search: Count = 50,
    max_features: Shares = (_ONE_COLUMN, 0.1, 0.3, 1.0),
    min_samples_leaf: Counts = (32, 16, 8, 3, 1),
    max_correlation: Share = 0.95,
    inner_folds: Folds = 5,
) -> TunedClassifier:
    """Standardise, drop near-duplicate columns, random forest.

    Trees need no scaling, but scikit-learn's take values less than 1e-7 apart as equal, whatever
    the unit of the column.

    Parameters
    ----------
    seed : int
        Of the inner folds and of the trees.
    jobs : int
        Processes for the search.
    trees : int
    trees_in_search : int
        While settings are compared; the chosen one is scored again with all ``trees``.
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
        {
            "max_features": Options("max_features", max_features, natural_ends=(_ONE_COLUMN, 1.0)),
            "min_samples_leaf": Options("min_samples_leaf", min_samples_leaf, natural_ends=(1,)),
        },
        folds=inner_folds,
        seed=seed,
        jobs=jobs,
        while_searching={"n_estimators": min(trees_in_search, trees)},
    )


def _pipeline(seed: int, trees: int, max_correlation: float) -> Pipeline:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    from models._decorrelate import Decorrelate

    # n_jobs stays 1: threads add up the trees' votes in the order in which they finish.
    forest = RandomForestClassifier(n_estimators=trees, n_jobs=1, random_state=seed)
    return Pipeline(
        [
            ("select", Decorrelate(max_correlation)),
            ("scale", StandardScaler()),
            ("classify", forest),
        ]
    )
