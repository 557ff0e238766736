"""Names that spreadsheets, terminals, Matplotlib, GitHub and XML would each obey."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from xml.etree import ElementTree as ET

import pandas as pd
import pytest

from benchmark.cli.terminal import show_table
from benchmark.columns import ROI_TABLE
from benchmark.report.document import write_report
from benchmark.report.tables.table import Table, as_csv, as_markdown
from benchmark.runtime.failures import one_line
from tests.helpers.command_line import invoke
from tests.helpers.made_run import gallery, make_run

FORMULAS = ("=1+1", "+1", "-1+2", "@SUM(A1)", "\t=1", "'=1", "''-x")
ORDINARY = ("a=1", "-", "", "'quoted'", "R 1", "NA", "ä")


def test_text_cells_are_no_formulas_and_figures_stay() -> None:
    rows = [(name, "=b", "-0.123") for name in FORMULAS]
    written = as_csv(Table("t,=1+1", ("model", "features", "gain"), rows, ["a,=cmd()", "b;@x"]))
    lines = [row for row in csv.reader(io.StringIO(written)) if not row[0].startswith("#")]
    assert all(cell.startswith("'") for row in lines[1:] for cell in row[:2])
    assert {row[2] for row in lines[1:]} == {"-0.123"}
    for comment in (line for line in written.splitlines() if line.startswith("# ")):
        assert ",=" not in comment
        assert ";@" not in comment


def test_a_stored_table_has_no_formulas_and_is_read_as_it_was(tmp_path: Path) -> None:
    names = [*FORMULAS[:4], *FORMULAS[5:], *ORDINARY]
    ids = [name or "id" for name in names]
    rows = [
        (i, i, 1, 3.0, 1.0, -3.5, 0.0, 1.0, 5.0, 0.0, name, "reader")
        for i, name in zip(ids, names, strict=True)
    ]
    ROI_TABLE.write(ROI_TABLE.frame(rows), tmp_path, "acquired")
    back = ROI_TABLE.read(tmp_path)
    assert back["roi_id"].tolist() == ids
    assert back["doubt"].tolist() == names
    assert back["malignancy_mean"].tolist() == [-3.5] * len(names)
    with (tmp_path / "rois.csv").open(newline="") as handle:
        cells = [row[0] for row in csv.reader(handle)]
    assert not [cell for cell in cells if len(cell) > 1 and cell[0] in "=+-@\t"]


@pytest.mark.parametrize("name", ["$\\frac$", "$x$", "a\x1b[31mb", "\u202eabc", "a\x00b", "_{^}$$"])
def test_a_report_has_hostile_names_as_they_are(name: str, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", n=80, mark=name if "\x00" not in name else "")
    renamed = {"size_only:diameter": name}
    for attribute in ("predictions", "metrics", "comparisons", "strata", "timings", "training"):
        run = run.replaced(**{attribute: getattr(run, attribute).replace(renamed)})
    for path in write_report(run, ["svg", "html", "md"], gallery(run)):
        if path.suffix == ".svg":
            ET.fromstring(path.read_bytes())
        if path.suffix in (".svg", ".html"):
            assert "\x1b" not in path.read_text("utf-8")
            assert "\x00" not in path.read_text("utf-8")
    shown = (run.path / "figures" / "forest.svg").read_text("utf-8")
    if "$" in name:
        assert f"<!-- {name} -->" in shown or name in shown


def test_a_terminal_obeys_no_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show_table(Table("t\x1b]0;owned\x07", ("a", "b"), [("\x1b[2J", "\u202ex")], ["\x9b31m"]))
    assert invoke("drift", tmp_path / "no\x1b[31m") == 2
    said = "".join(capsys.readouterr())
    assert not [
        character for character in said if not character.isprintable() and character != "\n"
    ]
    assert "\\x1b[31m" in said


def test_markdown_calls_nobody_and_links_nowhere() -> None:
    written = as_markdown(Table("@octocat", ("a", "b"), [("@org/team", "[a](http://x)")], ["@me"]))
    assert "@o" not in written
    assert "@m" not in written
    assert "](http" not in written


def test_one_line_keeps_ordinary_text() -> None:
    text = "R 1: ä, 日本, - = + @ $"
    assert one_line(text) == text
    assert one_line("a\n b\tc") == "a b c"
    assert pd.Series([one_line("\x1b[0m")]).tolist() == ["\\x1b[0m"]
