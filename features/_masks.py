"""Mask modifiers: one reader's mask in place of a ROI's own, one found without, or its own changed.

``MODIFIERS`` has them by name: ``radiomics@eroded`` is ``radiomics`` of ``eroded(roi)``.
``_auto_outline.py`` says how an outline is found. The others change the mask by 1 mm.

1 mm is one or two pixels of a chest CT, one voxel of the grid that the radiomics are computed on,
and a little more than LIDC-IDRI's readers differ: their edges lie a median of 0.27 mm from the
consensus's, 95 % of them within 0.81 mm (``scripts/add_reader_masks.py`` on 1,166 nodules of two
readers or more). Each change is the nearest to it that whole pixels allow, and at least one pixel.

All changes are within slices, as readers draw. Slices lie up to 5 mm apart: along z, 1 mm would be
nothing or a whole slice. So a crop without margin along z loses nothing; in the plane, an image
that ends too close to the mask is continued by its edge values. What depends on chance depends on a
hash of ``roi_id``, and so on nothing else: neither order, nor labels, nor other ROIs.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from benchmark.roi import Roi
from features import _auto_outline
from features._plane import largest_slice

CHANGE_MM = 1.0

MIN_SHARE = 0.25
MIN_AREA_MM2 = 6.0
"""Least that erosion leaves of the largest slice: this share and this area, all if it has less.

Six pixels of the 1 mm grid. With four, pyradiomics finds no values between the 10th and the 90th
percentile of some single slices, and refuses masks that the grid reduces to one voxel.
"""

_ROUNDING_MM = 1e-6


def one_reader(roi: Roi) -> Roi:
    """The ROI with one reader's mask in place of its own.

    Which reader is drawn from ``roi_id``, as the order in which a dataset lists them need not be
    random.

    Raises
    ------
    UnavailableError
        Where the dataset has no readers' masks.
    """
    masks = roi.reader_masks
    return replace(roi, outline=masks[int(_uniform(roi, "reader") * len(masks))])


def auto(roi: Roi) -> Roi:
    """The ROI with an outline found around the middle of its mask's box, without a reader.

    Raises
    ------
    UnavailableError
        Where the dataset has no masks.
    """
    return replace(roi, outline=_auto_outline.find(roi)[0])


def dilated(roi: Roi) -> Roi:
    """The ROI with its mask grown: a pixel joins whose centre is within 1 mm of the mask's edge.

    The edge lies half a pixel beyond the centres of the outermost pixels.

    Raises
    ------
    UnavailableError
        Where the dataset has no masks.
    """
    from scipy.ndimage import binary_dilation

    wide, reach_mm = _with_margin(roi), _reach_mm(roi)
    rows_mm, columns_mm = (
        np.arange(-pixels, pixels + 1) * spacing_mm
        for pixels, spacing_mm in zip(_margin(roi), roi.spacing_mm[1:], strict=True)
    )
    disc = np.hypot(rows_mm[:, None], columns_mm) <= reach_mm + _ROUNDING_MM
    return replace(wide, outline=binary_dilation(wide.mask, disc[np.newaxis]))


def eroded(roi: Roi) -> Roi:
    """The ROI with its mask shrunk: a pixel goes whose centre is within 1 mm of the mask's edge.

    Never empty: where less than ``MIN_SHARE`` or ``MIN_AREA_MM2`` of the largest slice would
    be left, as many of its deepest pixels stay, with those elsewhere that are as deep. A slice
    that is all rim goes. Outside the image there is no nodule, as for pyradiomics.

    Raises
    ------
    UnavailableError
        Where the dataset has no masks.
    """
    from scipy.ndimage import distance_transform_edt

    rimmed = np.pad(roi.mask, ((0, 0), (1, 1), (1, 1)))
    depths_mm = np.stack(
        [distance_transform_edt(plane, sampling=roi.spacing_mm[1:]) for plane in rimmed]
    )[:, 1:-1, 1:-1]
    z = largest_slice(roi)
    deepest_first = -np.sort(-depths_mm[z][roi.mask[z]])
    pixel_mm2 = roi.spacing_mm[1] * roi.spacing_mm[2]
    n = math.ceil(max(MIN_SHARE * len(deepest_first), MIN_AREA_MM2 / pixel_mm2))
    spared_mm = deepest_first[min(n, len(deepest_first)) - 1]
    core = depths_mm > _reach_mm(roi) + _ROUNDING_MM
    spared = depths_mm >= spared_mm - _ROUNDING_MM
    return replace(roi, outline=roi.mask & (core | spared))


def shifted(roi: Roi) -> Roi:
    """The ROI with its mask moved by 1 mm, in a direction drawn from its id.

    By whole pixels along rows and columns, so that its shape and size stay.

    Raises
    ------
    UnavailableError
        Where the dataset has no masks.
    """
    wide = _with_margin(roi)
    angle = 2 * math.pi * _uniform(roi, "shift")
    pixels = CHANGE_MM * np.array([math.sin(angle), math.cos(angle)]) / roi.spacing_mm[1:]
    whole = np.rint(pixels).astype(int)
    if not whole.any():
        axis = int(np.abs(pixels).argmax())
        whole[axis] = 1 if pixels[axis] > 0 else -1
    # The margin is as wide as the shift: nothing is rolled over to the other side.
    return replace(wide, outline=np.roll(wide.mask, whole, axis=(1, 2)))


MODIFIERS: Mapping[str, Callable[[Roi], Roi]] = MappingProxyType(
    {
        "reader": one_reader,
        "dilated": dilated,
        "eroded": eroded,
        "shifted": shifted,
        "auto": auto,
    }
)
"""Mask modifiers by name: what may follow ``@`` in a feature set's name."""


def _reach_mm(roi: Roi) -> float:
    """Distance of pixel centres from one side of an edge to the other that counts as 1 mm."""
    row_mm, column_mm = roi.spacing_mm[1:]
    return max(CHANGE_MM + (row_mm + column_mm) / 4, row_mm, column_mm)


def _margin(roi: Roi) -> tuple[int, int]:
    """Rows and columns beyond which no change reaches."""
    rows, columns = (math.ceil(_reach_mm(roi) / mm) for mm in roi.spacing_mm[1:])
    return rows, columns


def _with_margin(roi: Roi) -> Roi:
    """The ROI, with as much image around the mask as a change can reach.

    Nothing is added where there is enough.
    """
    widths = [(0, 0)]
    for axis, margin in enumerate(_margin(roi), start=1):
        occupied = np.flatnonzero(roi.mask.any(axis=(0, 3 - axis)))
        free = int(occupied[0]), roi.mask.shape[axis] - 1 - int(occupied[-1])
        widths.append((max(0, margin - free[0]), max(0, margin - free[1])))
    return replace(
        roi,
        image=np.pad(roi.image, widths, "edge"),
        outline=np.pad(roi.mask, widths),
        reader_outlines=(),
    )


def _uniform(roi: Roi, purpose: str) -> float:
    """A number in [0, 1) that ``roi_id`` and a purpose settle."""
    digest = hashlib.sha256(f"{purpose}\x1f{roi.record.roi_id}".encode()).digest()
    return int.from_bytes(digest[:4], "big") / 2**32
