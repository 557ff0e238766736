"""Predictions made elsewhere: taken where they are those of the run's test sides, else refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import pytest

from benchmark.cohort.labels import Cohort, LabelRule, assemble
from benchmark.cohort.splits import Split, SplitRule, make_splits, split_table
from benchmark.columns import PREDICTION_TABLE
from benchmark.roi import Roi, RoiDataset, RoiRecord
from benchmark.stored_table import csv_text
from benchmark.user_tables.predictions import read_predictions

Change = Callable[[pd.DataFrame], pd.DataFrame]


def unread(record: RoiRecord) -> Roi:
    raise AssertionError("no voxel is read")


def divided(rule: SplitRule, prefix: str = "r") -> tuple[Cohort, list[Split]]:
    records = tuple(RoiRecord(f"{prefix}{i:02}", f"p{i // 2:02}", i // 2 % 2) for i in range(40))
    cohort = assemble(RoiDataset("d", records, unread), LabelRule())
    return cohort, make_splits(cohort, rule, 0)


COHORT, SPLITS = divided(SplitRule("kfold", folds=3, repeats=2))


def predictions(cohort: Cohort = COHORT, splits: Sequence[Split] = SPLITS) -> pd.DataFrame:
    """A good table: the test sides of ``splits.csv``, with probabilities."""
    table = pd.DataFrame(split_table(splits, cohort))
    table = table[table.side == "test"].reset_index(drop=True)
    return table.assign(y_prob=[round(0.2 + 0.5 * y + i / 1000, 4) for i, y in
                                enumerate(table.label)])  # fmt: skip


def read(
    path: Path, text: str | bytes, threshold: float | str = "train", cohort: Cohort = COHORT,
    splits: Sequence[Split] = SPLITS,
) -> pd.DataFrame:  # fmt: skip
    file = path / "made.csv"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return PREDICTION_TABLE.frame(read_predictions("deep", file, cohort, splits, threshold))


@pytest.mark.parametrize(
    "rule",
    [SplitRule(), SplitRule("kfold", folds=4, repeats=2), SplitRule("holdout", group="none"),
     SplitRule("holdout", repeats=3)],
)  # fmt: skip
def test_the_test_sides_of_every_scheme_become_rows(tmp_path: Path, rule: SplitRule) -> None:
    cohort, splits = divided(rule, "=r")  # what a spreadsheet would compute comes back
    given = predictions(cohort, splits)
    found = read(tmp_path, csv_text(given.sample(frac=1, random_state=0)), "train", cohort, splits)
    assert found.columns.tolist() == PREDICTION_TABLE.columns
    for mine, theirs in (("y_true", "label"), ("y_prob", "y_prob"), ("patient_id", "patient_id"),
                         ("roi_id", "roi_id"), ("repeat", "repeat"), ("fold", "fold")):  # fmt: skip
        assert found[mine].tolist() == given[theirs].tolist(), mine
    assert set(found.arm) == {"deep"}
    assert set(found.supervision) == set(found.model) == {"external"}
    assert set(found.features) == {""}
    assert set(found.scheme) == {rule.scheme}
    assert set(found.threshold) == {0.5}


def test_a_table_may_come_from_anywhere(tmp_path: Path) -> None:
    given = predictions()
    plain = read(tmp_path, given.to_csv(index=False))
    cells = given[["y_prob", "fold", "ROI_ID", "repeat"]] if "ROI_ID" in given else given
    renamed = cells.rename(columns={"roi_id": "ROI_ID", "y_prob": "Y_Prob"})
    for text in (
        given.to_csv(index=False, sep=";", quoting=1, lineterminator="\r\n"),
        "sep=;\n" + given.to_csv(index=False, sep=";"),
        given.to_csv(index=False, sep="\t").encode("utf-16"),
        b"\xef\xbb\xbf" + renamed.to_csv(index=False).encode(),
        given.assign(fold=given.fold.astype(float)).to_csv(index=False),
    ):
        pd.testing.assert_frame_equal(read(tmp_path, text), plain)


def test_a_threshold_is_the_files_or_the_runs(tmp_path: Path) -> None:
    given = predictions()
    stated = given.assign(threshold=0.1 + given.fold / 10 + given.repeat / 100)
    found = read(tmp_path, stated.to_csv(index=False))
    assert found.threshold.tolist() == stated.threshold.tolist()
    assert set(read(tmp_path, stated.to_csv(index=False), 0.3).threshold) == {0.3}
    uneven = stated.assign(threshold=stated.threshold.where(stated.index != 4, 0.9))
    with pytest.raises(ValueError, match=r"threshold is '0.9', and '0.1' in an earlier row"):
        read(tmp_path, uneven.to_csv(index=False))
    for wrong in ("1.5", "high"):
        text = stated.astype({"threshold": str}).assign(threshold=wrong).to_csv(index=False)
        with pytest.raises(ValueError, match=f"threshold is '{wrong}'; it must be"):
            read(tmp_path, text)


def row(column: str, value: object, *places: int) -> Change:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        cells = [value if i in (places or (1,)) else old for i, old in enumerate(table[column])]
        return table.assign(**{column: cells})

    return change


def trained_on(table: pd.DataFrame) -> pd.DataFrame:
    """All rows, as who predicts the training side too would give."""
    return pd.DataFrame(split_table(SPLITS, COHORT)).assign(y_prob=0.5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(index=[0, 3]), r"2 tested ROIs have no row: \w+ of repeat 0 fold 0, r"),
        (lambda t: t.drop(index=range(7)), r"7 tested ROIs have no row: (\w+ [^,]*, ){5}\.\.\."),
        (lambda t: pd.concat([t, t[:1]]),
         r"2 rows of the same ROI and split as another .*: row 2 .*, row 82"),
        (lambda t: pd.concat([t, t[:1].assign(y_prob=0.99)]), "2 rows of the same ROI and split"),
        (trained_on,
         r"160 rows of ROIs that the run trains on in that split \(leave in those of the side "
         r"'test' alone\): row 2 \(roi_id 'r\d\d', repeat 0 fold 0\), .*\.\.\.$"),
        (row("roi_id", "x"), r"1 row of ROIs that the run lacks .*: row 3 \(roi_id 'x', rep"),
        (row("fold", 3), r"1 row of splits that the run lacks \(it has 6\); .* repeat 0 fold 3\)$"),
        (row("repeat", -1), r"1 row of splits that the run lacks .* repeat -1 fold 0\)$"),
        (row("y_prob", 1.01), r"1 row without a y_prob from 0 to 1.*fold 0\) '1.01'$"),
        (row("y_prob", "", 0, 5), r"2 rows without a y_prob from 0 .*: row 2 .*'', row 7 .*''$"),
        (row("y_prob", "NA"), "without a y_prob .*'NA'"),
        (row("y_prob", "inf"), "without a y_prob .*'inf'"),
        (row("y_prob", "0,5"), "without a y_prob .*'0,5'"),
        (lambda t: t.assign(label=1 - t.label), "80 rows with another label than the run: row 2"),
        (lambda t: t.drop(columns="fold"), "no column fold; row 1 is the header"),
    ],
)  # fmt: skip
def test_what_is_not_the_test_sides_is_refused_by_name(
    tmp_path: Path, change: Change, message: str
) -> None:
    with pytest.raises(ValueError, match=message) as refused:
        read(tmp_path, change(predictions()).to_csv(index=False))
    assert str(refused.value).startswith(f"predictions 'deep': {tmp_path / 'made.csv'}: ")
    assert "\n" not in str(refused.value)


def test_row_names_of_r_are_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"column 1 has no name .*row\.names = FALSE in R"):
        read(tmp_path, predictions().to_csv())
