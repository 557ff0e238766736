"""ROC and precision-recall curves with their bands, a panel an arm."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmark.report.figures.canvas import (
    GREY,
    UNIT,
    Drawing,
    PlottedArm,
    arm_panels,
    note,
    size_only_arm,
)
from benchmark.run.folder import RunFolder
from benchmark.statistics.cases import Cases, Floats
from benchmark.statistics.curves import BAND_SAMPLES, Curve, precision_recall, roc

BAND = (
    f"Bands: pointwise 95 % intervals from {BAND_SAMPLES} resamples of patients at most; the "
    "intervals written in the panels are those of the tables."
)


def roc_figure(run: RunFolder, arms: Sequence[PlottedArm]) -> Drawing:
    """Sensitivity against 1 - specificity; the cross is the run's own thresholds."""
    figure, panels = arm_panels(
        run, arms, "ROC curves", "1 - specificity", "sensitivity", x_ticks=UNIT, y_ticks=UNIT
    )
    for axis in panels:
        axis.plot([0, 1], [0, 1], color=GREY, linewidth=0.7, linestyle=":")
    _draw(arms, panels, roc, "auc", "AUC", at=(0.98, 0.04))
    for axis, arm in zip(panels, arms, strict=True):
        axis.plot(
            1 - arm.metrics["specificity"][0], arm.metrics["sensitivity"][0],
            marker="x", color="black", markersize=5, markeredgewidth=1.3, linestyle="none",
        )  # fmt: skip
    return Drawing(
        "roc", "ROC curves",
        f"Solid: the model; dashed grey: size_only; cross: decisions at the run's thresholds, all "
        f"folds pooled. {_folds(arms, 'sensitivity at equal specificity', 'pairs')} {BAND}",
        f"ROC curves, one panel a model. AUC: {_listed(arms, 'auc')}.", figure,
    )  # fmt: skip


def precision_recall_figure(run: RunFolder, arms: Sequence[PlottedArm]) -> Drawing:
    """Precision against recall; the dotted line is the share of malignant ROIs."""
    figure, panels = arm_panels(
        run, arms, "Precision-recall curves", "recall (sensitivity)", "precision",
        x_ticks=UNIT, y_ticks=UNIT,
    )  # fmt: skip
    for axis, arm in zip(panels, arms, strict=True):
        axis.axhline(arm.cases.y_true.mean(), color=GREY, linewidth=0.7, linestyle=":")
    _draw(arms, panels, precision_recall, "average_precision", "AP", at=(0.06, 0.04))
    return Drawing(
        "precision_recall", "Precision-recall curves",
        "Solid: the model; dashed grey: size_only; dotted: the share of malignant ROIs, which is "
        "the precision of calling all. AP: average precision, the area. "
        f"{_folds(arms, 'precision at equal recall', 'malignant ROIs')} {BAND}",
        "Precision-recall curves, one panel a model. Average precision: "
        f"{_listed(arms, 'average_precision')}.", figure,
    )  # fmt: skip


def _draw(
    arms: Sequence[PlottedArm],
    panels: Sequence[Any],
    trace: Callable[[Cases, Floats], Curve],
    metric: str,
    short: str,
    at: tuple[float, float],
) -> None:
    curves = [trace(arm.cases, arm.draws) for arm in arms]
    size = size_only_arm(arms)
    for axis, arm, curve in zip(panels, arms, curves, strict=True):
        axis.fill_between(
            curve.band_x, curve.low, curve.high, color=arm.colour, alpha=0.22, linewidth=0
        )
        if size is not None and arm is not size:
            reference = curves[arms.index(size)]
            axis.plot(reference.x, reference.y, color=GREY, linestyle="--", linewidth=1)
        axis.plot(curve.x, curve.y, color=arm.colour)
        value, _, interval = arm.shown(metric).partition(" ")
        lines = f"{short} {value}\n{interval}\nn = {arm.cases.n_rois}"
        note(axis, lines, *at, ha="right" if at[0] > 0.5 else "left")
        axis.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")


def _folds(arms: Sequence[PlottedArm], what: str, weight: str) -> str:
    n = max(len(np.unique(arm.cases.fold)) for arm in arms)
    if n == 1:
        return "One split: each curve runs through every threshold."
    return (
        f"{n} splits, whose scores are never compared: the curve is the mean {what} over them, "
        f"each weighted by its {weight}, so that the area is the figure in the panel."
    )


def _listed(arms: Sequence[PlottedArm], metric: str) -> str:
    return "; ".join(f"{arm.label} {arm.shown(metric)}" for arm in arms)
