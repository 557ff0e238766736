"""Support vector regression on the readers' mean rating, calibrated to P(malignant).

The label of a nodule keeps of its ratings only which side of 3 they lie on. Here the regression
learns the mean rating itself, also of training patients' nodules that the label rule leaves out.
Its output becomes a probability by Platt's sigmoid, and a decision by a threshold, both fitted on
the out-of-fold outputs of labelled nodules. Nothing is tuned: penalty, tube and weights are those
of one earlier measurement on the same collection.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from models._calibration import apply_platt, fit_platt
from models._rules import AtLeastZero, Folds, Positive
from models._threshold import youden_threshold
from models._training import (
    Floats,
    Indices,
    check_inputs,
    check_rows,
    check_training,
    inner_splits,
    two_columns,
)

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

FEATURES = "radiomics_filtered"
SUPERVISION = "ratings+left_out"

NO_LABEL = -1
"""Label of a training ROI that the label rule leaves out."""


class Readings(Protocol):
    """Readers' ratings of the training rows."""

    @property
    def ratings(self) -> Sequence[tuple[int, ...]]:
        """Malignancy ratings of each row, 1 to 5, one a reader."""


class SoftSVR:
    """A regression on mean ratings with a calibrated output.

    Parameters
    ----------
    seed : int
        Of the inner folds.
    C, epsilon : float
        Of the regression; ``epsilon`` in units of the rating scale.
    inner_folds : int

    Attributes
    ----------
    threshold_ : float
        On P(malignant), see ``youden_threshold``.
    """

    threshold_: float

    def __init__(self, *, seed: int, C: float, epsilon: float, inner_folds: int) -> None:
        self.seed = seed
        self.C = C
        self.epsilon = epsilon
        self.inner_folds = inner_folds

    def fit(
        self, X: NDArray[Any], y: NDArray[Any], groups: NDArray[Any], *, readings: Readings
    ) -> None:
        """Fit the regression on all rows, sigmoid and threshold on labelled ones.

        Parameters
        ----------
        X : ndarray, shape (n, p)
        y : ndarray, shape (n,)
            0 benign, 1 malignant, ``NO_LABEL`` where the label rule leaves the ROI out.
        groups : ndarray, shape (n,)
            Patient ids.
        readings : Readings
            At least one rating of each row.

        Raises
        ------
        ValueError
            For data that cannot be learnt from or split into two inner folds.
        """
        from threadpoolctl import threadpool_limits

        check_rows(X, y, groups, ndim=2)
        labelled = np.flatnonzero(y != NO_LABEL)
        check_training(X[labelled], y[labelled], groups[labelled], ndim=2)
        target, weight = _targets(readings.ratings, len(X))
        # One thread, so that sums do not depend on the number of cores.
        with threadpool_limits(1):
            held_out = np.full(len(X), np.nan)
            for fitted, tested in _folds(y, groups, self.inner_folds, self.seed):
                regression = self._fitted_on(X[fitted], target[fitted], weight[fitted])
                held_out[tested] = regression.predict(X[tested])
            self._regression = self._fitted_on(X, target, weight)
        self._columns = X.shape[1]
        self._sigmoid = fit_platt(held_out[labelled], y[labelled])
        scores = apply_platt(held_out[labelled], self._sigmoid)
        self.threshold_ = youden_threshold(y[labelled], scores)

    def predict_proba(self, X: NDArray[Any]) -> Floats:
        """Probabilities of benign and malignant, shape (n, 2), of rows of shape (n, p)."""
        from threadpoolctl import threadpool_limits

        check_inputs(X, ndim=2)
        if X.shape[1] != self._columns:
            raise ValueError(f"X has {X.shape[1]} columns; the model was fitted on {self._columns}")
        with threadpool_limits(1):
            return two_columns(apply_platt(self._regression.predict(X), self._sigmoid))

    def _fitted_on(self, X: NDArray[Any], target: Floats, weight: Floats) -> Pipeline:
        return _pipeline(len(X), self.C, self.epsilon).fit(X, target, regress__sample_weight=weight)


def build(
    seed: int,
    *,
    jobs: int = 1,
    C: Positive = 0.3,
    epsilon: AtLeastZero = 0.2,
    inner_folds: Folds = 5,
) -> SoftSVR:
    """Columns made normal by their quantiles, standardised; RBF support vector regression.

    A row weighs the square root of its number of readers.

    Parameters
    ----------
    seed : int
        Of the inner folds, which serve sigmoid and threshold only.
    jobs : int
        Changes nothing.
    C : float
        Inverse penalty.
    epsilon : float
        Half width, in units of the rating scale, of the tube in which errors cost nothing.
    inner_folds : int
    """
    _pipeline(2, C, epsilon)  # here, so that no import falls into a timed fit
    return SoftSVR(seed=seed, C=C, epsilon=epsilon, inner_folds=inner_folds)


def _pipeline(n: int, C: float, epsilon: float) -> Pipeline:
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import QuantileTransformer, StandardScaler
    from sklearn.svm import SVR

    # As many quantiles as rows, up to the default: all rows count and nothing is drawn.
    quantiles = QuantileTransformer(
        n_quantiles=min(n, 1000), output_distribution="normal", subsample=None, random_state=0
    )
    regression = SVR(C=C, epsilon=epsilon)
    # No setting of it: without, it draws from NumPy's global state, though nothing is random.
    regression.random_state = 0
    return Pipeline([("spread", quantiles), ("scale", StandardScaler()), ("regress", regression)])


def _targets(ratings: Sequence[tuple[int, ...]], n: int) -> tuple[Floats, Floats]:
    """Mean rating and weight of each row."""
    if len(ratings) != n:
        raise ValueError(f"readings has {len(ratings)} rows; X has {n}, one each")
    silent = [row for row, each in enumerate(ratings) if not each]
    if silent:
        raise ValueError(f"training row {silent[0]} has no rating; every row needs one or more")
    means = np.array([np.mean(each) for each in ratings], np.float64)
    return means, np.sqrt([float(len(each)) for each in ratings])


def _folds(
    y: NDArray[Any], groups: NDArray[Any], folds: int, seed: int
) -> list[tuple[Indices, Indices]]:
    """Inner folds of the labelled rows; others are fitted where their patient is not held out."""
    labelled, others = np.flatnonzero(y != NO_LABEL), np.flatnonzero(y == NO_LABEL)
    found = []
    for fitted, tested in inner_splits(y[labelled], groups[labelled], folds, seed):
        held_out = labelled[tested]
        more = others[~np.isin(groups[others], groups[held_out])]
        found.append((np.concatenate([labelled[fitted], more]), held_out))
    return found
