"""AUC and lift over size with their intervals, a line for each arm, or for each arm and run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmark.plugins.arms import Arm
from benchmark.report.figures.canvas import (
    GREY,
    MARKERS,
    PALETTE,
    Drawing,
    PlottedArm,
    empty_figure,
    new_figure,
)
from benchmark.report.tables.main import Lift, arm_rows, lift_over_size, size_arm
from benchmark.report.tables.side_by_side import Runs, all_synthetic, arms_of, run_label
from benchmark.report.tables.table import with_interval
from benchmark.report.wording.method_warnings import rated_arms
from benchmark.report.wording.summary import CEILING
from benchmark.run.folder import RunFolder

_TITLE = "AUC, and AUC less that of size alone"
_VERDICTS = {1: "shown to be better", 0: "not shown to differ", -1: "shown to be worse"}
_FILLED = (
    "Filled on the right: the interval leaves out zero, and so does the test corrected for all "
    "comparisons with size; hollow does not mean equal."
)
_CEILING = "Ceiling: fed by the readers' other ratings, and no competitor."
_ALT = "AUC, and in parentheses the difference to size alone and whether it is shown"


@dataclass(frozen=True)
class _Line:
    """A result: AUC with its interval, and what it has over size."""

    name: str
    auc: tuple[float, float, float]
    lift: Lift | None
    colour: str
    marker: str

    @property
    def told(self) -> str:
        """The line in words."""
        shown = f"{self.name} {with_interval(*self.auc)}"
        if self.lift is None:
            return shown
        return f"{shown} ({_shown(self.lift)}, {_VERDICTS[self.lift.verdict]})"


def forest_figure(run: RunFolder, arms: Sequence[PlottedArm]) -> Drawing:
    """Two forests: what each arm reaches, and what it has over ``size_only``."""
    figure = new_figure(run, _TITLE, _height(arms))
    return _forest(figure, run, [arm.arm for arm in arms], _names(arms))


def forest_of_tables(run: RunFolder) -> Drawing:
    """The same of a folder without predictions, as results are committed."""
    known = [arm for arm in run.arms if not math.isnan(arm_rows(run.metrics, arm)["auc"].ci_low)]
    cohort = run.environment["dataset"]["cohort"].partition(";")[0]
    below = f"\n{run.name}: {cohort}"
    figure = empty_figure(_TITLE, _height(known), synthetic=run.synthetic, below=below)
    return _forest(figure, run, known, [_name(arm) for arm in known])


def _of_ceiling(arms: Sequence[Arm]) -> str:
    return f" {_CEILING}" if any(arm.features == CEILING for arm in arms) else ""


def _height(arms: Sequence[object]) -> float:
    return 0.28 * len(arms) + 1.5


def _forest(figure: Any, run: RunFolder, arms: Sequence[Arm], names: Sequence[str]) -> Drawing:
    lines = []
    for number, arm in enumerate(arms):
        auc = arm_rows(run.metrics, arm)["auc"]
        colour, marker = PALETTE[number % len(PALETTE)], MARKERS[number % len(MARKERS)]
        ends = auc.value, auc.ci_low, auc.ci_high
        lines.append(_Line(arm.name, ends, lift_over_size(run.comparisons, arm), colour, marker))
    left, right = _draw(figure, lines)
    left.set_yticks(range(len(arms)), names)
    size = size_arm(arms)
    for place, (arm, line) in enumerate(zip(arms, lines, strict=True)):
        if arm == size:
            left.axvline(line.auc[0], color=GREY, linestyle="--", linewidth=0.8)
            for axis in (left, right):
                axis.axhspan(place - 0.5, place + 0.5, color="0.93", zorder=0)
    return Drawing(
        "forest", "AUC and lift over size",
        "Bars: 95 % intervals over resamples of patients, uncorrected. Dashed and shaded: "
        f"size_only. {_FILLED} Models are tested on the same ROIs, so the right side decides on "
        f"differences, not the overlap on the left.{_of_ceiling(arms)}",
        f"Forest plot. {_ALT}: {'; '.join(line.told for line in lines)}.", figure,
    )  # fmt: skip


def side_by_side_figure(runs: Runs) -> Drawing:
    """The forests of several runs: a line for each run under the name of each arm."""
    lines: list[_Line | None] = []
    names: list[str] = []
    rated = [rated_arms(run) for run in runs.values()]
    for arm in arms_of(runs):
        numbers = [number for number in range(len(runs)) if arm in rated[number]]
        if numbers:
            found = [_of_run(runs, number, arm) for number in numbers]
            lines += [None, *found]
            names += [_name(arm), *(line.name for line in found)]
    figure = empty_figure(_TITLE, 0.19 * len(lines) + 1.2, synthetic=all_synthetic(runs))
    left, _ = _draw(figure, lines)
    left.set_yticks(range(len(names)), names)
    for label, line in zip(left.get_yticklabels(), lines, strict=True):
        label.set_fontweight("normal" if line else "bold")
    told = [f"{name}:" if line is None else f"{line.told};"
            for name, line in zip(names, lines, strict=True)]  # fmt: skip
    return Drawing(
        "side_by_side", "Runs side by side",
        f"Bars: 95 % intervals over resamples of patients, uncorrected. {_FILLED} Each line is of "
        "its own run, whose nodules may be others: nothing is claimed of one run against another."
        f"{_of_ceiling(arms_of(runs))} "
        "Arms that predict one value for all ROIs of a split are not drawn.",
        f"Forest plot of {len(runs)} runs. {_ALT}. {' '.join(told)}", figure,
    )  # fmt: skip


def _of_run(runs: Runs, number: int, arm: Arm) -> _Line:
    name, run = list(runs.items())[number]
    auc = arm_rows(run.metrics, arm)["auc"]
    return _Line(
        run_label(name, run), (auc.value, auc.ci_low, auc.ci_high),
        lift_over_size(run.comparisons, arm),
        PALETTE[number % len(PALETTE)], MARKERS[number % len(MARKERS)],
    )  # fmt: skip


def _draw(figure: Any, lines: Sequence[_Line | None]) -> tuple[Any, Any]:
    """Both forests, the first line on top; None is a line without a result."""
    left, right = figure.subplots(1, 2, sharey=True)
    for y, line in enumerate(lines):
        if line is None:
            continue
        _draw_result(left, y, line.auc, with_interval(*line.auc), line, filled=True)
        if line.lift is not None:
            ends = line.lift.difference, line.lift.low, line.lift.high
            filled = line.lift.verdict != 0
            _draw_result(right, y, ends, _shown(line.lift), line, filled=filled)
    right.axvline(0, color=GREY, linestyle="--", linewidth=0.8)
    left.set(xlabel="AUC", ylim=(len(lines) - 0.4, -0.6))
    right.set_xlabel(
        "AUC - size, paired\nfilled: shown to differ from size alone; hollow: not shown"
    )
    right.tick_params(left=False)
    return left, right


def _draw_result(
    axis: Any, y: float, ends: tuple[float, float, float], shown: str, line: _Line, *, filled: bool
) -> None:
    """A value with its interval, and as text to the right of the axis."""
    value, low, high = ends
    reach = np.abs(np.array([[value - low], [high - value]]))
    axis.errorbar(
        value, y, xerr=None if np.isnan(reach).any() else reach, color=line.colour,
        marker=line.marker, markersize=5, capsize=2, linewidth=1.2,
        markerfacecolor=line.colour if filled else "white",
    )  # fmt: skip
    axis.text(1.02, y, shown, transform=axis.get_yaxis_transform(), va="center", fontsize=6.5)


def _shown(lift: Lift) -> str:
    return with_interval(lift.difference, lift.low, lift.high, sign=True)


def _names(arms: Sequence[PlottedArm]) -> list[str]:
    """Labels of the lines; counts only where an arm was tested on fewer ROIs than others."""
    most = max(arm.cases.n_rois for arm in arms)
    return [
        _name(arm.arm) + f" (n = {arm.cases.n_rois})" * (arm.cases.n_rois < most) for arm in arms
    ]


def _name(arm: Arm) -> str:
    return f"{arm} (ceiling)" if arm.features == CEILING else arm.name
