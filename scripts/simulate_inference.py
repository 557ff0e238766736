"""Misses of the intervals on either side, and size and power of the tests, on simulated cases.

    python -m scripts.simulate_inference [--simulations N] [--resamples B] [--seed S] [PART ...]

A patient has a geometric number of ROIs (mean 2.9, as many as a LIDC-IDRI patient). Labels are
a Gaussian threshold model with a patient effect (37 % malignant), scores are normal given the
label with a patient effect that carries half of their variance, so that the true AUC is known
(for ROIs of different patients); other metrics' true values come from 200,000 ROIs. Arms of one
study share half of their scores' variance, patient effects included.

Parts: ``auc`` (intervals of the AUC, by patients, AUC and folds), ``few`` (few patients, with what
is widened or withheld), ``metrics`` (all metrics), ``differences``, ``tests`` (size of the paired
tests), ``families`` (many arms). Without one, all.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from threadpoolctl import threadpool_limits

from benchmark.statistics.metrics import METRICS
from tests.helpers.inference_study import (
    ABOVE,
    AUC,
    BELOW,
    METHODS,
    WIDE,
    WITHHELD,
    Method,
    Tally,
    families,
    misses,
    misses_of_differences,
    rejections,
)

AUCS = (0.7, 0.8, 0.9, 0.97)
FAST: tuple[Method, ...] = ("percentile", "scaled_t")
"""Methods that need no jackknife, which takes as long again."""

Line = tuple[str, ...]


def table(header: Sequence[str], lines: Iterable[Line]) -> None:
    """A Markdown table on stdout, line by line as they come."""
    print(f"\n| {' | '.join(header)} |\n|---|{'---:|' * (len(header) - 1)}", flush=True)
    for line in lines:
        print(f"| {' | '.join(line)} |", flush=True)


def sides(outcomes: Sequence[str]) -> str:
    """``2.6 / 2.4``: percentages of given intervals wholly above, and below, the truth."""
    given = [each for each in outcomes if each != WITHHELD]
    above, below = (100 * given.count(side) / max(1, len(given)) for side in (ABOVE, BELOW))
    return f"{above:.1f} / {below:.1f}"


def by_auc(
    study: Callable[..., Tally],
    patients: Sequence[int],
    simulations: int,
    resamples: int,
    seed: int,
) -> None:
    """A line a number of patients, folds and method; a column an AUC."""

    def lines() -> Iterator[Line]:
        for folds in (1, 5):
            for n in patients:
                found = [
                    study(simulations, resamples, seed, n, auc, folds=folds, metrics=["auc"],
                          methods=FAST)
                    for auc in AUCS
                ]  # fmt: skip
                for method in FAST:
                    what = f"{n}, {folds} fold{'s' * (folds > 1)}, {method}"
                    yield what, *(sides(each[method, "auc"]) for each in found)

    table(("patients", *(f"AUC {auc}" for auc in AUCS)), lines())


def show_auc(simulations: int, resamples: int, seed: int) -> None:
    by_auc(misses, (50, 100, 200, 400), simulations, resamples, seed)


def show_differences(simulations: int, resamples: int, seed: int) -> None:
    by_auc(misses_of_differences, (50, 200), simulations, resamples, seed)


def show_few(simulations: int, resamples: int, seed: int) -> None:
    lines = []
    for n in (10, 20, 30):
        for long, what in ((1.0, "one ROI each"), (0.35, "2.9 ROIs each")):
            cells = []
            for auc in (0.9, 0.97, 0.995):
                found = misses(simulations, resamples, seed, n, auc, long=long, metrics=["auc"],
                               methods=["scaled_t"])["scaled_t", "auc"]  # fmt: skip
                wide, held = (100 * found.count(k) / len(found) for k in (WIDE, WITHHELD))
                cells.append(f"{sides(found)}, {wide:.0f}, {held:.0f}")
            lines.append((f"{n}, {what}", *cells))
    table(("patients", "AUC .9", "AUC .97", "AUC .995"), lines)


def show_metrics(simulations: int, resamples: int, seed: int) -> None:
    found = misses(simulations, resamples, seed, 100, metrics=METRICS)
    apart = misses_of_differences(
        simulations, resamples, seed, 100, metrics=METRICS, methods=METHODS
    )
    lines = [
        (name, *(sides(part[method, name]) for part in (found, apart) for method in METHODS))
        for name in METRICS
    ]
    table(("metric", *METHODS, *(f"difference, {m}" for m in METHODS)), lines)


def show_tests(simulations: int, resamples: int, seed: int) -> None:
    for folds in (1, 5):
        found = rejections(simulations, resamples, seed, 200, folds)
        columns = ("auc", "accuracy", "sensitivity")
        lines = [
            (method, *(f"{100 * np.mean(found[method, name]):.1f} %"
                       if (method, name) in found else "" for name in columns))
            for method in dict.fromkeys(method for method, _ in found)
        ]  # fmt: skip
        table((f"test, {folds} fold{'s' * (folds > 1)}", *columns), lines)


def show_families(simulations: int, resamples: int, seed: int) -> None:
    sizes = (2, 11, 20, 40)
    found = families(simulations, resamples, seed, 200, sizes, 0.08)
    columns = [f"{family}{what}" for what in ("", ", one better", ", found")
               for family in ("all", "size")]  # fmt: skip
    table(("arms (pairs)", *columns), [
        (f"{n} ({n * (n - 1) // 2})",
         *(f"{100 * np.mean(found[n, column]):.1f} %" for column in columns))
        for n in sizes
    ])  # fmt: skip


PARTS: dict[str, tuple[str, float, Callable[[int, int, int], None]]] = {
    "auc": ("Intervals of the AUC, wholly above / below the truth, %", 1, show_auc),
    "few": ("Few patients, scaled_t: above / below, widened, withheld, %", 1, show_few),
    "metrics": (f"All metrics, 100 patients, AUC {AUC}: above / below, %", 0.4, show_metrics),
    "differences": ("Differences of two equal AUCs: above / below, %", 0.5, show_differences),
    "tests": ("Rejections of a true null at 5 %, 200 patients", 0.4, show_tests),
    "families": ("Many arms, 200 patients, Holm at 5 %", 0.3, show_families),
}
"""Title, share of the simulations that it takes, and what shows it."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("part", nargs="*")
    parser.add_argument("--simulations", type=int, default=1000)
    parser.add_argument("--resamples", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    unknown = set(chosen.part) - set(PARTS)
    if unknown:
        parser.error(f"part is {', '.join(unknown)}; it must be of {', '.join(PARTS)}")
    with threadpool_limits(1, user_api="blas"):
        for part in chosen.part or PARTS:
            title, share, show = PARTS[part]
            n = math.ceil(share * chosen.simulations)
            print(f"\n**{title} ({n} simulations, {chosen.resamples} resamples, seed "
                  f"{chosen.seed})**")  # fmt: skip
            show(n, chosen.resamples, chosen.seed)


if __name__ == "__main__":
    main()
