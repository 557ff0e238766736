"""Progress and tables on a terminal, or as plain lines where output goes to a file.

Nothing outside this folder prints.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
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


@contextmanager
def progress() -> Iterator[Progress]:
    """Show progress on stderr: bars with the time left, or a line every half minute."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(console)
        return
    bars = _Bars(console)
    with bars.shown:
        yield bars


def show_table(table: Table) -> None:
    """Print a table and its notes on stdout."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH_IN_FILES)
    shown = RichTable(title=Text(one_line(table.heading)))
    for index, name in enumerate(table.header):
        shown.add_column(Text(name), justify="left" if index < 2 else "right", overflow="fold")
    for row in table.rows:
        shown.add_row(*(Text(one_line(cell)) for cell in row))
    console.print(shown)
    for warning in table.warnings:
        console.print(Text(f"Method warning: {one_line(warning)}", style="bold yellow"))
    for note in table.remarks:
        console.print(Text(one_line(note)))


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

    def update(self, task: str, done: float, total: float) -> None:
        now = time.monotonic()
        if done >= total or now - self._last >= _SECONDS_BETWEEN_LINES:
            self._last = now
            self._console.print(Text(f"{task}: {done:g} of {total:g}"), soft_wrap=True)
