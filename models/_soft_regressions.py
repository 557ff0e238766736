"""The regressions on ratings: support vectors, ridge, extremely randomised trees."""

from __future__ import annotations

import importlib

from models._soft import Regression
from models._tabular import Options


def _import_early() -> None:
    """Import what a fit uses, so that it falls into no timed fit."""
    for name in ("scipy.optimize", "sklearn.model_selection", "sklearn.preprocessing"):
        importlib.import_module(name)


def support_vectors(C: float, epsilon: float) -> Regression:
    """RBF support vector regression."""
    from sklearn.svm import SVR

    _import_early()
    estimator = SVR(C=C, epsilon=epsilon)
    # No setting of it: without, it draws from NumPy's global state, though nothing is random.
    estimator.random_state = 0
    return Regression("svr", estimator)


def ridge(alpha: tuple[float, ...]) -> Regression:
    """Linear regression with a squared penalty, which inner folds choose."""
    from sklearn.linear_model import Ridge

    _import_early()
    return Regression("ridge", Ridge(), Options("alpha", alpha))


def extra_trees(seed: int, trees: int, min_samples_leaf: int) -> Regression:
    """Extremely randomised trees, which look at the root of the number of columns at a split."""
    from sklearn.ensemble import ExtraTreesRegressor

    _import_early()
    # n_jobs stays 1: threads add up the trees' outputs in the order in which they finish.
    estimator = ExtraTreesRegressor(
        trees, min_samples_leaf=min_samples_leaf, max_features="sqrt", n_jobs=1,
        random_state=seed,
    )  # fmt: skip
    return Regression("trees", estimator)
