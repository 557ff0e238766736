"""The main table: every arm with its headline metrics, its lift over size and its times."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from benchmark.plugins.arms import Arm
from benchmark.report.tables.labels import label_note
from benchmark.report.tables.pairwise import verdict
from benchmark.report.tables.table import Table, duration, sentence, with_interval
from benchmark.run.folder import RunFolder
from benchmark.statistics.comparisons import SIZE_ONLY
from benchmark.statistics.pairs import PATIENT_BOOTSTRAP
from benchmark.statistics.scoring import WIDENED, WITHHELD

HEADLINE = ("accuracy", "sensitivity", "specificity", "auc")
"""Metrics of the main table; the others are in ``metrics.csv``."""


def main_table(run: RunFolder) -> Table:
    """Model, features, n, the headline metrics with intervals, and times."""
    dataset, protocol = run.environment["dataset"], run.environment["protocol"]
    rows = []
    for arm in run.arms:
        by_name = arm_rows(run.metrics, arm)
        cells = [by_name[name] for name in HEADLINE]
        rows.append(
            (
                arm.label,
                arm.features,
                arm.supervision,
                str(cells[0].n_rois),
                *(with_interval(c.value, c.ci_low, c.ci_high) for c in cells),
                _shown_lift(run, arm),
                duration(_total(run.timings, arm, "fit")),
                duration(_total(run.timings, arm, "predict")),
            )
        )
    shown = run.metrics[run.metrics.metric.isin(HEADLINE)]
    methods = interval_methods(shown) if len(shown) else "no arm finished"
    notes = [
        f"Dataset {dataset['name']}: {dataset['cohort']}.",
        protocol["label"],
        protocol["split"],
        protocol["threshold"],
        f"Brackets: 95 % interval, {methods}. n: ROIs tested. AUC - size: paired difference to "
        "size_only on the same resamples. Fit and predict: seconds in all, summed over the splits.",
        *exceptions(shown),
        _named_note(run),
        _cache_note(run.timings),
        label_note(run),
        _failure_note(run),
    ]
    return Table(
        title=f"Lung nodule benchmark: {dataset['name']}",
        header=(
            "model", "features", "supervision", "n", "accuracy", "sensitivity", "specificity",
            "AUC", "AUC - size", "fit s", "predict s",
        ),
        rows=rows,
        notes=[sentence(note) for note in notes if note],
        n_names=3,
        dispensable=(
            "predict s", "fit s", "accuracy", "specificity", "sensitivity", "supervision",
        ),
        synthetic=run.synthetic,
    )  # fmt: skip


def interval_methods(metrics: pd.DataFrame) -> str:
    """What the intervals of rows of ``metrics.csv`` are made of, less :func:`exceptions`."""
    return "; ".join(metrics.method[~_is_exception(metrics)].unique()) or "none is given"


def exceptions(metrics: pd.DataFrame) -> list[str]:
    """A note on each reason why intervals are withheld or widened, with the cells."""
    told = metrics[_is_exception(metrics)]
    cells = told.arm + " " + told.metric.str.replace("_", " ")
    return [f"{why} ({'; '.join(named)})" for why, named in cells.groupby(told.method, sort=False)]


def _is_exception(metrics: pd.DataFrame) -> pd.Series[bool]:
    return metrics.method.str.startswith((WITHHELD, WIDENED))


def _total(timings: pd.DataFrame, arm: Arm, stage: str) -> float:
    chosen = timings[(timings.arm == arm.name) & (timings.stage == stage)]
    return float(chosen.seconds.sum()) if len(chosen) else math.nan


def _named_note(run: RunFolder) -> str:
    """Note on arms with a name of their own: model and settings."""
    told = []
    for entry in run.config["arms"]:
        if not isinstance(entry, str):
            settings = ", ".join(f"{key} = {value}" for key, value in entry["settings"].items())
            told.append(
                f"{entry['name']} is {entry['model']}{f' with {settings}' * bool(settings)}"
            )
    return "; ".join(told)


def _cache_note(timings: pd.DataFrame) -> str:
    """Note on models whose times were measured by an earlier run."""
    recalled = timings[(timings.n_cached > 0) & (timings.stage == "fit")]
    models = list(dict.fromkeys(recalled.model.astype(str)))
    if not models:
        return ""
    return (
        f"Not fitted again, having been in the cache: {', '.join(models)}; their times are those "
        "of the run that fitted them, on the same kind of processor"
    )


def arm_rows(metrics: pd.DataFrame, arm: Arm) -> dict[str, Any]:
    """An arm's rows of ``metrics.csv`` by the metric's name."""
    own = metrics[metrics.arm == arm.name]
    return {str(row.metric): row for row in own.itertuples()}


@dataclass(frozen=True)
class Lift:
    """AUC less that of ``size_only``: paired difference, 95 % interval, Holm's p over the lifts."""

    difference: float
    low: float
    high: float
    p_holm_size: float

    @property
    def verdict(self) -> int:
        """1 where the arm is shown to rank better than size alone, -1 worse, else 0."""
        return verdict(self.difference, self.low, self.high, self.p_holm_size)


def size_arm(arms: Iterable[Arm]) -> Arm | None:
    """The arm of size that the others' lift is over, the first; None where there is none."""
    return next((arm for arm in arms if arm.model == SIZE_ONLY), None)


def lift_over_size(comparisons: pd.DataFrame, arm: Arm) -> Lift | None:
    """Lift of an arm over the first ``size_only``; None for that one and where there is none."""
    row = comparisons[
        (comparisons.arm_a == arm.name)
        & (comparisons.model_b == SIZE_ONLY)
        & (comparisons.metric == "auc")
        & (comparisons.test == PATIENT_BOOTSTRAP)
    ]
    if len(row) != 1:
        return None
    found = row.iloc[0]
    return Lift(
        *(float(found[name]) for name in ("difference", "ci_low", "ci_high", "p_holm_size"))
    )


def _shown_lift(run: RunFolder, arm: Arm) -> str:
    lift = lift_over_size(run.comparisons, arm)
    if lift is None:
        return "-"
    return with_interval(lift.difference, lift.low, lift.high, sign=True)


def _failure_note(run: RunFolder) -> str:
    failed = sum(f.status == "failed" for f in run.failures)
    skipped = [f for f in run.failures if f.status == "skipped"]
    parts = [f"{failed} failures are recorded in failures.json"] if failed else []
    parts += [f"{f.features or f.stage} skipped: {f.reason}" for f in skipped]
    return "; ".join(parts)
