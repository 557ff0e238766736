"""Runs side by side as files: a table in each format, and a figure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmark.report.document import FIGURE_FORMATS, TABLE_FORMATS, check_formats
from benchmark.report.figures.canvas import style
from benchmark.report.figures.forest import side_by_side_figure
from benchmark.report.tables.side_by_side import Runs, side_by_side_tables
from benchmark.run.folder import RunFolder, read_run
from benchmark.runtime.folders import write_bytes, write_text

NAME = "side_by_side"
"""File name without its ending."""


def read_runs(paths: Sequence[Path]) -> dict[str, RunFolder]:
    """Open run folders, each called by the end of its path that no other has.

    Raises
    ------
    ValueError
        Where a folder is none of a run, or named twice.
    """
    places = [path.resolve() for path in paths]
    for place in places:
        if places.count(place) > 1:
            raise ValueError(f"'{place}' is named twice; name each run once")
    length = 1
    while len({_end(place, length) for place in places}) < len(places):
        length += 1
    return {_end(place, length): read_run(place) for place in places}


def _end(path: Path, length: int) -> str:
    return "/".join(path.parts[-length:])


def write_side_by_side(runs: Runs, folder: Path, formats: Sequence[str]) -> list[str]:
    """Write tables and figure into a folder.

    Parameters
    ----------
    runs : mapping of str to RunFolder
    folder : Path
    formats : sequence of str
        Of ``TABLE_FORMATS`` and ``FIGURE_FORMATS``; ``html`` is passed over, as the page is of
        one run.

    Returns
    -------
    list of str
        The files' names.
    """
    check_formats(formats)
    tables = side_by_side_tables(runs)
    for kind in (kind for kind in formats if kind in TABLE_FORMATS):
        write_text(folder / f"{NAME}.{kind}", TABLE_FORMATS[kind](tables))
    figures = [kind for kind in formats if kind in FIGURE_FORMATS]
    if figures:
        with style():
            drawing = side_by_side_figure(runs)
        for kind, content in drawing.picture(figures).files.items():
            write_bytes(folder / f"{NAME}.{kind}", content)
    return [f"{NAME}.{kind}" for kind in formats if kind != "html"]
