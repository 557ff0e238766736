"""AUC and lift over size with their intervals, an arm a line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmark.report.figures.canvas import (
    GREY,
    Drawing,
    PlottedArm,
    new_figure,
    size_only_arm,
)
from benchmark.report.tables.main import Lift, lift_over_size
from benchmark.report.tables.table import with_interval
from benchmark.run.folder import RunFolder


def forest_figure(run: RunFolder, arms: Sequence[PlottedArm]) -> Drawing:
    """Two forests: what each arm reaches, and what it has over ``size_only``."""
    figure = new_figure(run, "AUC, and AUC less that of size alone", 0.34 * len(arms) + 1.5)
    left, right = figure.subplots(1, 2, sharey=True)
    heights = np.arange(len(arms))[::-1]
    lifts = [lift_over_size(run.comparisons, arm.arm) for arm in arms]
    for arm, y, lift in zip(arms, heights, lifts, strict=True):
        _line(left, arm, y, *arm.metrics["auc"])
        if lift is not None:
            _line(right, arm, y, lift.difference, lift.low, lift.high)
    size = size_only_arm(arms)
    if size is not None:
        left.axvline(size.metrics["auc"][0], color=GREY, linestyle="--", linewidth=0.8)
    right.axvline(0, color=GREY, linestyle="--", linewidth=0.8)
    names = [f"{arm.label}  (n = {arm.cases.n_rois})" for arm in arms]
    left.set(yticks=heights, yticklabels=names, xlabel="AUC", ylim=(-0.6, len(arms) - 0.4))
    right.set(xlabel="AUC - size (paired difference)")
    told = "; ".join(
        f"{arm.label} {arm.shown('auc')}{_told(lift)}"
        for arm, lift in zip(arms, lifts, strict=True)
    )
    return Drawing(
        "forest", "AUC and lift over size",
        "Bars: 95 % intervals over resamples of patients, uncorrected; the pairwise table has p "
        "values corrected for the number of pairs. Dashed: size_only. Models are tested on the "
        "same ROIs, so the right side decides on differences, not the overlap on the left.",
        f"Forest plot. AUC, and in parentheses the difference to size alone: {told}.", figure,
    )  # fmt: skip


def _line(axis: Any, arm: PlottedArm, y: float, value: float, low: float, high: float) -> None:
    reach = np.abs(np.array([[value - low], [high - value]]))
    axis.errorbar(
        value, y, xerr=None if np.isnan(reach).any() else reach, color=arm.colour,
        marker=arm.marker, markersize=5, capsize=2, linewidth=1.2,
    )  # fmt: skip


def _told(lift: Lift | None) -> str:
    if lift is None:
        return ""
    return f" ({with_interval(lift.difference, lift.low, lift.high, sign=True)})"
