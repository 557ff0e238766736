"""A sheet of ROIs with the outline of their masks, to be looked at."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.roi import Roi, RoiDataset, RoiRecord

MAX_ROIS = 100
WINDOW_HU = (-1000.0, 400.0)
_COLUMNS = 10
_TILE_INCHES = 1.25
_TITLE_INCHES = 0.55


def draw(dataset: RoiDataset, records: Sequence[RoiRecord], path: Path) -> None:
    """Write a PNG with the largest slice of each ROI, or of ``MAX_ROIS`` evenly spaced ones.

    Grey values span ``WINDOW_HU``; every tile shows the whole slice in its true proportions,
    at a scale of its own.

    Parameters
    ----------
    dataset : RoiDataset
    records : sequence of RoiRecord
        In the order in which they are shown; none is a sheet without tiles.
    path : Path
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = pick(records)
    rows = max(1, math.ceil(len(shown) / _COLUMNS))
    figure = Figure(figsize=(_COLUMNS * _TILE_INCHES, rows * (_TILE_INCHES + 0.15) + _TITLE_INCHES))
    FigureCanvasAgg(figure)
    many = (
        f"{len(shown)} of {len(records)} ROIs"
        if len(shown) < len(records)
        else f"{len(shown)} ROIs"
    )
    figure.suptitle(
        f"{dataset.name}: {many}, smallest first, {WINDOW_HU[0]:g} to {WINDOW_HU[1]:g} HU"
        + (", SYNTHETIC INTENSITIES" if dataset.intensities == "synthetic" else ""),
        fontsize=9,
        y=1 - 0.15 / figure.get_figheight(),
    )
    axes = figure.subplots(rows, _COLUMNS, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, record in zip(axes.flat, shown, strict=False):
        _tile(axis, dataset.read(record))
    figure.subplots_adjust(
        0.005, 0.005, 0.995, 1 - _TITLE_INCHES / figure.get_figheight(), 0.05, 0.15
    )
    figure.savefig(path, dpi=120)


def pick(records: Sequence[RoiRecord]) -> list[RoiRecord]:
    """All, or ``MAX_ROIS`` of them evenly spaced, the first and the last included."""
    if len(records) <= MAX_ROIS:
        return list(records)
    return [records[i] for i in np.linspace(0, len(records) - 1, MAX_ROIS).round().astype(int)]


def _tile(axis: Any, roi: Roi) -> None:
    z = int(roi.mask.sum(axis=(1, 2)).argmax())
    low, high = WINDOW_HU
    axis.imshow(
        roi.image[z], cmap="gray", vmin=low, vmax=high, interpolation="nearest",
        aspect=roi.spacing_mm[1] / roi.spacing_mm[2],
    )  # fmt: skip
    # A margin closes the outline of a mask that touches the border.
    padded = np.pad(roi.mask[z], 1).astype(float)
    rows, columns = (np.arange(-1, n + 1) for n in roi.mask[z].shape)
    axis.contour(columns, rows, padded, levels=[0.5], colors="#ff5a36", linewidths=0.6)
    axis.set_title(roi.record.roi_id, fontsize=4.5, pad=1.5)
