"""Cost of an AUC: time to fit, and time to predict one ROI with and without its features."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from benchmark.report.figures.canvas import Drawing, PlottedArm, new_figure
from benchmark.report.tables.table import duration
from benchmark.report.wording.facts import workers
from benchmark.run.folder import RunFolder


def cost_figure(run: RunFolder, arms: Sequence[PlottedArm]) -> Drawing | None:
    """AUC over seconds, logarithmic; None where nothing was timed."""
    if run.timings.empty:
        return None
    figure = new_figure(run, "AUC against cost", 3.6)
    left, right = figure.subplots(1, 2, sharey=True)
    told = []
    for arm in arms:
        fit = seconds_per(run.timings, arm, "fit", each="call")
        if math.isnan(fit):  # made elsewhere
            continue
        predict = seconds_per(run.timings, arm, "predict", each="ROI")
        extract = seconds_per(run.timings, arm, "extract", each="ROI")
        _point(left, arm, fit, filled=True)
        _point(right, arm, predict, filled=False)
        if not math.isnan(extract):
            auc = arm.metrics["auc"][0]
            right.plot([predict, predict + extract], [auc, auc], color=arm.colour, linewidth=0.7)
            _point(right, arm, predict + extract, filled=True)
        told.append(
            f"{arm.label}: fit {duration(fit)} s, predict {duration(predict)} s a ROI, with "
            f"features {duration(predict + extract)} s"
        )
    for axis, name in ((left, "fit, s a split"), (right, "s a ROI (filled: with its features)")):
        _logarithmic(axis)
        axis.set_xlabel(name)
        axis.grid(alpha=0.25, linewidth=0.5)
    left.set_ylabel("AUC")
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    devices = ", ".join(sorted(set(run.timings.device.dropna().astype(str))))
    return Drawing(
        "cost", "AUC against cost",
        "Left: mean wall time of one fit, tuning included. Right: hollow, predicting from features "
        "that are there; filled, with the extraction of the ROI's features, in wall time of the "
        f"run's workers ({workers(run)}). Bars: 95 % intervals of the AUC. Device: "
        f"{devices}; {run.environment['processor']}. Times are of one machine, once.",
        f"AUC against time. {'; '.join(told)}.", figure,
    )  # fmt: skip


def seconds_per(timings: pd.DataFrame, arm: PlottedArm, stage: str, *, each: str) -> float:
    """Mean seconds of a stage for a ``call`` or a ``ROI``; NaN where it was not timed.

    Features are extracted once for all models that are fed by them.
    """
    rows = timings[timings.stage == stage]
    own = rows.features.isin(arm.arm.feature_sets) if stage == "extract" else rows.arm == arm.label
    rows = rows[own]
    if rows.empty:
        return math.nan
    if each == "call":
        return float(rows.seconds.mean())
    # An arm of several feature sets needs each of them once a ROI.
    return float(sum(of.seconds.sum() / of.n_rois.sum() for _, of in rows.groupby("features")))


def _logarithmic(axis: Any) -> None:
    """A log scale labelled with plain numbers: powers of ten, and 2 and 5 where they are few."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_xscale("log")
    low, high = axis.get_xlim()
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 100 * low else (1,)))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: f"{seconds:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())


def _point(axis: Any, arm: PlottedArm, seconds: float, *, filled: bool) -> None:
    value, low, high = arm.metrics["auc"]
    known = not math.isnan(low)
    reach = [[abs(value - low)], [abs(high - value)]]  # of an AUC of 1, an end may round past it
    axis.errorbar(
        seconds, value, yerr=reach if known and filled else None,
        color=arm.colour, marker=arm.marker, markersize=5, linestyle="none", elinewidth=0.7,
        markerfacecolor=arm.colour if filled else "white", label=arm.label,
    )  # fmt: skip
