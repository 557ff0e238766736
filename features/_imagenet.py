"""Views of a nodule that a network trained on photographs is shown, and the features it gives.

A view is a square of a plane through the nodule, 160 x 160 pixels, bilinear, around the middle of
the mask's box in that plane: ``box`` is 1.3 times the box's longer side, ``fixed`` 40 mm. Its three
channels are HU in two windows of radiology and the mask, or a third window. Where a view reaches
beyond the image that was supplied, it is filled with air.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmark.roi import LUNG_WINDOW_HU, Roi
from features._lite0 import LAYERS, pooled
from features._plane import in_plane_box, rectangle

SIZE = 160
"""Side of a view, pixels."""

BOX_SCALE = 1.3
FIELD_OF_VIEW_MM = 40.0
AIR_HU = -1000.0

LUNG_HU = (-1350.0, 150.0)
MEDIASTINUM_HU = (-160.0, 240.0)
"""Lung window (level -600, width 1500) and mediastinal window (40, 400)."""

Floats = NDArray[np.float32]


def features(roi: Roi, axes: tuple[int, ...], *, with_mask: bool) -> dict[str, float]:
    """Features of both views, averaged over the planes.

    Parameters
    ----------
    roi : Roi
    axes : tuple of int
        Normals of the planes: 0 for the axial one, 1 coronal, 2 sagittal. Each plane is the
        one with the largest area of the mask, of equals the first.
    with_mask : bool
        The third channel is the mask; else HU of [-1000, 400].

    Returns
    -------
    dict
        2,864 numbers: ``box_block4_0`` to ``fixed_head_1279``.

    Raises
    ------
    UnavailableError
        Where the dataset has no masks, and where the network's weights are missing.
    """
    shown = np.stack([view for axis in axes for view in _views(roi, axis, with_mask)])
    means = pooled(shown).reshape(len(axes), -1).mean(axis=0)
    names = [
        f"{view}_{layer}_{channel}"
        for view in ("box", "fixed")
        for layer, channels in LAYERS.items()
        for channel in range(channels)
    ]
    return dict(zip(names, means.tolist(), strict=True))


def _views(roi: Roi, axis: int, with_mask: bool) -> list[Floats]:
    """The two views of a plane, each (SIZE, SIZE, 3), in [0, 1]."""
    others = tuple(other for other in range(3) if other != axis)
    place = int(roi.mask.sum(axis=others).argmax())
    image, mask = (np.take(array, place, axis=axis) for array in (roi.image, roi.mask))
    row_mm, column_mm = (roi.spacing_mm[other] for other in others)
    top, bottom, left, right = in_plane_box(mask)
    longer_mm = max((bottom - top) * row_mm, (right - left) * column_mm)
    found = []
    for side_mm in (BOX_SCALE * longer_mm, FIELD_OF_VIEW_MM):
        height, width = side_mm / row_mm, side_mm / column_mm
        square = (top + bottom - height) / 2, (left + right - width) / 2, height, width
        hu = rectangle(image, *square, SIZE, AIR_HU)
        third = (
            rectangle(mask.astype(np.float32), *square, SIZE, 0.0)
            if with_mask
            else _window(hu, LUNG_WINDOW_HU)
        )
        found.append(np.stack([_window(hu, LUNG_HU), _window(hu, MEDIASTINUM_HU), third], -1))
    return found


def _window(hu: Floats, window_hu: tuple[float, float]) -> Floats:
    low, high = window_hu
    return ((np.clip(hu, low, high) - low) / (high - low)).astype(np.float32)
