"""Shapes of a phantom's chest, each as the fraction of every voxel that it fills."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Volume = NDArray[np.float64]
Mask = NDArray[np.bool_]

_THICKEST_VESSEL_MM = 2.5


@dataclass(frozen=True)
class Grid:
    """Voxel centres, in mm from the middle of the volume; axes are (z, y, x)."""

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]

    def axes_mm(self) -> list[Volume]:
        """Coordinates along each axis, ready to broadcast."""
        axes = np.ogrid[tuple(slice(0, n) for n in self.shape)]
        return [
            (axis - (n - 1) / 2) * step
            for axis, n, step in zip(axes, self.shape, self.spacing_mm, strict=True)
        ]

    def points_mm(self) -> Volume:
        """Coordinates of all voxels, shape (voxels, 3)."""
        return np.stack(np.broadcast_arrays(*self.axes_mm()), axis=-1).reshape(-1, 3)

    def blur(self, volume: Volume, sigma_mm: tuple[float, float, float]) -> Volume:
        """Gaussian blur; beyond the border, the border's values go on."""
        from scipy.ndimage import gaussian_filter

        sigma = [mm / step for mm, step in zip(sigma_mm, self.spacing_mm, strict=True)]
        blurred: Volume = gaussian_filter(volume, sigma, mode="nearest")
        return blurred

    def mottle(self, rng: np.random.Generator, scale_mm: float) -> Volume:
        """Smooth random field of mean 0 and standard deviation 1."""
        field = self.blur(rng.standard_normal(self.shape), (scale_mm,) * 3)
        # A large scale in a small volume leaves an offset and little spread.
        centred: Volume = field - field.mean()
        return centred / max(float(field.std()), 1e-9)


def depth_mm(grid: Grid, mask: Mask) -> Volume:
    """Distance to the mask's surface: positive inside, negative outside."""
    from scipy.ndimage import distance_transform_edt as distance

    inside = distance(mask, grid.spacing_mm) - distance(~mask, grid.spacing_mm)
    # The surface lies between voxel centres, half a pixel from the nearest ones.
    return np.asarray(inside - np.sign(inside) * grid.spacing_mm[2] / 2)


def filled(depth: Volume, edge_mm: float) -> Volume:
    """Fraction of a voxel at ``depth`` mm below a surface, over an edge ``edge_mm`` wide."""
    return np.clip(depth / edge_mm + 0.5, 0, 1)


def vessels(grid: Grid, mask: Mask, rng: np.random.Generator, per_cm3: float) -> Volume:
    """Bent, tapering tubes with branches; now and then one ends in the nodule."""
    from scipy.ndimage import distance_transform_edt as distance

    half_mm = np.array(grid.shape) * grid.spacing_mm / 2
    count = rng.poisson(per_cm3 * float(np.prod(2 * half_mm)) / 1000)
    centre = _points_of(grid, mask).mean(axis=0)
    tubes: list[Volume] = []
    for _ in range(count):
        radius_mm = min(float(np.exp(rng.normal(np.log(0.6), 0.5))), _THICKEST_VESSEL_MM)
        start = rng.uniform(-half_mm, half_mm)
        tubes.append(_tube(rng, start, radius_mm, length_mm=rng.uniform(20, 60)))
        for _ in range(rng.integers(0, 4)):
            fork = tubes[-1][rng.integers(len(tubes[-1]))]
            tubes.append(_tube(rng, fork[:3], fork[3] * 0.7, length_mm=rng.uniform(8, 25)))
    if rng.random() < 0.6:
        tubes.append(_tube(rng, centre, rng.uniform(0.5, 1.1), length_mm=40))
    beads = np.concatenate([np.empty((0, 4)), *tubes])
    at = np.rint(beads[:, :3] / grid.spacing_mm + (np.array(grid.shape) - 1) / 2).astype(int)
    seen = ((at >= 0) & (at < grid.shape)).all(axis=1)
    beads, at = beads[seen], at[seen]
    if not len(beads):
        return np.zeros(grid.shape)
    bead_at = np.full(grid.shape, -1)
    bead_at[tuple(at.T)] = np.arange(len(beads))
    # The transform finds the nearest bead's voxel; the bead itself says how far it is.
    nearest_voxel = distance(
        bead_at < 0, grid.spacing_mm, return_distances=False, return_indices=True
    )
    nearest = beads[bead_at[tuple(nearest_voxel)]]
    squared = sum((x - nearest[..., i]) ** 2 for i, x in enumerate(grid.axes_mm()))
    return filled(nearest[..., 3] - np.sqrt(squared), grid.spacing_mm[2])


def _tube(rng: np.random.Generator, start: Volume, radius_mm: float, length_mm: float) -> Volume:
    """Points of a tube: rows of z, y, x and radius in mm, half a millimetre apart."""
    t = np.arange(0, length_mm, 0.5)[:, None]
    direction, bend = rng.standard_normal((2, 3)) * (0.6, 1, 1)
    direction /= np.linalg.norm(direction)
    line = start + t * direction + 0.006 * t**2 * bend
    return np.hstack([line, radius_mm * (1 - 0.6 * t / length_mm)])


def chest_wall(grid: Grid, mask: Mask, rng: np.random.Generator) -> tuple[Volume, Volume]:
    """Everything outside a large sphere that holds the nodule, which may touch it.

    Returns
    -------
    wall, fat : ndarray of float, shape (z, y, x)
        Fraction of the voxel in the wall; share of that fraction that is fat.
    """
    direction = rng.standard_normal(3) * (0.25, 1, 1)  # lungs are taller than wide
    direction /= np.linalg.norm(direction)
    gap_mm = 0.0 if rng.random() < 0.45 else rng.uniform(0.5, 15)
    points = _points_of(grid, mask)
    origin = points.mean(axis=0) - direction * rng.uniform(40, 110)
    radius_mm = np.linalg.norm(points - origin, axis=1).max() + gap_mm
    distance = np.linalg.norm(grid.points_mm() - origin, axis=1).reshape(grid.shape)
    depth = distance - radius_mm + 0.5 * grid.mottle(rng, 4)
    fat = filled(depth - rng.uniform(2, 5), 2.0) * filled(grid.mottle(rng, 2.5) + 0.3, 1.0)
    return filled(depth, grid.spacing_mm[2]), fat


def _points_of(grid: Grid, mask: Mask) -> Volume:
    return (np.argwhere(mask) - (np.array(grid.shape) - 1) / 2) * grid.spacing_mm
