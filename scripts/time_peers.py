"""Radiomics by other packages on the same ROIs: speed, and how many values are pyradiomics'.

    python -m scripts.time_peers ROI_DIR [--rois N] [--resampled] [--peer NAME=PYTHON ...]

The ROIs are the canonical ones (``features/_pyradiomics.py``) of the first N nodules, or with
``--resampled`` what pyradiomics' resampling makes of them, so that no package resamples. Each
reads them from the same NIfTI files, by the interpreter that has it (``peer_features.py`` has its
settings), in one process with one thread. A value is the same where it is within 1e-6, relative, of
pyradiomics' own; which of a package's columns is meant by a feature is decided for it: the one that
is the same most often. ROI/s are of processor and of wall time, start left out.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.datasets import manifest
from benchmark.runtime import provenance
from benchmark.runtime.paths import ROOT
from features._pyradiomics import BIN_WIDTH_HU, canonical, for_itk, settings
from tests.helpers.pyradiomics_reference import ROUNDING

SAME = 1e-6
STEP_MM = 1 / 64
"""Sides of voxels are whole multiples of it. A header has them in single precision, which readers
round to decimals or do not; so they are the same to all."""

REFERENCE, OURS = "pyradiomics", "this-project"
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "MKL_NUM_THREADS")
ITK_THREADS = "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"


def write_rois(dataset: Path, n: int, folder: Path, *, resampled: bool) -> Path:
    """Images and masks, float64 and uint8, and their table: a manifest with one column more."""
    import SimpleITK as sitk
    from radiomics import imageoperations

    found = manifest.open_dataset(dataset)
    table = folder / manifest.FILE_NAME
    with table.open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["roi_id", "patient_id", "label", "image", "mask", "lowest_hu"])
        for number, record in enumerate(found.records[:n]):
            roi = found.read(record)
            z, y, x = (round(side / STEP_MM) * STEP_MM for side in roi.spacing_mm)
            part = canonical(roi.image, roi.mask, (z, y, x))
            volumes = for_itk(*part, (z, y, x))
            on_grid = imageoperations.resampleImage(*volumes, **settings(planar=False))
            inside = sitk.GetArrayFromImage(on_grid[1]) == 1
            lowest = sitk.GetArrayFromImage(on_grid[0])[inside].min()
            paths = [f"{number}_{what}.nii.gz" for what in ("image", "mask")]
            for volume, path in zip(on_grid if resampled else volumes, paths, strict=True):
                # This project reads voxels as float32.
                single = volume if path == paths[1] else sitk.Cast(volume, sitk.sitkFloat32)
                whole = single if path == paths[1] else sitk.Cast(single, sitk.sitkFloat64)
                sitk.WriteImage(whole, str(folder / path))
            edge = BIN_WIDTH_HU * np.floor(lowest / BIN_WIDTH_HU)
            writer.writerow([number, number, 0, *(folder / path for path in paths), edge])
    return table


def measure(peer: str, python: str, table: Path, *, resampled: bool) -> dict[str, Any]:
    """What ``peer_features.py`` writes."""
    out = table.with_name("out.json")
    threads = {**dict.fromkeys(ONE_THREAD, "1"), ITK_THREADS: "1"}
    script = ["-m", "scripts.peer_features"] if peer == OURS else ["scripts/peer_features.py"]
    command = [python, *script, peer, str(table), str(out)]
    subprocess.run(
        [*command, *(["--resampled"] if resampled else [])],
        env={**os.environ, **threads},
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    found: dict[str, Any] = json.loads(out.read_text())
    return found


def matrix(found: dict[str, Any], columns: list[str]) -> NDArray[np.float64]:
    rows = [row["values"] for row in found["rois"]]
    return np.array([[row.get(column, np.nan) for column in columns] for row in rows])


def share_same(found: dict[str, Any], reference: dict[str, Any]) -> float:
    """Share of the reference's values that the best column of each feature gives too."""
    names = [name for name in reference["rois"][0]["values"] if name.startswith("original_")]
    expected = matrix(reference, names)
    columns = sorted({name for row in found["rois"] for name in row["values"]})
    values = matrix(found, columns)
    scale = np.where(np.abs(expected) >= ROUNDING, np.abs(expected), 1)
    apart = np.abs(values[:, :, None] - expected[:, None]) / scale[:, None]
    return float((apart <= SAME).sum(axis=0).max(axis=0).sum() / expected.size)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--rois", type=int, default=40)
    parser.add_argument("--resampled", action="store_true")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=PYTHON")
    arguments = parser.parse_args()
    print(
        f"{arguments.rois} of {arguments.dataset.resolve().name}, "
        f"{'1 mm, not resampled' if arguments.resampled else 'resampled to 1 mm'}; "
        f"{provenance.processor()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
        f"Python {platform.python_version()}"
    )
    peers = [(OURS, sys.executable)] + [tuple(peer.split("=", 1)) for peer in arguments.peer]
    with tempfile.TemporaryDirectory() as work:
        kind = {"resampled": arguments.resampled}
        table = write_rois(arguments.dataset, arguments.rois, Path(work), **kind)
        reference = measure(REFERENCE, sys.executable, table, **kind)
        print("| package | same values | ROI/s, processor | ROI/s, wall | ROIs refused |")
        print("|---|---:|---:|---:|---:|")
        for peer, python in [(REFERENCE, sys.executable), *peers]:
            found = measure(peer, python, table, **kind)
            rates = (
                arguments.rois / sum(row[column] for row in found["rois"])
                for column in ("processor_s", "wall_s")
            )
            refused = sum(not row["values"] for row in found["rois"])
            print(
                f"| {peer} {found['version']} | {share_same(found, reference):.1%} "
                f"| {' | '.join(f'{rate:.1f}' for rate in rates)} | {refused} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
