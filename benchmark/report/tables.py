"""The main table, and tables as Markdown and CSV; ``latex.py`` has LaTeX.

Every rounded number comes out of :func:`decimal`, :func:`p_value`, :func:`percent` or
:func:`duration`.
"""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from benchmark.comparisons import BASELINE, PATIENT_BOOTSTRAP
from benchmark.records import RunFolder

HEADLINE = ("accuracy", "sensitivity", "specificity", "auc")
"""Metrics of the main table; the others are in ``metrics.csv``."""

SYNTHETIC = (
    "SYNTHETIC INTENSITIES: the voxel values of this dataset are simulated, not CT. "
    "The table shows that the suite works; it says nothing about lung nodules in CT."
)
_SUSPICION = (
    "Labels made from readers' ratings are radiologists' suspicion, not pathology, and the "
    "readers who gave the ratings also drew the outlines."
)
_GIVEN = "Labels are the dataset's own; what they stand for is for its authors to say."


@dataclass(frozen=True)
class Table:
    """A table ready to be set.

    Attributes
    ----------
    title : str
    header : tuple of str
    rows : list of tuple of str
    notes : list of str
        What a reader must know; synthetic intensities come first.
    warnings : list of str
        Of the method; they stand before everything else.
    widths : tuple of float
        Of a table of sentences, the columns' shares of the line; empty for figures, whose first
        two columns are names.
    """

    title: str
    header: tuple[str, ...]
    rows: list[tuple[str, ...]]
    notes: list[str]
    warnings: list[str] = field(default_factory=list)
    widths: tuple[float, ...] = ()

    @property
    def n_names(self) -> int:
        """Leading columns that are text; the others are figures, set flush right."""
        return len(self.header) if self.widths else 2


def main_table(run: RunFolder) -> Table:
    """Model, features, n, the headline metrics with intervals, and times."""
    dataset, protocol = run.environment["dataset"], run.environment["protocol"]
    rows = []
    for model, features in dict.fromkeys(zip(run.metrics.model, run.metrics.features, strict=True)):
        by_name = arm_rows(run.metrics, model, features)
        cells = [by_name[name] for name in HEADLINE]
        rows.append(
            (
                model,
                features,
                str(cells[0].n_rois),
                *(with_interval(c.value, c.ci_low, c.ci_high) for c in cells),
                _shown_lift(run, model, features),
                duration(_total(run.timings, model, features, "fit")),
                duration(_total(run.timings, model, features, "predict")),
            )
        )
    shown = run.metrics[run.metrics.metric.isin(HEADLINE)]
    methods = "; ".join(shown.method.unique()) if len(shown) else "no arm finished"
    notes = [
        SYNTHETIC if run.synthetic else "",
        f"Dataset {dataset['name']}: {dataset['cohort']}.",
        protocol["label"],
        protocol["split"],
        protocol["threshold"],
        f"Brackets: 95 % interval, {methods}. n: ROIs tested. AUC - size: paired difference to "
        "size_only on the same resamples. Fit and predict: seconds in all, summed over the splits.",
        _cache_note(run.timings),
        label_note(run),
        _failure_note(run),
    ]
    suffix = " [SYNTHETIC INTENSITIES]" if run.synthetic else ""
    return Table(
        title=f"Lung nodule benchmark: {dataset['name']}{suffix}",
        header=(
            "model", "features", "n", "accuracy", "sensitivity", "specificity", "AUC",
            "AUC - size", "fit s", "predict s",
        ),
        rows=rows,
        notes=[sentence(note) for note in notes if note],
    )  # fmt: skip


def with_interval(value: float, low: float, high: float, *, sign: bool = False) -> str:
    """``0.903 [0.880, 0.925]``: three decimals, signed if asked; a dash where there is none."""
    shown, *ends = (decimal(number, sign) for number in (value, low, high))
    return shown if math.isnan(low) else f"{shown} [{', '.join(ends)}]"


def with_range(values: pd.Series[float], *, sign: bool = False) -> str:
    """Median and, in brackets, the lowest and the highest; a dash where all are undefined."""
    return with_interval(values.median(), values.min(), values.max(), sign=sign)


def decimal(value: float, sign: bool = False) -> str:
    """``0.903``: three decimals, signed if asked; a dash for NaN."""
    if math.isnan(value):
        return "-"
    return f"{value:+.3f}" if sign else f"{value:.3f}"


def percent(share: float) -> str:
    """``51 %``."""
    return f"{100 * share:.0f} %"


def p_value(p: float) -> str:
    """Three decimals; ``< 0.001`` below."""
    return "< 0.001" if p < 0.001 else decimal(p)


def duration(seconds: float) -> str:
    """Seconds to two significant digits, whole from 10 on."""
    if math.isnan(seconds):
        return "-"
    return f"{seconds:.0f}" if seconds >= 10 else f"{seconds:.2g}"


def as_markdown(table: Table, level: int = 1) -> str:
    """A pipe table under a heading of a level, warnings before it, the notes as a list."""
    lines = [f"{'#' * level} {escape_markdown(table.title)}", ""]
    if table.notes and table.notes[0] == SYNTHETIC:
        lines += [f"**{SYNTHETIC}**", ""]
    if table.warnings:
        lines += ["**Method warnings**", ""]
        lines += [*(f"- {escape_markdown(warning)}" for warning in table.warnings), ""]
    names, figures = table.n_names, len(table.header) - table.n_names
    lines.append(f"| {' | '.join(map(escape_markdown, table.header))} |")
    lines.append(f"|{'|'.join(['---'] * names + ['---:'] * figures)}|")
    lines += [f"| {' | '.join(map(escape_markdown, row))} |" for row in table.rows]
    notes = [f"- {escape_markdown(n)}" for n in table.notes if n != SYNTHETIC]
    lines += ["", *notes, ""] if notes else [""]
    return "\n".join(lines)


def as_csv(table: Table) -> str:
    """The rows as shown; title, notes and warnings follow as comment lines (#)."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(table.header)
    writer.writerows(table.rows)
    warnings = [f"Method warning: {warning}" for warning in table.warnings]
    out.writelines(f"# {line}\n" for line in (table.title, *table.notes, *warnings))
    return out.getvalue()


def _total(timings: pd.DataFrame, model: str, features: str, stage: str) -> float:
    chosen = timings[
        (timings.model == model) & (timings.features == features) & (timings.stage == stage)
    ]
    return float(chosen.seconds.sum()) if len(chosen) else math.nan


def _cache_note(timings: pd.DataFrame) -> str:
    """Which models' times were measured by an earlier run."""
    recalled = timings[(timings.n_cached > 0) & (timings.stage == "fit")]
    models = list(dict.fromkeys(recalled.model.astype(str)))
    if not models:
        return ""
    return (
        f"Not fitted again, having been in the cache: {', '.join(models)}; their times are those "
        "of the run that fitted them, on the same kind of processor"
    )


def arm_rows(metrics: pd.DataFrame, model: str, features: str) -> dict[str, Any]:
    """An arm's rows of ``metrics.csv`` by the metric's name."""
    arm = metrics[(metrics.model == model) & (metrics.features == features)]
    return {str(row.metric): row for row in arm.itertuples()}


def label_note(run: RunFolder) -> str:
    """What the labels stand for."""
    given = "as given by the dataset" in run.environment["protocol"]["label"]
    return _GIVEN if given else _SUSPICION


@dataclass(frozen=True)
class Lift:
    """AUC less that of ``size_only``: paired difference, 95 % interval, Holm's p."""

    difference: float
    low: float
    high: float
    p_holm: float


def lift_over_size(comparisons: pd.DataFrame, model: str, features: str) -> Lift | None:
    """None for ``size_only`` itself and where there is no such row."""
    row = comparisons[
        (comparisons.model_a == model)
        & (comparisons.features_a == features)
        & (comparisons.model_b == BASELINE)
        & (comparisons.metric == "auc")
        & (comparisons.test == PATIENT_BOOTSTRAP)
    ]
    if len(row) != 1:
        return None
    found = row.iloc[0]
    return Lift(*(float(found[name]) for name in ("difference", "ci_low", "ci_high", "p_holm")))


def _shown_lift(run: RunFolder, model: str, features: str) -> str:
    lift = lift_over_size(run.comparisons, model, features)
    if lift is None:
        return "-"
    return with_interval(lift.difference, lift.low, lift.high, sign=True)


def _failure_note(run: RunFolder) -> str:
    failed = sum(f.status == "failed" for f in run.failures)
    skipped = [f for f in run.failures if f.status == "skipped"]
    parts = [f"{failed} failures are recorded in failures.json"] if failed else []
    parts += [f"{f.features or f.stage} skipped: {f.reason}" for f in skipped]
    return "; ".join(parts)


def sentence(text: str) -> str:
    """The text with a capital and a full stop."""
    text = text[0].upper() + text[1:]
    return text if text.endswith(".") else f"{text}."


def escape_markdown(text: str) -> str:
    """The text on one line, without marks, tags, entities and inline links of Markdown or HTML."""
    text = " ".join(text.split())
    for character in "\\|*_<>`&":
        text = text.replace(character, f"\\{character}")
    return text.replace("](", "]\\(")
