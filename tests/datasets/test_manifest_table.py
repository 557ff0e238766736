"""Values of a manifest's columns: read where they are certain, else refused by row and rule."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import pytest

from benchmark.datasets import manifest
from benchmark.roi import RoiRecord
from tests.helpers.command_line import refused


def opened(folder: Path, *rows: dict[str, str]) -> tuple[RoiRecord, ...]:
    """Records of rows that begin with an ordinary one."""
    every = [{}, *rows]
    defaults = {"patient_id": "p", "image": "i", "mask": "m", "label": "0"}
    columns = dict.fromkeys(name for row in [{"roi_id": ""} | defaults, *rows] for name in row)
    full = ({"roi_id": f"r{number}"} | defaults | row for number, row in enumerate(every))
    lines = [list(columns), *([row.get(name, "") for name in columns] for row in full)]
    text = "\n".join(",".join(f'"{cell}"' for cell in line) for line in lines)
    (folder / "manifest.csv").write_text(text, encoding="utf-8")
    return manifest.open_dataset(folder).records


@pytest.mark.parametrize(
    ("column", "text", "field", "value"),
    [
        ("label", "1.0", "label", 1),
        ("label", "0.00", "label", 0),
        ("label", "01", "label", 1),
        ("label", " 1 ", "label", 1),
        ("malignancy_ratings", "4.0 05", "malignancy_ratings", (4, 5)),
        ("malignancy_ratings", "4; 5;3", "malignancy_ratings", (4, 5, 3)),
        ("intensities", "Synthetic ", "intensities", "synthetic"),
        ("intensities", " ", "intensities", "acquired"),
        ("label_source", " Follow-Up", "label_source", "follow-up"),
        ("label_source", "", "label_source", ""),
        ("split", " TEST", "given_split", "test"),
        ("split", "Fold 3", "given_split", "Fold 3"),
    ],
)
def test_what_is_certain_is_read(
    tmp_path: Path, column: str, text: str, field: str, value: object
) -> None:
    _, record = opened(tmp_path, {column: text})
    assert getattr(record, field) == value


@pytest.mark.parametrize(
    ("column", "text"),
    [("slice_thickness_mm", "1.25"), ("slice_thickness_mm", "2"), ("texture", "4 5"),
     ("texture", "solid, mostly"), ("site", "1,5 %"), ("pylidc_annotation_id", "")],
)  # fmt: skip
def test_what_is_carried_along_stays_as_it_is(tmp_path: Path, column: str, text: str) -> None:
    _, record = opened(tmp_path, {column: text})
    assert record.attributes[column] == text


def test_a_whole_number_may_have_been_through_a_table_of_decimals(tmp_path: Path) -> None:
    _, plain, decimal = opened(
        tmp_path, {"pylidc_annotation_id": "1"}, {"pylidc_annotation_id": "1.0"}
    )
    rest = [
        {k: v for k, v in r.attributes.items() if k != "manifest_row"} for r in (plain, decimal)
    ]
    assert rest[0] == rest[1]
    assert rest[0]["subtlety"]


@pytest.mark.parametrize(
    ("column", "text", "rule"),
    [
        ("label", "1,0", "label is '1,0'; it must be 0 (benign) or 1 (malignant)"),
        ("label", "benign", "label is 'benign'; it must be 0 (benign)"),
        ("label", "100 %", "label is '100 %'"),
        ("label", "-1", "label is '-1'"),
        ("label", "0.5", "label is '0.5'"),
        ("label", "\N{FULLWIDTH DIGIT ONE}", "label is '\N{FULLWIDTH DIGIT ONE}'"),
        ("malignancy_ratings", "4,5", "malignancy_ratings has '4,5'; ratings are whole numbers"),
        ("malignancy_ratings", "4.5", "malignancy_ratings has '4.5'"),
        ("malignancy_ratings", "45", "malignancy_ratings has '45'"),
        ("malignancy_ratings", "4/5", "malignancy_ratings has '4/5'"),
        ("malignancy_ratings", "80%", "malignancy_ratings has '80%'"),
        ("malignancy_ratings", "nan", "malignancy_ratings has 'nan'"),
        ("intensities", "synth", "intensities is 'synth'; it must be one of acquired, synthetic"),
        ("label_source", "Oracle", "label_source is 'Oracle'; it must be one of"),
        ("slice_thickness_mm", "1,25", "slice_thickness_mm is '1,25'; it must be a positive number "
         "of millimetres with a decimal point, as 1.25, or empty"),
        ("slice_thickness_mm", "1.25 mm", "slice_thickness_mm is '1.25 mm'"),
        ("slice_thickness_mm", "1.000,5", "slice_thickness_mm is '1.000,5'"),
        ("slice_thickness_mm", "0", "slice_thickness_mm is '0'"),
        ("slice_thickness_mm", "-1", "slice_thickness_mm is '-1'"),
        ("slice_thickness_mm", "1e999", "slice_thickness_mm is '1e999'"),
        ("slice_thickness_mm", "nan", "slice_thickness_mm is 'nan'"),
        ("texture", "4,5", "texture is '4,5'; write numbers with a decimal point, ratings with"),
        ("spiculation", "40 %", "spiculation is '40 %'"),
        ("pylidc_annotation_id", "12,0", "pylidc_annotation_id is '12,0'; it must be a whole"),
        ("roi_id", "a\tb", "roi_id is 'a\\tb', and its character U+0009 cannot be seen"),
        ("patient_id", "#N/A", "patient_id is '#N/A', a spreadsheet's error; every ROI"),
        ("patient_id", "x" * 201, f"patient_id begins '{'x' * 40}' and has 201 characters"),
    ],
)  # fmt: skip
def test_what_is_not_certain_is_refused(tmp_path: Path, column: str, text: str, rule: str) -> None:
    with pytest.raises(ValueError, match=re.escape(rule)) as told:
        opened(tmp_path, {column: text})
    where = rf"{tmp_path}/manifest.csv row 3 \(roi_id '(r1|a\\tb)'\): "
    assert re.match(where, str(told.value))
    assert len(str(told.value).splitlines()) == 1


def test_ids_are_composed(tmp_path: Path) -> None:
    apart = unicodedata.normalize("NFD", "Zoë")
    first, second, third = opened(tmp_path, {"patient_id": "Zoë"}, {"patient_id": f"{apart} "})
    assert second.patient_id == third.patient_id == "Zoë" != first.patient_id
    with pytest.raises(ValueError, match=r"row 4 .*: row 3 has the same roi_id; it must be unique"):
        opened(tmp_path, {"roi_id": "Zoë"}, {"roi_id": apart})


def test_ids_that_may_be_one_are_refused_by_every_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match="may be one id"):
        opened(tmp_path, {"patient_id": "P", "label": "1"})
    for command in (["run", "--dataset"], ["audit"]):
        message = refused(capsys, *command, tmp_path, "--out", tmp_path / "out")
        assert message.startswith(
            f"error: {tmp_path}/manifest.csv: patient ids 'p' (row 2) and 'P' (row 3) may be one id"
        )
