"""Rank and AUC of every arm in every universe, above the choices that make the universe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from benchmark.report.figures.canvas import Drawing, PlottedArm, new_figure
from benchmark.report.tables.multiverse import FACTORS
from benchmark.run.folder import RunFolder
from benchmark.run.multiverse import TRAINED
from benchmark.statistics.comparisons import SIZE_ONLY


def multiverse_figure(run: RunFolder, arms: Sequence[PlottedArm]) -> Drawing | None:
    """A specification curve; None for a run without ``--multiverse``."""
    if run.multiverse is None or run.multiverse.empty:
        return None
    table = run.multiverse[run.multiverse.models == TRAINED]
    order = _order(table)
    choices = _choices(table)
    figure = new_figure(run, "Multiverse: AUC and rank in every protocol",
                        4.6 + 0.16 * len(choices), below=f"; {len(order)} universes")  # fmt: skip
    top, middle, bottom = figure.subplots(
        3, 1, sharex=True, height_ratios=[2.2, 1.8, max(0.6, 0.17 * len(choices))]
    )
    for arm in arms:
        own = table[table.arm == arm.label]
        own = own.set_index("universe").reindex(order)
        x = np.arange(len(order))
        style = {"color": arm.colour, "marker": arm.marker, "markersize": 3.5}
        top.vlines(x, own.ci_low, own.ci_high, color=arm.colour, linewidth=0.4, alpha=0.5)
        top.plot(x, own.auc, linewidth=0.8, label=arm.label, **style)
        middle.plot(x, own["rank"], linewidth=1, **style)
    _mark(bottom, table, order, choices)
    own_universe = table[table.own].universe.unique()
    for number in own_universe:
        for axis in (top, middle, bottom):
            axis.axvspan(
                order.index(number) - 0.5, order.index(number) + 0.5, color="0.9", zorder=0
            )
    top.set_ylabel("AUC")
    middle.set(ylabel="rank by AUC", yticks=range(1, len(arms) + 1))
    middle.invert_yaxis()
    bottom.set_xlabel(f"universe, ordered by the AUC of {_sorted_by(table)}")
    figure.legend(*top.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    firsts = table.loc[table["rank"] == 1, "arm"].tolist()
    told = "; ".join(f"{arm} in {firsts.count(arm)}" for arm in dict.fromkeys(firsts))
    return Drawing(
        "multiverse", "Multiverse",
        "Every universe is one choice of label rule and split (black dots); shaded: the run's own. "
        "Rank 1 has the highest AUC, arms that tie share it. Thin bars: 95 % intervals. Universes "
        "share nodules and are no independent replications.",
        f"AUC and rank of every model in {len(order)} universes. Ranked first: {told}.", figure,
    )  # fmt: skip


def _sorted_by(table: pd.DataFrame) -> str:
    return SIZE_ONLY if SIZE_ONLY in set(table.model) else str(table.model.iloc[0])


def _order(table: pd.DataFrame) -> list[int]:
    of = table[table.model == _sorted_by(table)].sort_values("auc").universe
    return list(dict.fromkeys([*of, *table.universe]))


def _choices(table: pd.DataFrame) -> list[tuple[str, Any]]:
    """Levels of the factors that vary, from the top down."""
    return [
        (factor, level)
        for factor in FACTORS
        if len(levels := list(dict.fromkeys(table[factor]))) > 1
        for level in levels
    ]


def _mark(axis: Any, table: pd.DataFrame, order: Sequence[int], choices: Sequence[Any]) -> None:
    of = table.drop_duplicates("universe").set_index("universe").loc[list(order)]
    for row, (factor, level) in enumerate(choices):
        chosen = (of[factor] == level).to_numpy()
        x = np.arange(len(order))
        axis.scatter(x, np.full(len(x), row), s=4, color="0.85", linewidth=0)
        axis.scatter(x[chosen], np.full(chosen.sum(), row), s=10, color="black", linewidth=0)
    names = [f"{FACTORS[factor]}: {level}" for factor, level in choices]
    axis.set(yticks=range(len(choices)), yticklabels=names, ylim=(len(choices) - 0.5, -0.5))
    axis.set_xticks([])
    axis.tick_params(labelsize=6.5, length=0)
