"""Simulated pairs of runs whose drift is known."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from scipy.stats import norm

from benchmark.drift import margins
from benchmark.drift.verdicts import REGRESSION, judge_arms
from benchmark.plugins.arms import Arm
from benchmark.statistics.cases import Floats

MU, CUT, PREVALENCE, ROIS_A_PATIENT = 1.7, 1.0, 0.37, 1.83


MODELS = [f"model{number}" for number in range(8)]


CORRELATIONS = (0.95, 0.9, 0.75)


BETWEEN_MODELS = 0.5


Pairs = dict[Arm, tuple[pd.DataFrame, pd.DataFrame]]


def simulate(rng: np.random.Generator, n: int, correlation: float, drop: float) -> Pairs:
    """Predictions of the baseline and of a run; the first model loses ``drop`` of its AUC."""
    patient = np.repeat(np.arange(n), rng.geometric(1 / ROIS_A_PATIENT, n))[:n]

    def noise() -> Floats:
        own: Floats = rng.normal(size=n)[patient] + rng.normal(size=n)
        return own / math.sqrt(2)

    y = (noise() > norm.ppf(1 - PREVALENCE)).astype(np.int64)
    common = noise()
    lowered = math.sqrt(2) * norm.ppf(norm.cdf(MU / math.sqrt(2)) - drop)
    frame = pd.DataFrame({"patient_id": patient, "roi_id": np.arange(n), "repeat": 0, "fold": 0})
    pairs: Pairs = {}
    for model in MODELS:
        fitted = noise()
        sides = []
        for mu in (MU, lowered if model == MODELS[0] else MU):
            score = mu * y + sum(
                math.sqrt(part) * effect
                for part, effect in (
                    (BETWEEN_MODELS, common),
                    (correlation - BETWEEN_MODELS, fitted),
                    (1 - correlation, noise()),
                )
            )
            sides.append(frame.assign(y_true=y, y_prob=norm.cdf(score - CUT), threshold=0.5))
        pairs[Arm(model, "simulated")] = sides[0], sides[1]
    return pairs


def alarms(pairs: Pairs, resamples: int) -> set[str]:
    """Models of which the gate calls a gated metric a regression."""
    rules = margins.read_margins()
    found = judge_arms(pairs, rules, rules.gated, resamples)
    return {v.arm.model for v in found if v.verdict == REGRESSION}


def tally(
    runs: int, n: int, correlation: float, drop: float, seed: int, resamples: int
) -> list[set[str]]:
    """The alarms of each simulated run."""
    return [
        alarms(simulate(np.random.default_rng([seed, run]), n, correlation, drop), resamples)
        for run in range(runs)
    ]
