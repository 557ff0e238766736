"""Rows of a user's CSV, as spreadsheets and programs write it.

What is certain is read, and the rest is refused:

- The text is UTF-8, with or without a byte order mark, or UTF-16 with one.
- Columns are separated by commas, semicolons or tabs: by those under which the header has every
  column that is needed. A first line ``sep=;``, as Excel writes it, decides in their place. It is
  no row, as Excel does not show it.
- Values with separators, quotation marks or line breaks stand in double quotes.
- Blanks around names and values do not count, nor do capitals in the names that are read here. Two
  columns of one name are refused.
- A column without a name is left out where it is empty in every row, and refused elsewhere, row
  names of R and pandas included.
- Rows without any value are left out. A row may go on behind the header's last column where it has
  no value there; it may not be shorter.

Rows are counted as a spreadsheet does: a row whose values have line breaks is one, and so is a row
without values.
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.formats.files import read
from benchmark.formats.text import decode

if TYPE_CHECKING:
    from upath import UPath

Row = tuple[int, dict[str, str]]
"""The row's number, and its values by column."""

_MOST_BYTES = 1 << 26
_WHOLE = re.compile(r"0*(\d+)(\.0*)?", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_SHOWN = 5
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_DECLARED = re.compile(r'"?sep=([,;\t|])"?[,;\t|]*(?:\r\n?|\n)', re.IGNORECASE)
_SHOWN_NAMES = 20
_SHOWN_TEXT = 10_000
_MOST_CELLS = 5_000_000  # 64 MiB of separators would take gigabytes as rows
_MOST_STREAMED = 40_000_000  # as numbers, more than fit into as many bytes


@dataclass(frozen=True)
class Columns:
    """Columns that are read of a kind of table.

    Attributes
    ----------
    required : tuple of str
    one_of : tuple of str
        Of these, at least one is needed as well; empty where no such choice is left.
    others : frozenset of str
        Further columns whose names are read without regard to capitals.
    """

    required: tuple[str, ...]
    one_of: tuple[str, ...] = ()
    others: frozenset[str] = frozenset()

    def named(self, cell: str) -> str:
        """Name of the column whose header this is."""
        known = {*self.required, *self.one_of, *self.others}
        return cell.lower() if cell.lower() in known else cell

    def lacking(self, header: Sequence[str]) -> str:
        """The columns that a header lacks, in words; empty where it has all that are needed."""
        names = set(map(self.named, header))
        lacking = ", ".join(name for name in self.required if name not in names)
        if lacking or not self.one_of or names & set(self.one_of):
            return lacking
        return f"{' or '.join(self.one_of)}, one is needed"

    def found_in(self, header: Sequence[str]) -> int:
        """Number of the columns that a header has."""
        return len({*self.required, *self.one_of, *self.others} & set(map(self.named, header)))


def read_table(path: Path | UPath, columns: Columns) -> list[Row]:
    """Read the rows of a file that have values.

    Raises
    ------
    ValueError
        Where the file cannot be read, and as :func:`read_rows`.
    """
    return read_rows(_content(path), str(path), columns)


def stream_table(path: Path | UPath, columns: Columns) -> Iterator[Row]:
    """Read a wide file row by row, as :func:`read_table`; what a row held is not kept."""
    return _rows(_content(path), str(path), columns, most_cells=_MOST_STREAMED)


def digest(path: Path | UPath) -> str:
    """SHA-256 of a file that is read as a table; raises ValueError where it cannot be read."""
    return hashlib.sha256(_content(path)).hexdigest()


def _content(path: Path | UPath) -> bytes:
    try:
        return read(path, lambda _: _MOST_BYTES)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror or error})") from error


def read_rows(content: bytes, file: str, columns: Columns) -> list[Row]:
    """Read the rows of a table that have values.

    Parameters
    ----------
    content : bytes
    file : str
        Name of the file, with which messages begin.
    columns : Columns

    Raises
    ------
    ValueError
        Naming file, row, value and rule.
    """
    return list(_rows(content, file, columns, _MOST_CELLS))


def _rows(content: bytes, file: str, columns: Columns, most_cells: int) -> Iterator[Row]:
    try:
        text = decode(content, utf_16=True)
    except ValueError as error:
        raise ValueError(f"{file}: not a CSV in UTF-8 ({error})") from error
    declared = _DECLARED.match(text)
    if declared is not None:
        text = text[declared.end() :]
    with prefixed(file):
        separator = _separator(text, declared[1] if declared else "", columns)
        records = _records(text, separator, most_cells)
        names = _names(next(records)[1], columns)
        found = next(records, None)
        if found is None:
            raise ValueError("no rows; at least one ROI is needed")
    while found is not None:
        number, record = found
        yield number, _values(names, record, file, number)
        with prefixed(file):
            found = next(records, None)


def whole(text: str) -> str:
    """A whole number's usual form, as ``1`` for ``1.0``; anything else as it is."""
    found = _WHOLE.fullmatch(text)
    return found[1] if found else text


def number(text: str) -> float:
    """A finite number, written with a decimal point; NaN for anything else."""
    value = float(text) if _NUMBER.fullmatch(text) else math.nan
    return value if math.isfinite(value) else math.nan


def without_apostrophe(text: str) -> str:
    """The text without what ``splits.csv`` puts before what a spreadsheet would compute."""
    from benchmark.stored_table import no_formula  # with pandas, which lists do without

    return text[1:] if no_formula(text[1:]) == text else text


def few(named: Sequence[str]) -> str:
    """The first of several, for a message."""
    return ", ".join(named[:_SHOWN]) + (", ..." if len(named) > _SHOWN else "")


def shown(text: str) -> str:
    """A value for a message: in quotation marks, on one line, and not long."""
    return repr(text if len(text) <= 60 else f"{text[:57]}...")


@contextmanager
def prefixed(where: str) -> Iterator[None]:
    """Put the place before the message of a ValueError."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _records(
    text: str, separator: str, most_cells: int = _MOST_CELLS
) -> Iterator[tuple[int, list[str]]]:
    """Rows that have values, without blanks around them, and their numbers."""
    lines = _bounded(io.StringIO(text, newline=""), separator)
    reader = csv.reader(lines, delimiter=separator, strict=True, skipinitialspace=True)
    number = n_cells = 0
    try:
        for record in reader:
            number += 1
            n_cells += max(4, len(record))  # so much takes a row without any
            if n_cells > most_cells:
                raise ValueError(f"more than {most_cells} cells, with row {number}; divide it")
            values = [value.strip() for value in record]
            if any(values):
                yield number, values
    except csv.Error as error:
        raise ValueError(
            f"row {number + 1} cannot be read, with {_SEPARATORS[separator]} between columns "
            f"({error})"
        ) from error


def _bounded(lines: Iterable[str], separator: str) -> Iterator[str]:
    """Lines that are no more cells than a table may have."""
    for number, line in enumerate(lines, 1):
        if line.count(separator) >= _MOST_CELLS:
            raise ValueError(f"more than {_MOST_CELLS} cells in line {number}; divide it")
        yield line


def _separator(text: str, declared: str, columns: Columns) -> str:
    """The separator under which the header has every column that is needed."""
    headers = {}
    for separator in declared or ",;\t":
        try:
            headers[separator] = next(_records(text, separator), (1, []))
        except ValueError:  # its quotation marks go with another one
            headers[separator] = (1, [text[:_SHOWN_TEXT].splitlines()[0]])
    fitting = [s for s, (_, header) in headers.items() if not columns.lacking(header)]
    if len({tuple(headers[separator][1]) for separator in fitting}) == 1:  # a lone column has none
        return fitting[0]
    if fitting:
        raise ValueError(f"{' and '.join(_SEPARATORS[s] for s in fitting)} separate its columns")
    separator, (row, header) = max(headers.items(), key=lambda each: columns.found_in(each[1][1]))
    names = ", ".join(map(shown, header[:_SHOWN_NAMES])) or "nothing"
    more = f" and {len(header) - _SHOWN_NAMES} more" if len(header) > _SHOWN_NAMES else ""
    raise ValueError(
        f"no column {columns.lacking(header)}; row {row} is the header, which was read, with "
        f"{_SEPARATORS[separator]} between columns, as {names}{more}"
    )


def _names(header: Sequence[str], columns: Columns) -> list[str]:
    names = [columns.named(cell) for cell in header]
    places: dict[str, int] = {}
    for index, name in enumerate(names):
        first = places.setdefault(name, index)
        if name and first < index:
            raise ValueError(
                f"columns {first + 1} and {index + 1} of the header are {shown(header[first])} and "
                f"{shown(header[index])}; a name may stand there once"
            )
    return names


def _values(
    columns: Sequence[str], record: Sequence[str], file: str, number: int
) -> dict[str, str]:
    """The values of a row by column."""
    row = dict(zip(columns, record, strict=False))
    n_named = max(index for index, name in enumerate(columns, 1) if name)
    n_values = max(index for index, value in enumerate(record, 1) if value)
    with prefixed(f"{file} row {number} (roi_id {shown(row.get('roi_id', ''))})"):
        if len(record) < n_named or n_values > len(columns):
            found = len(record) if len(record) < n_named else n_values
            raise ValueError(
                f"{found} values, not {n_named} values as the header has; a value with a separator "
                "in it needs double quotes"
            )
        for index, (name, value) in enumerate(zip(columns, record, strict=False), 1):
            if value and not name:
                raise ValueError(
                    f"column {index} has no name and holds {shown(value)}; name it in the header, "
                    "or empty it (row names: row.names = FALSE in R, index=False in pandas)"
                )
    row.pop("", None)
    return row
