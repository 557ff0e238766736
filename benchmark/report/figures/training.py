"""Loss and accuracy over epochs: the curves that the paper shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from benchmark.columns import by_arm
from benchmark.report.figures.canvas import (
    MALIGNANT,
    PALETTE,
    Drawing,
    PlottedArm,
    new_figure,
)
from benchmark.report.tables.table import decimal
from benchmark.run.folder import RunFolder

_CURVES = (("loss", "loss (cross-entropy)"), ("accuracy", "accuracy"))


def training_figure(run: RunFolder, arms: Sequence[PlottedArm]) -> Drawing | None:
    """One row an arm that trains in epochs; None where none does."""
    del arms  # what was trained stands in history.csv
    if run.epochs is None or run.epochs.empty:
        return None
    trained = by_arm(run.epochs)
    figure = new_figure(run, "Training curves", 2.4 * len(trained) + 0.7)
    grid = figure.subplots(len(trained), 2, squeeze=False)
    told = []
    for axes, (arm, epochs) in zip(grid, trained.items(), strict=True):
        for axis, (column, name) in zip(axes, _CURVES, strict=True):
            _draw(axis, epochs, column)
            axis.set(xlabel="epoch", ylabel=name, title=arm)
        axes[0].legend()
        final = epochs[epochs.epoch == epochs.epoch.max()].mean(numeric_only=True)
        told.append(
            f"{arm}, mean of the last epoch: training loss {decimal(final.loss)}, "
            f"training accuracy {decimal(final.accuracy)}"
        )
    return Drawing(
        "training", "Training curves",
        "Thin lines: each split; thick: their mean. Validation is on training patients held out "
        "inside the split, never on tested ones. Training accuracy is on augmented images.",
        f"Loss and accuracy over epochs. {'; '.join(told)}.", figure,
    )  # fmt: skip


def _draw(axis: Any, epochs: pd.DataFrame, column: str) -> None:
    curves = (
        (column, "training", MALIGNANT, "-"),
        (f"val_{column}", "validation", PALETTE[0], "--"),
    )
    for name, label, colour, style in curves:
        if name in epochs and epochs[name].notna().any():
            for _, split in epochs.groupby(["repeat", "fold"]):
                axis.plot(split.epoch, split[name], color=colour, linestyle=style, linewidth=0.5,
                          alpha=0.5)  # fmt: skip
            mean = epochs.groupby("epoch")[name].mean()
            axis.plot(mean.index, mean, color=colour, linestyle=style, linewidth=1.8, label=label)
