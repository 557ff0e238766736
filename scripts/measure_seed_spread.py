"""Spread of a model's metrics when nothing but its seed changes.

    python -m scripts.measure_seed_spread [--seeds N] [--models A,B] [--set KEY=VALUE ...]

The quick profile's data and splits stay as they are (the profile's own seed); each model is
fitted once a seed. Two fits that differ in their seed only differ by sqrt(2) standard deviations
of the metric over seeds; the printed margin is 1.645 of those, one-sided 95 %, with the
standard deviation's upper 80 % confidence limit in the place of the estimate, as few seeds
estimate it poorly. The last column is the mean rank correlation of two fits' probabilities.
"""

from __future__ import annotations

import argparse
import math
from itertools import combinations

import numpy as np
from scipy.stats import chi2, spearmanr

from benchmark.cli import terminal
from benchmark.columns import by_arm
from benchmark.config import load_config, select_arms
from benchmark.plugins.builder import Builder, extractors
from benchmark.run.extraction import extract
from benchmark.run.inputs import prepare
from benchmark.run.loop import Bench, fit_and_test
from benchmark.runtime.cores import available_cores
from benchmark.runtime.workers import LocalWorkers
from benchmark.statistics.cases import cases
from benchmark.statistics.metrics import METRICS
from benchmark.statistics.scoring import evaluate


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--models", default="random_forest,xgb,paper_cnn")
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="KEY=VALUE")
    chosen = parser.parse_args()
    config = load_config("quick", chosen.settings)
    arms = select_arms(config, chosen.models.split(","))
    workers = LocalWorkers(available_cores())
    values: dict[str, list[list[float]]] = {str(arm): [] for arm in arms}
    scores: dict[str, list[np.ndarray]] = {str(arm): [] for arm in arms}
    with terminal.progress() as progress:
        material = prepare(config, workers, progress)
        tables = extract(
            material.dataset, material.cohort.records, arms, extractors(arms),
            workers=workers, progress=progress,
        ).tables  # fmt: skip
        for seed in range(chosen.seeds):
            build = Builder(config.models, workers.jobs)
            bench = Bench(build, seed, config.threshold, workers, progress)
            fits = fit_and_test(tables, material.cohort, material.splits, arms, bench)
            if fits.failures:
                raise SystemExit(f"seed {seed}: {fits.failures[0]}")
            for arm, frame in by_arm(fits.prediction_table).items():
                found = evaluate(cases(frame), np.ones((1, frame["patient_id"].nunique())))
                values[arm].append([float(found[name][0]) for name in METRICS])
                scores[arm].append(frame["y_prob"].to_numpy())

    n = chosen.seeds
    inflated = math.sqrt((n - 1) / chi2.ppf(0.2, n - 1))
    tested = sum(len(split.test) for split in material.splits)
    print(f"{n} seeds, {tested} ROIs tested, dataset {material.dataset.name}\n")
    print("| model | metric | mean | SD | range | margin | rank correlation |")
    print("|---|---|---:|---:|---:|---:|---:|")
    for arm, rows in values.items():
        pairs = [spearmanr(a, b).statistic for a, b in combinations(scores[arm], 2)]
        for name, column in zip(METRICS, np.array(rows).T, strict=True):
            spread = float(column.std(ddof=1))
            margin = 1.645 * math.sqrt(2) * spread * inflated
            print(
                f"| {arm} | {name} | {column.mean():.3f} | {spread:.4f} | {np.ptp(column):.3f} | "
                f"{margin:.3f} | {np.mean(pairs):.3f} |"
            )


if __name__ == "__main__":
    main()
