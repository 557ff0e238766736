"""Two arms on the rows that both have: their difference in each metric, and its tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmark.cohort.splits import Split
from benchmark.config import Bootstrap
from benchmark.statistics.cases import Cases, Floats
from benchmark.statistics.inference import Interval, corrected_t, mcnemar, normal_test, t_test
from benchmark.statistics.metrics import METRICS
from benchmark.statistics.scoring import (
    LEVEL,
    NONE,
    WITHHELD,
    Resampled,
    describe_bootstrap,
    quantiles,
    split_values,
    tested_per_trained,
    without_interval,
)

PATIENT_BOOTSTRAP = "patient bootstrap"


class Difference(NamedTuple):
    """A metric of one arm less that of another.

    Attributes
    ----------
    value : float
    interval : Interval
        95 %.
    method : str
        What the interval comes from, or why it is withheld.
    p : float
        Two-sided, of the null that the value is 0.
    """

    value: float
    interval: Interval
    method: str
    p: float


Comparison = tuple[str, str, Difference]
"""Metric, test, and what was found."""


@dataclass(frozen=True, eq=False)
class Side:
    """An arm of a pair, on the rows that both have; what several pairs ask for is made once."""

    cases: Cases
    resampled: Mapping[str, Resampled]

    @cached_property
    def auc(self) -> tuple[float, Floats]:
        return auc_components(self.cases)

    @cached_property
    def by_split(self) -> dict[str, Floats]:
        return split_values(self.cases)

    @cached_property
    def right(self) -> NDArray[np.bool_]:
        called = self.cases.y_prob >= self.cases.threshold
        return np.equal(called, self.cases.y_true)


def differences(
    a: Side, b: Side, bootstrap: Bootstrap, splits: Sequence[Split]
) -> Iterator[Comparison]:
    """Every metric of ``a`` less that of ``b``, by every test; both have the same rows."""
    yield from _bootstrapped(a, b, bootstrap)
    yield from _auc_tests(a, b)
    yield from _mcnemar(a, b)
    yield from _over_splits(a, b, splits)


def subtract(one: Resampled, other: Resampled, bootstrap: Bootstrap) -> Difference:
    """The difference of two metrics on the same resamples, tested.

    Its standard error is that of :func:`inference.standard_error` on the resampled differences;
    it has as many degrees of freedom, less one, as there are patients that the metric rests on. A
    difference lies nearly symmetric, and the kurtosis that a single metric's degrees follow would
    make the test slow to reject (``results/statistics.md``).
    """
    samples = one.samples - other.samples
    n_patients = min(one.n_patients, other.n_patients)
    left = None
    if one.jackknife is not None and other.jackknife is not None:
        left = one.jackknife - other.jackknife
    found = Resampled(one.value - other.value, samples, left, n_patients - 1, n_patients)
    ends, p = t_test(found.value, found.error, found.degrees, LEVEL)
    why = without_interval(found)
    if why:
        return Difference(found.value, NONE, f"{WITHHELD}: {why}", p)
    if bootstrap.method != "scaled_t":
        return Difference(found.value, *quantiles(found, bootstrap), p)
    return Difference(found.value, ends, describe_bootstrap(bootstrap), p)


def _bootstrapped(a: Side, b: Side, bootstrap: Bootstrap) -> Iterator[Comparison]:
    for metric in METRICS:
        difference = subtract(a.resampled[metric], b.resampled[metric], bootstrap)
        yield metric, PATIENT_BOOTSTRAP, difference


def _auc_tests(a: Side, b: Side) -> Iterator[Comparison]:
    (value_a, parts_a), (value_b, parts_b) = a.auc, b.auc
    for test, cluster in (("Obuchowski", a.cases.patient), ("DeLong", a.cases.roi)):
        variance = clustered_variance(parts_a - parts_b, a.cases.y_true, cluster)
        difference = value_a - value_b
        ends, p = normal_test(difference, variance, LEVEL)
        yield "auc", test, Difference(difference, ends, "normal", p)


def _mcnemar(a: Side, b: Side) -> Iterator[Comparison]:
    n = len(a.cases.y_true)
    if a.cases.n_rois < n:
        return
    only_a = int(np.count_nonzero(a.right & ~b.right))
    only_b = int(np.count_nonzero(b.right & ~a.right))
    p = mcnemar(only_a, only_b)
    yield "accuracy", "McNemar", Difference((only_a - only_b) / n, NONE, "exact, no interval", p)


def _over_splits(a: Side, b: Side, splits: Sequence[Split]) -> Iterator[Comparison]:
    if len(splits) < 2:
        return
    share = tested_per_trained(splits)
    for metric in METRICS:
        differences = a.by_split[metric] - b.by_split[metric]
        ends, p = corrected_t(differences, share, LEVEL)
        mean = float(differences.mean())
        yield metric, "Nadeau-Bengio t", Difference(mean, ends, "corrected t", p)


def auc_components(arm: Cases) -> tuple[float, Floats]:
    """AUC within folds, and what each row contributes to its deviation.

    A malignant row's placement V is the share of its fold's benign rows that it beats, ties
    counting half; a benign row's is the share of malignant rows that beat it (DeLong et al.
    1988). Its contribution is (V - AUC) times the pairs that it is part of, over all pairs.
    With one fold these are DeLong's structural components over the number of their class;
    with several, the linearisation of the pairs-weighted mean of the folds' AUCs.

    Returns
    -------
    float, ndarray of shape (n,)
        Both NaN where no fold has both classes.
    """
    right, partners = np.zeros(len(arm.y_true)), np.zeros(len(arm.y_true))
    for fold in np.unique(arm.fold):
        in_fold = arm.fold == fold
        malignant = np.flatnonzero(in_fold & (arm.y_true == 1))
        benign = np.flatnonzero(in_fold & (arm.y_true == 0))
        right[malignant] = _beaten(arm.y_prob[malignant], arm.y_prob[benign])
        right[benign] = _beaten(-arm.y_prob[benign], -arm.y_prob[malignant])
        partners[malignant], partners[benign] = len(benign), len(malignant)
    pairs = partners[arm.y_true == 1].sum()
    if not pairs:
        return np.nan, np.full(len(right), np.nan)
    value = float(right[arm.y_true == 1].sum() / pairs)
    return value, (right - value * partners) / pairs


def _beaten(scores: Floats, others: Floats) -> Floats:
    """Number of ``others`` that each score exceeds, ties counting half."""
    others = np.sort(others)
    below = np.searchsorted(others, scores, "left") + np.searchsorted(others, scores, "right")
    return below / 2


def clustered_variance(
    contributions: Floats, y_true: NDArray[np.int64], cluster: NDArray[np.int64]
) -> float:
    """Obuchowski's (1997) variance of an AUC or of a difference of two.

    Contributions (see :func:`auc_components`; for a difference, the difference of those) are
    summed within clusters, for malignant and benign ROIs apart. Each class's sum of squares
    is scaled by I / (I - 1), I being the clusters that have the class, and the products by
    that of all clusters. Where no cluster has two ROIs this is DeLong's variance.

    Returns
    -------
    float
        NaN where a class is found in one cluster only.
    """
    sums, present = [], []
    n = int(cluster.max()) + 1
    for value in (1, 0):
        members = y_true == value
        sums.append(np.bincount(cluster[members], contributions[members], n))
        present.append(len(np.unique(cluster[members])))
    if min(present) < 2:
        return np.nan
    (malignant, benign), (n1, n0) = sums, present
    variance = (
        n1 / (n1 - 1) * float(malignant @ malignant)
        + n0 / (n0 - 1) * float(benign @ benign)
        + 2 * n / (n - 1) * float(malignant @ benign)
    )
    return max(0.0, variance)
