"""A run's report as files: its tables, one after the other, in each format."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from benchmark.records import RunFolder
from benchmark.report.cautions import cautions
from benchmark.report.multiverse import multiverse_tables
from benchmark.report.strata import strata_tables
from benchmark.report.tables import Table, as_csv, as_latex, as_markdown, main_table


def report_tables(run: RunFolder) -> list[Table]:
    """The main table, under the method's warnings, and the tables that belong to it."""
    main = replace(main_table(run), warnings=cautions(run))
    return [main, *multiverse_tables(run), *strata_tables(run)]


def write_tables(run: RunFolder, formats: Sequence[str]) -> list[Path]:
    """Write ``report.md`` and the like into the run folder.

    Raises
    ------
    ValueError
        For an unknown format.
    """
    for name in formats:
        if name not in FORMATS:
            raise ValueError(f"unknown format '{name}'. There are: {', '.join(FORMATS)}")
    tables = report_tables(run)
    written = []
    for name in formats:
        path = run.path / f"report.{name}"
        path.write_text(FORMATS[name](tables), encoding="utf-8")
        written.append(path)
    return written


def _markdown(tables: Sequence[Table]) -> str:
    return "\n".join(as_markdown(table, min(number, 2)) for number, table in enumerate(tables, 1))


def _latex(tables: Sequence[Table]) -> str:
    return "\n".join(map(as_latex, tables))


def _csv(tables: Sequence[Table]) -> str:
    return "\n".join(map(as_csv, tables))


FORMATS: dict[str, Callable[[Sequence[Table]], str]] = {
    "md": _markdown,
    "tex": _latex,
    "csv": _csv,
}
