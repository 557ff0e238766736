"""Confusion matrices at the run's own thresholds, a panel an arm."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmark.report.figures.canvas import Drawing, PlottedArm, arm_panels
from benchmark.report.tables.classification import confusion_counts
from benchmark.report.tables.table import percent
from benchmark.run.folder import RunFolder

_NAMES = {0.0: "benign", 1.0: "malignant"}


def confusion_figure(run: RunFolder, arms: Sequence[PlottedArm]) -> Drawing:
    """Counts and, of each true class, shares; darker is more of the class."""
    figure, panels = arm_panels(
        run, arms, "Confusion matrices", "called", "label", x_ticks=_NAMES, y_ticks=_NAMES
    )
    told = []
    for axis, arm in zip(panels, arms, strict=True):
        tn, fp, fn, tp = confusion_counts(arm.cases)
        matrix = np.array([[tn, fp], [fn, tp]])
        shares = matrix / np.maximum(1, matrix.sum(axis=1, keepdims=True))
        axis.imshow(shares, cmap="Blues", vmin=0, vmax=1.3)
        for row in range(2):
            for column in range(2):
                axis.text(
                    column, row, f"{matrix[row, column]}\n{percent(shares[row, column])}",
                    ha="center", va="center", fontsize=8,
                    color="white" if shares[row, column] > 0.75 else "black",
                )  # fmt: skip
        axis.spines[:].set_visible(False)
        axis.tick_params(length=0)
        told.append(f"{arm.label} TN {tn}, FP {fp}, FN {fn}, TP {tp}")
    return Drawing(
        "confusion", "Confusion matrices",
        "Counts over all splits at each split's own threshold, and their share of the row; a ROI "
        "that is tested in several repeats counts once in each.",
        f"Confusion matrices, one panel a model: {'; '.join(told)}.", figure,
    )  # fmt: skip
