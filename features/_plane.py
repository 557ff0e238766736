"""Shared parts of the 2D inputs: largest slice, resampling, HU to [0, 1], the mask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from benchmark.roi import LUNG_WINDOW_HU, Roi

SIZE = 124
"""Side of the CNN's input, pixels."""


def largest_slice(roi: Roi) -> int:
    """Index of the slice with the largest mask; of equals, the first."""
    return int(roi.mask.sum(axis=(1, 2)).argmax())


def in_plane_box(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Tight box of a slice's mask: first row, last row + 1, first column, last column + 1."""
    rows = np.flatnonzero(mask.any(axis=1))
    columns = np.flatnonzero(mask.any(axis=0))
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def sample(
    plane: NDArray[np.float32], top: float, left: float, height: float, width: float
) -> NDArray[np.float32]:
    """Resample a rectangle of a slice to SIZE x SIZE, bilinearly, and scale HU to [0, 1].

    Parameters
    ----------
    plane : ndarray, shape (rows, columns)
        HU.
    top, left, height, width : float
        The rectangle in pixels; pixel (0, 0) covers [0, 1) x [0, 1). Outside the slice the
        value is that of air.

    Returns
    -------
    ndarray, shape (SIZE, SIZE, 1), float32, in [0, 1]
    """
    low, high = LUNG_WINDOW_HU
    values = rectangle(plane, top, left, height, width, SIZE, low)
    return ((np.clip(values, low, high) - low) / (high - low)).astype(np.float32)[..., None]


def rectangle(
    plane: NDArray[np.float32],
    top: float,
    left: float,
    height: float,
    width: float,
    size: int,
    outside: float,
) -> NDArray[np.float32]:
    """Resample a rectangle of a slice, as ``sample`` does, to size x size values as they are.

    Where it reaches beyond the slice the value is ``outside``.
    """
    from scipy.ndimage import map_coordinates

    steps = (np.arange(size) + 0.5) / size
    rows, columns = np.meshgrid(
        top + steps * height - 0.5, left + steps * width - 0.5, indexing="ij"
    )
    # Half a pixel beyond the outermost centres still belongs to the slice.
    inside = (
        (rows >= -0.5)
        & (rows <= plane.shape[0] - 0.5)
        & (columns >= -0.5)
        & (columns <= plane.shape[1] - 0.5)
    )
    values = map_coordinates(plane, [rows, columns], order=1, mode="nearest")
    return np.where(inside, values, np.float32(outside)).astype(np.float32)


def with_mask_channel(
    extract: Callable[[Roi], NDArray[np.float32]], roi: Roi
) -> NDArray[np.float32]:
    """An input, of a plane or of a volume, with the mask of the same pixels beside it.

    The mask is painted as the two ends of the window and goes through ``extract`` itself, so
    that both channels have one geometry; between pixels it takes values between 0 and 1.

    Parameters
    ----------
    extract : callable
        Gives one channel, shape (..., 1), by interpolating the image linearly.
    roi : Roi

    Returns
    -------
    ndarray, shape (..., 2), float32, in [0, 1]

    Raises
    ------
    UnavailableError
        Where the dataset has no masks.
    """
    low, high = LUNG_WINDOW_HU
    painted = np.where(roi.mask, high, low).astype(np.float32)
    return np.concatenate([extract(roi), extract(replace(roi, image=painted))], axis=-1)
