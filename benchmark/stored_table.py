"""A stored table: a file of typed columns, written, and checked whenever it is read.

A run folder may be a stranger's, or damaged: what leaves this module has every declared column,
of its type, within its bounds, and each row once.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from benchmark.roi import LABEL_SOURCES
from benchmark.runtime.folders import write_bytes, write_text

TEXT, WHOLE, REAL, FLAG = "str", "int64", "float64", "bool"
INTENSITIES = "intensities"
IDS = ("roi_id", "patient_id", "roi_a", "roi_b")
"""Columns of any table that name a ROI or a patient."""

_WHEN_MISSING = {
    "supervision": "labels", "n_cached": 0, "method": "", "margin_mm": math.nan,
    "obliquity_deg": 0.0, "doubt": "", "label_source": "",
}  # fmt: skip
"""Values of columns that tables of older runs lack."""

_LIKE = {"p_holm_size": "p_holm"}
"""Columns that tables of older runs lack, and those whose values stand in: a p that is corrected
for more comparisons is never smaller."""

_NAMES = {WHOLE: "a whole number", REAL: "a number", FLAG: "True or False"}
_MANY = 10**9
_BOUNDS = {
    **dict.fromkeys(
        ("y_true", "y_prob", "p", "p_holm", "p_holm_size", "probability", "auc"), (0, 1)
    ),
    **dict.fromkeys(("repeat", "fold"), (-1, _MANY)),
    **dict.fromkeys(("n_rois", "n_patients", "n_malignant", "n_cached", "universe"), (0, _MANY)),
    **dict.fromkeys(("seconds", "equivalent_diameter_mm", "slice_thickness_mm"), (0, _MANY)),
    **dict.fromkeys(("rank", "n_splits"), (1, _MANY)),
}
"""Lowest and highest value of columns of any table; NaN where a figure is undefined."""

_ESCAPED = r"^'('*[=+@\t\r-].)"
"""What :func:`no_formula` put an apostrophe before."""

_ALWAYS_KNOWN = ("y_prob", "threshold", "seconds", "similarity")
_LARGEST = 2**62
_MOST_CELLS = 100_000_000
"""A Parquet file of a few bytes can say that it has more, and fill the memory."""


@dataclass(frozen=True)
class StoredTable:
    """One table of a run folder.

    Attributes
    ----------
    name : str
        Name of the file, without its ending.
    types : mapping of str to str
        Column -> type, in order, less the last column, ``intensities``.
    open : bool
        True where a table may have further columns of numbers (losses and metrics of epochs).
    parquet : bool
        True for Parquet, False for CSV.
    key : tuple of str
        Columns that name a row; no two rows have the same values there. Empty: any rows.
    mixed : bool
        True where rows may be of several runs, on simulated and on acquired voxels.
    """

    name: str
    types: Mapping[str, str]
    open: bool = False
    parquet: bool = False
    key: tuple[str, ...] = ()
    mixed: bool = False

    def __hash__(self) -> int:
        return hash(self.file)

    @property
    def file(self) -> str:
        """The file's name in a run folder."""
        return f"{self.name}.{'parquet' if self.parquet else 'csv'}"

    @property
    def columns(self) -> list[str]:
        """Names of the declared columns, in order."""
        return list(self.types)

    def frame(self, rows: Iterable[Any] = ()) -> pd.DataFrame:
        """A typed table made from rows: tuples in the order of the columns, or dicts."""
        listed = list(rows)
        columns = None if self.open and listed else self.columns
        table = pd.DataFrame(listed, columns=columns)
        return table.astype({c: kind for c, kind in self.types.items() if kind != TEXT})

    def write(self, table: pd.DataFrame, folder: Path, intensities: str) -> None:
        """Write the table into a folder; its last column says where its voxels come from."""
        marked = table.assign(**{INTENSITIES: intensities})
        if self.parquet:
            write_bytes(folder / self.file, marked.to_parquet(index=False, compression="zstd"))
        else:
            write_text(folder / self.file, csv_text(marked))

    def read(self, folder: Path) -> pd.DataFrame:
        """Read the table from a folder; ids and names stay text, and empty names are empty.

        Raises
        ------
        FileNotFoundError
        ValueError
            Where it is not such a table, naming file, column and row (the first is row 1).
        """
        path = folder / self.file
        found = read_parquet(path, self.file) if self.parquet else self._read_csv(path)
        return self.checked(found, self.file)

    def _read_csv(self, path: Path) -> pd.DataFrame:
        texts = [name for name, kind in self.types.items() if kind == TEXT]
        try:
            with warnings.catch_warnings():
                # A row of more cells than there are columns.
                warnings.simplefilter("error", pd.errors.ParserWarning)
                # Only what is empty is missing: an id may be "NA".
                table = pd.read_csv(
                    path, dtype=dict.fromkeys([*texts, INTENSITIES], str), keep_default_na=False,
                    na_values=[""], index_col=False, low_memory=False,
                )  # fmt: skip
        except (ValueError, OverflowError, pd.errors.ParserWarning) as error:
            raise ValueError(f"{path.name}: not a CSV file in UTF-8 ({error})") from error
        table = table.fillna(dict.fromkeys(table.columns.intersection(texts), ""))
        for name in table.columns.intersection(texts):
            table[name] = table[name].str.replace(_ESCAPED, r"\1", regex=True)
        return table

    def checked(self, table: pd.DataFrame, what: str) -> pd.DataFrame:
        """The table, typed and with the columns that tables of older runs lack.

        Parameters
        ----------
        table : DataFrame
        what : str
            Name of the file, with which messages begin.

        Raises
        ------
        ValueError
        """
        for name, kind in self.types.items():
            if name in table:
                table[name] = _typed(table[name], kind, what)
        table = self.completed(table)
        for name in (*self.types, INTENSITIES):
            if name not in table:
                raise ValueError(f"{what}: no column '{name}'; repeat the run that wrote it")
        for name in table.columns.difference([*self.types, INTENSITIES]) if self.open else ():
            table[name] = _typed(table[name], REAL, what)
        for name in self.types:
            _check_bounds(table[name], what)
        _check_intensities(table[INTENSITIES], what, mixed=self.mixed)
        if self.key and (doubled := table.duplicated(list(self.key))).any():
            row = int(doubled.to_numpy().argmax())
            shown = ", ".join(f"{name} {_shown(table[name].iloc[row])}" for name in self.key)
            raise ValueError(f"{what} row {row + 1}: a second row of {shown}; each has one")
        return table

    def completed(self, table: pd.DataFrame) -> pd.DataFrame:
        """The table with the columns that tables of older runs lack added."""
        for place, name in enumerate(self.types):
            if name in table:
                continue
            stem, _, end = name.partition("_")
            parts = [f"{part}_{end}".rstrip("_") for part in ("model", "features")]
            if stem == "arm" and set(parts) <= set(table):
                model, features = (table[part] for part in parts)
                table.insert(place, name, (model + ":" + features).where(model != "", ""))
            elif name in _LIKE and _LIKE[name] in table:
                table.insert(place, name, table[_LIKE[name]])
            elif name in _WHEN_MISSING:
                kept = pd.Series(_WHEN_MISSING[name], table.index)
                table.insert(min(place, table.shape[1]), name, kept)
        return table


def csv_text(table: pd.DataFrame) -> str:
    """A table as CSV in which no text is a formula to a spreadsheet; :meth:`read` undoes it."""
    texts = [str(name) for name in table if pd.api.types.is_string_dtype(table[name])]
    safe = table.assign(**{name: table[name].map(no_formula, na_action="ignore") for name in texts})
    return safe.to_csv(index=False)


def no_formula(text: str) -> str:
    """The text with an apostrophe before what a spreadsheet would compute."""
    return f"'{text}" if re.match(r"'*[=+@\t\r-].", text, re.DOTALL) else text


def read_parquet(path: Path, what: str) -> pd.DataFrame:
    """A table as it is stored; ``what`` is the file's name in messages.

    Raises
    ------
    FileNotFoundError
    ValueError
        Where the file is damaged or no Parquet, or says that it has a hundred million cells.
    """
    from pyarrow import parquet

    try:
        about = parquet.read_metadata(path)
        cells = about.num_rows * about.num_columns
        table = pd.read_parquet(path) if cells <= _MOST_CELLS else None
    except FileNotFoundError:
        raise
    except Exception as error:  # Arrow, and what pandas stores beside the columns, raise anything
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise ValueError(f"{what}: not a Parquet file ({reason})") from error
    if table is None:
        raise ValueError(
            f"{what}: {about.num_rows} rows of {about.num_columns} columns; "
            f"up to {_MOST_CELLS} cells are read"
        )
    return table.reset_index(drop=True)


def _typed(values: pd.Series[Any], kind: str, what: str) -> pd.Series[Any]:
    """A column of its type; a cell that is of another is refused."""
    if kind == TEXT:
        if len(values):
            wrong = ~values.map(lambda cell: isinstance(cell, str)).to_numpy(bool)
            _refuse(values, wrong, "is not text", what)
        return values if pd.api.types.is_string_dtype(values) else _as(values, kind)
    if not len(values):
        return _as(values, kind)
    if not _is_kind(values, kind):
        wrong = ~values.map(lambda cell: _is_cell(cell, kind)).to_numpy(bool)
        wrong[0] |= not wrong.any()
        _refuse(values, wrong, f"is not {_NAMES[kind]}", what)
    if kind != REAL:
        _refuse(values, values.isna().to_numpy(bool), f"is not {_NAMES[kind]}", what)
    if kind == WHOLE:
        _refuse(values, (values.abs() > _LARGEST).to_numpy(bool), "is too large", what)
    return _as(values, kind)


def _as(values: pd.Series[Any], kind: str) -> pd.Series[Any]:
    of_kind: pd.Series[Any] = values.astype(pd.api.types.pandas_dtype(kind))
    return of_kind


def _is_kind(values: pd.Series[Any], kind: str) -> bool:
    types = pd.api.types
    if types.is_bool_dtype(values):
        return kind == FLAG
    if kind == WHOLE:
        return types.is_integer_dtype(values)
    is_real = types.is_integer_dtype(values) or types.is_float_dtype(values)
    return kind == REAL and is_real


def _is_cell(cell: Any, kind: str) -> bool:
    if isinstance(cell, int) and abs(cell) > _LARGEST:
        return False
    if kind == FLAG or isinstance(cell, bool):
        return kind == FLAG and str(cell) in ("True", "False")
    try:
        number = float(cell)
    except (TypeError, ValueError, OverflowError):
        return False
    return kind == REAL or number.is_integer()


def _check_bounds(values: pd.Series[Any], what: str) -> None:
    name = str(values.name)
    if name in IDS:
        _refuse(values, (values == "").to_numpy(bool), "is empty", what)
    if name == "label_source":
        unknown = ~values.isin(["", *LABEL_SOURCES]).to_numpy(bool)
        _refuse(values, unknown, f"is none of {', '.join(LABEL_SOURCES)}", what)
    if name in _ALWAYS_KNOWN:
        _refuse(values, values.isna().to_numpy(bool), "is no number", what)
    if name in _BOUNDS:
        low, high = _BOUNDS[name]
        outside = ((values < low) | (values > high)).to_numpy(bool)
        _refuse(values, outside, f"lies outside {low} to {high}", what)


def _check_intensities(values: pd.Series[Any], what: str, *, mixed: bool) -> None:
    known = values.isin(["acquired", "synthetic"]).to_numpy(bool)
    _refuse(values, ~known, "is neither 'acquired' nor 'synthetic'", what)
    if len(values) and not mixed:
        _refuse(values, (values != values.iloc[0]).to_numpy(bool), "differs from row 1", what)


def _refuse(values: pd.Series[Any], wrong: Any, rule: str, what: str) -> None:
    """Name the first wrong cell, if any."""
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(
            f"{what} row {row + 1}, column '{values.name}': {_shown(values.iloc[row])} {rule}"
        )


def _shown(cell: Any) -> str:
    return repr(cell.item() if hasattr(cell, "item") else cell)[:60]
