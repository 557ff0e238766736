"""A nodule's slice in the lung window, with the outline of its mask."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmark.report.figures.canvas import without_axes
from benchmark.roi import LUNG_WINDOW_HU, Roi

WINDOW = f"{LUNG_WINDOW_HU[0]:g} to {LUNG_WINDOW_HU[1]:g} HU"
"""Range of the grey values, in words."""


def shown_slice(roi: Roi) -> int:
    """Index of the slice with the largest mask; of the middle one where there is no mask."""
    if not roi.has_mask:
        return int(roi.image.shape[0]) // 2
    return int(roi.mask.sum(axis=(1, 2)).argmax())


def draw_slice(axis: Any, roi: Roi, *, colour: str, line_width: float) -> None:
    """Draw the shown slice on a Matplotlib axis, whole and in its true proportions."""
    z = shown_slice(roi)
    low, high = LUNG_WINDOW_HU
    axis.imshow(
        roi.image[z], cmap="gray", vmin=low, vmax=high, interpolation="nearest",
        aspect=roi.spacing_mm[1] / roi.spacing_mm[2],
    )  # fmt: skip
    if roi.has_mask:
        # A margin closes the outline of a mask that touches the border.
        rows, columns = (np.arange(-1, n + 1) for n in roi.mask[z].shape)
        padded = np.pad(roi.mask[z], 1).astype(float)
        axis.contour(columns, rows, padded, levels=[0.5], colors=colour, linewidths=line_width)
    without_axes(axis)
