"""Feature tables: every ROI of the run, finite numbers, and nothing that tells the label."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmark.user_tables import csv_rows
from benchmark.user_tables.features import NO_FEATURES, read_features

IDS = ["b", "a", "07"]


def read(folder: Path, text: str) -> pd.DataFrame:
    (folder / "made.csv").write_text(text)
    return read_features("deep", folder / "made.csv", IDS, {*IDS, "left out"})


def test_rows_are_those_of_the_run_and_of_its_dataset(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        'roi_id;f 1;f2\na;1;-2.5\n07;1e-3;.5\nb;3.0;+4\n"left out";5;6\nother dataset;oops;\n',
    )
    assert found.index.tolist() == ["07", "a", "b", "left out"]
    assert found.columns.tolist() == ["f 1", "f2"]
    expected = [[1e-3, 0.5], [1, -2.5], [3, 4], [5, 6]]
    np.testing.assert_array_equal(found.to_numpy(), expected)
    assert set(map(str, found.dtypes)) == {"float64"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("roi_id,f\na,1\nb,2\n", r"1 of the run's 3 ROIs have no row: 07; every one needs"),
        ("roi_id,f\na,1\nb,2\n7,3\n", r"1 of the run's 3 ROIs have no row: 07"),
        ("roi_id,f\na,1\nb,2\n07,3\na,1\n", r"row 5: a second row of roi_id 'a'"),
        ("roi_id,f\na,1\nb,\n07,3\n", r"row 3 \(roi_id 'b'\): 'f' is ''; features are finite"),
        ("roi_id,f\na,1\nb,NaN\n07,3\n", r"'f' is 'NaN'"),
        ("roi_id,f\na,1\nb,inf\n07,3\n", r"'f' is 'inf'"),
        ("roi_id,f\na,1\nb,solid\n07,3\n", r"'f' is 'solid'"),
        ("roi_id;f\na;1\nb;2,5\n07;3\n", r"'f' is '2,5'; .* with a decimal point"),
        ("roi_id,f\na,1\nb,1e999\n07,3\n", r"'f' is '1e999'"),
        ("roi_id\na\nb\n07\n", r"no column beside roi_id"),
        ("roi_id,f,f\na,1,1\n", r"columns 2 and 3 of the header"),
        ("id,f\na,1\n", r"no column roi_id"),
    ],
)
def test_what_cannot_be_features_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as refused:
        read(tmp_path, text)
    assert str(refused.value).startswith(f"feature table 'deep': {tmp_path / 'made.csv'}: ")


def test_a_table_may_be_wider_than_what_is_read_as_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Embeddings of thousands of columns; a single row is bounded, and the whole as well."""
    monkeypatch.setattr(csv_rows, "_MOST_CELLS", 10)
    text = "roi_id,f,g,h\na,1,2,3\nb,4,5,6\n07,7,8,9\n"
    assert read(tmp_path, text).to_numpy().sum() == 45
    with pytest.raises(ValueError, match="more than 10 cells, with row 3; divide it"):
        csv_rows.read_table(tmp_path / "made.csv", csv_rows.Columns(("roi_id",)))
    with pytest.raises(ValueError, match="more than 10 cells in line 2; divide it"):
        read(tmp_path, text.replace("1,2,3", ",".join("1" * 11)))
    monkeypatch.setattr(csv_rows, "_MOST_STREAMED", 15)
    with pytest.raises(ValueError, match="more than 15 cells, with row 4; divide it"):
        read(tmp_path, text)


@pytest.mark.parametrize("column", [*sorted(NO_FEATURES), "Label", "Y_TRUE"])
def test_columns_that_tell_the_label_or_the_split_are_refused(tmp_path: Path, column: str) -> None:
    with pytest.raises(ValueError, match=f"column '{column}' is no feature"):
        read(tmp_path, f"roi_id,f,{column}\na,1,0\nb,2,1\n07,3,1\n")
