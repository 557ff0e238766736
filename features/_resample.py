"""pyradiomics' resampling of image and mask, worked out for the mask's own voxels alone.

ITK weighs 4 x 4 x 4 coefficients of a B-spline for every voxel of a grid that reaches beyond the
mask. The spline is separable, so that one small matrix an axis does the same for the mask's
bounding box. Sums in another order are rounded otherwise: where that could show, they are taken in
ITK's order. Which voxel is nearest is always worked out in ITK's own steps, as places halfway
between two are common. Both are equal to ITK's to the last bit, which a test holds, and SimpleITK,
whose import takes as long as twenty nodules, is not needed.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from features._region import Floats

MARGIN_VOXELS = 5
"""Resampled voxels around the mask; pyradiomics' default. It settles where the grid begins."""

_POLE = math.sqrt(3) - 2
_HORIZON = math.ceil(math.log(1e-10) / math.log(-_POLE))
"""Voxels after which ITK leaves off the sum that begins its recursion."""

_ROUNDING_HU = 1e-8
"""Far above the rounding of 1e3 HU, far below what tells voxels of a noisy image apart."""


def bounding_box(mask: NDArray[np.bool_]) -> tuple[slice, ...]:
    """Bounding box of a mask with at least one voxel."""
    across = np.asarray(mask.any(axis=0))
    planes = mask.reshape(len(mask), -1).any(axis=1), across.any(axis=1), across.any(axis=0)
    where = (np.flatnonzero(plane) for plane in planes)
    return tuple(slice(int(each[0]), int(each[-1]) + 1) for each in where)


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
    places = _places(origin, new, old, size)
    nearest = [np.floor(at + 0.5).astype(int) for at in places]
    near = [(axis.start <= i) & (i < axis.stop) for i, axis in zip(nearest, box, strict=True)]
    cells = np.ix_(*(i[here] for i, here in zip(nearest, near, strict=True)))
    box, inside = _in_box(mask[cells])
    places = [at[here][axis] for at, here, axis in zip(places, near, box, strict=True)]
    values = _spline(image, places)[inside]
    if _rounding_shows(values, bin_width):
        values = _spline_as_itk(image, places)[inside]
    return values, inside, tuple(new.tolist())


def _places(origin: Floats, new: Floats, old: Floats, size: Floats) -> list[Floats]:
    """Places of the grid along z, y and x, in voxels of the image, by the steps of ITK's filter.

    It maps the two ends of a line along x and divides what lies between them.
    """
    inverse = 1 / old
    z, y = (inverse[a] * (origin[a] + new[a] * np.arange(size[a])) for a in (0, 1))
    start, end = inverse[2] * origin[2], inverse[2] * (origin[2] + new[2] * size[2])
    return [z, y, start + np.arange(size[2]) / size[2] * (end - start)]


def _in_box(mask: NDArray[np.bool_]) -> tuple[tuple[slice, ...], NDArray[np.bool_]]:
    n_voxels = np.count_nonzero(mask)
    if n_voxels < 2:
        raise ValueError(
            f"the resampled mask only contains {n_voxels} segmented voxel; "
            "radiomics needs two or more"
        )
    box = bounding_box(mask)
    return box, np.ascontiguousarray(mask[box])


def _rounding_shows(values: Floats, bin_width: float) -> bool:
    """True if voxels lie on the edge of a bin, or are equal but for rounding.

    Equal voxels matter to what counts those between two percentiles, and to flat regions.
    """
    from_edge = np.abs(values - bin_width * np.rint(values / bin_width))
    gaps = np.diff(np.sort(values))
    return bool(min(from_edge.min(), gaps.min()) < _ROUNDING_HU)


def _spline(image: Floats, places: Sequence[Floats]) -> Floats:
    """Cubic B-spline through the image's voxels, read at places along (z, y, x)."""
    z, y, x = (_interpolation(at, n) for at, n in zip(places, image.shape, strict=True))
    planes = y @ (image @ x.T)
    return (z @ planes.reshape(len(planes), -1)).reshape(len(z), *planes.shape[1:])


def _interpolation(at: Floats, n: int) -> Floats:
    """A line's voxels to a spline's values at some places: a matrix, shape (places, n)."""
    if n == 1:
        return np.ones((len(at), 1))
    weights, voxels = _weights(at, n)
    spline = np.zeros((len(at), n))
    each = np.arange(len(at))
    for weight, voxel in zip(weights, voxels, strict=True):
        spline[each, voxel] += weight
    return spline @ _decomposition(n)


def _weights(at: Floats, n: int) -> tuple[Floats, NDArray[np.int64]]:
    """Weights of the four nearest coefficients at some places, and where on the line they are.

    The line is mirrored at its first and last voxel. Shapes: (4, places). Term by term as ITK,
    which looks for the voxel below a place in single precision.
    """
    below = np.floor(at.astype(np.float32)).astype(np.float64)
    w = at - below
    last = (1 / 6) * w * w * w
    first = (1 / 6) + 0.5 * w * (w - 1) - last
    third = w + first - 2 * last
    weights = np.array([first, 1 - first - third - last, third, last])
    voxel = np.abs(below.astype(int) + np.arange(-1, 3)[:, None])
    return weights, np.where(voxel < n, voxel, 2 * (n - 1) - voxel) if n > 1 else 0 * voxel


@lru_cache(maxsize=1024)
def _decomposition(n: int) -> Floats:
    """Voxels of a line to B-spline coefficients, shape (n, n)."""
    return _coefficients(np.eye(n))


def _coefficients(lines: Floats) -> Floats:
    """B-spline coefficients along the first axis, as ``itk::BSplineDecompositionImageFilter``.

    Unser, "Splines: a perfect fit for signal and image processing", IEEE Signal Processing
    Magazine 16(6), 1999; in ITK's order of terms.
    """
    n = len(lines)
    lines = lines * ((1 - _POLE) * (1 - 1 / _POLE))
    total, power = lines[0].copy(), _POLE
    if n > _HORIZON:
        for line in lines[1:_HORIZON]:
            total += power * line
            power *= _POLE
    else:
        mirrored = _POLE ** (n - 1)
        total += mirrored * lines[-1]
        mirrored *= mirrored / _POLE
        for line in lines[1:-1]:
            total += (power + mirrored) * line
            power *= _POLE
            mirrored /= _POLE
        total /= 1 - power * power
    lines[0] = total
    for i in range(1, n):
        lines[i] += _POLE * lines[i - 1]
    lines[-1] = _POLE / (_POLE * _POLE - 1) * (_POLE * lines[-2] + lines[-1])
    for i in reversed(range(n - 1)):
        lines[i] = _POLE * (lines[i + 1] - lines[i])
    return lines


def _spline_as_itk(image: Floats, places: Sequence[Floats]) -> Floats:
    """``_spline`` with the sums in ITK's order, to the last bit."""
    coefficients = image
    for axis in (2, 1, 0):
        if image.shape[axis] > 1:
            lines = _coefficients(np.moveaxis(coefficients, axis, 0))
            coefficients = np.moveaxis(lines, 0, axis)
    (wz, z), (wy, y), (wx, x) = (_weights(at, n) for at, n in zip(places, image.shape, strict=True))
    values = np.zeros([len(at) for at in places])
    for k, j, i in itertools.product(range(4), repeat=3):
        weights = (wx[i] * wy[j][:, None]) * wz[k][:, None, None]
        values += weights * coefficients[np.ix_(z[k], y[j], x[i])]
    return values
