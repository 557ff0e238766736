"""A run's report as files: tables and figures in each format, and one page that has them all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

from benchmark.report.figures.canvas import Picture
from benchmark.report.gallery.build import Gallery, write_gallery
from benchmark.report.page.html import Section, render
from benchmark.report.tables.classification import classification_tables, metrics_table, paper_table
from benchmark.report.tables.latex import latex_document
from benchmark.report.tables.main import main_table
from benchmark.report.tables.multiverse import multiverse_tables
from benchmark.report.tables.pairwise import pairwise_table
from benchmark.report.tables.strata import strata_tables
from benchmark.report.tables.table import Table, as_csv, as_markdown
from benchmark.report.wording.checklists import checklist_tables
from benchmark.report.wording.facts import facts
from benchmark.report.wording.method_warnings import cautions
from benchmark.report.wording.model_cards import model_cards
from benchmark.run.folder import RunFolder
from benchmark.runtime.folders import folder_inside, write_bytes, write_text
from benchmark.runtime.workers import Workers

MakeGallery = Callable[[Callable[[], object]], Gallery | None]
"""Given what lets workers begin with other pictures, makes a gallery, or none."""

PAGE = "report.html"
"""In the run folder: everything in one file."""


@dataclass(frozen=True)
class Documents:
    """The tables of a report, by the document that they stand in."""

    report: list[Table]
    checklists: list[Table]
    model_cards: list[Table]


def make_documents(run: RunFolder) -> Documents:
    """All tables of a run; its warnings are looked for once, which takes longest."""
    warnings = cautions(run)
    known = facts(run, warnings)
    return Documents(
        report_tables(run, warnings),
        _marked(run, checklist_tables(known)),
        _marked(run, model_cards(run, known, warnings)),
    )


def report_tables(run: RunFolder, warnings: list[str] | None = None) -> list[Table]:
    """The main table, under the method's warnings, and the tables that belong to it."""
    tables = [
        first_table(run, warnings),
        pairwise_table(run),
        paper_table(run),
        *classification_tables(run),
        metrics_table(run),
        *multiverse_tables(run),
        *strata_tables(run),
    ]
    return _marked(run, tables)


def first_table(run: RunFolder, warnings: list[str] | None = None) -> Table:
    """The main table, under the method's warnings."""
    found = cautions(run) if warnings is None else warnings
    return replace(main_table(run), warnings=found)


def write_tables(run: RunFolder, formats: Sequence[str]) -> list[Path]:
    """Write the report, the checklists and the model cards into the run folder.

    Parameters
    ----------
    run : RunFolder
    formats : sequence of str
        Some of ``TABLE_FORMATS``.
    """
    return _write_tables(run, make_documents(run), formats)


def write_report(
    run: RunFolder,
    formats: Sequence[str],
    gallery: Gallery | MakeGallery | None = None,
    workers: Workers | None = None,
) -> list[Path]:
    """Write a run's report in the formats asked for, from what the run stored.

    Parameters
    ----------
    run : RunFolder
    formats : sequence of str
        Of ``FORMATS``: ``png``, ``svg`` and ``pdf`` are the figures; ``html`` has everything, the
        figures as PDF if ``pdf`` is asked for too.
    gallery : Gallery, callable or None
        Written too, as files of its own and into the page. What makes one, or none, is called
        with what lets the workers begin with the figures.
    workers : Workers or None
        They draw a figure each.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    ValueError
        For an unknown format.
    """
    check_formats(formats)
    kinds = [name for name in formats if name in FIGURE_FORMATS]
    of_page = ["svg"] if "html" in formats else []
    draw = cache(partial(_figures, run, [*kinds, *of_page], workers))
    shown = gallery(draw) if callable(gallery) else gallery
    documents = make_documents(run)
    written = _write_tables(run, documents, [name for name in formats if name in TABLE_FORMATS])
    drawn = list(draw())
    folder = folder_inside(run.path, "figures") if kinds else run.path
    for kind in kinds:
        for picture in drawn:
            written.append(folder / f"{picture.name}.{kind}")
            write_bytes(written[-1], picture.files[kind])
    if "html" in formats:
        page = render(run, _sections(documents), drawn, shown, with_pdf="pdf" in formats)
        written.append(run.path / PAGE)
        write_text(written[-1], page)
    return written if shown is None else written + write_gallery(shown, run)


def _figures(run: RunFolder, kinds: Sequence[str], workers: Workers | None) -> Iterable[Picture]:
    if not kinds:
        return ()
    from benchmark.report.figures.draw import pictures

    return pictures(run, list(dict.fromkeys(kinds)), workers)


def _sections(documents: Documents) -> list[Section]:
    return [
        Section("Results", documents.report[:3]),
        Section("Further tables", documents.report[3:]),
        Section("Model cards", documents.model_cards, folded=True),
        Section("Checklists", documents.checklists, folded=True),
    ]


def check_formats(formats: Sequence[str]) -> None:
    """Refuse an unknown format by its name."""
    for name in formats:
        if name not in FORMATS:
            raise ValueError(f"unknown format '{name}'. There are: {', '.join(FORMATS)}")


def _write_tables(run: RunFolder, documents: Documents, formats: Sequence[str]) -> list[Path]:
    written = []
    for name in formats:
        for document, tables in vars(documents).items():
            written.append(run.path / f"{document}.{name}")
            write_text(written[-1], TABLE_FORMATS[name](tables))
    return written


def _marked(run: RunFolder, tables: Sequence[Table]) -> list[Table]:
    """The tables, which say so where the run's intensities are synthetic."""
    return [replace(table, synthetic=run.synthetic) for table in tables]


def _markdown(tables: Sequence[Table]) -> str:
    return "\n".join(as_markdown(table, min(number, 2)) for number, table in enumerate(tables, 1))


def _csv(tables: Sequence[Table]) -> str:
    return "\n".join(map(as_csv, tables))


TABLE_FORMATS: dict[str, Callable[[Sequence[Table]], str]] = {
    "md": _markdown,
    "tex": latex_document,
    "csv": _csv,
}
FIGURE_FORMATS = ("png", "svg", "pdf")
FORMATS = (*TABLE_FORMATS, "html", *FIGURE_FORMATS)
