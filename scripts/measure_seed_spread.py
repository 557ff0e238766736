"""Spread of a model's metrics when nothing but its seed changes.

    python -m scripts.measure_seed_spread [--seeds N] [--models A,B] [--set KEY=VALUE ...]
        [--profile NAME] [--dataset NAME|ROI_DIR|manifest.csv] [--folds N]

Data and splits stay as they are (the profile's own seed; of folds, the first N); each model is
fitted once a seed, and fits are recalled from the cache. Two fits that differ in their seed only
differ by sqrt(2) standard deviations of the metric over seeds; the printed margin is 1.645 of
those, one-sided 95 %, with the standard deviation's upper 80 % confidence limit in the place of
the estimate, as few seeds estimate it poorly. The last column is the mean rank correlation of two
fits' probabilities.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import replace
from itertools import combinations

import numpy as np
from scipy.stats import chi2, spearmanr

from benchmark.cli import terminal
from benchmark.columns import by_arm
from benchmark.config import load_config, select_arms
from benchmark.plugins.builder import Builder, extractors
from benchmark.run.cache import RunCache
from benchmark.run.extraction import extract
from benchmark.run.inputs import prepare
from benchmark.run.loop import Bench, fit_and_test
from benchmark.run.supervision import records_to_extract
from benchmark.runtime.cores import available_cores
from benchmark.runtime.store import open_store
from benchmark.runtime.workers import LocalWorkers
from benchmark.statistics.cases import cases
from benchmark.statistics.metrics import METRICS
from benchmark.statistics.scoring import evaluate


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--models", default="random_forest,xgb,paper_cnn")
    parser.add_argument("--profile", default="quick")
    parser.add_argument("--dataset", help="default: the profile's")
    parser.add_argument("--folds", type=int, help="default: all")
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="KEY=VALUE")
    chosen = parser.parse_args()
    config = load_config(chosen.profile, chosen.settings)
    if chosen.dataset is not None:
        config = replace(config, dataset=chosen.dataset)
    arms = select_arms(config, chosen.models.split(","))
    workers = LocalWorkers(available_cores())
    values: dict[str, list[list[float]]] = {str(arm): [] for arm in arms}
    scores: dict[str, list[np.ndarray]] = {str(arm): [] for arm in arms}
    with terminal.progress() as progress, open_store() as store:
        material = prepare(config, workers, progress)
        splits = material.splits[: chosen.folds]
        tables = extract(
            material.dataset, records_to_extract(material.cohort, arms), arms, extractors(arms),
            workers=workers, progress=progress,
        ).tables  # fmt: skip
        cache = RunCache(store, material.contents, config.models, workers.machines())
        for seed in range(chosen.seeds):
            build = Builder(config.models, workers.jobs)
            bench = Bench(build, seed, config.threshold, workers, progress, cache)
            fits = fit_and_test(tables, material.cohort, splits, arms, bench)
            if fits.failures:
                raise SystemExit(f"seed {seed}: {fits.failures[0]}")
            for arm, frame in by_arm(fits.prediction_table).items():
                found = evaluate(cases(frame), np.ones((1, frame["patient_id"].nunique())))
                values[arm].append([float(found[name][0]) for name in METRICS])
                scores[arm].append(frame["y_prob"].to_numpy())

    n = chosen.seeds
    inflated = math.sqrt((n - 1) / chi2.ppf(0.2, n - 1))
    tested = sum(len(split.test) for split in splits)
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
