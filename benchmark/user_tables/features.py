"""Features that were made elsewhere, as a feature set of a run.

The CSV has a column ``roi_id`` and columns of finite numbers, one row for every ROI that the run
uses. Rows of other ROIs are not looked at: one table serves every label rule. Columns that tell
the label or the split are refused by their names, as a model would learn from them.
"""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark.cohort import ids
from benchmark.user_tables.csv_rows import (
    Columns,
    few,
    number,
    prefixed,
    shown,
    stream_table,
    without_apostrophe,
)

NO_FEATURES = frozenset({
    "patient_id", "label", "label_source", "y_true", "y_prob", "malignant", "malignancy",
    "malignancy_mean", "malignancy_ratings", "repeat", "fold", "side", "split", "threshold",
})  # fmt: skip
"""Columns, in small letters, that tell what is to be found out, or who is tested."""

_COLUMNS = Columns(("roi_id",))


def read_features(
    name: str, path: Path, roi_ids: Sequence[str], known: Container[str]
) -> pd.DataFrame:
    """Read a feature table.

    Parameters
    ----------
    name : str
        Of the feature set.
    path : Path
    roi_ids : sequence of str
        ROIs that the run trains on or tests.
    known : container of str
        These, and others whose features some run of the dataset may use.

    Returns
    -------
    DataFrame
        Float64, indexed and ordered by ROI id; no ROI that is not known.

    Raises
    ------
    ValueError
        Where a row is missing or stands twice, and where a cell is no finite number.
    """
    with prefixed(f"feature table '{name}'"):
        rows = stream_table(path, _COLUMNS)
        first = next(rows)
        with prefixed(str(path)):
            columns = _features(first[1])
        found: dict[str, NDArray[np.float64]] = {}
        for line, cells in chain([first], rows):
            with prefixed(str(path)):
                roi_id = ids.tidy("roi_id", without_apostrophe(cells["roi_id"]))
                if roi_id in found:
                    raise ValueError(f"row {line}: a second row of roi_id {shown(roi_id)}")
                if roi_id in known:
                    texts = [cells[column] for column in columns]
                    found[roi_id] = np.array(_numbers(line, roi_id, texts, columns))
        with prefixed(str(path)):
            if missing := [roi_id for roi_id in roi_ids if roi_id not in found]:
                raise ValueError(
                    f"{len(missing)} of the run's {len(roi_ids)} ROIs have no row: {few(missing)}; "
                    "every one needs its features"
                )
    return pd.DataFrame.from_dict(found, orient="index", columns=columns, dtype=float).sort_index()


def _features(row: Mapping[str, str]) -> list[str]:
    """Names of a table's features, from a row of it."""
    columns = [column for column in row if column != "roi_id"]
    if not columns:
        raise ValueError("no column beside roi_id; at least one feature is needed")
    if telling := [column for column in columns if column.lower() in NO_FEATURES]:
        raise ValueError(
            f"column {shown(telling[0])} is no feature: it tells the label or the split; take it "
            "out"
        )
    return columns


def _numbers(line: int, roi_id: str, texts: Sequence[str], columns: Sequence[str]) -> list[float]:
    values = [number(text) for text in texts]
    for column, text, value in zip(columns, texts, values, strict=True):
        if math.isnan(value):
            raise ValueError(
                f"row {line} (roi_id {shown(roi_id)}): {shown(column)} is {shown(text)}; features "
                "are finite numbers, with a decimal point"
            )
    return values
