"""A sheet of ROIs with the outline of their masks, to be looked at."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmark.report.figures.canvas import as_written
from benchmark.report.gallery.nodule import WINDOW, draw_slice
from benchmark.report.tables.table import marked
from benchmark.roi import RoiDataset, RoiRecord

MAX_ROIS = 100
_COLUMNS = 10
_TILE_INCHES = 1.25
_TITLE_INCHES = 0.55


def draw(dataset: RoiDataset, records: Sequence[RoiRecord], path: Path) -> None:
    """Write a PNG with the largest slice of each ROI, or of ``MAX_ROIS`` evenly spaced ones.

    Every tile shows the whole slice in its true proportions,
    at a scale of its own.

    Parameters
    ----------
    dataset : RoiDataset
    records : sequence of RoiRecord
        ROIs in the order in which they are shown; an empty one gives a sheet without tiles.
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
        marked(
            f"{dataset.name}: {many}, smallest first, {WINDOW}",
            dataset.intensities == "synthetic",
        ),
        fontsize=9,
        y=1 - 0.15 / figure.get_figheight(),
    )
    axes = figure.subplots(rows, _COLUMNS, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, record in zip(axes.flat, shown, strict=False):
        draw_slice(axis, dataset.read(record), colour="#ff5a36", line_width=0.6)
        axis.set_title(record.roi_id, fontsize=4.5, pad=1.5)
    figure.subplots_adjust(
        0.005, 0.005, 0.995, 1 - _TITLE_INCHES / figure.get_figheight(), 0.05, 0.15
    )
    as_written(figure)
    figure.savefig(path, dpi=120)


def pick(records: Sequence[RoiRecord]) -> list[RoiRecord]:
    """All records, or ``MAX_ROIS`` evenly spaced ones, the first and the last included."""
    if len(records) <= MAX_ROIS:
        return list(records)
    return [records[i] for i in np.linspace(0, len(records) - 1, MAX_ROIS).round().astype(int)]
