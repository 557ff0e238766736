"""Tables of the multiverse: how far AUC, lift and rank move, and what moves them."""

from __future__ import annotations

import pandas as pd

from benchmark.columns import by_arm
from benchmark.plugins.arms import arms_in
from benchmark.report.tables.table import Table, decimal, with_range
from benchmark.run.folder import RunFolder
from benchmark.run.multiverse import RESCORED, TRAINED

FACTORS = {
    "aggregation": "aggregation",
    "min_readers": "min readers",
    "indeterminate": "3 as",
    "scheme": "split",
    "group": "by",
}


def multiverse_tables(run: RunFolder) -> list[Table]:
    """Tables of the multiverse; none for a run without ``--multiverse``."""
    if run.multiverse is None or run.multiverse.empty:
        return []
    trained = run.multiverse[run.multiverse.models == TRAINED]
    rescored = run.multiverse[run.multiverse.models == RESCORED]
    tables = [_summary(trained), _by_level(trained), _by_universe(trained, "trained in each")]
    if len(rescored):
        own = trained[trained.own]
        tables.append(_by_universe(pd.concat([own, rescored]), "the run's own models, re-scored"))
    return tables


def _summary(trained: pd.DataFrame) -> Table:
    rows: list[tuple[str, ...]] = []
    universes = by_arm(trained)
    for named in arms_in(trained):
        arm = universes[named.name]
        shown = arm.lift_low > 0
        lifted = "-" if arm.lift.isna().all() else f"{int(shown.sum())} of {len(arm)}"
        rows.append(
            (
                named.label,
                named.features,
                str(len(arm)),
                with_range(arm.auc),
                with_range(arm.lift, sign=True),
                lifted,
                f"{arm['rank'].min():g} to {arm['rank'].max():g}",
                f"{int((arm['rank'] == 1).sum())} of {len(arm)}",
            )
        )
    return Table(
        f"Multiverse: {trained.universe.nunique()} defensible protocols",
        (
            "model", "features", "universes", "AUC", "AUC - size", "lift shown", "ranks", "first",
        ),
        rows,
        [
            "AUC and AUC - size: median and, in brackets, lowest and highest over the universes; "
            "these are not intervals. Lift shown: universes in which the 95 % interval of AUC - "
            "size lies above zero, uncorrected for their number. Universes share nodules and are "
            "no independent replications.",
        ],
    )  # fmt: skip


def _by_level(trained: pd.DataFrame) -> Table:
    """Mean AUC over the universes of each level of each factor."""
    arms, rows = _arms(trained), []
    for factor, name in FACTORS.items():
        levels = sorted(set(trained[factor]), key=str)
        if len(levels) > 1:
            for level in levels:
                of_level = trained[trained[factor] == level]
                means = of_level.groupby("arm").auc.mean()
                cells = (decimal(means.get(arm, float("nan"))) for arm in arms)
                rows.append((name, str(level), str(of_level.universe.nunique()), *cells))
    header = ("factor", "level", "universes", *arms)
    return Table("Multiverse: mean AUC by choice", header, rows, [])


def _by_universe(table: pd.DataFrame, models: str) -> Table:
    arms, rows = _arms(table), []
    for number, universe in table.groupby("universe", sort=True):
        first = universe.iloc[0]
        auc = universe.set_index("arm").auc
        rows.append(
            (
                f"{number}{' (this run)' if first.own else ''}",
                *(str(first[factor]) for factor in FACTORS),
                f"{universe.n_rois.max()} ({universe.n_malignant.max()})",
                *(decimal(auc.get(arm, float("nan"))) for arm in arms),
            )
        )
    header = ("universe", *FACTORS.values(), "n tested (malignant)", *arms)
    return Table(f"Multiverse: AUC by universe, {models}", header, rows, [])


def _arms(table: pd.DataFrame) -> list[str]:
    return list(by_arm(table))
