"""Simulated pairs of runs whose drift is known."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

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


CNN = "paper_cnn"
"""The arm that has margins of its own."""


CNN_CORRELATION = 0.69
"""Of the scores of two of its fits, within a class: .816 over both classes (results/drift.md), of
which the difference of the classes is .40 of the variance."""


LOSSES = (0, 1, 2, 3)
"""True losses of AUC, in margins."""


Pairs = dict[Arm, tuple[pd.DataFrame, pd.DataFrame]]


class Refit(NamedTuple):
    """Two fits of a model: how far their scores correlate, and the AUC that the second lost."""

    correlation: float
    drop: float = 0.0


def simulate(rng: np.random.Generator, n: int, refits: Mapping[str, Refit]) -> Pairs:
    """Predictions of the baseline and of a run, by model."""
    patient = np.repeat(np.arange(n), rng.geometric(1 / ROIS_A_PATIENT, n))[:n]

    def noise() -> Floats:
        own: Floats = rng.normal(size=n)[patient] + rng.normal(size=n)
        return own / math.sqrt(2)

    y = (noise() > norm.ppf(1 - PREVALENCE)).astype(np.int64)
    common = noise()
    frame = pd.DataFrame({"patient_id": patient, "roi_id": np.arange(n), "repeat": 0, "fold": 0})
    pairs: Pairs = {}
    for model, (correlation, drop) in refits.items():
        fitted = noise()
        sides = []
        for mu in (MU, math.sqrt(2) * norm.ppf(norm.cdf(MU / math.sqrt(2)) - drop)):
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
    """The alarms of each simulated run; the first model loses ``drop`` of its AUC."""
    refits = dict.fromkeys(MODELS, Refit(correlation)) | {MODELS[0]: Refit(correlation, drop)}
    return [
        alarms(simulate(np.random.default_rng([seed, run]), n, refits), resamples)
        for run in range(runs)
    ]


class Outcome(NamedTuple):
    """The gate on one run: it fails, it fails with --strict, the worse model's AUC passes."""

    fails: bool
    fails_strict: bool
    auc_passes: bool


def strict_outcomes(
    rng: np.random.Generator,
    n: int,
    correlation: float,
    losses: Sequence[int],
    resamples: int,
) -> list[Outcome]:
    """Outcomes of one run for each true loss of AUC, in margins, of one of its eight models.

    The seven others, the CNN among them, are as good as before, and the same for each loss.
    """
    rules = margins.read_margins()
    step = rules.metrics["auc"].margin
    worse = {loss: f"worse{loss}" for loss in losses}
    refits = {worse[loss]: Refit(correlation, loss * step) for loss in losses}
    refits |= dict.fromkeys(MODELS[2:], Refit(correlation)) | {CNN: Refit(CNN_CORRELATION)}
    # The arms of all runs are judged at once, each with the error that one of eight has.
    shared = replace(rules, family_error=rules.family_error * len(refits) / len(MODELS))
    found = judge_arms(simulate(rng, n, refits), shared, rules.gated, resamples)
    outcomes = []
    for model in worse.values():
        run = [v for v in found if v.arm.model == model or v.arm.model not in worse.values()]
        fails = any(v.verdict == REGRESSION for v in run)
        (auc,) = [v for v in run if v.arm.model == model and v.metric == "auc"]
        strict = fails or any(v.fails_strict for v in run)
        outcomes.append(Outcome(fails, strict, not auc.fails_strict))
    return outcomes


def strict_tally(
    runs: int, n: int, correlation: float, losses: Sequence[int], seed: int, resamples: int
) -> list[list[Outcome]]:
    """The outcomes of simulated runs, by true loss."""
    found = [
        strict_outcomes(np.random.default_rng([seed, run]), n, correlation, losses, resamples)
        for run in range(runs)
    ]
    return [list(of_loss) for of_loss in zip(*found, strict=True)]
