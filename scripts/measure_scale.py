"""Time and memory of a run's stages as the number of ROIs grows.

    python -m scripts.measure_scale [--sizes 100,1000,10000,100000] [--jobs 2] [--seed 0]

Each size is a process of its own. ROIs are made as they are read: a ball in noise, 8 x 20 x 20
voxels, labelled by its size and chance, two to a patient; nothing of it stands for CT. The stages
are those of ``run``: read and check, look for near-duplicates (as far as ``run`` does), extract
``diameter`` (each from voxels read anew), fit ``size_only`` and ``prior`` on one split, statistics
and strata with 2,000 resamples of patients.
Peak memory is the resident set's, of this process during the stage and of its largest worker since
it began.
"""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.cohort import near_duplicates, roi_table
from benchmark.cohort.contents import check_voxels
from benchmark.cohort.labels import LabelRule, assemble
from benchmark.cohort.splits import SplitRule, make_splits
from benchmark.config import Bootstrap
from benchmark.plugins.arms import Arm
from benchmark.plugins.builder import Builder, extractors
from benchmark.roi import Roi, RoiDataset, RoiRecord
from benchmark.run.extraction import extract
from benchmark.run.loop import Bench, fit_and_test
from benchmark.runtime import provenance
from benchmark.runtime.workers import LocalWorkers
from benchmark.statistics import comparisons, scoring, strata

SHAPE = (8, 20, 20)
SPACING_MM = (2.0, 0.7, 0.7)
ARMS = [Arm("size_only", "diameter"), Arm("prior", "diameter")]
AXES = np.ogrid[tuple(slice(0, n) for n in SHAPE)]


class Silent:
    def update(self, task: str, done: float, total: float) -> None:
        """Nobody watches."""


def read(record: RoiRecord) -> Roi:
    rng = np.random.default_rng(int(record.roi_id[1:]))
    radius_mm = 2.5 + rng.gamma(2, 0.6) + (record.label or 0)
    z, y, x = (
        (axis - (n - 1) / 2) * mm for axis, n, mm in zip(AXES, SHAPE, SPACING_MM, strict=True)
    )
    mask = z**2 + y**2 + x**2 <= radius_mm**2
    # So loud that none are near-duplicates: to name a tenth of all pairs would take the memory.
    noise = rng.normal(0, 400, SHAPE).astype(np.float32)
    return Roi(record, np.where(mask, 30, -850).astype(np.float32) + noise, mask, SPACING_MM)


def measure(n: int, jobs: int, seed: int) -> None:
    """Print a row of the table."""
    import psutil

    labels = np.random.default_rng(seed).integers(2, size=n)
    dataset = RoiDataset(
        "made", tuple(
            RoiRecord(f"r{i}", f"p{i // 2}", int(labels[i]), intensities="synthetic")
            for i in range(n)
        ), read,
    )  # fmt: skip
    workers, progress = LocalWorkers(jobs), Silent()
    cohort = assemble(dataset, LabelRule())
    splits = make_splits(cohort, SplitRule(), seed)
    cells = []

    def timed(work: Callable[[], Any]) -> Any:
        Path("/proc/self/clear_refs").write_text("5")  # the peak is from here on
        start = time.perf_counter()
        result = work()
        cells.append(f"{time.perf_counter() - start:.1f}")
        cells.append(f"{_peak_mb('self'):.0f}")
        return result

    checked = timed(lambda: check_voxels(dataset, cohort, workers, progress))
    if near_duplicates.too_many(n):
        cells.extend(["-", "-"])
    else:
        ids = cohort.roi_ids.tolist()
        timed(lambda: near_duplicates.find_table(ids, checked.thumbnails))
    rois = roi_table.table(cohort, checked.measured)
    tables = timed(
        lambda: extract(
            dataset, cohort.records, ARMS, extractors(ARMS), workers=workers, progress=progress
        )
    ).tables
    children = psutil.Process().children(recursive=True)
    largest = max((_peak_mb(child.pid) for child in children), default=float("nan"))
    bench = Bench(Builder({}, jobs), seed, "train", workers, progress)
    fits = timed(lambda: fit_and_test(tables, cohort, splits, ARMS, bench))
    if fits.failures:
        raise SystemExit(str(fits.failures[0]))
    predictions = fits.prediction_table

    def statistics() -> None:
        given = predictions, Bootstrap(), seed
        resampled = scoring.resample_arms(*given)
        scoring.score(*given, resampled)
        comparisons.compare(*given, splits, resampled)
        comparisons.rank_stability(*given, resampled=resampled)
        strata.stratify(predictions, rois, Bootstrap(), seed)

    timed(statistics)
    print(f"| {n:,} | {' | '.join(cells)} | {largest:.0f} |", flush=True)


def _peak_mb(process: int | str) -> float:
    status = Path(f"/proc/{process}/status").read_text().splitlines()
    (line,) = [line for line in status if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sizes", default="100,1000,10000,100000")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--one", type=int, help="measure this size here")
    chosen = parser.parse_args()
    if chosen.one:
        measure(chosen.one, chosen.jobs, chosen.seed)
        return
    print(f"{provenance.processor()}, {chosen.jobs} workers, seed {chosen.seed}")
    print(", ".join([f"Python {platform.python_version()}", f"numpy {np.__version__}"]))
    stages = ("read, check", "near-duplicates", "extract", "fit", "statistics")
    header = ["ROIs", *(f"{s}, {unit}" for s in stages for unit in ("s", "MB")), "worker MB"]
    print(f"| {' | '.join(header)} |\n|{'---:|' * len(header)}", flush=True)
    for size in chosen.sizes.split(","):
        options = ["--one", size, "--jobs", str(chosen.jobs), "--seed", str(chosen.seed)]
        subprocess.run([sys.executable, "-m", "scripts.measure_scale", *options], check=True)


if __name__ == "__main__":
    main()
