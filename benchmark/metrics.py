"""Point metrics, each computed for many resamples at once.

A resample is a row of weights: how often each ROI counts. A metric maps scores and a
weight matrix of shape ``(n_resamples, n_rois)`` to ``n_resamples`` values, so that the
point estimate (one row of ones) and its bootstrap distribution share one definition.
Where a metric is undefined for a row (no malignant ROI in it, say) the value is NaN.

To add a metric, write one function and enter it in ``METRICS``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Scores:
    """One arm's test predictions, over all its splits.

    Attributes
    ----------
    y_true : ndarray, shape (n,), 0 or 1
    y_prob : ndarray, shape (n,)
        P(malignant).
    threshold : ndarray, shape (n,)
        Decision threshold of the split that a row belongs to; at or above is malignant.
    fold : ndarray, shape (n,), int
        The (repeat, fold) that a row was tested in, numbered from 0.
    weights : ndarray, shape (n_resamples, n)
    """

    y_true: NDArray[np.int64]
    y_prob: Floats
    threshold: Floats
    fold: NDArray[np.int64]
    weights: Floats

    def _count(self, members: NDArray[np.bool_]) -> Floats:
        return self.weights @ members.astype(np.float64)

    @property
    def _called(self) -> NDArray[np.bool_]:
        return self.y_prob >= self.threshold

    @cached_property
    def tp(self) -> Floats:
        """Weighted true positives, shape (n_resamples,)."""
        return self._count(self._called & (self.y_true == 1))

    @cached_property
    def fp(self) -> Floats:
        """Weighted false positives, shape (n_resamples,)."""
        return self._count(self._called & (self.y_true == 0))

    @cached_property
    def fn(self) -> Floats:
        """Weighted false negatives, shape (n_resamples,)."""
        return self._count(~self._called & (self.y_true == 1))

    @cached_property
    def tn(self) -> Floats:
        """Weighted true negatives, shape (n_resamples,)."""
        return self._count(~self._called & (self.y_true == 0))


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    out = np.full(numerator.shape, np.nan)
    np.divide(numerator, denominator, out=out, where=denominator > 0)
    return out


def accuracy(s: Scores) -> Floats:
    """(TP + TN) / all."""
    return _ratio(s.tp + s.tn, s.tp + s.tn + s.fp + s.fn)


def sensitivity(s: Scores) -> Floats:
    """TP / (TP + FN)."""
    return _ratio(s.tp, s.tp + s.fn)


def specificity(s: Scores) -> Floats:
    """TN / (TN + FP)."""
    return _ratio(s.tn, s.tn + s.fp)


def auc(s: Scores) -> Floats:
    """Share of (malignant, benign) pairs tested in the same fold that are ranked rightly.

    Ties count half (Mann-Whitney). Scores of different folds come from different fitted
    models and are never compared: a pooled AUC would rate a constant predictor below .5,
    as each fold's training prevalence runs against its test prevalence. With one fold this
    is the ordinary AUC; with several, their mean weighted by the number of pairs.
    """
    right = np.zeros(len(s.weights))
    pairs = np.zeros(len(s.weights))
    for fold in np.unique(s.fold):
        members = np.flatnonzero(s.fold == fold)
        order = members[np.argsort(s.y_prob[members], kind="stable")]
        is_positive = s.y_true[order] == 1
        positive = s.weights[:, order] * is_positive
        negative = s.weights[:, order] * ~is_positive
        # Sum over tied groups: a positive beats the negatives of lower groups, and half
        # of those of its own.
        starts = np.flatnonzero(np.r_[True, np.diff(s.y_prob[order]) != 0])
        positive = np.add.reduceat(positive, starts, axis=1)
        negative = np.add.reduceat(negative, starts, axis=1)
        below = np.cumsum(negative, axis=1) - negative
        right += np.einsum("ij,ij->i", positive, below + negative / 2)
        pairs += positive.sum(axis=1) * negative.sum(axis=1)
    return _ratio(right, pairs)


METRICS: dict[str, Callable[[Scores], Floats]] = {
    "accuracy": accuracy,
    "sensitivity": sensitivity,
    "specificity": specificity,
    "auc": auc,
}
