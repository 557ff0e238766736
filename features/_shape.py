"""pyradiomics' shape features, with a quicker mesh for large masks.

pyradiomics compares every pair of a mesh's vertices, which for nodules of 2 cm takes longer than
all else together. Here a large mask's farthest vertices are sought among those that can be: of
vertices on a line only the two at its ends, whatever the line. Area and volume are sums over the
mesh's cubes, of which there are 256 kinds; their values are pyradiomics' own.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from features._region import Features, Floats, c_code

_MANY_VERTICES = 1000
"""From here on pyradiomics' pairs take longer than numpy's overhead."""

_PAIRS_AT_ONCE = 2**20
"""8 MB a matrix: as much as a cache holds, whatever the mask."""

_DIRECTIONS = np.array([d for d in itertools.product((-1, 0, 1), repeat=3) if d > (0, 0, 0)])
"""To a voxel's 26 neighbours, one of each two that are opposite."""


def shape(inside: NDArray[np.bool_], spacing_mm: tuple[float, ...]) -> Features:
    """The 14 shape features in space, by pyradiomics' names.

    Parameters
    ----------
    inside : ndarray of bool, shape (z, y, x)
    spacing_mm : tuple of three floats
        Along (z, y, x).
    """
    mask = np.zeros(np.add(inside.shape, 2), bool)
    mask[1:-1, 1:-1, 1:-1] = inside
    spacing = np.array(spacing_mm)
    area, volume, diameters = _mesh(mask, spacing)
    places = np.nonzero(inside)
    least, minor, major = _eigenvalues(places, spacing).tolist()
    by_slice, by_column, by_row, in_space = diameters
    return {
        "Elongation": _root(minor / major),
        "Flatness": _root(least / major),
        "LeastAxisLength": 4 * _root(least),
        "MajorAxisLength": 4 * _root(major),
        "Maximum2DDiameterColumn": by_column,
        "Maximum2DDiameterRow": by_row,
        "Maximum2DDiameterSlice": by_slice,
        "Maximum3DDiameter": in_space,
        "MeshVolume": volume,
        "MinorAxisLength": 4 * _root(minor),
        "Sphericity": (36 * math.pi * volume**2) ** (1 / 3) / area,
        "SurfaceArea": area,
        "SurfaceVolumeRatio": area / volume if volume else math.nan,
        "VoxelVolume": math.prod(spacing_mm) * len(places[0]),
    }


def _root(square: float) -> float:
    """Square root; of what rounding made negative, undefined."""
    return math.sqrt(square) if square >= 0 else math.nan


def _eigenvalues(places: tuple[NDArray[np.int64], ...], spacing: Floats) -> Floats:
    """Eigenvalues of the voxels' covariance, ascending.

    Step by step as pyradiomics: of a flat mask one is 0 but for rounding, and its root is not.
    """
    from_mean = np.array(places).T * spacing
    from_mean -= from_mean.mean(axis=0)
    from_mean /= np.sqrt(len(from_mean))
    # numpy 2.5 gives complex numbers, be they without imaginary part.
    eigenvalues = np.real(np.linalg.eigvals(from_mean.T.copy() @ from_mean)).copy()
    eigenvalues[(eigenvalues < 0) & (eigenvalues > -1e-10)] = 0
    return np.sort(eigenvalues)


def _mesh(mask: NDArray[np.bool_], spacing: Floats) -> tuple[float, float, Sequence[float]]:
    """Area, volume and diameters (within slices, columns, rows, and in space) of a mesh.

    ``mask`` has a margin of one voxel.
    """
    edges = [np.diff(mask, axis=axis) for axis in range(3)]
    if sum(map(np.count_nonzero, edges)) < _MANY_VERTICES:
        area, volume, diameters = c_code("_cshape").calculate_coefficients(mask, spacing)
        return area, volume, diameters

    areas, volumes, moved = _cubes(tuple(spacing.tolist()))
    kinds = _kinds(mask)
    surface = np.nonzero((kinds > 0) & (kinds < 255))
    kind = kinds[surface]
    volume = volumes[kind].sum() + (moved[kind] * np.array(surface).T).sum()
    # In half voxels, as vertices lie halfway between two voxels.
    vertices = np.concatenate(
        [
            2 * np.argwhere(edge) + along
            for edge, along in zip(edges, np.eye(3, dtype=int), strict=True)
        ]
    )
    return areas[kind].sum(), volume, _diameters(vertices, spacing)


def _kinds(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Kinds of every cube of eight voxels: which are inside, one bit each."""
    kinds = np.zeros(np.array(mask.shape) - 1, np.uint8)
    for bit, corner in enumerate(itertools.product((0, 1), repeat=3)):
        window = tuple(slice(at, at + n) for at, n in zip(corner, kinds.shape, strict=True))
        kinds |= mask[window].view(np.uint8) << bit
    return kinds


@lru_cache(maxsize=64)
def _cubes(spacing: tuple[float, ...]) -> tuple[Floats, Floats, Floats]:
    """Area and volume of the mesh in each kind of cube, and what volume a move by a voxel adds.

    Volumes are of the cones between the mesh and the corner of the image, so that they depend on
    where a cube is; shape of the last: (256, 3).
    """
    corners = (np.arange(256)[:, None] >> np.arange(8) & 1).astype(bool).reshape(-1, 2, 2, 2)

    def measured(masks: NDArray[np.bool_]) -> Floats:
        return np.array(
            [c_code("_cshape").calculate_coefficients(mask, spacing)[:2] for mask in masks]
        ).T

    areas, volumes = measured(corners)
    moved = np.empty((256, 3))
    for axis in range(3):
        # The same cube one voxel on, and before it one that shares four of its corners.
        nothing = np.zeros_like(corners).take([0], axis + 1)
        pairs = np.concatenate([nothing, corners], axis + 1)
        before = [_kinds(pair).flat[0] for pair in pairs]
        moved[:, axis] = measured(pairs)[1] - volumes[before] - volumes
    return areas, volumes, moved


def _diameters(vertices: NDArray[np.int64], spacing: Floats) -> list[float]:
    """Largest distance of two vertices within planes across each axis, and in space; mm.

    Coordinates are in half voxels, from 0 up.
    """
    found = []
    for axis in range(3):
        in_plane = _DIRECTIONS[:, axis] == 0
        corners = _ends(vertices, _DIRECTIONS[in_plane])
        corners = corners[np.argsort(corners[:, axis])]
        counts = np.bincount(corners[:, axis])
        found.append(_farthest(corners, counts[counts > 0], spacing))
    corners = _ends(corners, _DIRECTIONS[~in_plane])
    return [*found, _farthest(corners, np.array([len(corners)]), spacing)]


def _ends(points: NDArray[np.int64], directions: NDArray[np.int64]) -> NDArray[np.int64]:
    """Points without those that lie between two others on a line along one of the directions."""
    base = 4 * int(points.max()) + 4
    for direction in directions:
        # Where a line meets the plane t = 0, then how far along it, as digits of one number.
        t, u, v = np.argsort(-np.abs(direction), kind="stable")
        digits = np.zeros(3, int)
        digits[[u, v]] = base**2, base
        digits[t] = 1 - direction[t] * (direction[u] * base**2 + direction[v] * base)
        number = points @ digits
        order = np.argsort(number)
        changes = np.diff(number[order] // base) != 0
        points = points[order[np.append(True, changes) | np.append(changes, True)]]
    return points


def _farthest(points: NDArray[np.int64], counts: NDArray[np.int64], spacing: Floats) -> float:
    """Largest distance of two points of the same group; groups are one after the other."""
    starts = np.cumsum(counts) - counts
    # Groups of the same size: the first point fills up.
    filled = np.arange(counts.max())
    filled = starts[:, None] + np.where(filled < counts[:, None], filled, 0)
    at = ((points - points.mean(axis=0)) * spacing / 2)[filled]
    length = (at**2).sum(axis=2)
    largest = 0.0
    at_once = max(1, _PAIRS_AT_ONCE // length.size)
    for start in range(0, length.shape[1], at_once):
        some = np.s_[:, start : start + at_once]
        products = at[some] @ at.swapaxes(1, 2)
        squared = length[some][:, :, None] + length[:, None, :] - 2 * products
        group, a, b = np.unravel_index(squared.argmax(), squared.shape)
        largest = max(largest, ((at[some][group, a] - at[group, b]) ** 2).sum())
    return math.sqrt(largest)
