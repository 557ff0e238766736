"""Calibration and decision curves, a panel an arm, folds pooled."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmark.report.figures.canvas import (
    BENIGN,
    GREY,
    MALIGNANT,
    UNIT,
    Drawing,
    PlottedArm,
    arm_panels,
    note,
    size_only_arm,
)
from benchmark.report.figures.discrimination import BAND
from benchmark.run.folder import RunFolder
from benchmark.statistics.curves import THRESHOLDS, decision, reliability, treat_all


def calibration_figure(run: RunFolder, arms: Sequence[PlottedArm]) -> Drawing:
    """Observed against predicted malignancy in ten bins, and how many ROIs each bin has."""
    figure, panels = arm_panels(
        run, arms, "Calibration", "predicted P(malignant), mean of a bin",
        "observed share of malignant ROIs", x_ticks=UNIT, y_ticks=UNIT,
    )  # fmt: skip
    for axis, arm in zip(panels, arms, strict=True):
        found = reliability(arm.cases, arm.draws)
        axis.plot([0, 1], [0, 1], color=GREY, linewidth=0.7, linestyle=":")
        for label, colour, sign in ((1, MALIGNANT, 1), (0, BENIGN, -1)):
            shares, edges = np.histogram(
                arm.cases.y_prob[arm.cases.y_true == label], bins=np.linspace(0, 1, 26)
            )
            tops = sign * 0.09 * shares / max(1, shares.max()) - 0.11
            axis.stairs(tops, edges, baseline=-0.11, fill=True, color=colour, alpha=0.6)
        axis.errorbar(
            found.predicted, found.observed,
            yerr=np.abs(np.stack([found.observed - found.low, found.high - found.observed])),
            color=arm.colour, marker=arm.marker, markersize=3.5, linewidth=1, elinewidth=1,
        )  # fmt: skip
        slope, intercept = (
            arm.shown(name) for name in ("calibration_slope", "calibration_intercept")
        )
        text = f"slope {slope}\nintercept {intercept}\nn = {arm.cases.n_rois}"
        axis.set(xlim=(-0.02, 1.02), ylim=(-0.22, 1.25))
        note(axis, text, 0.02, 0.99, ha="left", va="top")
    slopes = "; ".join(f"{arm.label} {arm.shown('calibration_slope')}" for arm in arms)
    return Drawing(
        "calibration", "Calibration",
        "Ten equal-width bins, as in the expected calibration error, all folds pooled; bars: 95 % "
        "intervals over resamples of patients, left out where a bin is empty in many of them. On "
        "the dotted line, predictions are right on average. Below: scores of malignant (orange, "
        "upwards) and benign (blue, downwards) ROIs. Slope below 1: too sure of itself; "
        "intercept above 0: malignancy is underestimated.",
        f"Calibration, one panel a model: observed against predicted share of malignant ROIs. "
        f"Calibration slope, 1 is ideal: {slopes}.", figure,
    )  # fmt: skip


def decision_figure(run: RunFolder, arms: Sequence[PlottedArm]) -> Drawing:
    """Net benefit over thresholds, beside calling all ROIs or none malignant."""
    figure, panels = arm_panels(
        run, arms, "Decision curves", "threshold on P(malignant)", "net benefit",
        x_ticks=UNIT, y_ticks=UNIT,
    )  # fmt: skip
    curves = [decision(arm.cases, arm.draws) for arm in arms]
    size = size_only_arm(arms)
    for axis, arm, curve in zip(panels, arms, curves, strict=True):
        axis.fill_between(
            curve.band_x, curve.low, curve.high, color=arm.colour, alpha=0.22, linewidth=0
        )
        axis.plot(THRESHOLDS, treat_all(arm.cases), color="black", linewidth=0.8, linestyle="-.")
        axis.axhline(0, color="black", linewidth=0.8, linestyle=":")
        if size is not None and arm is not size:
            reference = curves[arms.index(size)]
            axis.plot(reference.x, reference.y, color=GREY, linestyle="--", linewidth=1)
        axis.plot(curve.x, curve.y, color=arm.colour)
        prevalence = float(arm.cases.y_true.mean())
        axis.set(xlim=(0, THRESHOLDS[-1]), ylim=(-0.12, prevalence + 0.08))
        note(axis, f"n = {arm.cases.n_rois}", 0.97, 0.95, va="top")
    at_half = "; ".join(f"{arm.label} {arm.shown('net_benefit_at_50')}" for arm in arms)
    return Drawing(
        "decision", "Decision curves",
        "Net benefit: true positives a ROI, less false positives weighted by the odds of the "
        "threshold (Vickers & Elkin 2006). Solid: the model; dashed grey: size_only; dash-dotted: "
        "all called malignant; dotted: none. The share of malignant ROIs is this dataset's, not "
        f"a clinic's, and net benefit depends on it. {BAND}",
        f"Decision curves, one panel a model. Net benefit at a threshold of .5: {at_half}.", figure,
    )  # fmt: skip
