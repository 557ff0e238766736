"""Gradient-boosted trees (XGBoost); depth, number of trees and calibration chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models._rules import AtLeastZero, Counts, Depths, Folds, Share
from models._tabular import Options, TunedClassifier

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

FEATURES = "radiomics"


def build(
    seed: int,
    *,
    jobs: int = 1,
    trees: Counts = (15, 30, 60, 100, 150, 200, 300, 400, 600),
    max_depth: Depths = (1, 2, 0),
    learning_rate: Share = 0.06,
    subsample: Share = 0.7,
    colsample: Share = 0.3,
    min_child_weight: AtLeastZero = 3.0,
    max_correlation: Share = 0.95,
    inner_folds: Folds = 5,
) -> TunedClassifier:
    """Drop near-duplicate columns, XGBoost; trees need no scaling.

    Parameters
    ----------
    seed : int
        Of the inner folds and of the rows and columns that a tree draws.
    jobs : int
        Processes for the search.
    trees : tuple of int
        Boosting rounds to choose from, the fewest first; there is no early stopping.
    max_depth : tuple of int
        Depths to choose from; 0 sets no limit, and ``min_child_weight`` alone ends a branch.
    learning_rate : float
    subsample, colsample : float
        Shares of rows and of columns that each tree draws.
    min_child_weight : float
        Least sum of p (1 - p) of the rows in a branch: 3 are 12 rows that nothing is known of.
    max_correlation : float
        Columns that correlate more (Spearman, absolute) with an earlier one are dropped.
    inner_folds : int
    """
    fixed = {
        "learning_rate": learning_rate,
        "subsample": subsample,
        "colsample_bytree": colsample,
        "min_child_weight": min_child_weight,
    }
    return TunedClassifier(
        _pipeline(seed, fixed, max_correlation),
        {
            "max_depth": Options("max_depth", max_depth, natural_ends=(1,), unlimited=0),
            "trees": Options("n_estimators", trees, staged=True),
        },
        folds=inner_folds,
        seed=seed,
        jobs=jobs,
    )


def _pipeline(seed: int, fixed: dict[str, float], max_correlation: float) -> Pipeline:
    from sklearn.pipeline import Pipeline
    from xgboost import XGBClassifier

    from models._decorrelate import Decorrelate

    boosted = XGBClassifier(
        reg_lambda=5.0,
        tree_method="hist",
        n_jobs=1,  # histograms summed by several threads may differ in the last bits
        random_state=seed,
        **fixed,
    )
    return Pipeline([("select", Decorrelate(max_correlation)), ("classify", boosted)])
