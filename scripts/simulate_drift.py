"""False alarms and detection of the drift gate, on simulated runs of eight models.

    python -m scripts.simulate_drift [--runs N] [--rois N] [--drop D] [--seed S]

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
intervals of the simulation itself. Margins and family error are those of
benchmark/drift/margins.toml.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
from scipy.stats import binomtest

from benchmark.drift.verdicts import RESAMPLES
from tests.helpers.drift_study import CORRELATIONS, MODELS, tally


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
