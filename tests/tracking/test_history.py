"""The history of runs: complete under concurrency, one row a model, drawn with its versions."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmark.run.folder import RunFolder, read_run
from benchmark.statistics.metrics import METRICS
from benchmark.tracking import history
from benchmark.tracking.history_plot import plot, version_changes
from tests.helpers.command_line import invoke, refused
from tests.helpers.volumes import WriteManifest

SMALL = ["--models", "prior,size_only", "--jobs", "1", "--set", "bootstrap.samples=100"]


@pytest.fixture
def run(write_manifest: WriteManifest, tmp_path: Path) -> RunFolder:
    out = tmp_path / "runs" / "one"
    assert invoke("run", "--dataset", write_manifest(40), "--out", out, *SMALL) == 0
    return read_run(out)


def test_every_run_appends_a_row_a_model(run: RunFolder) -> None:
    path = history.beside(run.path)
    assert path == run.path.parent / "history.parquet"
    table = history.read(path)
    assert table["model"].tolist() == ["prior", "size_only"]
    auc = run.metrics[(run.metrics.model == "size_only") & (run.metrics.metric == "auc")].iloc[0]
    row = table.iloc[1]
    assert (row["auc"], row["auc_low"], row["auc_high"]) == (auc.value, auc.ci_low, auc.ci_high)
    assert set(METRICS) <= set(table.columns)
    assert row["fit_ratio"] == row["fit_s"] / np.median(run.environment["reference_s"])
    assert json.loads(row["packages"]) == run.environment["packages"]
    history.append(path, run)  # again: the same run is no second one
    assert len(history.read(path)) == 2


def test_a_run_in_which_nothing_finished_adds_nothing(run: RunFolder, tmp_path: Path) -> None:
    path = tmp_path / "history.parquet"
    history.append(path, run.replaced(metrics=run.metrics[:0]))
    assert not path.exists()
    history.append(path, run)
    history.append(path, run.replaced(metrics=run.metrics[:0]))
    assert len(history.read(path)) == 2


def _append(path: Path, run: RunFolder, number: int) -> None:
    history.append(path, run.replaced(path=run.path.with_name(f"run{number}")))


def test_runs_that_end_at_once_lose_nothing(run: RunFolder, tmp_path: Path) -> None:
    path = tmp_path / "history.parquet"
    history.rows(run)  # reads what the copies cannot
    with ProcessPoolExecutor(4) as pool:
        done = [pool.submit(_append, path, run, number) for number in range(12)]
    for each in done:
        each.result()
    table = history.read(path)
    assert len(table) == 24
    assert set(table["run"]) == {f"run{number}" for number in range(12)}
    assert {p.name for p in tmp_path.glob(".history*")} == {".history.parquet.lock"}


def later(table: pd.DataFrame, **changes: str) -> pd.DataFrame:
    return table.assign(run="later", started="2099-01-01T00:00:00+00:00", **changes)


@pytest.mark.parametrize(
    ("change", "figures"),
    [
        (later, 1),
        (lambda t: later(t, fingerprint="other"), 2),  # other data: no common line
        (lambda t: later(t, protocol="another rule"), 2),
    ],
)
def test_only_comparable_runs_share_a_figure(
    run: RunFolder,
    tmp_path: Path,
    change: Callable[[pd.DataFrame], pd.DataFrame],
    figures: int,
) -> None:
    table = history.read(history.beside(run.path))
    paths = plot(pd.concat([table, change(table)]), tmp_path)
    assert [path.name for path in paths] == [f"history-{n + 1}-rois.svg" for n in range(figures)]
    text = paths[0].read_text()
    assert text.startswith("<?xml")


def test_versions_are_marked_where_they_changed(run: RunFolder, tmp_path: Path) -> None:
    table = history.read(history.beside(run.path))
    newer = json.loads(table["packages"][0]) | {"numpy": "99.1"}
    both = pd.concat([table, later(table, packages=json.dumps(newer))])
    runs = both.drop_duplicates("run")
    old = json.loads(table["packages"][0])["numpy"]
    assert version_changes(runs) == [(1, f"numpy {old} to 99.1")]
    with pytest.MonkeyPatch.context() as patch:
        import matplotlib as mpl

        patch.setitem(mpl.rcParams, "svg.fonttype", "none")  # text as text
        (path,) = plot(both, tmp_path)
    assert f"1: numpy {old} to 99.1" in path.read_text()


def test_the_command(run: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figure = run.path.parent / "history-1-rois.svg"
    assert invoke("report", run.path, "--history") == 0
    assert figure.is_file()
    figure.unlink()
    assert invoke("report", "--history", history.beside(run.path)) == 0
    assert figure.is_file()
    capsys.readouterr()
    assert "no such file" in refused(capsys, "report", "--history", tmp_path / "none.parquet")
    (tmp_path / "text.parquet").write_text("text")
    assert "not a Parquet file" in refused(capsys, "report", "--history", tmp_path / "text.parquet")
    assert "name one RUN_DIR; or several with --compare; or --history" in refused(capsys, "report")


def test_a_history_that_cannot_be_read_does_not_cost_the_run(
    write_manifest: WriteManifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "history.parquet").write_text("text")
    out = tmp_path / "one"
    assert invoke("run", "--dataset", write_manifest(40), "--out", out, *SMALL) == 1
    captured = capsys.readouterr()
    assert "not a Parquet file" in captured.err
    assert "size_only" in captured.out
    assert read_run(out).metrics.model.nunique() == 2
    assert (tmp_path / "history.parquet").read_text() == "text"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="auc_low"), "no column auc_low"),
        (lambda t: t.assign(auc="high"), "auc"),
        (lambda t: t.assign(auc=1.5), "auc"),
        (lambda t: t.assign(started=1), "started"),
        (lambda t: t.assign(packages="[1]"), "must be a JSON object of texts"),
        (lambda t: t.assign(packages="{" * 5000), "must be a JSON object of texts"),
        (lambda t: t.assign(packages='{"numpy": [1]}'), "must be a JSON object of texts"),
        (lambda t: pd.concat([t, t]), "a second row of"),
    ],
)
def test_a_damaged_history_is_refused_in_a_line(
    run: RunFolder,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[pd.DataFrame], pd.DataFrame],
    message: str,
) -> None:
    path = tmp_path / "damaged.parquet"
    change(history.read(history.beside(run.path))).to_parquet(path)
    assert message in refused(capsys, "report", "--history", path)


def test_a_history_of_before_arms_had_names_is_read(run: RunFolder, tmp_path: Path) -> None:
    table = history.read(history.beside(run.path))
    for older in (table.drop(columns="arm"), table.assign(arm=[None, "size_only:diameter"])):
        older.to_parquet(tmp_path / "older.parquet")
        read = history.read(tmp_path / "older.parquet")
        assert read["arm"].tolist() == ["prior:diameter", "size_only:diameter"]


def test_runs_of_simulated_and_acquired_intensities_share_a_history(
    run: RunFolder, write_manifest: WriteManifest
) -> None:
    """Which the next run adds to, whatever its own are."""
    path = history.beside(run.path)
    acquired = history.read(path)
    simulated = acquired.assign(run="phantom", dataset="phantom", intensities="synthetic")
    pd.concat([acquired, simulated]).to_parquet(path)
    out = run.path.with_name("three")
    root = write_manifest(40, folder="others")
    assert invoke("run", "--dataset", root, "--out", out, *SMALL) == 0
    assert history.read(path)["intensities"].tolist().count("synthetic") == 2
    assert len(history.read(path)) == 6
