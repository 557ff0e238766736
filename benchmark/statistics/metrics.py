"""Point metrics, each computed for many resamples at once.

A resample is a row of weights: how often each ROI counts. A metric maps scores and a
weight matrix of shape ``(n_resamples, n_rois)`` to ``n_resamples`` values, so that the
point estimate (one row of ones) and its bootstrap distribution share one definition.
Where a metric is undefined for a row (no malignant ROI in it, say) the value is NaN.

Folds: decisions and probabilities mean the same in every fold and are pooled. Ranks do not,
as each fold has its own fitted model: the metrics of ranking (AUC, average precision,
sensitivity at a specificity and the reverse) compare ROIs of one fold only, combine the
folds by the number of cases that they speak for, and leave out a fold that lacks one class.

To add a metric, write one function and enter it in ``METRICS``; in ``IDEAL`` too where lower, or
nearer to a value, is better, in ``PROPORTIONS`` where it is a plain proportion, and in ``RESTS_ON``
and ``BOUNDS`` where it is an average, or does not lie from 0 to 1.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from benchmark.statistics import calibration
from benchmark.statistics.cases import Floats, Scores, ratio


def accuracy(s: Scores) -> Floats:
    """(TP + TN) / all."""
    return ratio(*PROPORTIONS["accuracy"](s))


def sensitivity(s: Scores) -> Floats:
    """TP / (TP + FN)."""
    return ratio(*PROPORTIONS["sensitivity"](s))


def specificity(s: Scores) -> Floats:
    """TN / (TN + FP)."""
    return ratio(*PROPORTIONS["specificity"](s))


def precision(s: Scores) -> Floats:
    """TP / (TP + FP), the positive predictive value; undefined where nothing is called."""
    return ratio(*PROPORTIONS["precision"](s))


def npv(s: Scores) -> Floats:
    """TN / (TN + FN), the negative predictive value."""
    return ratio(*PROPORTIONS["npv"](s))


def f1(s: Scores) -> Floats:
    """2 TP / (2 TP + FP + FN)."""
    return ratio(2 * s.tp, 2 * s.tp + s.fp + s.fn)


def balanced_accuracy(s: Scores) -> Floats:
    """Mean of sensitivity and specificity."""
    return (sensitivity(s) + specificity(s)) / 2


def mcc(s: Scores) -> Floats:
    """Matthews correlation of call and label; undefined where either is constant.

    scikit-learn returns 0 there.
    """
    margins = (s.tp + s.fp) * (s.tp + s.fn) * (s.tn + s.fp) * (s.tn + s.fn)
    return ratio(s.tp * s.tn - s.fp * s.fn, np.sqrt(margins))


def auc(s: Scores) -> Floats:
    """Share of (malignant, benign) pairs tested in the same fold that are ranked rightly.

    Ties count half (Mann-Whitney). Scores of different folds come from different fitted
    models and are never compared: a pooled AUC would rate a constant predictor below .5,
    as each fold's training prevalence runs against its test prevalence. With one fold this
    is the ordinary AUC; with several, their mean weighted by the number of pairs.
    """
    right, pairs = np.zeros(len(s.weights)), np.zeros(len(s.weights))
    for fold in s.ranked:
        # A malignant ROI beats the benign ones of lower steps, and half of its own step's.
        beaten = fold.n_benign[:, None] - fold.fp + fold.benign / 2
        right += np.einsum("ij,ij->i", fold.malignant, beaten)
        pairs += fold.n_malignant * fold.n_benign
    return ratio(right, pairs)


def average_precision(s: Scores) -> Floats:
    """Mean, over malignant ROIs, of the precision among its fold's ROIs scored at or above it.

    No interpolation. With one fold it is scikit-learn's ``average_precision_score``; with
    several, their mean weighted by the number of malignant ROIs.
    """
    found, malignant = np.zeros(len(s.weights)), np.zeros(len(s.weights))
    for fold in s.ranked:
        called = fold.tp + fold.fp
        precision_at = fold.tp / np.where(called > 0, called, 1)
        usable = fold.n_benign > 0
        found += usable * np.einsum("ij,ij->i", fold.malignant, precision_at)
        malignant += usable * fold.n_malignant
    return ratio(found, malignant)


def _sensitivity_at(s: Scores, one_in: int) -> Floats:
    # Whole weights times whole numbers: the comparison is exact.
    hit, malignant = np.zeros(len(s.weights)), np.zeros(len(s.weights))
    for fold in s.ranked:
        allowed = np.count_nonzero(fold.fp * one_in <= fold.n_benign[:, None], axis=1)
        reached = np.take_along_axis(fold.tp, np.maximum(allowed - 1, 0)[:, None], axis=1)[:, 0]
        usable = fold.n_benign > 0
        hit += usable * np.where(allowed > 0, reached, 0)
        malignant += usable * fold.n_malignant
    return ratio(hit, malignant)


def _specificity_at(s: Scores, one_in: int) -> Floats:
    spared, benign = np.zeros(len(s.weights)), np.zeros(len(s.weights))
    for fold in s.ranked:
        needed = (one_in - 1) * fold.n_malignant
        short = np.count_nonzero(fold.tp * one_in < needed[:, None], axis=1)
        false = np.take_along_axis(fold.fp, short[:, None], axis=1)[:, 0]
        usable = fold.n_malignant > 0
        spared += usable * (fold.n_benign - false)
        benign += usable * fold.n_benign
    return ratio(spared, benign)


def sensitivity_at_specificity_90(s: Scores) -> Floats:
    """Highest sensitivity at which each fold's specificity is .90 or more.

    The threshold is the tested ROIs' own, so this describes a ROC curve, not a decision
    rule; it is chosen within each fold, and the folds' hits are pooled.
    """
    return _sensitivity_at(s, 10)


def sensitivity_at_specificity_95(s: Scores) -> Floats:
    """Highest sensitivity at which each fold's specificity is .95 or more; as for .90."""
    return _sensitivity_at(s, 20)


def specificity_at_sensitivity_90(s: Scores) -> Floats:
    """Highest specificity at which each fold's sensitivity is .90 or more.

    As for :func:`sensitivity_at_specificity_90`, with the classes exchanged.
    """
    return _specificity_at(s, 10)


def specificity_at_sensitivity_95(s: Scores) -> Floats:
    """Highest specificity at which each fold's sensitivity is .95 or more; as for .90."""
    return _specificity_at(s, 20)


def brier(s: Scores) -> Floats:
    """Mean squared difference of P(malignant) and label; lower is better."""
    return s.mean((s.y_prob - s.y_true) ** 2)


def log_loss(s: Scores) -> Floats:
    """Mean of -log P(the label), natural logarithm; lower is better.

    Probabilities are kept 2.2e-16 away from 0 and 1, as in scikit-learn.
    """
    p = np.clip(s.y_prob, np.finfo(float).eps, 1 - np.finfo(float).eps)
    return s.mean(-np.where(s.y_true == 1, np.log(p), np.log1p(-p)))


def calibration_slope(s: Scores) -> Floats:
    """Slope of the label's logistic regression on logit P(malignant); 1 is calibrated.

    Cox (1958); below 1 is overconfident. Probabilities are clipped to [1e-6, 1 - 1e-6].
    Undefined where one class's probabilities lie all at or above the other's.
    """
    return calibration.slope(s.y_true, calibration.logits(s.y_prob), s.weights)


def calibration_intercept(s: Scores) -> Floats:
    """Calibration in the large: shift of logit P(malignant) that fits the labels; 0 is calibrated.

    The intercept of the same regression with the slope fixed at 1 (Cox 1958); above 0 is
    underestimated malignancy.
    """
    return calibration.intercept_in_the_large(
        s.y_true, calibration.logits(s.y_prob), s.weights
    )  # fmt: skip


def ece(s: Scores) -> Floats:
    """Expected calibration error of P(malignant) in 10 equal-width bins; lower is better.

    Sum over bins [0, .1), ..., [.9, 1] of the bin's share of ROIs times the distance
    between its mean probability and its share of malignant ROIs (Naeini et al. 2015). A
    resample's noise adds to it, so its bootstrap distribution lies above the estimate.
    """
    bins = np.minimum((s.y_prob * 10).astype(np.int64), 9)
    excess = np.where(bins[:, None] == np.arange(10), (s.y_true - s.y_prob)[:, None], 0.0)
    return ratio(np.abs(s.weights @ excess).sum(axis=1), s.total)


def benefit_of_calling(s: Scores, threshold: float) -> Floats:
    """Share of each ROI in n times the net benefit, calling P(malignant) >= t; shape (n,).

    A true positive counts 1, a false positive -t/(1 - t) (Vickers & Elkin 2006); t below 1.
    """
    harm = threshold / (1 - threshold)
    return np.where(s.y_prob >= threshold, np.where(s.y_true == 1, 1.0, -harm), 0.0)


def _net_benefit(s: Scores, threshold: float) -> Floats:
    return s.mean(benefit_of_calling(s, threshold))


def net_benefit_at_10(s: Scores) -> Floats:
    """TP/n - FP/n * .1/.9, calling P(malignant) >= .1 (Vickers & Elkin 2006)."""
    return _net_benefit(s, 0.1)


def net_benefit_at_20(s: Scores) -> Floats:
    """TP/n - FP/n * .2/.8, calling P(malignant) >= .2 (Vickers & Elkin 2006)."""
    return _net_benefit(s, 0.2)


def net_benefit_at_30(s: Scores) -> Floats:
    """TP/n - FP/n * .3/.7, calling P(malignant) >= .3 (Vickers & Elkin 2006)."""
    return _net_benefit(s, 0.3)


def net_benefit_at_50(s: Scores) -> Floats:
    """TP/n - FP/n, calling P(malignant) >= .5 (Vickers & Elkin 2006)."""
    return _net_benefit(s, 0.5)


METRICS: dict[str, Callable[[Scores], Floats]] = {
    metric.__name__: metric
    for metric in (
        accuracy, sensitivity, specificity, precision, npv, f1, balanced_accuracy, mcc,
        auc, average_precision, sensitivity_at_specificity_90, sensitivity_at_specificity_95,
        specificity_at_sensitivity_90, specificity_at_sensitivity_95, brier, log_loss,
        calibration_slope, calibration_intercept, ece, net_benefit_at_10, net_benefit_at_20,
        net_benefit_at_30, net_benefit_at_50,
    )
}  # fmt: skip

PROPORTIONS: dict[str, Callable[[Scores], tuple[Floats, Floats]]] = {
    "accuracy": lambda s: (s.tp + s.tn, s.total),
    "sensitivity": lambda s: (s.tp, s.tp + s.fn),
    "specificity": lambda s: (s.tn, s.tn + s.fp),
    "precision": lambda s: (s.tp, s.tp + s.fp),
    "npv": lambda s: (s.tn, s.tn + s.fn),
}
"""Metrics that are plain proportions of decided ROIs: successes and trials."""

_OVER_ALL = ("accuracy", "brier", "log_loss", "ece", *(
    name for name in METRICS if name.startswith("net_benefit")
))  # fmt: skip

RESTS_ON: dict[str, Callable[[Scores], NDArray[np.bool_]]] = {
    "sensitivity": lambda s: s.y_true == 1,
    "specificity": lambda s: s.y_true == 0,
    "precision": lambda s: s.y_prob >= s.threshold,
    "npv": lambda s: s.y_prob < s.threshold,
    **dict.fromkeys(_OVER_ALL, lambda s: np.ones(len(s.y_true), np.bool_)),
}
"""Rows that a metric is an average over; one that is not here needs both classes."""

_UNBOUNDED = (-np.inf, np.inf)
BOUNDS: dict[str, tuple[float, float]] = {
    **dict.fromkeys(METRICS, (0.0, 1.0)),
    "mcc": (-1.0, 1.0),
    "log_loss": (0.0, np.inf),
    "calibration_slope": _UNBOUNDED,
    "calibration_intercept": _UNBOUNDED,
    **{name: _UNBOUNDED for name in METRICS if name.startswith("net_benefit")},
}
"""Lowest and highest value of each metric, for the scale of its interval.

A net benefit has bounds that move with the prevalence, and is far from them.
"""

IDEAL = {"brier": 0.0, "log_loss": 0.0, "ece": 0.0, "calibration_slope": 1.0,
         "calibration_intercept": 0.0}  # fmt: skip
"""The best value of the metrics that are better the closer they are to it; of all others
more is better."""


def goodness(name: str, values: Floats) -> Floats:
    """A metric's values turned so that more is better, for ranking; any shape."""
    return -np.abs(values - IDEAL[name]) if name in IDEAL else values
