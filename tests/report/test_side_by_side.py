"""Runs side by side: every row is of its own run, what differs is told, and nothing is claimed."""

from __future__ import annotations

import csv
import io
import shutil
from pathlib import Path

import pytest

from benchmark.report.figures.forest import side_by_side_figure
from benchmark.report.side_by_side import NAME, read_runs
from benchmark.report.tables.main import main_table
from benchmark.report.tables.side_by_side import side_by_side_tables
from benchmark.report.tables.table import SYNTHETIC
from benchmark.run.folder import RunFolder, read_run
from tests.helpers.command_line import invoke, refused
from tests.helpers.made_run import ARMS, make_run


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return make_run(tmp_path_factory.mktemp("real") / "run", n=80)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return make_run(tmp_path_factory.mktemp("simulated") / "run", n=40, synthetic=True)


def test_the_command_writes_tables_and_figure(
    real: RunFolder, simulated: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = ["--compare", real.path, simulated.path, "--out", out]
    assert invoke("report", *arguments, "--format", "md,csv,tex,html,svg") == 0
    written = {f"{NAME}.{kind}" for kind in ("md", "csv", "tex", "svg")}
    assert {path.name for path in out.iterdir()} == written
    assert capsys.readouterr().out.splitlines()[-1] == str(out / f"{NAME}.svg")
    rows = list(csv.reader(io.StringIO((out / f"{NAME}.csv").read_text())))
    ends = [f"{run.path.parent.name}/run" for run in (real, simulated)]
    places = {(row[0], row[1].partition(" [SYN")[0]): row for row in rows[1 : 1 + 2 * len(ARMS)]}
    for run, end in zip((real, simulated), ends, strict=True):
        for arm, of_main in zip(run.arms, main_table(run).rows, strict=True):
            n = len(run.rois)
            expected = [str(n), str(n // 2), of_main[7], of_main[8]]
            assert places[arm.name, end][2:] == expected


def test_only_what_differs_is_told(real: RunFolder) -> None:
    environment = {**real.environment, "packages": {"numpy": "2.0", "pyradiomics": "3.1"}}
    config = {**real.config, "seed": 7}
    other = real.replaced(environment=environment, config=config)
    table = side_by_side_tables({"a": real, "b": other})[1]
    assert {row[0]: row[1:] for row in table.rows} == {
        "setting seed": (str(real.config["seed"]), "7"),
        "package pyradiomics": ("3.0.1", "3.1"),
    }
    assert side_by_side_tables({"a": real, "b": real})[1].notes[0].startswith("Nothing that")


def test_nothing_is_claimed_across_runs(real: RunFolder, simulated: RunFolder) -> None:
    other = "The runs differ in what they test: by their ids, 40 ROIs stand in all of them, "
    said = [
        note
        for note in side_by_side_tables({"a": real, "b": simulated})[0].notes
        if note.startswith(other)
    ]
    assert len(said) == 1
    assert said[0].endswith("nothing is claimed of it.")
    flipped = real.predictions.assign(y_true=1 - real.predictions.y_true)
    relabelled = side_by_side_tables({"a": real, "b": real.replaced(predictions=flipped)})[0]
    assert "80 ROIs stand in all of them, 80 of these with different labels" in relabelled.notes[0]
    same = side_by_side_tables({"a": real, "b": real})[0]
    assert same.notes[0].startswith("The runs test the same 80 ROIs with the same labels.")


def test_simulated_voxels_are_marked_where_they_are(real: RunFolder, simulated: RunFolder) -> None:
    table = side_by_side_tables({"a": real, "b": simulated})[0]
    assert table.notes[0] == f"{SYNTHETIC} This concerns: b."
    assert {row[1] for row in table.rows} == {"a", "b [SYNTHETIC INTENSITIES]"}
    drawn = side_by_side_figure({"a": real, "b": simulated})
    named = [label.get_text() for label in drawn.figure.axes[0].get_yticklabels()]
    assert named.count("b [SYNTHETIC INTENSITIES]") == named.count("a") == len(ARMS) - 1
    assert "prior:diameter" not in named  # one value for all
    assert "logistic:ratings (ceiling)" in named
    assert "SYNTHETIC" not in drawn.figure.get_suptitle()
    alone = side_by_side_figure({"a": simulated, "b": simulated})
    assert "SYNTHETIC INTENSITIES" in alone.figure.get_suptitle()
    assert all(each.synthetic for each in side_by_side_tables({"a": simulated, "b": simulated}))


def test_the_figure_has_the_intervals_of_each_run(real: RunFolder, simulated: RunFolder) -> None:
    drawn = side_by_side_figure({"a": real, "b": simulated})
    texts = [text.get_text() for text in drawn.figure.axes[0].texts]
    for run in (real, simulated):
        assert set(texts) >= {row[7] for row in main_table(run).rows[1:]}
    assert f"b [SYNTHETIC INTENSITIES] {main_table(simulated).rows[2][7]}" in drawn.alt


def test_a_run_is_called_by_as_much_of_its_path_as_needed(real: RunFolder, tmp_path: Path) -> None:
    paths = [Path(shutil.copytree(real.path, tmp_path / name / "run")) for name in "ab"]
    assert list(read_runs(paths)) == ["a/run", "b/run"]
    paths[1] = paths[1].rename(tmp_path / "b" / "walk")
    assert list(read_runs(paths)) == ["run", "walk"]
    with pytest.raises(ValueError, match="is named twice; name each run once"):
        read_runs([paths[0], tmp_path / "b" / ".." / "a" / "run"])


def test_what_cannot_be_put_side_by_side_is_refused(
    real: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = Path(shutil.copytree(real.path, tmp_path / "damaged"))
    (damaged / "metrics.csv").write_text("nothing")
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "mine").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    two = ["--compare", real.path, damaged, "--out"]
    assert "metrics.csv" in refused(capsys, "report", *two, tmp_path / "out")
    assert "is not an empty folder" in refused(capsys, "report", *two, kept)
    assert "is a link" in refused(capsys, "report", *two, tmp_path / "link")
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "elsewhere").exists()
    for arguments in (["--compare", real.path, "--out", kept], two[:3], [real.path, damaged],
                      [real.path, "--out", kept], []):  # fmt: skip
        assert invoke("report", *arguments) == 2
    assert read_run(real.path).arms == real.arms
