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


def lit_cubes(n: int, seed: int, light: float = 0.3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cubes of noise, one corner of the malignant ones lit; labels; a patient each."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    X = rng.normal(0.4, 0.1, (n, 16, 16, 16, 1)).astype(np.float32)
    X[y == 1, 1:7, 1:7, 1:7] += light
    return np.clip(X, 0, 1), y, np.array([f"p{i}" for i in range(n)])


def noisy_cubes() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two nodules a patient, a weak signal: what is fitted goes on, what is held out does not."""
    X, y, _ = lit_cubes(48, 3, light=0.05)
    y = np.roll(y, 1)
    X = np.roll(X, 1, axis=0)
    flipped = np.random.default_rng(0).random(48) < 0.25
    return X, np.where(flipped, 1 - y, y), np.array([f"p{i // 2}" for i in range(48)])
