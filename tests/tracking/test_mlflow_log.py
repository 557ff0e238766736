"""MLflow as a sink: the real package with a real SQLite store, read back."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlflow import MlflowClient

from benchmark.run.folder import read_run
from benchmark.tracking import mlflow_log
from tests.helpers.command_line import invoke, refused
from tests.helpers.volumes import WriteManifest

SMALL = ["--models", "prior,size_only", "--jobs", "1", "--set", "bootstrap.samples=100"]


def test_a_run_is_found_in_the_store(
    write_manifest: WriteManifest,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)  # where MLflow would put stray files
    rois, out = write_manifest(40), tmp_path / "runs" / "one"
    assert invoke("run", "--dataset", rois, "--out", out, "--track", "mlflow", *SMALL) == 0
    database = out.parent / "mlflow.db"
    assert f"Logged to mlflow: sqlite:///{database}" in capsys.readouterr().out
    assert {path.name for path in tmp_path.iterdir()} == {"rois", "runs"}

    client = MlflowClient(f"sqlite:///{database}")
    experiment = client.get_experiment_by_name(mlflow_log.EXPERIMENT)
    logged = {r.data.tags["model"]: r for r in client.search_runs([experiment.experiment_id])}
    assert logged.keys() == {"prior", "size_only"}
    run, size = read_run(out), logged["size_only"]
    assert size.info.status == "FINISHED"
    assert size.info.run_name == "one size_only:diameter"
    for row in run.metrics[run.metrics.model == "size_only"].itertuples():
        if row.value == row.value:
            assert size.data.metrics[row.metric] == row.value
    auc = run.metrics[(run.metrics.model == "size_only") & (run.metrics.metric == "auc")].iloc[0]
    assert size.data.metrics["auc_low"] == auc.ci_low
    assert size.data.params["splits.scheme"] == "holdout"
    assert size.data.params["bootstrap.samples"] == "100"
    assert size.data.tags["fingerprint"] == run.environment["dataset"]["fingerprint"]
    assert size.data.tags["version.numpy"] == run.environment["packages"]["numpy"]
    assert [a.path for a in client.list_artifacts(size.info.run_id)] == ["report.md"]


def test_mlflow_that_is_not_installed_is_said_before_the_run(
    write_manifest: WriteManifest,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mlflow_log, "find_spec", lambda name: None if name == "mlflow" else name)
    rois, out = write_manifest(40), tmp_path / "run"
    message = refused(capsys, "run", "--dataset", rois, "--out", out, "--track", "mlflow", *SMALL)
    assert "--track mlflow needs mlflow, not installed here" in message
    assert not out.exists()


def test_a_store_out_of_reach_does_not_cost_the_run(
    write_manifest: WriteManifest,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nonsense://nowhere")
    rois, out = write_manifest(40), tmp_path / "run"
    assert invoke("run", "--dataset", rois, "--out", out, "--track", "mlflow", *SMALL) == 1
    assert "mlflow at 'nonsense://nowhere'" in capsys.readouterr().err
    assert read_run(out).metrics.model.nunique() == 2
