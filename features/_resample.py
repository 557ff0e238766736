"""pyradiomics' resampling of image and mask, worked out for the mask's own voxels alone.

ITK weighs 4 x 4 x 4 coefficients of a B-spline for every voxel of a grid that reaches beyond the
mask. The spline is separable, so that one small matrix an axis does the same for the mask's
bounding box. Sums in another order are rounded otherwise: where that could show, ITK has its way.
The mask is always ITK's, as voxels halfway between two are common.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features._region import Floats

MARGIN_VOXELS = 5
"""Resampled voxels around the mask; pyradiomics' default. Fewer would be quicker for ITK, but it
would round voxels otherwise."""

_POLE = math.sqrt(3) - 2
_HORIZON = math.ceil(math.log(1e-10) / math.log(-_POLE))
"""Voxels after which ITK leaves off the sum that begins its recursion."""

_ROUNDING_HU = 1e-8
"""Far above the rounding of 1e3 HU, far below what tells voxels of a noisy image apart."""


def bounding_box(mask: NDArray[np.bool_]) -> tuple[slice, ...]:
    """Bounding box of a mask with at least one voxel."""
    planes = (np.flatnonzero(mask.any(axis=others)) for others in ((1, 2), (0, 2), (0, 1)))
    return tuple(slice(int(where[0]), int(where[-1]) + 1) for where in planes)


def resample(
    image: Floats,
    mask: NDArray[np.bool_],
    spacing_mm: Sequence[float],
    wanted_mm: Sequence[float],
    bin_width: float,
) -> tuple[Floats, NDArray[np.bool_], tuple[float, ...]]:
    """Resample, leaving what ``imageoperations.resampleImage`` and cropping to the mask do.

    Parameters
    ----------
    image, mask : ndarray, shape (z, y, x)
    spacing_mm, wanted_mm : sequence of three floats
        Along (z, y, x); wanted 0 stands for the spacing as it is.
    bin_width : float
        Of the grey levels, HU.

    Returns
    -------
    values : ndarray, shape (n_voxels,)
        HU of the resampled mask's voxels, in C order.
    inside : ndarray of bool, shape (z, y, x)
        The mask in its bounding box.
    spacing_mm : tuple of three floats
        Of ``inside``, along (z, y, x). An axis along which the mask has one voxel keeps its own.
    """
    box = bounding_box(mask)
    first, beyond = np.array([(axis.start, axis.stop) for axis in box]).T
    old = np.array(spacing_mm)
    new = np.where((np.array(wanted_mm) == 0) | (beyond - first == 1), old, wanted_mm)
    # numpy's allclose, as in pyradiomics.
    if (np.abs(old - new) <= 1e-8 + 1e-5 * np.abs(new)).all():
        box, inside = _in_box(mask)
        return image[box][inside], inside, tuple(old.tolist())

    ratio = old / new
    low = np.maximum(np.floor((first - 0.5) * ratio - MARGIN_VOXELS), 0)
    last = np.ceil((beyond - 0.5) * ratio + MARGIN_VOXELS)
    size = np.minimum(last, np.ceil(np.array(mask.shape) * ratio) - 1) - low + 1
    origin = (0.5 * (new - old) / old + low / ratio) * old
    grid = (size.astype(int), origin, new)
    # bool is uint8 to ITK.
    resampled = _with_itk(mask.view(np.uint8), old, grid, "sitkNearestNeighbor")
    box, inside = _in_box(resampled.view(np.bool_))
    in_box = image
    for axis in (2, 1, 0):
        at = (origin[axis] + np.arange(box[axis].start, box[axis].stop) * new[axis]) / old[axis]
        along = _interpolation(at, image.shape[axis])
        in_box = np.moveaxis(np.tensordot(along, in_box, (1, axis)), 0, axis)
    values = in_box[inside]
    if _rounding_shows(values, bin_width):
        values = _with_itk(image, old, grid, "sitkBSpline")[box][inside]
    return values, inside, tuple(new.tolist())


def _in_box(mask: NDArray[np.bool_]) -> tuple[tuple[slice, ...], NDArray[np.bool_]]:
    n_voxels = np.count_nonzero(mask)
    if n_voxels < 2:
        raise ValueError(
            f"the resampled mask only contains {n_voxels} segmented voxel; "
            "radiomics needs two or more"
        )
    box = bounding_box(mask)
    return box, np.ascontiguousarray(mask[box])


def _with_itk(
    voxels: NDArray[Any],
    spacing: Floats,
    grid: tuple[NDArray[np.int64], Floats, Floats],
    interpolator: str,
) -> NDArray[Any]:
    import SimpleITK as sitk

    source = sitk.GetImageFromArray(voxels)
    source.SetSpacing(spacing[::-1].tolist())
    size, origin, new = (values[::-1].tolist() for values in grid)
    resampler = sitk.ResampleImageFilter()
    resampler.SetInterpolator(getattr(sitk, interpolator))
    resampler.SetSize(size)
    resampler.SetOutputOrigin(origin)
    resampler.SetOutputSpacing(new)
    return sitk.GetArrayFromImage(resampler.Execute(source))


def _rounding_shows(values: Floats, bin_width: float) -> bool:
    """True if voxels lie on the edge of a bin, or are equal but for rounding.

    Equal voxels matter to what counts those between two percentiles, and to flat regions.
    """
    from_edge = np.abs(values - bin_width * np.rint(values / bin_width))
    gaps = np.diff(np.sort(values))
    return bool(min(from_edge.min(), gaps.min()) < _ROUNDING_HU)


def _interpolation(at: Floats, n: int) -> Floats:
    """Cubic B-spline through ``n`` voxels, read at some places: a matrix, shape (places, n).

    The image is mirrored at its first and last voxel.
    """
    if n == 1:
        return np.ones((len(at), 1))
    below = np.floor(at)
    w = at - below
    cubed = w**3 / 6
    left = 1 / 6 + w * (w - 1) / 2 - cubed
    right = w + left - 2 * cubed
    weights = np.array([left, 1 - left - right - cubed, right, cubed])
    voxel = np.abs(below.astype(int) + np.arange(-1, 3)[:, None])
    voxel = np.where(voxel < n, voxel, 2 * (n - 1) - voxel)
    spline = np.zeros((len(at), n))
    np.add.at(spline, (np.arange(len(at)), voxel), weights)
    return spline @ _decomposition(n)


@lru_cache(maxsize=1024)
def _decomposition(n: int) -> Floats:
    """Voxels of a line to B-spline coefficients, as ``itk::BSplineDecompositionImageFilter``.

    Unser, "Splines: a perfect fit for signal and image processing", IEEE Signal Processing
    Magazine 16(6), 1999; shape (n, n).
    """
    lines = 6 * np.eye(n)
    powers = _POLE ** np.arange(n)
    if n > _HORIZON:
        lines[0] = powers[:_HORIZON] @ lines[:_HORIZON]
    else:
        mirrored = powers + _POLE ** (2 * (n - 1) - np.arange(n))
        mirrored[[0, -1]] = powers[[0, -1]]
        lines[0] = mirrored @ lines / (1 - _POLE ** (2 * (n - 1)))
    for i in range(1, n):
        lines[i] += _POLE * lines[i - 1]
    lines[-1] = _POLE / (_POLE**2 - 1) * (_POLE * lines[-2] + lines[-1])
    for i in reversed(range(n - 1)):
        lines[i] = _POLE * (lines[i + 1] - lines[i])
    return lines
