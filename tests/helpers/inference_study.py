"""Simulated studies whose true metrics are known: coverage of intervals, rejections of tests."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from benchmark.statistics.cases import Cases, Floats
from benchmark.statistics.clustered_auc import auc_components, clustered_variance
from benchmark.statistics.inference import (
    bootstrap_p,
    draw_patients,
    interval,
    leave_one_out,
    mcnemar,
    normal_test,
)
from benchmark.statistics.metrics import METRICS

MU, CUT, PREVALENCE = 1.7, 1.0, 0.37


TRUE = {
    "auc": float(norm.cdf(MU / math.sqrt(2))),
    "accuracy": float(PREVALENCE * norm.cdf(MU - CUT) + (1 - PREVALENCE) * norm.cdf(CUT)),
    "sensitivity": float(norm.cdf(MU - CUT)),
}


Tally = dict[tuple[str, str], list[bool]]
"""Outcomes of the simulations by (method, metric)."""


def simulate(rng: np.random.Generator, n_patients: int, n_models: int, folds: int) -> list[Cases]:
    """Predictions of equally good models for the same ROIs; folds are made of patients."""
    patient = np.repeat(np.arange(n_patients), rng.geometric(0.35, n_patients))
    n = len(patient)

    def noise() -> Floats:
        own: Floats = rng.normal(size=n_patients)[patient] + rng.normal(size=n)
        return own / math.sqrt(2)

    y = (noise() > norm.ppf(1 - PREVALENCE)).astype(np.int64)
    common = noise()
    arms = []
    for _ in range(n_models):
        score = MU * y + (common + noise()) / math.sqrt(2)
        arms.append(
            Cases(y, norm.cdf(score - CUT), np.full(n, 0.5), patient % folds, np.arange(n), patient)
        )
    return arms


def values(arm: Cases, counts: Floats, unit: NDArray[np.int64]) -> dict[str, Floats]:
    """The metrics whose truth is known, under resamples of units."""
    scores = arm.scores(counts[:, unit])
    return {name: METRICS[name](scores) for name in TRUE}


def coverage(simulations: int, resamples: int, seed: int, n_patients: int) -> Tally:
    """Whether each interval holds the truth, simulation by simulation."""
    tally: Tally = {}
    for run in range(simulations):
        (arm,) = simulate(np.random.default_rng([seed, run]), n_patients, 1, 1)
        observed = values(arm, np.ones((1, n_patients)), arm.patient)
        left = values(arm, next(leave_one_out(n_patients)), arm.patient)
        patients = values(arm, draw_patients(n_patients, resamples, run), arm.patient)
        rois = values(arm, draw_patients(arm.n_rois, resamples, run), arm.roi)
        for name, truth in TRUE.items():
            value = float(observed[name][0])
            for method, ends in {
                "patients, percentile": interval(patients[name], value, None, "percentile"),
                "patients, BCa": interval(patients[name], value, left[name], "bca"),
                "ROIs, percentile": interval(rois[name], value, None, "percentile"),
            }.items():
                tally.setdefault((method, name), []).append(ends.low <= truth <= ends.high)
    return tally


def rejections(simulations: int, resamples: int, seed: int, n_patients: int, folds: int) -> Tally:
    """Whether each paired test rejects two equally good models, simulation by simulation."""
    tally: Tally = {}
    for run in range(simulations):
        a, b = simulate(np.random.default_rng([seed, run]), n_patients, 2, folds)
        found: dict[tuple[str, str], float] = {}
        for method, unit in (("patient bootstrap", a.patient), ("ROIs, bootstrap", a.roi)):
            draws = draw_patients(int(unit.max()) + 1, resamples, run)
            one, other = values(a, draws, unit), values(b, draws, unit)
            found |= {(method, name): bootstrap_p(one[name] - other[name]) for name in TRUE}
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
