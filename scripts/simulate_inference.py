"""Coverage of the intervals and size of the paired tests, on simulated clustered cases.

    python -m scripts.simulate_inference [--simulations N] [--resamples B] [--seed S]

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
from collections.abc import Callable

import numpy as np
from scipy.stats import binomtest
from threadpoolctl import threadpool_limits

from tests.helpers.inference_study import TRUE, Tally, coverage, rejections


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
