"""One arm's predictions under many resamples at once: counts and cumulative counts.

What the metrics share is computed here once: the confusion table and each fold's ranking.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Quotient; NaN where the denominator is not positive."""
    out = np.full(numerator.shape, np.nan)
    np.divide(numerator, denominator, out=out, where=denominator > 0)
    return out


@dataclass(frozen=True, eq=False)
class RankedFold:
    """One fold's weights, cumulated from its highest score down; tied scores are one step.

    Attributes
    ----------
    malignant, benign : ndarray, shape (n_resamples, n_steps)
        Weight at each distinct score, descending.
    tp, fp : ndarray, shape (n_resamples, n_steps)
        Their cumulative sums: what a threshold at that score calls malignant.
    n_malignant, n_benign : ndarray, shape (n_resamples,)
    """

    malignant: Floats
    benign: Floats
    tp: Floats
    fp: Floats
    n_malignant: Floats
    n_benign: Floats


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

    def mean(self, values: Floats) -> Floats:
        """Weighted mean of a value a ROI, shape (n,) -> (n_resamples,)."""
        return ratio(self.weights @ values, self.total)

    @cached_property
    def total(self) -> Floats:
        """Sum of weights, shape (n_resamples,)."""
        total: Floats = self.weights.sum(axis=1)
        return total

    @cached_property
    def _confusion(self) -> tuple[Floats, ...]:
        called, malignant = self.y_prob >= self.threshold, self.y_true == 1
        cells = [called & malignant, called & ~malignant, ~called & malignant, ~called & ~malignant]
        counts: Floats = self.weights @ np.stack(cells, axis=1).astype(np.float64)
        return tuple(counts.T)

    @property
    def tp(self) -> Floats:
        """Weighted true positives, shape (n_resamples,)."""
        return self._confusion[0]

    @property
    def fp(self) -> Floats:
        """Weighted false positives, shape (n_resamples,)."""
        return self._confusion[1]

    @property
    def fn(self) -> Floats:
        """Weighted false negatives, shape (n_resamples,)."""
        return self._confusion[2]

    @property
    def tn(self) -> Floats:
        """Weighted true negatives, shape (n_resamples,)."""
        return self._confusion[3]

    @cached_property
    def ranked(self) -> list[RankedFold]:
        """Each fold's ROIs in descending order of score."""
        return [self._rank(np.flatnonzero(self.fold == fold)) for fold in np.unique(self.fold)]

    def _rank(self, members: NDArray[np.intp]) -> RankedFold:
        order = members[np.argsort(-self.y_prob[members], kind="stable")]
        weights, is_malignant = self.weights[:, order], self.y_true[order].astype(np.float64)
        malignant, benign = weights * is_malignant, weights * (1 - is_malignant)
        steps = np.flatnonzero(np.r_[True, np.diff(self.y_prob[order]) != 0])
        if len(steps) < len(order):
            malignant = np.add.reduceat(malignant, steps, axis=1)
            benign = np.add.reduceat(benign, steps, axis=1)
        tp, fp = np.cumsum(malignant, axis=1), np.cumsum(benign, axis=1)
        return RankedFold(malignant, benign, tp, fp, tp[:, -1], fp[:, -1])


@dataclass(frozen=True, eq=False)
class Cases:
    """One arm's rows of the predictions, as arrays of shape (n,).

    Attributes
    ----------
    y_true, y_prob, threshold, fold
        As in :class:`Scores`.
    roi, patient : ndarray of int
        Number of the row's ROI and patient, in order of their ids.
    """

    y_true: NDArray[np.int64]
    y_prob: Floats
    threshold: Floats
    fold: NDArray[np.int64]
    roi: NDArray[np.int64]
    patient: NDArray[np.int64]

    @property
    def n_rois(self) -> int:
        """Distinct ROIs."""
        return int(self.roi.max()) + 1

    @property
    def n_patients(self) -> int:
        """Distinct patients."""
        return int(self.patient.max()) + 1

    def scores(self, weights: Floats) -> Scores:
        """The rows under weights of shape (n_resamples, n)."""
        return Scores(self.y_true, self.y_prob, self.threshold, self.fold, weights)


def cases(arm: pd.DataFrame) -> Cases:
    """One arm's rows of ``predictions.parquet``, at least one."""
    return Cases(
        y_true=arm["y_true"].to_numpy(np.int64),
        y_prob=arm["y_prob"].to_numpy(np.float64),
        threshold=arm["threshold"].to_numpy(np.float64),
        fold=_numbers(arm.groupby(["repeat", "fold"]).ngroup()),
        roi=_numbers(arm.groupby("roi_id").ngroup()),
        patient=_numbers(arm.groupby("patient_id").ngroup()),
    )


def _numbers(groups: pd.Series[int]) -> NDArray[np.int64]:
    numbers: NDArray[np.int64] = np.asarray(groups, np.int64)
    return numbers
