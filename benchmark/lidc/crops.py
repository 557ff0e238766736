"""Crops of one LIDC-IDRI scan: its nodules cut out of its files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from benchmark.formats.dicom_pixels import PADDING_HU, hounsfield, read_words
from benchmark.formats.dicom_series import NOT_HU, UNREADABLE, Slice, Unusable
from benchmark.formats.nifti import Grid
from benchmark.lidc.annotations import Nodule
from benchmark.lidc.outlines import Outline, ReaderMasks, fill
from benchmark.lidc.stack import (
    SIZE_PX,
    LeftOut,
    Stack,
    name_unusable,
    read_headers,
    stack_slices,
    without,
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
    """Cut a scan's nodules out; pixels are read only where needed.

    A crop covers 64 mm around the consensus mask's box along all three axes, and at least 10 pixels
    and two slices beyond any reader's outline. It ends where the scan ends and, along z, where
    slices no longer follow each other evenly or one cannot be used. Padding is given ``PADDING_HU``
    outside of the readers' masks; inside of them it costs the nodule.

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
    MissingSeriesError
        Where no file is of the series.
    """
    files = read_headers(paths, nodules[0].series_instance_uid)
    stack, left_out = stack_slices(files, nodules[0])
    while True:
        crops, lost = _cut(stack, nodules, outlines, level)
        broken, faulty = _fill_hu(stack, crops)
        if not broken:
            break
        left_out += name_unusable(broken)
        stack = without(stack, broken, nodules[0])
    kept = [crop for crop in crops if crop.nodule.nodule_id not in faulty]
    return kept, [*left_out, *lost, *faulty.values()]


def _cut(
    stack: Stack,
    nodules: Sequence[Nodule],
    outlines: Sequence[Sequence[Sequence[Outline]]],
    level: float,
) -> tuple[list[Crop], list[LeftOut]]:
    """Crops, still without their HU, and the nodules that have none."""
    crops, lost = [], []
    for nodule, readers in zip(nodules, outlines, strict=True):
        masks = fill(readers)
        consensus = masks.consensus(level)
        problem = _problem(stack, nodule.nodule_id, masks, consensus)
        if problem is None:
            crops.append(_frame(stack, nodule, masks, consensus))
        else:
            lost.append(problem)
    return crops, lost


def _problem(
    stack: Stack, roi_id: str, masks: ReaderMasks, consensus: NDArray[np.bool_]
) -> LeftOut | None:
    """The reason why a nodule cannot be cut out; None where it can."""
    n_readers = len(masks.masks)
    if not masks.masks.any():
        detail = f"the outlines of {n_readers} readers enclose no voxel"
        return LeftOut("no readers left", detail, roi_id)
    if not consensus.any():
        detail = f"no voxel is common to enough of {n_readers} readers"
        return LeftOut("empty consensus", detail, roi_id)
    outlined = range(masks.start[0], masks.start[0] + masks.masks.shape[1])
    return _problem_of_slices(stack, roi_id, outlined)


def _problem_of_slices(stack: Stack, roi_id: str, outlined: range) -> LeftOut | None:
    faulty = [stack.unusable[index] for index in outlined if index in stack.unusable]
    if faulty:
        file = faulty[0]
        detail = f"{len(faulty)} of its {len(outlined)} slices; {file.path.name}: {file.detail}"
        return LeftOut(file.reason, detail, roi_id, failed=True)
    missing = sum(stack.slices[index] is None for index in outlined)
    if missing:
        return LeftOut("missing slices", f"{missing} of its {len(outlined)} slices", roi_id)
    ambiguous = sum(index in stack.ambiguous for index in outlined)
    if ambiguous:
        return LeftOut(
            "duplicate slices", f"two different images of {ambiguous} of its slices", roi_id
        )
    uneven = int((~stack.even[outlined.start : outlined.stop - 1]).sum())
    if uneven:
        return LeftOut(
            "uneven spacing", f"{uneven} of its gaps are not of {stack.spacing_mm:g} mm", roi_id
        )
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


def _fill_hu(stack: Stack, crops: Sequence[Crop]) -> tuple[dict[int, Unusable], dict[str, LeftOut]]:
    """Fill the crops.

    Returns
    -------
    broken : dict of int to Unusable
        Slices whose pixels cannot be read.
    faulty : dict of str to LeftOut
        Crops with voxels that are no HU, by ROI id.
    """
    broken: dict[int, Unusable] = {}
    faulty: dict[str, LeftOut] = {}
    for index, file in enumerate(stack.slices):
        wanting = [c for c in crops if c.corner[0] <= index < c.corner[0] + len(c.hu)]
        if not wanting or file is None:
            continue
        top = min(crop.corner[1] for crop in wanting)
        bottom = max(crop.corner[1] + crop.hu.shape[1] for crop in wanting)
        try:
            words = read_words(file, range(top, bottom))
        except (ValueError, OSError) as error:
            broken[index] = Unusable(file.path, file.z_mm, UNREADABLE, str(error))
            continue
        for crop in wanting:
            _, row, column = crop.corner
            height, width = crop.hu.shape[1:]
            window = words[row - top : row - top + height, column : column + width]
            fault = _fill_slice(crop, index, file, window)
            if fault is not None:
                faulty.setdefault(crop.nodule.nodule_id, fault)
    return broken, faulty


def _fill_slice(crop: Crop, index: int, file: Slice, window: NDArray[Any]) -> LeftOut | None:
    """Fill one slice of a crop; return what is wrong with it, if anything is."""
    roi_id, place = crop.nodule.nodule_id, index - crop.corner[0]
    try:
        found = hounsfield(file, window)
    except ValueError as error:
        return LeftOut(NOT_HU, f"{file.path.name}: {error}", roi_id, failed=True)
    crop.hu[place] = found.hu
    n_dubious = np.count_nonzero(found.dubious)
    if n_dubious:
        words = " to ".join(map(str, sorted(set(file.padding or ()))))
        return LeftOut(
            "padding",
            f"{file.path.name}: {n_dubious} voxels of the crop are padding by PixelPaddingValue "
            f"(words {words}), as high as tissue; padding must be at {PADDING_HU} HU or below",
            roi_id,
        )
    n_padded = np.count_nonzero(found.padded & crop.reader_masks[:, place].any(axis=0))
    if n_padded:
        return LeftOut(
            "padding",
            f"{file.path.name}: {n_padded} voxels inside a reader's mask are padding; a mask must "
            "hold measured voxels only",
            roi_id,
        )
    return None
