"""Paste the real crops into DICOM series, build those, and compare what comes back.

    python -m scripts.round_trip_crops ../shared/data/lidc_crops [--every N] [--jobs N]

Every crop is put at its stated corner into a series that has its scan's identifiers, slice
positions and spacing; other voxels are -850 HU. HU and mask must come back identical, voxel by
voxel, at the same place. A scan at a time is on disk.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

from benchmark.lidc.annotations import nodules
from benchmark.lidc.build import build_dataset
from tests.helpers.lidc_dicom import SIZE, Quiet, voxels, write_series

BACKGROUND_HU = -850


def place(row: dict[str, str], shape: tuple[int, ...]) -> tuple[slice, ...]:
    """Where a crop of that shape lies in its scan, (z, y, x)."""
    starts = (int(row[f"crop_{axis}0"]) for axis in ("slice", "row", "col"))
    return tuple(slice(s, s + n) for s, n in zip(starts, shape, strict=True))


def round_trip(crops: Path, rows: list[dict[str, str]]) -> list[tuple[str, str]]:
    """ROI id and outcome of the crops of one scan."""
    by_id = {nodule.nodule_id: nodule for nodule in nodules()}
    scan = by_id[rows[0]["roi_id"]]
    volume = np.full((len(scan.slice_zs_mm), SIZE, SIZE), BACKGROUND_HU, dtype=np.int16)
    images = {row["roi_id"]: voxels(crops, row["image"]) for row in rows}
    for row in rows:
        image = images[row["roi_id"]]
        volume[place(row, image.shape)] = image
    with tempfile.TemporaryDirectory() as work:
        dicom, out = Path(work, "dicom"), Path(work, "rois")
        write_series(dicom, scan, lambda index: volume[index], intercept=-4096)
        build_dataset(dicom, out, Quiet(), jobs=1, patients=scan.patient_id)
        with (out / "manifest.csv").open(newline="", encoding="utf-8") as handle:
            built = {row["roi_id"]: row for row in csv.DictReader(handle)}
        outcomes = []
        for row in rows:
            roi_id = row["roi_id"]
            outcomes.append((roi_id, compare(crops, row, out, built.get(roi_id), volume)))
    return outcomes


def compare(
    crops: Path, row: dict[str, str], out: Path, built: dict[str, str] | None, volume: np.ndarray
) -> str:
    """``identical``, or what is not."""
    if built is None:
        return "left out"
    hu, mask = voxels(out, built["image"]), voxels(out, built["mask"])
    original = voxels(crops, row["mask"]) > 0
    theirs, ours = (np.zeros(volume.shape, dtype=bool) for _ in range(2))
    theirs[place(row, original.shape)] = original
    ours[place(built, mask.shape)] = mask > 0
    if not np.array_equal(hu, volume[place(built, hu.shape)]):
        return "other HU"
    if not np.array_equal(theirs, ours):
        return f"other mask: {np.count_nonzero(theirs != ours)} voxels"
    for column in ("pixel_spacing_mm", "slice_spacing_mm", "slice_thickness_mm"):
        if abs(float(row[column]) - float(built[column])) > 1e-5:
            return f"other {column}: {built[column]} instead of {row[column]}"
    return "identical"


def main() -> None:
    from joblib import Parallel, delayed

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("crops", type=Path)
    parser.add_argument("--every", type=int, default=1, metavar="N", help="Every Nth scan only.")
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()

    scans: dict[str, list[dict[str, str]]] = {}
    with (arguments.crops / "manifest.csv").open(newline="", encoding="utf-8") as handle:
        for row in csv.DictReader(handle):
            scans.setdefault(row["series_instance_uid"], []).append(row)
    chosen = list(scans.values())[:: arguments.every]
    parallel = Parallel(n_jobs=arguments.jobs, return_as="generator")
    outcomes: Counter[str] = Counter()
    for scan in parallel(delayed(round_trip)(arguments.crops, rows) for rows in chosen):
        for roi_id, outcome in scan:
            outcomes[outcome.partition(":")[0]] += 1
            if outcome != "identical":
                print(f"{roi_id}: {outcome}", flush=True)
    print(f"{outcomes.total()} nodules of {len(chosen)} scans: {dict(outcomes)}")


if __name__ == "__main__":
    main()
