"""Small image files, and the type of the fixture that writes a dataset of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import SimpleITK as sitk


def ball(shape: tuple[int, int, int], radius: float) -> np.ndarray:
    """A centred ball, in voxels."""
    axes = np.ogrid[tuple(slice(0, n) for n in shape)]
    return sum((a - (n - 1) / 2) ** 2 for a, n in zip(axes, shape, strict=True)) <= radius**2


def write_volume(
    path: Path, array: np.ndarray, spacing_mm: tuple[float, float, float] = (1.0, 0.7, 0.7)
) -> None:
    """Write (z, y, x) or (y, x) voxels in the format that the file's name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing_mm[::-1][: array.ndim])
    sitk.WriteImage(image, str(path))


WriteManifest = Callable[..., Path]
