"""Readers' outlines turned into voxels, exactly as pylidc does it, without pylidc.

pylidc takes seconds to import, because of plotting; the few lines below fill an outline.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Outline:
    """One closed curve that a reader drew on one slice.

    Attributes
    ----------
    included : bool
        True where its inside belongs to the nodule; False for a hole.
    slice_index : int
        Slice of the scan, counted from the lowest z.
    points : ndarray of int, shape (n, 2)
        Row and column of the pixels that the curve passes through, in order.
    """

    included: bool
    slice_index: int
    points: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ReaderMasks:
    """Masks of what each reader saw, over the box that encloses all readers' outlines.

    Attributes
    ----------
    masks : ndarray of bool, shape (reader, z, y, x)
    start : tuple of three ints
        Slice, row and column of the first voxel in the 512 x 512 scan.
    """

    masks: NDArray[np.bool_]
    start: tuple[int, int, int]

    def consensus(self, level: float) -> NDArray[np.bool_]:
        """Voxels that at least ``level`` of the readers saw, shape (z, y, x).

        Raises
        ------
        ValueError
            Where ``level`` is not in (0, 1].
        """
        if not 0 < level <= 1:
            raise ValueError(f"level is {level}; it must be above 0 and at most 1")
        agreed: NDArray[np.bool_] = self.masks.mean(axis=0) >= level
        return agreed


def fill(readers: Sequence[Sequence[Outline]]) -> ReaderMasks:
    """Voxels inside the outlines, one mask a reader.

    The rule is that of ``pylidc.Annotation.boolean_mask``: a voxel counts where its centre lies
    inside an outline and is none of the outline's points; then holes and their points are taken
    out.

    Parameters
    ----------
    readers : sequence of sequences of Outline
        The outlines of each reader, at least one.
    """
    everywhere = [outline for reader in readers for outline in reader]
    points = np.concatenate([outline.points for outline in everywhere])
    slices = [outline.slice_index for outline in everywhere]
    row, column = map(int, points.min(axis=0))
    start = (min(slices), row, column)
    shape = (max(slices) - start[0] + 1, *map(int, points.max(axis=0) - start[1:] + 1))
    masks = np.zeros((len(readers), *shape), dtype=np.bool_)
    for mask, reader in zip(masks, readers, strict=True):
        for included in (True, False):
            for outline in reader:
                if outline.included is included:
                    plane = mask[outline.slice_index - start[0]]
                    corners = outline.points - start[1:]
                    inside = _inside(corners, shape[1:])
                    np.copyto(plane, included, where=inside)
                    plane[corners[:, 0], corners[:, 1]] = False
    return ReaderMasks(masks, start)


def _inside(corners: NDArray[np.int64], shape: Sequence[int]) -> NDArray[np.bool_]:
    """Pixels inside a polygon, shape (y, x), by the crossings of a ray through each.

    On a pixel that the polygon passes through, the same comparison decides as in
    ``matplotlib.path.Path.contains_points``, with its roles of rows and columns.
    """
    row_from, column_from = corners.T
    row_to, column_to = np.roll(corners, -1, axis=0).T
    # An edge crosses the rays of columns (min, max]; most edges are one pixel long.
    first = np.minimum(column_from, column_to) + 1
    counts = np.abs(column_to - column_from)
    edge = np.repeat(np.arange(len(corners)), counts)
    column = first[edge] + np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts)
    rows = np.arange(shape[0])
    left = (column_to[edge] - column) * (row_from - row_to)[edge]
    right = (row_to[edge][:, None] - rows) * (column_from - column_to)[edge][:, None]
    crossed = (left[:, None] >= right) == (column_to[edge] >= column)[:, None]
    crossings = np.zeros((shape[1], shape[0]), dtype=np.int64)
    np.add.at(crossings, column, crossed)
    odd: NDArray[np.bool_] = crossings.T % 2 == 1
    return odd
