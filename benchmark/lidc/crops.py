"""Crops of one LIDC-IDRI scan: its nodules cut out of its files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from benchmark.formats.dicom_series import Slice
from benchmark.formats.nifti import Grid
from benchmark.lidc.annotations import Nodule
from benchmark.lidc.outlines import Outline, ReaderMasks, fill
from benchmark.lidc.stack import (
    SIZE_PX,
    LeftOut,
    Stack,
    hounsfield,
    read_headers,
    stack_slices,
    stored,
)

FIELD_OF_VIEW_MM = 64.0
MARGIN_PX = 10
MARGIN_SLICES = 2


@dataclass(frozen=True, eq=False)
class Crop:
    """A nodule cut out of its scan.

    Attributes
    ----------
    nodule : Nodule
    hu : ndarray of int16, shape (z, y, x)
    mask : ndarray of bool, shape (z, y, x)
    reader_masks : ndarray of bool, shape (reader, z, y, x)
        Each reader's mask, in the order of ``nodule.annotation_ids``.
    corner : tuple of three ints
        Slice, row and column of the first voxel in the scan.
    grid : Grid
    """

    nodule: Nodule
    hu: NDArray[np.int16]
    mask: NDArray[np.bool_]
    reader_masks: NDArray[np.bool_]
    corner: tuple[int, int, int]
    grid: Grid


def read_crops(
    paths: Sequence[Path],
    nodules: Sequence[Nodule],
    outlines: Sequence[Sequence[Sequence[Outline]]],
    level: float,
) -> tuple[list[Crop], list[LeftOut]]:
    """Cut a scan's nodules out; pixels of each slice are read once, and only where needed.

    A crop covers 64 mm around the consensus mask's box along all three axes, and at least 10 pixels
    and two slices beyond any reader's outline. It ends where the scan ends and, along z, where
    slices no longer follow each other evenly.

    Parameters
    ----------
    paths : sequence of Path
        Files that may belong to the series.
    nodules : sequence of Nodule
        Nodules of one scan, at least one.
    outlines : sequence
        Outlines of each nodule, as ``annotations.read_outlines`` gives them.
    level : float
        Share of readers that makes a voxel nodule.

    Raises
    ------
    ScanError
        Where no nodule of the scan can be cut out.
    """
    files = read_headers(paths, nodules[0].series_instance_uid)
    stack, left_out = stack_slices(files, nodules[0])
    crops = []
    for nodule, readers in zip(nodules, outlines, strict=True):
        masks = fill(readers)
        consensus = masks.consensus(level)
        problem = _problem(stack, masks, consensus)
        if problem is None:
            crops.append(_frame(stack, nodule, masks, consensus))
        else:
            left_out.append(LeftOut(*problem, roi_id=nodule.nodule_id))
    _fill_hu(stack, crops)
    return crops, left_out


def _problem(
    stack: Stack, masks: ReaderMasks, consensus: NDArray[np.bool_]
) -> tuple[str, str] | None:
    """The reason and the detail why a nodule cannot be cut out; None where it can."""
    if not masks.masks.any():
        return "no readers left", f"the outlines of {len(masks.masks)} readers enclose no voxel"
    if not consensus.any():
        return "empty consensus", f"no voxel is common to enough of {len(masks.masks)} readers"
    first, last = masks.start[0], masks.start[0] + masks.masks.shape[1] - 1
    outlined = range(first, last + 1)
    missing = sum(stack.slices[index] is None for index in outlined)
    if missing:
        return "missing slices", f"{missing} of its {len(outlined)} slices"
    ambiguous = sum(index in stack.ambiguous for index in outlined)
    if ambiguous:
        return "duplicate slices", f"two different images of {ambiguous} of its slices"
    uneven = int((~stack.even[first:last]).sum())
    if uneven:
        return "uneven spacing", f"{uneven} of its gaps are not of {stack.spacing_mm:g} mm"
    return None


def _frame(stack: Stack, nodule: Nodule, masks: ReaderMasks, consensus: NDArray[np.bool_]) -> Crop:
    """The crop, still without its HU."""
    spacing = (stack.spacing_mm, nodule.pixel_spacing_mm, nodule.pixel_spacing_mm)
    limits = (len(stack.slices), SIZE_PX, SIZE_PX)
    inside = np.argwhere(consensus) + masks.start
    low, high = inside.min(axis=0), inside.max(axis=0) + 1
    corner, end = [], []
    for axis, margin in enumerate((MARGIN_SLICES, MARGIN_PX, MARGIN_PX)):
        start = masks.start[axis]
        stop = start + masks.masks.shape[axis + 1]
        middle, half = (low[axis] + high[axis]) / 2, FIELD_OF_VIEW_MM / spacing[axis] / 2
        corner.append(max(0, min(int(np.floor(middle - half)), start - margin)))
        end.append(min(limits[axis], max(int(np.ceil(middle + half)), stop + margin)))
    outlined = range(masks.start[0], masks.start[0] + masks.masks.shape[1])
    corner[0], end[0] = _even_run(stack, outlined, corner[0], end[0])

    around = [
        (start - c, e - start - size)
        for start, size, c, e in zip(masks.start, masks.masks.shape[1:], corner, end, strict=True)
    ]
    first = cast(Slice, stack.slices[corner[0]])
    x_axis, y_axis = np.array(first.orientation[:3]), np.array(first.orientation[3:])
    shift = (x_axis * corner[2] + y_axis * corner[1]) * nodule.pixel_spacing_mm
    return Crop(
        nodule=nodule,
        hu=np.empty([e - c for c, e in zip(corner, end, strict=True)], dtype=np.int16),
        mask=np.pad(consensus, around),
        reader_masks=np.pad(masks.masks, [(0, 0), *around]),
        corner=(corner[0], corner[1], corner[2]),
        grid=Grid(spacing, np.array(first.position_mm) + shift, first.orientation),
    )


def _even_run(stack: Stack, outlined: range, low: int, high: int) -> tuple[int, int]:
    """First slice and last + 1 of those from ``low`` to below ``high`` that no gap cuts off."""
    first = outlined.start
    while first > low and stack.even[first - 1] and first - 1 not in stack.ambiguous:
        first -= 1
    stop = outlined.stop
    while stop < high and stack.even[stop - 1] and stop not in stack.ambiguous:
        stop += 1
    return first, stop


def _fill_hu(stack: Stack, crops: Sequence[Crop]) -> None:
    for index, file in enumerate(stack.slices):
        wanting = [c for c in crops if c.corner[0] <= index < c.corner[0] + len(c.hu)]
        if not wanting or file is None:
            continue
        top = min(crop.corner[1] for crop in wanting)
        bottom = max(crop.corner[1] + crop.hu.shape[1] for crop in wanting)
        values = stored(file, range(top, bottom))
        for crop in wanting:
            first, row, column = crop.corner
            height, width = crop.hu.shape[1:]
            window = values[row - top : row - top + height, column : column + width]
            crop.hu[index - first] = hounsfield(file, window)
