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
from benchmark.report.tables.main import lift_over_size
from benchmark.report.tables.table import with_interval
from benchmark.report.wording.summary import CEILING
from benchmark.run.folder import RunFolder

_VERDICTS = {1: "shown to be better", 0: "not shown to differ", -1: "shown to be worse"}


def forest_figure(run: RunFolder, arms: Sequence[PlottedArm]) -> Drawing:
    """Two forests: what each arm reaches, and what it has over ``size_only``."""
    figure = new_figure(run, "AUC, and AUC less that of size alone", 0.28 * len(arms) + 1.5)
    left, right = figure.subplots(1, 2, sharey=True)
    heights = np.arange(len(arms))[::-1]
    size, told = size_only_arm(arms), []
    for arm, y in zip(arms, heights, strict=True):
        lift = lift_over_size(run.comparisons, arm.arm)
        draw_row(left, y, *arm.metrics["auc"], shown=arm.shown("auc"), like=arm)
        said = f"{arm.label} {arm.shown('auc')}"
        if lift is not None:
            ends = lift.difference, lift.low, lift.high
            shown = with_interval(*ends, sign=True)
            draw_row(right, y, *ends, shown=shown, like=arm, filled=lift.verdict != 0)
            said += f" ({shown}, {_VERDICTS[lift.verdict]})"
        told.append(said)
    if size is not None:
        left.axvline(size.metrics["auc"][0], color=GREY, linestyle="--", linewidth=0.8)
        for axis in (left, right):
            axis.axhspan(*(heights[arms.index(size)] + (-0.5, 0.5)), color="0.93", zorder=0)
    right.axvline(0, color=GREY, linestyle="--", linewidth=0.8)
    left.set(yticks=heights, yticklabels=_names(arms), xlabel="AUC", ylim=(-0.6, len(arms) - 0.4))
    right.set_xlabel(
        "AUC - size, paired\nfilled: shown to differ from size alone; hollow: not shown"
    )
    right.tick_params(left=False)
    return Drawing(
        "forest", "AUC and lift over size",
        "Bars: 95 % intervals over resamples of patients, uncorrected. Dashed and shaded: "
        "size_only. Filled on the right: the interval leaves out zero, and so does the test "
        "corrected for all comparisons with size; hollow does not mean equal. Models are tested "
        "on the same ROIs, so the right side decides on differences, not the overlap on the left. "
        "Ceiling: fed by the readers' other ratings, and no competitor.",
        "Forest plot. AUC, and in parentheses the difference to size alone and whether it is "
        f"shown: {'; '.join(told)}.", figure,
    )  # fmt: skip


def draw_row(
    axis: Any, y: float, value: float, low: float, high: float, *, shown: str,
    like: PlottedArm, filled: bool = True,
) -> None:  # fmt: skip
    """A value with its interval on the line ``y``, and as text to the right of the axis."""
    reach = np.abs(np.array([[value - low], [high - value]]))
    axis.errorbar(
        value, y, xerr=None if np.isnan(reach).any() else reach, color=like.colour,
        marker=like.marker, markersize=5, capsize=2, linewidth=1.2,
        markerfacecolor=like.colour if filled else "white",
    )  # fmt: skip
    axis.text(1.02, y, shown, transform=axis.get_yaxis_transform(), va="center", fontsize=6.5)


def _names(arms: Sequence[PlottedArm]) -> list[str]:
    """Labels of the lines; counts only where an arm was tested on fewer ROIs than others."""
    most = max(arm.cases.n_rois for arm in arms)
    return [
        arm.label
        + " (ceiling)" * (arm.arm.features == CEILING)
        + f" (n = {arm.cases.n_rois})" * (arm.cases.n_rois < most)
        for arm in arms
    ]
