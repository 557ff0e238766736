"""What stands on a terminal: tables whose figures never break, and progress in whole numbers."""

from __future__ import annotations

import re

import pytest
from rich.console import Console

from benchmark.cli import terminal
from benchmark.cli.arguments import show_run
from benchmark.report.tables.main import main_table
from benchmark.report.tables.table import Table
from benchmark.report.wording.summary import conclusion
from benchmark.run.folder import RunFolder
from tests.helpers.made_run import make_run

FIGURE = re.compile(r"[+-]?\d\.\d{3} \[[^\]]*\]")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return make_run(tmp_path_factory.mktemp("terminal") / "run", n=80, synthetic=True)


def printed(run: RunFolder, width: int, patch: pytest.MonkeyPatch,
            capsys: pytest.CaptureFixture[str]) -> list[str]:  # fmt: skip
    patch.setenv("COLUMNS", str(width))
    show_run(run)
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= width for line in lines)
    return lines


@pytest.mark.parametrize(
    ("width", "shown"),
    [(80, ("AUC", "AUC - size")), (120, ("sensitivity", "AUC", "AUC - size"))],
)
def test_a_row_is_a_line_whose_figures_are_whole(
    width: int, shown: tuple[str, ...], made: RunFolder, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    lines = printed(made, width, monkeypatch, capsys)
    table = main_table(made)
    rows = lines[3 : 3 + len(table.rows)]
    for line, row in zip(rows, table.rows, strict=True):
        cells = [row[table.header.index(name)] for name in shown]
        assert FIGURE.findall(line) == [cell for cell in cells if "[" in cell]
    (left_out,) = (line for line in lines if line.startswith("Left out at this width: "))
    assert left_out.startswith("Left out at this width: predict s, fit s, accuracy")


def test_a_narrow_table_has_intervals_below_and_a_narrower_one_is_a_list(
    made: RunFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    interval = main_table(made).rows[1][7].partition(" ")[2]
    lines = printed(made, 66, monkeypatch, capsys)
    assert any(line.strip().startswith(interval) for line in lines)
    lines = printed(made, 44, monkeypatch, capsys)
    assert f"AUC: {main_table(made).rows[1][7]}" in lines


def test_warnings_are_short_and_the_conclusion_comes_last(
    made: RunFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = printed(made, 190, monkeypatch, capsys)
    assert lines[-1] == conclusion(made)
    start = lines.index("Method warnings (the page and report.md have them in full):")
    warnings = lines[start + 1 : -1]
    (few,) = [line for line in warnings if line.startswith("- Few cases: ")]
    assert few.endswith("benign ROIs are tested ...")
    assert all(len(line) < 160 for line in warnings)
    assert any(line.startswith("SYNTHETIC INTENSITIES: ") for line in lines[:start])


def test_a_column_of_prose_may_break_and_figures_beside_it_do_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    row = ("logistic", "radiomics", "0.900 [0.800, 0.950]", "a reason of many words " * 4)
    terminal.show_table(Table("t", ("model", "features", "gain", "reason"), [row], []))
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 60 for line in lines)
    assert any("[0.800, 0.950]" in line for line in lines)


def test_progress_is_in_whole_numbers_with_the_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    with terminal.progress() as shown:
        shown.update("Training", 0, 8)
        now = 60
        shown.update("Training", 6.0333, 8)
        now = 61
        shown.update("Training", 8, 8)
    assert not Console(stderr=True).is_terminal
    said = capsys.readouterr().err.splitlines()
    assert said == ["Training: 6 of 8, about 20 s left", "Training: 8 of 8"]


def test_a_column_without_a_name_or_cells_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.show_table(Table("t", ("model", "features", "n", ""), [("a", "b", "3", "")], []))
    assert "a      b" in capsys.readouterr().out


def test_on_a_terminal_progress_is_a_bar_a_task(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    with terminal.progress() as shown:
        shown.update("Extracting", 1, 4)
        shown.update("Training", 2, 8)
        shown.update("Extracting", 3, 4)
    said = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().err)
    drawn = re.findall(r"(Extracting|Training) .*?(\d/\d)", said)
    assert drawn[-2:] == [("Extracting", "3/4"), ("Training", "2/8")]
