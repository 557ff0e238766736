"""Curves with bands over resamples of patients: ROC, precision-recall, calibration, net benefit.

The curves follow the metrics. Those of ranking are averaged over folds with the weights of the
AUC and of the average precision, so that the area under a curve is the metric in the table;
those of probabilities pool all folds. Bands are pointwise 95 % percentile intervals.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmark.config import Bootstrap
from benchmark.runtime.seeds import derive_seed
from benchmark.statistics.cases import Cases, Floats, RankedFold, Scores, ratio
from benchmark.statistics.inference import draw_patients, interval
from benchmark.statistics.metrics import benefit_of_calling
from benchmark.statistics.scoring import LEVEL

BAND_SAMPLES = 500
"""Resamples that a band is made from, the first of the run's; a band is looked at, not read off."""

THRESHOLDS: Floats = np.arange(1, 81) / 100
"""Range of the decision curve: calling one nodule for every 99, or for every quarter of one."""

_BAND = np.linspace(0, 1, 101)
_LINE = np.linspace(0, 1, 1001)
_BLOCK = 2**20
"""Weights held at a time: 8 MB, and as much again for each cumulative sum."""

AtGrid = Callable[[RankedFold, int, Floats], Floats]


@dataclass(frozen=True, eq=False)
class Curve:
    """A line and its band, which may be known at other points.

    Attributes
    ----------
    x, y : ndarray, shape (n_points,)
    band_x, low, high : ndarray, shape (n_grid,)
        NaN where no interval can be given.
    """

    x: Floats
    y: Floats
    band_x: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True, eq=False)
class Reliability:
    """Calibration in the 10 equal-width bins of ``metrics.ece``; empty bins are left out.

    Attributes
    ----------
    predicted, observed, low, high : ndarray, shape (n_bins,)
        Mean P(malignant), share of malignant ROIs, and its interval.
    counts : ndarray of int, shape (n_bins,)
        Rows of the predictions.
    """

    predicted: Floats
    observed: Floats
    low: Floats
    high: Floats
    counts: Floats


def patient_draws(arm: Cases, bootstrap: Bootstrap, seed: int) -> Floats:
    """The first ``BAND_SAMPLES`` of the run's resamples, shape (n_samples, n_patients)."""
    draws = draw_patients(arm.n_patients, bootstrap.samples, derive_seed(seed, "bootstrap"))
    return draws[:BAND_SAMPLES]


def roc(arm: Cases, draws: Floats) -> Curve:
    """Sensitivity against 1 - specificity.

    Of one fold, the curve through every threshold, whose area is the AUC; of several, the mean
    sensitivity at equal specificity (vertical averaging, Fawcett 2006), each fold weighted by
    its pairs as in ``metrics.auc``.
    """
    return _averaged(arm, draws, _sensitivity_at, lambda f: f.n_malignant * f.n_benign, _corners)


def precision_recall(arm: Cases, draws: Floats) -> Curve:
    """Precision at the highest threshold that reaches a recall; no interpolation.

    The area is the average precision. Of several folds, the mean precision at equal recall,
    each fold weighted by its malignant ROIs as in ``metrics.average_precision``.
    """
    return _averaged(
        arm, draws, _precision_at, lambda f: f.n_malignant * (f.n_benign > 0), _steps
    )  # fmt: skip


def reliability(arm: Cases, draws: Floats) -> Reliability:
    """Predicted against observed malignancy, folds pooled."""
    number = np.minimum((arm.y_prob * 10).astype(np.int64), 9)
    member = (number[:, None] == np.arange(10)).astype(np.float64)
    used = np.flatnonzero(member.any(axis=0))
    member = member[:, used]
    counts = member.sum(axis=0)
    malignant = member * arm.y_true[:, None]

    def share(weights: Floats) -> Floats:
        return ratio(weights @ malignant, weights @ member)

    samples = _resampled(arm, draws, lambda scores: share(scores.weights))
    observed = malignant.sum(axis=0) / counts
    low, high = _ends(samples, observed)
    return Reliability((member * arm.y_prob[:, None]).sum(axis=0) / counts, observed, low, high,
                       counts)  # fmt: skip


def decision(arm: Cases, draws: Floats) -> Curve:
    """Net benefit over ``THRESHOLDS``, folds pooled as in ``metrics.net_benefit_at_10``."""

    def benefits(scores: Scores) -> Floats:
        each = [benefit_of_calling(scores, float(t)) for t in THRESHOLDS]
        summed: Floats = scores.weights @ np.stack(each, axis=1)
        return summed / scores.total[:, None]

    value = benefits(arm.scores(np.ones((1, len(arm.y_true)))))[0]
    low, high = _ends(_resampled(arm, draws, benefits), value)
    return Curve(THRESHOLDS, value, THRESHOLDS, low, high)


def treat_all(arm: Cases) -> Floats:
    """Net benefit over ``THRESHOLDS`` of calling every nodule malignant."""
    prevalence = arm.y_true.mean()
    benefit: Floats = prevalence - (1 - prevalence) * THRESHOLDS / (1 - THRESHOLDS)
    return benefit


def _averaged(
    arm: Cases,
    draws: Floats,
    at: AtGrid,
    weigh: Callable[[RankedFold], Floats],
    exact: Callable[[RankedFold], tuple[Floats, Floats]],
) -> Curve:
    def mean(scores: Scores, grid: Floats) -> Floats:
        total, weight = np.zeros((len(scores.weights), len(grid))), np.zeros(len(scores.weights))
        for fold in scores.ranked:
            share = weigh(fold)
            for row in np.flatnonzero(share).tolist():
                total[row] += share[row] * at(fold, row, grid)
            weight += share
        return ratio(total, np.broadcast_to(weight[:, None], total.shape))

    observed = arm.scores(np.ones((1, len(arm.y_true))))
    usable = [fold for fold in observed.ranked if weigh(fold)[0] > 0]
    x, y = exact(usable[0]) if len(usable) == 1 else (_LINE, mean(observed, _LINE)[0])
    samples = _resampled(arm, draws, lambda scores: mean(scores, _BAND))
    low, high = _ends(samples, mean(observed, _BAND)[0])
    return Curve(x, y, _BAND, low, high)


def _sensitivity_at(fold: RankedFold, row: int, grid: Floats) -> Floats:
    # Where the curve rises vertically, np.interp takes the last of equal positions, the top.
    positions = np.r_[0.0, fold.fp[row]] / fold.n_benign[row]
    values: Floats = np.interp(grid, positions, np.r_[0.0, fold.tp[row]] / fold.n_malignant[row])
    return values


def _precision_at(fold: RankedFold, row: int, grid: Floats) -> Floats:
    tp, fp = fold.tp[row], fold.fp[row]
    # Weights are whole numbers: half of one is more than rounding and less than a ROI.
    needed = np.maximum(np.ceil(grid * fold.n_malignant[row] - 1e-9), 1)
    step = np.minimum(np.searchsorted(tp, needed - 0.5), len(tp) - 1)
    values: Floats = tp[step] / (tp[step] + fp[step])
    return values


def _corners(fold: RankedFold) -> tuple[Floats, Floats]:
    return (
        np.r_[0.0, fold.fp[0]] / fold.n_benign[0],
        np.r_[0.0, fold.tp[0]] / fold.n_malignant[0],
    )


def _steps(fold: RankedFold) -> tuple[Floats, Floats]:
    found = fold.malignant[0] > 0
    tp, fp = fold.tp[0][found], fold.fp[0][found]
    recall = tp / fold.n_malignant[0]
    return np.repeat(np.r_[0.0, recall], 2)[1:-1], np.repeat(tp / (tp + fp), 2)


def _resampled(arm: Cases, draws: Floats, of: Callable[[Scores], Floats]) -> Floats:
    rows = max(1, _BLOCK // len(arm.y_true))
    blocks = (draws[start : start + rows] for start in range(0, len(draws), rows))
    return np.concatenate([of(arm.scores(block[:, arm.patient])) for block in blocks])


def _ends(samples: Floats, values: Floats) -> tuple[Floats, Floats]:
    ends = [
        interval(column, float(value), None, "percentile", LEVEL)
        for column, value in zip(samples.T, values, strict=True)
    ]
    return np.array([e.low for e in ends]), np.array([e.high for e in ends])
