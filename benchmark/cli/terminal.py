"""Progress and tables on a terminal, or as plain lines where output goes to a file.

Nothing outside this folder prints.
"""

from __future__ import annotations

import os
import textwrap
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich import box
from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichProgress
from rich.table import Table as RichTable
from rich.text import Text

from benchmark.runtime.failures import one_line
from benchmark.runtime.progress import Progress

if TYPE_CHECKING:  # at run time it would make commands without tables wait for pandas
    from benchmark.report.tables.table import Table

_WIDTH_IN_FILES = 190  # where no terminal says how wide a table may be
_SECONDS_BETWEEN_LINES = 30.0
_LONGEST_WORD = 24  # of a text column; what is longer may be broken
_GAP = 2


@contextmanager
def progress() -> Iterator[Progress]:
    """Show progress on stderr: bars, or a line every half minute, with the time left."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(console)
        return
    bars = _Bars(console)
    with bars.shown:
        yield bars


def show_table(table: Table) -> None:
    """Print a table and what must be known of it on stdout, its warnings in short.

    No figure breaks over lines. Where a line is too short for all columns, those that the table
    can do without are left out, which is said; then intervals stand below their values; and where
    that is too wide still, each row is a list.
    """
    console = _stdout()
    _say(console, table.heading, style="bold")
    console.print(_fitted(table, console.width))
    for note in table.remarks:
        _say(console, note)
    if table.warnings:
        _say(console, "Method warnings (the page and report.md have them in full):", "bold yellow")
        for warning in table.short_warnings:
            _say(console, f"- {warning}", style="yellow")


def show_sentence(text: str) -> None:
    """Print what a reader should take away."""
    _say(_stdout(), text, style="bold")


def _stdout() -> Console:
    console = Console()
    if console.is_terminal or "COLUMNS" in os.environ:
        return console
    return Console(width=_WIDTH_IN_FILES)


def _say(console: Console, text: str, style: str = "") -> None:
    console.print(Text(one_line(text), style=style))


@dataclass(frozen=True)
class _Column:
    """A column to be fitted into a line: its cells, and whether they are figures."""

    name: str
    cells: tuple[str, ...]
    figures: bool

    @property
    def heading(self) -> str:
        """The name, on several lines where it would widen the column."""
        if not self.figures:
            return self.name
        widest = max(map(_width, ("-", *self.cells, *self.name.split())))
        return textwrap.fill(self.name, widest, break_long_words=False, break_on_hyphens=False)

    @property
    def least(self) -> int:
        """Cells of a line that it needs."""
        widest = max(map(_width, (self.heading, *self.cells)))
        return widest if self.figures else min(widest, _LONGEST_WORD)

    def with_intervals_below(self) -> _Column:
        """The same, an interval in a line of its own."""
        below = (cell.replace(" [", "\n[") for cell in self.cells)
        return _Column(self.name, tuple(below), self.figures) if self.figures else self


def _width(text: str) -> int:
    return max(map(cell_len, text.split("\n")))


def _fitted(table: Table, width: int) -> RenderableType:
    columns, left_out = _columns(table), table.dispensable
    for number in range(len(left_out) + 1):
        kept = [column for column in columns if column.name not in left_out[:number]]
        if _least(kept) <= width:
            return _said(_grid(kept), left_out[:number])
    below = [column.with_intervals_below() for column in columns if column.name not in left_out]
    if _least(below) <= width:
        return _said(_grid(below), left_out)
    names = [column.name for column in columns]
    rows = zip(*(column.cells for column in columns), strict=True)
    lists = ("\n".join(map(": ".join, zip(names, row, strict=True))) for row in rows)
    return Text("\n\n".join(lists))


def _said(grid: RichTable, left_out: Sequence[str]) -> RenderableType:
    if not left_out:
        return grid
    return Group(grid, Text(f"Left out at this width: {', '.join(left_out)}."))


def _columns(table: Table) -> list[_Column]:
    """The columns; one with a cell of prose is no column of figures, wherever it stands."""
    found = []
    for index, name in enumerate(table.header):
        cells = tuple(one_line(row[index]) for row in table.rows)
        figures = index >= table.n_names and max(map(cell_len, cells), default=0) <= _LONGEST_WORD
        found.append(_Column(one_line(name), cells, figures))
    return found


def _least(columns: Sequence[_Column]) -> int:
    return sum(column.least for column in columns) + _GAP * (len(columns) - 1)


def _grid(columns: Sequence[_Column]) -> RichTable:
    grid = RichTable(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for column in columns:
        grid.add_column(
            Text(column.heading), justify="right" if column.figures else "left",
            overflow="fold", no_wrap=column.figures,
        )  # fmt: skip
    for cells in zip(*(column.cells for column in columns), strict=True):
        grid.add_row(*map(Text, cells))
    return grid


class _Bars:
    def __init__(self, console: Console) -> None:
        self.shown = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
        )
        self._tasks: dict[str, TaskID] = {}

    def update(self, task: str, done: float, total: float) -> None:
        if task not in self._tasks:
            self._tasks[task] = self.shown.add_task(task, total=total)
        self.shown.update(self._tasks[task], completed=done, total=total)


class _Lines:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._last = time.monotonic()
        self._begun: dict[str, float] = {}

    def update(self, task: str, done: float, total: float) -> None:
        now = time.monotonic()
        begun = self._begun.setdefault(task, now)
        if done >= total or now - self._last >= _SECONDS_BETWEEN_LINES:
            self._last = now
            line = f"{task}: {int(done)} of {int(total)}"
            if 0 < done < total:
                line += f", about {_time((now - begun) * (total - done) / done)} left"
            self._console.print(Text(line), soft_wrap=True)


def _time(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
