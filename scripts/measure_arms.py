"""Time, memory and size of a run's statistics and report as the number of arms grows.

    python -m scripts.measure_arms [--arms 5,10,20,40] [--rois 1000] [--jobs 2] [--seed 0]

Each number of arms is a process of its own. Scores are drawn, a step apart from arm to arm, for
ROIs of which two belong to a patient, tested in five folds; statistics and strata have 2,000
resamples of patients. The report is everything that ``report --no-gallery`` writes. Peak memory is
the resident set's, of this process and of its largest worker.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from benchmark.cohort.splits import Split
from benchmark.columns import (
    COMPARISON_TABLE,
    METRIC_TABLE,
    NEAR_DUPLICATE_TABLE,
    PREDICTION_TABLE,
    RANK_TABLE,
    ROI_TABLE,
    SPLIT_METRIC_TABLE,
    STRATA_TABLE,
    TIMING_TABLE,
    TRAINING_TABLE,
)
from benchmark.config import Bootstrap, Config
from benchmark.plugins.arms import Arm
from benchmark.report.document import FORMATS, PAGE, write_report
from benchmark.run.folder import read_run, write_run
from benchmark.runtime import provenance
from benchmark.runtime.workers import LocalWorkers
from benchmark.statistics import comparisons, scoring, strata

FOLDS = 5
HEADER = (
    "arms", "resample and score, s", "compare, s", "ranks, s", "strata, s", "report, s",
    "peak MB", "page MB",
)  # fmt: skip


def arms_of(n: int) -> list[Arm]:
    return [
        Arm("size_only", "diameter"),
        *(Arm("logistic", "radiomics", name=f"arm {i}") for i in range(1, n)),
    ]


def draw(arms: list[Arm], n: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame, list[Split]]:
    """Predictions of every arm, ``rois.csv`` and splits of ``n`` made ROIs."""
    rng = np.random.default_rng(seed)
    ids, patients = (np.array([f"{kind}{i // by:05}" for i in range(n)]) for kind, by in
                     (("r", 1), ("p", 2)))  # fmt: skip
    y_true = rng.permutation(np.arange(n) // 2 % 2)
    fold = np.arange(n) // 2 % FOLDS
    splits = [
        Split("kfold", 0, f, tuple(ids[fold != f].tolist()), tuple(ids[fold == f].tolist()))
        for f in range(FOLDS)
    ]
    diameter_mm = np.clip(rng.gamma(3, 3, n) + 4 * y_true, 3, 30)
    common = rng.normal(0, 1, n)
    tables = []
    for number, arm in enumerate(arms):
        score = common + rng.normal(0, 0.5, n) + (1.5 + number / len(arms)) * y_true - 1
        tables.append(pd.DataFrame({
            **arm.columns, "supervision": "labels", "scheme": "kfold", "repeat": 0, "fold": fold,
            "roi_id": ids, "patient_id": patients, "y_true": y_true,
            "y_prob": 1 / (1 + np.exp(-score)), "threshold": 0.5,
        }))  # fmt: skip
    rois = pd.DataFrame(
        zip(ids, patients, y_true, diameter_mm, [1.25] * n, 2.0 + 2 * y_true,
            rng.integers(0, 3, n).astype(float), [4.5] * n, [5.0] * n, [0.0] * n, [""] * n,
            ["reader"] * n, strict=True),
        columns=ROI_TABLE.columns,
    )  # fmt: skip
    return PREDICTION_TABLE.frame(pd.concat(tables).to_dict("records")), rois, splits


def measure(n_arms: int, n: int, jobs: int, seed: int) -> None:
    """Print a row of the table."""
    arms = arms_of(n_arms)
    predictions, rois, splits = draw(arms, n, seed)
    config = Config(dataset="made", arms=tuple(map(str, arms)))
    given, workers = (predictions, Bootstrap(), seed), LocalWorkers(jobs)
    seconds, begin = [], time.perf_counter()

    def lap() -> None:
        nonlocal begin
        seconds.append(f"{time.perf_counter() - begin:.1f}")
        begin = time.perf_counter()

    resampled = scoring.resample_arms(*given, workers)
    metrics = scoring.score(*given, resampled)
    lap()
    compared = comparisons.compare(*given, splits, resampled)
    lap()
    ranks = comparisons.rank_stability(*given, resampled=resampled)
    lap()
    stratified = strata.stratify(predictions, rois, *given[1:], workers)
    lap()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "run")
        folder.mkdir()
        tables = [
            (PREDICTION_TABLE, predictions), (METRIC_TABLE, metrics), (COMPARISON_TABLE, compared),
            (RANK_TABLE, ranks), (ROI_TABLE, rois), (STRATA_TABLE, stratified),
            (SPLIT_METRIC_TABLE, scoring.score_splits(predictions, splits)),
            (NEAR_DUPLICATE_TABLE, NEAR_DUPLICATE_TABLE.frame()),
            (TRAINING_TABLE, TRAINING_TABLE.frame([
                {**arm.columns, "repeat": 0, "fold": f, "auc": 0.9, "n_rois": n}
                for arm in arms for f in range(FOLDS)
            ])),
            (TIMING_TABLE, TIMING_TABLE.frame([
                {**arm.columns, "stage": stage, "repeat": 0, "fold": f, "seconds": 1.0,
                 "n_rois": n, "n_cached": 0, "device": "cpu"}
                for arm in arms for f in range(FOLDS) for stage in ("fit", "predict")
            ])),
        ]  # fmt: skip
        write_run(folder, config, environment(n), splits, [], {}, tables)
        begin = time.perf_counter()
        write_report(read_run(folder), FORMATS, workers=workers)
        lap()
        page = (folder / PAGE).stat().st_size / 1e6
    peak = max(resource.getrusage(who).ru_maxrss for who in
               (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1024  # fmt: skip
    print(f"| {n_arms} | {' | '.join(seconds)} | {peak:.0f} | {page:.1f} |", flush=True)


def environment(n: int) -> dict[str, object]:
    return {
        "started": "2026-01-01T00:00:00+00:00", "wall_s": 1.0, "jobs": 1,
        "dataset": {
            "name": "made", "intensities": "synthetic", "fingerprint": "0" * 8,
            "cohort": f"{n} ROIs of {n // 2} patients", "patients_known": True,
        },
        "protocol": {
            "label": "label: drawn", "split": "split: made", "leaky": False,
            "threshold": "threshold: 0.5 for every model",
        },
        **provenance.describe_machine(),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--arms", default="5,10,20,40")
    parser.add_argument("--rois", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--one", type=int, help="measure this number of arms here")
    chosen = parser.parse_args()
    if chosen.one:
        measure(chosen.one, chosen.rois, chosen.jobs, chosen.seed)
        return
    print(f"{provenance.processor()}, {chosen.jobs} workers, seed {chosen.seed}")
    print(f"| {' | '.join(HEADER)} |\n|{'---:|' * len(HEADER)}", flush=True)
    for number in chosen.arms.split(","):
        options = ["--rois", chosen.rois, "--jobs", chosen.jobs, "--seed", chosen.seed]
        command = [sys.executable, "-m", "scripts.measure_arms", "--one", number, *options]
        subprocess.run(list(map(str, command)), check=True)


if __name__ == "__main__":
    main()
