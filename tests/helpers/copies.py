"""Changed copies of a ROI that near-duplicates must be recognised by."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from benchmark.cohort import near_duplicates
from benchmark.roi import Roi


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
