"""Geometry of a volume: where its voxels lie in the patient, whatever order they are stored in.

Positions are millimetres in DICOM's axes: towards the patient's left, back (posterior) and head
(superior), LPS. The canonical order of voxels, in which every ROI is handed on, is the one whose
axes z, y and x rise most nearly towards head, back and left.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

TOLERANCE_MM = 0.02
"""Distance up to which two voxels' centres are at one place. Files round positions to 1e-5 mm and
sizes of voxels to four digits, which adds up along 512 voxels; no tool moves an image by so little.
"""

_SIDES_MM = (0.05, 20.0)
"""Sides that a voxel of a CT may have: finer than any scanner's, wider than any slice."""

_ORTHOGONAL = 1e-3
"""Largest cosine between two axes; files round to 1e-6, a tilted gantry shears by .1 and more."""


@dataclass(frozen=True, eq=False)
class Geometry:
    """Place of voxels (z, y, x) in the patient.

    Attributes
    ----------
    shape : tuple of three int
        Voxels along (z, y, x).
    spacing_mm : tuple of three floats
        Voxel size along (z, y, x).
    origin_mm : ndarray, shape (3,)
        Centre of the first voxel, LPS.
    axes : ndarray, shape (3, 3)
        Unit vectors, LPS, along which z, y and x rise: one a row.

    Raises
    ------
    ValueError
        Where a size is none that a CT has, or the axes are not at right angles.
    """

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    origin_mm: Floats
    axes: Floats

    def __post_init__(self) -> None:
        low, high = _SIDES_MM
        if not all(low <= side <= high for side in self.spacing_mm):
            raise ValueError(
                f"has voxels of {in_words(self.spacing_mm)} mm (z, y, x); those of a CT have sides "
                f"of {low:g} to {high:g} mm"
            )
        if not np.isfinite(self.origin_mm).all():
            raise ValueError(
                f"has the origin ({in_words(self.origin_mm, ', ')}); it must be finite"
            )
        if not np.abs(self.axes @ self.axes.T - np.eye(3)).max() <= _ORTHOGONAL:
            raise ValueError(
                "has axes that are not at right angles, as a tilted gantry leaves them; resample it"
            )

    @property
    def obliquity_deg(self) -> float:
        """Largest angle between an axis and the patient's that it is nearest to, degrees."""
        nearest = np.abs(self.axes).max(axis=1)
        return math.degrees(math.acos(min(1.0, float(nearest.min()))))

    def corners_mm(self) -> Floats:
        """Centres of the eight outermost voxels, shape (8, 3)."""
        ends = np.array(list(itertools.product(*((0, n - 1) for n in self.shape))), np.float64)
        return self.origin_mm + (ends * self.spacing_mm) @ self.axes

    def describe(self) -> str:
        """Size, spacing, first voxel and axes, on one line."""
        letters = "".join(_letter(axis) for axis in self.axes)
        return (
            f"{self.shape[0]} x {self.shape[1]} x {self.shape[2]} voxels of "
            f"{in_words(self.spacing_mm)} mm (z, y, x) from ({in_words(self.origin_mm, ', ')}) mm "
            f"(LPS) along {letters}"
        )


@dataclass(frozen=True, eq=False)
class Stored:
    """Voxels as a file stores them, and what it says of their place.

    Attributes
    ----------
    voxels : ndarray, shape (z, y, x) or (y, x)
    spacing_mm : tuple of floats
        As many as axes.
    origin_mm : ndarray, shape (3,)
        Centre of the first voxel, LPS.
    axes : ndarray, shape (3, 3)
        Directions, LPS, of rising z, y and x, one a row; of a plane, those of y and x count.
    """

    voxels: NDArray[Any]
    spacing_mm: tuple[float, ...]
    origin_mm: Floats
    axes: Floats

    def placed(self, slice_thickness_mm: float) -> Volume:
        """As a volume; a plane becomes one slice of the given thickness."""
        voxels, spacing, axes = self.voxels, self.spacing_mm, self.axes
        if voxels.ndim == 2:
            voxels, spacing = voxels[np.newaxis], (slice_thickness_mm, *spacing)
            axes = np.stack([np.cross(axes[2], axes[1]), axes[1], axes[2]])
        depth, height, width = voxels.shape
        # NIfTI stores float32; to the nanometre, the same size is the same in every format.
        along_z, along_y, along_x = (round(side, 6) for side in spacing)
        return Volume(
            voxels,
            Geometry((depth, height, width), (along_z, along_y, along_x), self.origin_mm, axes),
        )


def in_words(values: Any, between: str = " x ") -> str:
    """Numbers in short, as in ``2 x 0.8 x 0.8``."""
    return between.join(f"{value:.6g}" for value in values)


def _letter(axis: Floats) -> str:
    """Direction of the patient nearest to an axis: L or R, P or A, S or I."""
    nearest = int(np.abs(axis).argmax())
    return "LPS"[nearest] if axis[nearest] > 0 else "RAI"[nearest]


@dataclass(frozen=True, eq=False)
class Volume:
    """Voxels, shape (z, y, x), and where they lie."""

    voxels: NDArray[Any]
    geometry: Geometry

    def canonical(self) -> Volume:
        """The same voxels at the same places, in the canonical order.

        Axes are exchanged and reversed, nothing is interpolated; oblique axes stay oblique.
        """
        axes = self.geometry.axes
        along = np.abs(axes[:, ::-1]).tolist()
        # Of all assignments of stored axes to head, back and left, the one along them most.
        order = max(
            itertools.permutations(range(3)),
            key=lambda order: sum(along[a][place] for place, a in enumerate(order)),
        )
        if order == (0, 1, 2) and axes[0, 2] >= 0 and axes[1, 1] >= 0 and axes[2, 0] >= 0:
            return self
        turned = axes[list(order)]
        shape, spacing = (
            np.array(of_axis)[list(order)]
            for of_axis in (self.geometry.shape, self.geometry.spacing_mm)
        )
        reverse = turned[[0, 1, 2], [2, 1, 0]] < 0
        # The first voxel in the new order is the last one along each axis that is reversed.
        origin = self.geometry.origin_mm + np.where(reverse, (shape - 1) * spacing, 0) @ turned
        signs = np.where(reverse, -1, 1)
        steps = tuple(slice(None, None, sign) for sign in signs.tolist())
        depth, height, width = shape.tolist()
        along_z, along_y, along_x = spacing.tolist()
        geometry = Geometry(
            (depth, height, width), (along_z, along_y, along_x), origin, turned * signs[:, None]
        )
        return Volume(self.voxels.transpose(order)[steps], geometry)

    def on(self, grid: Geometry) -> NDArray[Any]:
        """A mask's voxels on another grid of the same places, shape ``grid.shape``.

        Both in canonical order. A grid that ends earlier is continued by 0.

        Raises
        ------
        ValueError
            Where a voxel lies farther than ``TOLERANCE_MM`` from every voxel of the grid, or
            where voxels other than 0 lie beyond it.
        """
        own = self.geometry
        if own.shape == grid.shape and own.spacing_mm == grid.spacing_mm:
            same = own.origin_mm == grid.origin_mm, own.axes == grid.axes
            if all(each.all() for each in same):
                return self.voxels
        steps = (self.geometry.corners_mm() - grid.origin_mm) @ grid.axes.T / grid.spacing_mm
        places = np.rint(steps)
        first, last = places[0].astype(int), places[-1].astype(int)
        # As many steps apart as voxels, so that no voxel is skipped between two that match.
        whole = (last - first + 1 == self.geometry.shape).all()
        apart_mm = np.abs((steps - places) * grid.spacing_mm).max()
        if not (whole and apart_mm <= TOLERANCE_MM):
            raise ValueError(
                "they must lie on one grid in the patient, whatever the order of their voxels, to "
                f"{TOLERANCE_MM} mm; resample the mask to the image or, where its header alone is "
                "wrong, give it the image's"
            )
        inside = [
            (max(0, low), min(n, high + 1))
            for low, high, n in zip(first, last, grid.shape, strict=True)
        ]
        placed = np.zeros(grid.shape, self.voxels.dtype)
        if all(low < high for low, high in inside):
            here = tuple(slice(low, high) for low, high in inside)
            there = tuple(
                slice(low - start, high - start)
                for (low, high), start in zip(inside, first, strict=True)
            )
            placed[here] = self.voxels[there]
        lost = np.count_nonzero(self.voxels) - np.count_nonzero(placed)
        if lost:
            raise ValueError(f"{lost} of its voxels lie beyond the image")
        return placed
