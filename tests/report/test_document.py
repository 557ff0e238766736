from __future__ import annotations

import csv
import math
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from benchmark.columns import COMPARISON_TABLE
from benchmark.report.document import TABLE_FORMATS, report_tables
from benchmark.report.tables.classification import confusion_counts, paper_table
from benchmark.report.tables.latex import as_latex, latex_document
from benchmark.report.tables.pairwise import pairwise_table, verdict
from benchmark.report.tables.table import (
    SYNTHETIC,
    Table,
    as_csv,
    as_markdown,
    duration,
    escape_markdown,
    p_value,
    with_interval,
)
from benchmark.run.folder import RunFolder
from benchmark.statistics.cases import cases
from tests.helpers.made_run import HOSTILE
from tests.helpers.small_run import N, calibrated, run

TABLE = Table(
    "Title with 50 % & more_",
    ("model", "features", "n", "AUC"),
    [("a_b", "x|y", "7", "0.500 [0.400, 0.600]")],
    ["A note with <tags>, $money$ and 100 %."],
    synthetic=True,
)


@pytest.mark.parametrize(
    ("value", "low", "high", "shown"),
    [
        (0.90349, 0.88051, 0.92549, "0.903 [0.881, 0.925]"),
        (1.0, 0.9996, 1.0, "1.000 [1.000, 1.000]"),
        (0.5, math.nan, math.nan, "0.500"),
        (math.nan, math.nan, math.nan, "-"),
    ],
)
def test_one_rounding_rule(value: float, low: float, high: float, shown: str) -> None:
    assert with_interval(value, low, high) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.01234, "0.012"),
        (1.26, "1.3"),
        (9.4, "9.4"),
        (12.6, "13"),
        (1234.5, "1234"),
        (math.nan, "-"),
    ],
)
def test_durations(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


@pytest.mark.parametrize("render", TABLE_FORMATS.values(), ids=TABLE_FORMATS)
def test_synthetic_intensities_are_in_every_format(render) -> None:
    assert "SYNTHETIC INTENSITIES" in render([TABLE])


def test_markdown() -> None:
    lines = as_markdown(TABLE).splitlines()
    assert lines[2].startswith("**SYNTHETIC INTENSITIES")
    table = [line for line in lines if line.startswith("|")]
    assert table == [
        "| model | features | n | AUC |",
        "|---|---|---:|---:|",
        r"| a\_b | x\|y | 7 | 0.500 [0.400, 0.600] |",
    ]
    assert r"\<tags\>" in lines[-1]


def test_latex_escapes_what_latex_would_read() -> None:
    text = as_latex(TABLE)
    assert r"a\_b & x\textbar{}y & 7 & 0.500 [0.400, 0.600] \\" in text
    assert r"50 \% \& more\_" in text
    assert r"\$money\$" in text
    assert text.count(r"\begin{") == text.count(r"\end{") == 2


def test_csv() -> None:
    lines = as_csv(TABLE).splitlines()
    assert lines[:2] == ["model,features,n,AUC", 'a_b,x|y,7,"0.500 [0.400, 0.600]"']
    assert lines[2].startswith("# ")


def test_every_table_is_in_every_format(reported: RunFolder) -> None:
    """By its rows: each cell of each table stands in each file, as the format escapes it."""
    files = {name: (reported.path / f"report.{name}").read_text() for name in TABLE_FORMATS}
    tables = report_tables(reported)
    assert len(tables) >= 11
    for name, render in TABLE_FORMATS.items():
        for table in tables:
            lines = render([table]).splitlines()
            assert set(lines) <= set(files[name].splitlines()) | {lines[0]}, (name, table.title)
    rows = list(csv.reader(files["csv"].splitlines()))
    for table in tables:
        assert all(list(row) in rows for row in [table.header, *table.rows])


def test_every_title_of_synthetic_intensities_says_so(reported: RunFolder) -> None:
    for table in report_tables(reported):
        assert table.heading.endswith("[SYNTHETIC INTENSITIES]")
        assert table.remarks[0] == SYNTHETIC


@pytest.mark.parametrize("document", ["report", "checklists", "model_cards"])
def test_latex_compiles(reported: RunFolder, tmp_path: Path, document: str) -> None:
    if shutil.which("pdflatex") is None:
        pytest.skip("pdflatex is not on this machine (Debian: texlive-latex-recommended)")
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-output-directory", tmp_path,
         reported.path / f"{document}.tex"],
        capture_output=True, text=True, errors="replace", check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / f"{document}.pdf").stat().st_size > 10_000


def test_latex_of_characters_that_it_lacks() -> None:
    table = Table("né 日", ("a", "b"), [("[x", "*")], [])
    assert r"\caption{né [U+65E5]. }" in as_latex(table)
    assert r"{}[x & * \\" in as_latex(table)
    assert latex_document([table]).count(r"\documentclass") == 1


def test_markdown_is_escaped() -> None:
    hostile = "[x](javascript:alert) ![y](http://example.org/p.png) &lt;b&gt; `a` *b* _c_ <d>"
    escaped = escape_markdown(hostile)
    assert "](" not in escaped
    assert not re.search(r"(?<!\\)[&`*_<>]", escaped)
    assert escape_markdown("AUC 0.9 [0.8, 1.0]") == "AUC 0.9 [0.8, 1.0]"


@pytest.mark.parametrize("name", ["report", "gallery", "checklists", "model_cards"])
def test_hostile_names_are_escaped_in_markdown(reported: RunFolder, name: str) -> None:
    text = (reported.path / f"{name}.md").read_text()
    assert "<script" not in text.replace("\\<script", "")
    assert HOSTILE not in text


def test_hostile_names_stay_cells_in_markdown(reported: RunFolder) -> None:
    text = (reported.path / "report.md").read_text()
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        bars = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(bars) == 1


def test_confusion_and_classification_by_hand(reported: RunFolder) -> None:
    tables = {t.title.partition(" [")[0]: t for t in report_tables(reported)}
    arm = reported.predictions[reported.predictions.model == "size_only"]
    called = arm.y_prob >= arm.threshold
    tn, fp, fn, tp = (
        int(((arm.y_true == label) & (called == call)).sum())
        for label, call in ((0, False), (0, True), (1, False), (1, True))
    )
    assert confusion_counts(cases(arm)) == (tn, fp, fn, tp)
    (row,) = [r for r in tables["Confusion matrices"].rows if r[0] == "size_only"]
    assert row[2:6] == tuple(map(str, (tn, fp, fn, tp)))
    (row,) = [
        r
        for r in tables["Classification report"].rows
        if r[0] == "size_only" and r[2] == "malignant"
    ]
    precision, recall = tp / (tp + fp), tp / (tp + fn)
    f1 = 2 * precision * recall / (precision + recall)
    assert row[3:] == (*(f"{x:.3f}" for x in (precision, recall, f1)), str(tp + fn))


def test_the_papers_own_figures(reported: RunFolder) -> None:
    first = paper_table(reported).rows[0]
    assert first[2:7] == ("425", "174", "55", "28", "168")
    assert [cell[:5] for cell in first[7:]] == ["0.805", "0.857", "0.760", "0.753", "0.870"]
    # Wilson's interval of 168 of 196, by hand.
    assert first[8] == "0.857 [0.801, 0.899]"


@pytest.mark.parametrize(
    ("low", "high", "p_holm", "expected"),
    [
        (0.01, 0.09, 0.04, 1),
        (0.01, 0.09, 0.06, 0),
        (-0.01, 0.11, 0.04, 0),
        (-0.09, -0.01, 0.04, -1),
        (math.nan, math.nan, 0.04, 0),
        (0.01, 0.09, math.nan, 0),
    ],
)
def test_a_difference_is_shown_only_after_correction(
    low: float, high: float, p_holm: float, expected: int
) -> None:
    assert verdict((low + high) / 2, low, high, p_holm) == expected


def test_why_intervals_are_withheld_or_widened_stands_beside_the_table(reported: RunFolder) -> None:
    """``prior`` calls every ROI malignant with one score: no resample moves three of its cells."""
    tables = {t.title.partition(":")[0]: t for t in report_tables(reported)}
    main, every = tables["Lung nodule benchmark"], tables["All metrics"]
    (row,) = [r for r in main.rows if r[0] == "prior"]
    n = reported.rois.patient_id[reported.rois.y_true == 1].nunique()
    sensitivity, auc = row[5], row[7]
    assert sensitivity == f"1.000 [{n / (n + 3.8415):.3f}, 1.000]"
    assert auc == "0.500"
    for table in (main, every):
        notes = "\n".join(table.notes)
        widened = f"Wilson over patients, {n} of them: no resample of patients differs"
        assert re.search(rf"{widened} \(.*prior:diameter sensitivity", notes)
        assert re.search(r"Interval withheld: no resample .*\(.*prior:diameter auc", notes)
    assert "scaled_t bootstrap of patients, 100 resamples" in "\n".join(main.notes)
    assert "withheld" not in next(note for note in main.notes if note.startswith("Brackets"))


def test_pairwise_table_names_its_families_and_what_it_withholds() -> None:
    p, y_true = calibrated(N, 0)
    size = np.random.default_rng(1).uniform(size=N)
    made = run({"size_only": size, "a": p, "twin": p, "b": 1 - p}, y_true)
    table = pairwise_table(made)
    stored = made.comparisons[(made.comparisons.metric == "auc")].set_index(["arm_a", "arm_b"])
    for a, b, *cells in table.rows:
        row = stored[stored.test == "patient bootstrap"].loc[(a, b)]
        shown = p_value(row.p_holm_size) if b == "size_only:f" else "-"
        assert cells[4] == shown
        assert cells[3] == p_value(row.p_holm)
    notes = " ".join(table.notes)
    assert "all 6 pairs" in notes
    assert "the 3 comparisons with size_only alone" in notes
    assert "Interval withheld: no resample of patients differs (a:f and twin:f)." in notes


def test_comparisons_of_older_runs_are_read() -> None:
    """They lack the family of size, whose p is never above that over all pairs."""
    p, y_true = calibrated(N, 0)
    size = np.random.default_rng(1).uniform(size=N)
    now = run({"size_only": size, "a": p, "b": 1 - p}, y_true).comparisons
    read = COMPARISON_TABLE.completed(now.drop(columns=["p_holm_size", "method"]))
    assert list(read.columns) == list(now.columns)
    assert read.p_holm_size.equals(now.p_holm.rename("p_holm_size"))
    assert (read.method == "").all()
    older = run({"a": p, "b": 1 - p}, y_true).replaced(comparisons=read)
    shown = {row[:2]: row[6] for row in pairwise_table(older).rows}
    assert shown["a:f", "b:f"] == "-"
    assert shown["a:f", "size_only:f"] != "-"
