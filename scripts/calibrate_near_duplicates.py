"""How well near-duplicates are told from look-alikes, on real nodules.

    python scripts/calibrate_near_duplicates.py ../shared/data

Pairs of different patients among the crops must not be found; copies of every crop that were
changed in a known way, and the same nodules in ``lidc_slices`` (another crop, one slice, HU off by
about 5), must be.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmark import near_duplicates  # noqa: E402
from benchmark.datasets import manifest  # noqa: E402
from benchmark.roi import Roi  # noqa: E402

SEED = 0


def noisy(roi: Roi, rng: np.random.Generator) -> Roi:
    """HU noise with a standard deviation of 10."""
    noise = rng.normal(0, 10, roi.image.shape).astype(np.float32)
    return replace(roi, image=roi.image + noise)


def rounded(roi: Roi, rng: np.random.Generator) -> Roi:
    """HU rounded to tens."""
    return replace(roi, image=np.rint(roi.image / 10) * 10)


def cropped(roi: Roi, rng: np.random.Generator) -> Roi:
    """One or two rows and columns less on one side."""
    plane = (
        slice(None),
        slice(int(rng.integers(1, 3)), None),
        slice(int(rng.integers(1, 3)), None),
    )
    return replace(roi, image=roi.image[plane], outline=roi.mask[plane])


def dilated(roi: Roi, rng: np.random.Generator) -> Roi:
    """The mask grown by two voxels in all directions."""
    return replace(roi, outline=ndimage.binary_dilation(roi.mask, iterations=2))


def redrawn(roi: Roi, rng: np.random.Generator) -> Roi:
    """The mask's edge moved in and out smoothly, by 1.5 pixels on average, in every slice."""
    depth = np.stack([
        ndimage.distance_transform_edt(plane) - ndimage.distance_transform_edt(~plane)
        for plane in roi.mask
    ])  # fmt: skip
    wave = ndimage.gaussian_filter(rng.normal(size=depth.shape), (1, 4, 4))
    mask = depth + 1.5 * wave / wave.std() > 0
    return replace(roi, outline=mask if mask.any() else roi.mask)


def resampled(roi: Roi, rng: np.random.Generator) -> Roi:
    """In-plane pixels made 5 or 10 % larger or smaller, the spacing told."""
    factor = float(rng.choice([0.9, 0.95, 1.05, 1.1]))
    image = ndimage.zoom(roi.image, (1, factor, factor), order=1)
    mask = ndimage.zoom(roi.mask.astype(np.float32), (1, factor, factor), order=1) >= 0.5
    sides = zip(roi.image.shape, image.shape, roi.spacing_mm, strict=True)
    spacing_mm = tuple(old / new * mm for old, new, mm in sides)
    return Roi(roi.record, image, mask if mask.any() else None, spacing_mm)


CHANGES = (noisy, rounded, cropped, dilated, redrawn, resampled)


def best(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Similarity of two thumbnails, found or not."""
    found = near_duplicates.similarities(np.stack([one, other]))
    return float(found[0, 1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path, help="Folder of lidc_crops and lidc_slices.")
    arguments = parser.parse_args()
    crops = manifest.open_dataset(arguments.data / "lidc_crops")
    slices = manifest.open_dataset(arguments.data / "lidc_slices")
    rois = [crops.read(record) for record in crops.records]
    thumbnails = np.stack([near_duplicates.descriptor(roi) for roi in rois])
    similarity = near_duplicates.similarities(thumbnails)
    patients = np.array([record.patient_id for record in crops.records])
    upper = np.triu(np.ones(similarity.shape, bool), 1)
    others = np.sort(similarity[upper & (patients[:, None] != patients)])[::-1]
    limit = near_duplicates.THRESHOLD
    print(f"{len(others)} pairs of different patients among {len(rois)} crops:")
    print(
        f"  {np.count_nonzero(others >= limit)} at or above {limit}; highest", others[:5].round(3)
    )
    same = similarity[upper & (patients[:, None] == patients)]
    print(f"  of {len(same)} pairs of one patient, {np.count_nonzero(same >= limit)} are")

    rng = np.random.default_rng(SEED)
    for change in CHANGES:
        found = [
            best(thumbnail, near_duplicates.descriptor(change(roi, rng))) >= limit
            for roi, thumbnail in zip(rois, thumbnails, strict=True)
        ]
        print(f"{change.__name__}: {np.mean(found):.3f} of {len(found)} found", flush=True)
    by_nodule = {
        record.attributes["pylidc_annotation_id"]: number
        for number, record in enumerate(crops.records)
    }
    found = [
        best(
            thumbnails[by_nodule[record.attributes["pylidc_annotation_id"]]],
            near_duplicates.descriptor(slices.read(record)),
        )
        >= limit
        for record in slices.records
        if record.attributes["pylidc_annotation_id"] in by_nodule
    ]
    print(f"the same nodules in lidc_slices: {np.mean(found):.3f} of {len(found)} found")


if __name__ == "__main__":
    main()
