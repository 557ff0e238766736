"""Coverage of the intervals and size of the paired tests, on simulated clustered cases.

    python scripts/simulate_inference.py [--simulations N] [--resamples B] [--seed S]

A patient has a geometric number of ROIs (mean 2.9, as many as a LIDC-IDRI patient). Labels are
a Gaussian threshold model with a patient effect (37 % malignant), scores are normal given the
label with a patient effect that carries half of their variance, so that the true values are
known: AUC = Phi(mu / sqrt 2) for ROIs of different patients, sensitivity = Phi(mu - c),
specificity = Phi(c) at the threshold c. Under the null two models share half of each effect
and have equal true values.

Coverage: how often a nominal 95 % interval holds the true value. Rejections: how often a test
at 5 % rejects the null. The lines "ROIs" resample or count ROIs as if they were independent.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, norm
from threadpoolctl import threadpool_limits

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmark.comparisons import auc_components, clustered_variance  # noqa: E402
from benchmark.inference import (  # noqa: E402
    bootstrap_p,
    draw_patients,
    interval,
    leave_one_out,
    mcnemar,
    normal_test,
)
from benchmark.metrics import METRICS  # noqa: E402
from benchmark.scores import Floats  # noqa: E402
from benchmark.scoring import Cases  # noqa: E402

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


def show(title: str, tally: Tally) -> None:
    """A Markdown table: percentages with exact binomial 95 % intervals of the simulation."""
    print(f"\n{title}\n\n| method | {' | '.join(TRUE)} |\n|---|{'---:|' * len(TRUE)}")
    for method in dict.fromkeys(method for method, _ in tally):
        cells = []
        for name in TRUE:
            if (method, name) not in tally:
                cells.append("")
                continue
            outcomes = tally[method, name]
            error = binomtest(sum(outcomes), len(outcomes)).proportion_ci()
            share = 100 * np.mean(outcomes)
            cells.append(f"{share:.1f} % ({100 * error.low:.1f} to {100 * error.high:.1f})")
        print(f"| {method} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--simulations", type=int, default=2000)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    common: tuple[int, int, int] = (chosen.simulations, chosen.resamples, chosen.seed)
    made = f"{chosen.simulations} simulations, {chosen.resamples} resamples, seed {chosen.seed}"
    tables: list[tuple[str, Callable[[], Tally]]] = [
        (f"Coverage, {n} patients ({made})", lambda n=n: coverage(*common, n)) for n in (200, 100)
    ]
    tables += [
        (
            f"Rejections, 200 patients, {folds} fold{'s' if folds > 1 else ''} ({made})",
            lambda folds=folds: rejections(*common, 200, folds),
        )
        for folds in (1, 5)
    ]
    with threadpool_limits(1, user_api="blas"):
        for title, simulated in tables:
            show(title, simulated())


if __name__ == "__main__":
    main()
