"""Simulated studies whose true metrics are known: misses of intervals, rejections of tests."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Literal

import numpy as np
from scipy.special import expit
from scipy.stats import norm

from benchmark.config import Bootstrap
from benchmark.statistics.cases import Cases, Floats
from benchmark.statistics.inference import Interval, holm, mcnemar, normal_test
from benchmark.statistics.metrics import METRICS
from benchmark.statistics.pairs import auc_components, clustered_variance, subtract
from benchmark.statistics.scoring import WIDENED, Resampled, metric_interval, resample

Method = Literal["scaled_t", "percentile", "bca"]

AUC, PREVALENCE, LONG = 0.885, 0.37, 0.35
METHODS: tuple[Method, ...] = ("percentile", "bca", "scaled_t")
CHECKED = ("auc", "accuracy", "sensitivity")
"""Metrics that every run of the tests looks at."""

HOLDS, ABOVE, BELOW, WITHHELD, WIDE = "holds", "above", "below", "withheld", "widened"
"""Outcomes of an interval: it holds the truth or lies wholly above or below it, is not given, or
is widened (:func:`scoring.metric_interval`) and holds the truth."""

Tally = dict[tuple[str, str], list[str]]
"""Outcomes of the simulations by (method, column)."""


def separation(auc: float) -> float:
    """How far malignant scores lie above benign ones of unit variance for an AUC."""
    return float(math.sqrt(2) * norm.ppf(auc))


def simulate(
    rng: np.random.Generator,
    n_patients: int,
    aucs: Sequence[float],
    folds: int = 1,
    long: float = LONG,
) -> list[Cases]:
    """Predictions of arms for the same ROIs; folds are made of patients.

    The ROIs of a patient are geometric with success probability ``long``; 1 is one ROI each.
    Half of the variance of labels and scores is the patient's, and half of the scores' is
    common to all arms. P(malignant) is calibrated.
    """
    patient = np.repeat(np.arange(n_patients), rng.geometric(long, n_patients))
    n = len(patient)

    def noise() -> Floats:
        own: Floats = rng.normal(size=n_patients)[patient] + rng.normal(size=n)
        return own / math.sqrt(2)

    y = (noise() > norm.ppf(1 - PREVALENCE)).astype(np.int64)
    common = noise()
    arms = []
    for auc in aucs:
        mu = separation(auc)
        score = mu * y + (common + noise()) / math.sqrt(2)
        p = expit(mu * score - mu**2 / 2 + math.log(PREVALENCE / (1 - PREVALENCE)))
        arms.append(Cases(y, p, np.full(n, 0.5), patient % folds, np.arange(n), patient))
    return arms


def truths(auc: float, metrics: Collection[str]) -> dict[str, float]:
    """The metrics of an arm on 200,000 ROIs, each of a patient of its own; the AUC as it is."""
    if set(metrics) == {"auc"}:
        return {"auc": auc}
    (arm,) = simulate(np.random.default_rng(0), 200_000, [auc], long=1.0)
    scores = arm.scores(np.ones((1, len(arm.y_true))))
    return {name: auc if name == "auc" else float(METRICS[name](scores)[0]) for name in metrics}


def outcome(ends: Interval, truth: float, method: str = "") -> str:
    """What an interval is to the truth."""
    if math.isnan(ends.low):
        return WITHHELD
    if ends.low > truth:
        return ABOVE
    if ends.high < truth:
        return BELOW
    return WIDE if method.startswith(WIDENED) else HOLDS


def misses(
    simulations: int,
    resamples: int,
    seed: int,
    n_patients: int,
    auc: float = AUC,
    *,
    folds: int = 1,
    long: float = LONG,
    metrics: Collection[str] = CHECKED,
    methods: Sequence[Method] = METHODS,
    naive: bool = False,
) -> Tally:
    """Where each method's interval of a metric lies; with ``naive``, of resampled ROIs too."""
    tally: Tally = {}
    true = truths(auc, metrics)
    settings = Bootstrap(resamples, "bca" if "bca" in methods else "scaled_t")
    for run in range(simulations):
        (arm,) = simulate(np.random.default_rng([seed, run]), n_patients, [auc], folds, long)
        ways = [("", methods, arm)]
        if naive:
            ways.append(("ROIs, ", ("percentile",), replace(arm, patient=arm.roi)))
        for unit, used, cases in ways:
            for name, found in resample(cases, settings, run, metrics).items():
                for method in used:
                    ends, made = metric_interval(name, found, Bootstrap(resamples, method))
                    which = outcome(ends, true[name], made)
                    tally.setdefault((unit + method, name), []).append(which)
    return tally


def misses_of_differences(
    simulations: int,
    resamples: int,
    seed: int,
    n_patients: int,
    auc: float = AUC,
    *,
    folds: int = 1,
    metrics: Collection[str] = CHECKED,
    methods: Sequence[Method] = METHODS,
) -> Tally:
    """Where the intervals of the difference of two equally good arms lie; the truth is 0."""
    tally: Tally = {}
    settings = Bootstrap(resamples, "bca" if "bca" in methods else "scaled_t")
    for run in range(simulations):
        pair = simulate(np.random.default_rng([seed, run]), n_patients, [auc, auc], folds)
        one, other = (resample(arm, settings, run, metrics) for arm in pair)
        for name in metrics:
            for method in methods:
                found = subtract(one[name], other[name], Bootstrap(resamples, method))
                tally.setdefault((method, name), []).append(outcome(found.interval, 0))
    return tally


def rejections(
    simulations: int, resamples: int, seed: int, n_patients: int, folds: int
) -> dict[tuple[str, str], list[bool]]:
    """Whether each paired test rejects two equally good arms, simulation by simulation."""
    tally: dict[tuple[str, str], list[bool]] = {}
    settings = Bootstrap(resamples)
    for run in range(simulations):
        a, b = simulate(np.random.default_rng([seed, run]), n_patients, [AUC, AUC], folds)
        found: dict[tuple[str, str], float] = {}
        for method, ways in (
            ("patient bootstrap", (a, b)),
            ("ROIs, bootstrap", tuple(replace(arm, patient=arm.roi) for arm in (a, b))),
        ):
            one, other = (resample(arm, settings, run, CHECKED) for arm in ways)
            for name in CHECKED:
                found[method, name] = subtract(one[name], other[name], settings).p
        (value_a, parts_a), (value_b, parts_b) = auc_components(a), auc_components(b)
        for method, cluster in (("Obuchowski", a.patient), ("ROIs, DeLong", a.roi)):
            variance = clustered_variance(parts_a - parts_b, a.y_true, cluster)
            found[method, "auc"] = normal_test(value_a - value_b, variance)[1]
        right_a, right_b = ((arm.y_prob >= 0.5) == arm.y_true for arm in (a, b))
        found["ROIs, McNemar", "accuracy"] = mcnemar(
            int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
        )
        for key, p in found.items():
            tally.setdefault(key, []).append(p <= 0.05)
    return tally


def families(
    simulations: int,
    resamples: int,
    seed: int,
    n_patients: int,
    sizes: Sequence[int],
    better: float,
) -> dict[tuple[int, str], list[float]]:
    """Shares of false and true findings over many arms, study by study.

    All arms have one AUC and the last stands for size; or the first of them is ``better``. The
    arms of a smaller study are among those of a larger.

    Returns
    -------
    dict of (int, str) to list
        By number of arms. ``all`` and ``size``: whether a difference that is none is shown, after
        Holm's correction over all pairs, or those with the last arm; where one arm is better,
        ``all, one better`` and ``size, one better``. ``all, found``: the share of the better arm's
        pairs that are shown; ``size, found``: whether that with the last is.
    """
    told: dict[tuple[int, str], list[float]] = {}
    settings, most = Bootstrap(resamples), max(sizes)
    aucs = [AUC - 0.06 + better, *[AUC - 0.06] * most]
    for run in range(simulations):
        arms = simulate(np.random.default_rng([seed, run]), n_patients, aucs)
        found: list[Resampled] = [resample(a, settings, run, ["auc"])["auc"] for a in arms]
        p = np.full((most + 1, most + 1), np.nan)
        for i, j in combinations(range(most + 1), 2):
            p[i, j] = subtract(found[i], found[j], settings).p
        for size in sizes:
            for title, first in (("", 1), (", one better", 0)):
                chosen = [first, *range(2, size + 1)]
                pairs = np.array(list(combinations(chosen, 2)))
                for family in ("all", "size"):
                    of = pairs if family == "all" else pairs[pairs[:, 1] == size]
                    shown, differs = holm(p[of[:, 0], of[:, 1]]) < 0.05, of[:, 0] == 0
                    key = size, family + title
                    told.setdefault(key, []).append(float(shown[~differs].any()))
                    if differs.any():
                        key = size, f"{family}, found"
                        told.setdefault(key, []).append(float(shown[differs].mean()))
    return told
