"""Radiomics beside pyradiomics' batch command: speed, and how far the values are apart.

    python -m scripts.time_radiomics ROI_DIR [--features NAME] [--rois N] [--turns N] [--checked N]

Two commands take turns, each over a table of the image and mask files of the first N ROIs, with two
workers and the same settings: ``pyradiomics input.csv --param FILE --jobs 2``, and this script
with ``--write FILE``, which reads the manifest, extracts, and writes a CSV too. Wall time is of
the whole command; ``without start`` takes off that of the same command for the 107 features of two
ROIs. Processor time is of the command and its workers, which includes the batch command's parent:
it waits by spinning. Then values are compared with pyradiomics'
``RadiomicsFeatureExtractor.execute`` on ``--checked`` of the ROIs, evenly spread and padded alike.
"""

from __future__ import annotations

import argparse
import csv
import json
import multiprocessing
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from benchmark.datasets import manifest
from benchmark.formats.files import Access
from benchmark.plugins import registry
from benchmark.roi import Roi, RoiRecord
from benchmark.runtime.paths import ROOT
from tests.helpers.pyradiomics_reference import compare, parameters

JOBS = 2


def write_features(arguments: argparse.Namespace) -> None:
    """Our side of the race."""
    dataset = manifest.open_dataset(arguments.dataset, Access(outside=True))
    extract = registry.load_feature_set(arguments.features).extract
    row_of = partial(_row, dataset.read, extract)
    # The first row names the columns. It also imports what workers would each import again.
    first = row_of(dataset.records[0])
    with multiprocessing.Pool(JOBS) as pool, arguments.write.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, list(first))
        writer.writeheader()
        writer.writerow(first)
        writer.writerows(pool.imap(row_of, dataset.records[1:], chunksize=4))


def _row(
    read: Callable[[RoiRecord], Roi], extract: Callable[[Roi], dict[str, float]], record: RoiRecord
) -> dict[str, object]:
    return {"roi_id": record.roi_id, **extract(read(record))}


def write_tables(dataset: Path, n: int, batch: Path, own: Path) -> None:
    """The first ``n`` ROIs' files, as the batch command and as this project reads them."""
    with manifest_path(dataset).open(newline="") as handle:
        rows = list(csv.DictReader(handle))[:n]
    folder = manifest_path(dataset).resolve().parent
    with batch.open("w", newline="") as theirs, own.open("w", newline="") as ours:
        sides = csv.writer(theirs), csv.writer(ours)
        sides[0].writerow(["Image", "Mask"])
        sides[1].writerow(["roi_id", "patient_id", "label", "image", "mask"])
        for row in rows:
            files = folder / row["image"], folder / row["mask"]
            sides[0].writerow(files)
            # A label there must be; the features know none.
            sides[1].writerow([row["roi_id"], row["patient_id"], 0, *files])


def manifest_path(dataset: Path) -> Path:
    return dataset / manifest.FILE_NAME if dataset.is_dir() else dataset


def timed(command: Sequence[str]) -> tuple[float, float]:
    """Wall and processor seconds of a command and its workers."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    clock = time.perf_counter()
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    wall = time.perf_counter() - clock
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def race(arguments: argparse.Namespace, work: Path) -> None:
    batch_command = shutil.which("pyradiomics", path=str(Path(sys.executable).parent))
    if batch_command is None:
        raise ValueError(f"no command 'pyradiomics' beside {sys.executable}; install it there")

    for n in (JOBS, arguments.rois):
        write_tables(arguments.dataset, n, work / f"batch{n}.csv", work / f"own{n}.csv")
    for features in {"radiomics", arguments.features}:
        (work / f"{features}.yaml").write_text(json.dumps(parameters(features)))

    def batch(features: str, n: int) -> list[str]:
        options = ["--param", str(work / f"{features}.yaml"), "--jobs", str(JOBS)]
        out = ["--out", str(work / "theirs.csv"), "--format", "csv"]
        return [batch_command, str(work / f"batch{n}.csv"), *options, *out]

    def ours(features: str, n: int) -> list[str]:
        script = [sys.executable, "-m", "scripts.time_radiomics", str(work / f"own{n}.csv")]
        return [*script, "--features", features, "--write", str(work / "ours.csv")]

    sides = {"batch command": batch, "this project": ours}
    n, taken = arguments.rois, {side: [] for side in sides}
    for _ in range(arguments.turns):
        for side, command in sides.items():
            start, _ = timed(command("radiomics", JOBS))
            wall, processor = timed(command(arguments.features, n))
            taken[side].append((wall, wall - start, processor))
    theirs, own = (np.array(taken[side]) for side in sides)
    for label, column in (("whole command", 0), ("without start", 1), ("processor time", 2)):
        ratios = theirs[:, column] / own[:, column]
        rates = (n / np.median(seconds[:, column]) for seconds in (theirs, own))
        print(
            f"{label}: {' and '.join(f'{rate:.1f}' for rate in rates)} ROI/s, "
            f"ratio {np.median(ratios):.2f} ({', '.join(f'{ratio:.2f}' for ratio in ratios)})",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--features", default="radiomics")
    parser.add_argument("--rois", type=int, default=300)
    parser.add_argument("--turns", type=int, default=3, help="0 compares values only")
    parser.add_argument("--checked", type=int, help="ROIs whose values are compared; default all")
    parser.add_argument("--write", type=Path, help="our side only, into this CSV")
    arguments = parser.parse_args()
    if arguments.write:
        write_features(arguments)
        return
    # Imports that the timed side does without.
    import platform
    from importlib.metadata import version

    from benchmark.runtime import provenance

    print(
        f"{arguments.features}, first {arguments.rois} of {arguments.dataset.resolve().name}; "
        f"{provenance.processor()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    )
    packages = ("pyradiomics", "SimpleITK", "numpy", "PyWavelets")
    print(f"Python {platform.python_version()}", *(f"{p} {version(p)}" for p in packages), sep=", ")
    if arguments.turns:
        with tempfile.TemporaryDirectory() as work:
            race(arguments, Path(work))
    dataset = manifest.open_dataset(arguments.dataset)
    step = max(1, arguments.rois // (arguments.checked or arguments.rois))
    checked = dataset.records[: arguments.rois : step]
    furthest = max(compare(arguments.features, dataset.read(r)) for r in checked)
    print(f"largest deviation from execute over {len(checked)} ROIs: {furthest}")


if __name__ == "__main__":
    main()
