"""Loss and accuracy over epochs: the curves that the paper shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

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
    if run.history is None or run.history.empty:
        return None
    trained = list(run.history.groupby(["model", "features"], sort=False))
    figure = new_figure(run, "Training curves", 2.4 * len(trained) + 0.7)
    grid = figure.subplots(len(trained), 2, squeeze=False)
    told = []
    for axes, ((model, features), history) in zip(grid, trained, strict=True):
        for axis, (column, name) in zip(axes, _CURVES, strict=True):
            _draw(axis, history, column)
            axis.set(xlabel="epoch", ylabel=name, title=f"{model}:{features}")
        axes[0].legend()
        final = history[history.epoch == history.epoch.max()].mean(numeric_only=True)
        told.append(
            f"{model}:{features}, mean of the last epoch: training loss {decimal(final.loss)}, "
            f"training accuracy {decimal(final.accuracy)}"
        )
    return Drawing(
        "training", "Training curves",
        "Thin lines: each split; thick: their mean. Validation is on training patients held out "
        "inside the split, never on tested ones. Training accuracy is on augmented images.",
        f"Loss and accuracy over epochs. {'; '.join(told)}.", figure,
    )  # fmt: skip


def _draw(axis: Any, history: pd.DataFrame, column: str) -> None:
    curves = (
        (column, "training", MALIGNANT, "-"),
        (f"val_{column}", "validation", PALETTE[0], "--"),
    )
    for name, label, colour, style in curves:
        if name in history and history[name].notna().any():
            for _, split in history.groupby(["repeat", "fold"]):
                axis.plot(split.epoch, split[name], color=colour, linestyle=style, linewidth=0.5,
                          alpha=0.5)  # fmt: skip
            mean = history.groupby("epoch")[name].mean()
            axis.plot(mean.index, mean, color=colour, linestyle=style, linewidth=1.8, label=label)
