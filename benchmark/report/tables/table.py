"""The main table, and tables as Markdown and CSV; ``latex.py`` has LaTeX.

Every rounded number comes out of :func:`decimal`, :func:`p_value`, :func:`percent` or
:func:`duration`.
"""

from __future__ import annotations

import csv
import io
import math
import re
from dataclasses import dataclass, field

import pandas as pd

from benchmark.runtime.failures import one_line
from benchmark.stored_table import no_formula

_SUFFIX = " [SYNTHETIC INTENSITIES]"
SYNTHETIC = (
    "SYNTHETIC INTENSITIES: the voxel values of this dataset are simulated, not CT. "
    "The table shows that the suite works; it says nothing about lung nodules in CT."
)


@dataclass(frozen=True)
class Table:
    """A table ready to be set.

    Attributes
    ----------
    title : str
    header : tuple of str
    rows : list of tuple of str
    notes : list of str
        What a reader must know.
    warnings : list of str
        Of the method; they stand before everything else.
    widths : tuple of float
        Of a table of sentences, the columns' shares of the line; empty for figures.
    n_names : int
        Leading columns that are text; the others are figures, set flush right.
    dispensable : tuple of str
        Columns that a narrow terminal may leave out, in this order.
    synthetic : bool
        Whether the voxels it is about are simulated, which heading and remarks then say.
    """

    title: str
    header: tuple[str, ...]
    rows: list[tuple[str, ...]]
    notes: list[str]
    warnings: list[str] = field(default_factory=list)
    widths: tuple[float, ...] = ()
    n_names: int = 2
    dispensable: tuple[str, ...] = ()
    synthetic: bool = False

    @property
    def heading(self) -> str:
        """The title as it is shown."""
        return marked(self.title, self.synthetic)

    @property
    def remarks(self) -> list[str]:
        """The notes as they are shown: that intensities are synthetic comes first."""
        return [SYNTHETIC, *self.notes] if self.synthetic else self.notes

    @property
    def warned_of(self) -> list[str]:
        """What each warning is about: its words before the first colon that a blank follows."""
        return [warning.partition(": ")[0] for warning in self.warnings]

    @property
    def short_warnings(self) -> list[str]:
        """Beginnings of the warnings: what each is about, and its first figure."""
        return [_beginning(warning) for warning in self.warnings]


def _beginning(warning: str) -> str:
    topic, colon, figures = warning.partition(": ")
    first = re.split(r"; | \(", figures, maxsplit=1)[0]
    return topic + colon + first + (" ..." if first != figures else "")


def marked(title: str, synthetic: bool) -> str:
    """A title, which says so where the voxels it is about are simulated."""
    return title + _SUFFIX if synthetic else title


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
    lines = [f"{'#' * level} {escape_markdown(table.heading)}", ""]
    if table.synthetic:
        lines += [f"**{SYNTHETIC}**", ""]
    if table.warnings:
        lines += ["**Method warnings**", ""]
        lines += [*(f"- {escape_markdown(warning)}" for warning in table.warnings), ""]
    names = len(table.header) if table.widths else table.n_names
    figures = len(table.header) - names
    lines.append(f"| {' | '.join(map(escape_markdown, table.header))} |")
    lines.append(f"|{'|'.join(['---'] * names + ['---:'] * figures)}|")
    lines += [f"| {' | '.join(map(escape_markdown, row))} |" for row in table.rows]
    notes = [f"- {escape_markdown(note)}" for note in table.notes]
    lines += ["", *notes, ""] if notes else [""]
    return "\n".join(lines)


def as_csv(table: Table) -> str:
    """The rows as shown; title, notes and warnings follow as comment lines (#)."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    names = len(table.header) if table.widths else table.n_names
    writer.writerow(table.header)
    writer.writerows(
        [*(no_formula(one_line(cell)) for cell in row[:names]), *row[names:]] for row in table.rows
    )
    warnings = [f"Method warning: {warning}" for warning in table.warnings]
    lines = map(one_line, (table.heading, *table.remarks, *warnings))
    # A spreadsheet takes what follows a separator for a cell.
    out.writelines(f"# {re.sub('(?<=[,;])(?=[=+@-])', chr(39), line)}\n" for line in lines)
    return out.getvalue()


def sentence(text: str) -> str:
    """The text with a capital and a full stop."""
    text = text[0].upper() + text[1:]
    return text if text.endswith(".") else f"{text}."


def escape_markdown(text: str) -> str:
    """The text on one line, without marks, tags, entities and inline links of Markdown or HTML.

    A name that begins with @ would call somebody where a comment is made of it.
    """
    text = one_line(text).replace("@", "@\u200b")
    for character in "\\|*_<>`&":
        text = text.replace(character, f"\\{character}")
    return text.replace("](", "]\\(")
