"""False alarms and detection of the drift gate, on simulated runs of eight models.

    python scripts/simulate_drift.py [--runs N] [--rois N] [--drop D] [--seed S]

A patient has a geometric number of ROIs (mean 1.8, as the 751 nodules of 411 patients in
results/README.md), drawn until there are --rois of them. Labels and scores are those of
scripts/simulate_inference.py: scores are normal given the label with a patient effect that
carries half of their variance, AUC .885; scores of two models correlate by .5 within a class.
Every model is fitted twice, for the baseline and for the run, and scores of the two fits correlate
by more: .95 and .90 stand for another seed or another version of a library (results/drift.md has
what was measured), .75 for a model that was changed in earnest.

no change: all eight models are as good in the run as in the baseline, and all were refitted.
drop:      one of the eight has lost --drop of its AUC; the others were refitted.

A false alarm is a run in which the gate calls any gated metric of any model a regression; a
detection is one in which it calls one of the dropped model's. In parentheses, exact binomial 95 %
intervals of the simulation itself. Margins and family error are those of benchmark/margins.toml.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import binomtest, norm

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmark import margins  # noqa: E402
from benchmark.scores import Floats  # noqa: E402
from benchmark.verdicts import REGRESSION, RESAMPLES, Arm, judge_arms  # noqa: E402

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
        pairs[model, "simulated"] = sides[0], sides[1]
    return pairs


def alarms(pairs: Pairs, resamples: int) -> set[str]:
    """Models of which the gate calls a gated metric a regression."""
    rules = margins.read()
    found = judge_arms(pairs, rules, rules.gated, resamples)
    return {v.model for v in found if v.verdict == REGRESSION}


def tally(
    runs: int, n: int, correlation: float, drop: float, seed: int, resamples: int
) -> list[set[str]]:
    """The alarms of each simulated run."""
    return [
        alarms(simulate(np.random.default_rng([seed, run]), n, correlation, drop), resamples)
        for run in range(runs)
    ]


def share(outcomes: Sequence[bool]) -> str:
    """Percentage with its exact binomial interval."""
    error = binomtest(sum(outcomes), len(outcomes)).proportion_ci()
    return f"{100 * np.mean(outcomes):.1f} % ({100 * error.low:.1f} to {100 * error.high:.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--rois", type=int, default=400)
    parser.add_argument("--drop", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resamples", type=int, default=RESAMPLES)
    chosen = parser.parse_args()
    print(f"{chosen.runs} runs each, {chosen.rois} ROIs, {chosen.resamples} resamples, "
          f"seed {chosen.seed}, {len(MODELS)} models\n")  # fmt: skip
    print(f"| fits correlate | false alarms, no change | drop of {chosen.drop:g} detected |")
    print("|---:|---:|---:|")
    for correlation in CORRELATIONS:
        none, dropped = (
            tally(chosen.runs, chosen.rois, correlation, drop, chosen.seed, chosen.resamples)
            for drop in (0.0, chosen.drop)
        )
        false = share([bool(found) for found in none])
        print(f"| {correlation} | {false} | {share([MODELS[0] in f for f in dropped])} |",
              flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
