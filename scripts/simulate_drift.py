"""False alarms and detection of the drift gate, on simulated runs of eight models.

    python -m scripts.simulate_drift [--runs N] [--rois N] [--drop D] [--seed S]
    python -m scripts.simulate_drift --strict [--runs N] [--seed S]

A patient has a geometric number of ROIs (mean 1.8, as the 751 nodules of 411 patients in
results/README.md), drawn until there are --rois of them. Labels and scores are those of
scripts/simulate_inference.py: scores are normal given the label with a patient effect that
carries half of their variance, AUC .885; scores of two models correlate by .5 within a class.
Every model is fitted twice, for the baseline and for the run, and scores of the two fits correlate
by more: .95 and .90 stand for another seed or another version of a library (results/drift.md has
what was measured), .75 for a model that was changed in earnest.

no change: all eight models are as good in the run as in the baseline, and all were refitted.
drop:      one of the eight has lost --drop of its AUC; the others were refitted.

With --strict: the share that fails of runs of 100, 250, 500 and 1000 ROIs in which one model has
lost 0 to 3 margins of AUC. Seven models are refitted with scores that correlate by .97, as measured
for random forest and xgboost over seeds; the eighth is the CNN with margins of its own and .69.
Runs without a loss are simulated with .90 too. The threshold stays where it was, so that a model
which loses 1, 2 and 3 margins of AUC loses .07, .13 and .19 of sensitivity and nothing of
specificity. The last column is the test of that model's AUC alone: how often it excludes a loss of
two margins.

A false alarm is a run in which the gate calls any gated metric of any model a regression; a
detection is one in which it calls one of the dropped model's. In parentheses, exact binomial 95 %
intervals of the simulation itself. Margins and family error are those of
benchmark/drift/margins.toml.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
from scipy.stats import binomtest

from benchmark.drift.verdicts import RESAMPLES
from tests.helpers.drift_study import CORRELATIONS, LOSSES, MODELS, strict_tally, tally

ROIS = (100, 250, 500, 1000)
STRICT_CASES = ((0.97, LOSSES), (0.90, (0,)))


def share(outcomes: Sequence[bool]) -> str:
    """Percentage with its exact binomial interval."""
    error = binomtest(sum(outcomes), len(outcomes)).proportion_ci()
    return f"{100 * np.mean(outcomes):.1f} % ({100 * error.low:.1f} to {100 * error.high:.1f})"


def strict(runs: int, seed: int, resamples: int) -> None:
    """Print the table of runs that fail with and without --strict."""
    print(f"{runs} runs each, {resamples} resamples, seed {seed}, {len(MODELS)} models\n")
    print("| fits correlate | ROIs | true loss, margins of AUC | fails | fails with --strict "
          "| AUC alone passes strict |")  # fmt: skip
    print("|---:|---:|---:|---:|---:|---:|")
    for correlation, losses in STRICT_CASES:
        for n in ROIS:
            found = strict_tally(runs, n, correlation, losses, seed, resamples)
            for loss, outcomes in zip(losses, found, strict=True):
                cells = " | ".join(share(answers) for answers in zip(*outcomes, strict=True))
                print(f"| {correlation} | {n} | {loss} | {cells} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--rois", type=int, default=400)
    parser.add_argument("--drop", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resamples", type=int, default=RESAMPLES)
    parser.add_argument("--strict", action="store_true")
    chosen = parser.parse_args()
    if chosen.strict:
        strict(chosen.runs, chosen.seed, chosen.resamples)
        return
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
