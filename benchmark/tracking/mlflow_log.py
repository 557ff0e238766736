"""Runs sent to a tracker as well: MLflow, into a local SQLite file unless told otherwise."""

from __future__ import annotations

import math
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmark.columns import by_arm
from benchmark.config import flat_settings
from benchmark.plugins.arms import Arm
from benchmark.run.folder import RunFolder

SINKS = ("mlflow",)
EXPERIMENT = "lung-nodule-benchmark"
DATABASE = "mlflow.db"
ARTIFACTS = "mlflow-artifacts"


def check(sink: str) -> None:
    """Refuse a tracker that is not installed, before a run begins.

    Raises
    ------
    ValueError
    """
    missing = [name for name in ("mlflow", "sqlalchemy", "alembic") if find_spec(name) is None]
    if missing:
        raise ValueError(
            f"--track {sink} needs {', '.join(missing)}, not installed here; use 'tox -e track' "
            "or install the extra 'track'"
        )


def log_run(run: RunFolder) -> str:
    """Log a run folder to MLflow, a run an arm; return where it went.

    Each arm's MLflow run holds the resolved configuration as parameters, every metric with
    its interval (``auc``, ``auc_low``, ``auc_high``), training time, and tags for dataset,
    fingerprint, revision and versions; the report is an artifact. ``MLFLOW_TRACKING_URI`` names
    another place than ``mlflow.db`` beside the run folder.

    Raises
    ------
    ValueError
        Where MLflow refuses or cannot reach the place.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # else it reports its use
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    beside = run.path.resolve().parent
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{beside / DATABASE}"
    try:
        client = MlflowClient(uri)
        experiment = _experiment(client, beside / ARTIFACTS, local=uri.startswith("sqlite:"))
        for arm in run.arms:
            _log_arm(client, experiment, run, arm)
    except MlflowException as error:
        raise ValueError(f"mlflow at '{uri}': {error}") from error
    return uri


def _experiment(client: Any, artifacts: Path, *, local: bool) -> str:
    found = client.get_experiment_by_name(EXPERIMENT)
    if found is not None:
        return str(found.experiment_id)
    # Without a location, a local store would put artifacts into the current folder.
    location = artifacts.as_uri() if local else None
    return str(client.create_experiment(EXPERIMENT, artifact_location=location))


def _log_arm(client: Any, experiment: str, run: RunFolder, arm: Arm) -> None:
    from mlflow.entities import Metric, Param, RunTag

    environment = run.environment
    logged = client.create_run(experiment, run_name=f"{run.path.name} {arm}")
    run_id = logged.info.run_id
    values: dict[str, float] = {}
    for row in by_arm(run.metrics)[arm.name].to_dict("records"):
        name = row["metric"]
        values |= {name: row["value"], f"{name}_low": row["ci_low"], f"{name}_high": row["ci_high"]}
    timed = run.timings[run.timings.arm == arm.name]
    for stage, rows in timed[timed.n_cached == 0].groupby("stage"):
        values[f"{stage}_s"] = float(rows["seconds"].sum())
    now = int(logged.info.start_time)
    tags = {
        **arm.columns,
        "run": run.path.name,
        "dataset": environment["dataset"]["name"],
        "intensities": environment["dataset"]["intensities"],
        "fingerprint": environment["dataset"]["fingerprint"],
        "revision": environment["revision"],
        "python": environment["python"],
        **{f"version.{name}": version for name, version in environment["packages"].items()},
    }
    client.log_batch(
        run_id,
        # MLflow has no place for an undefined value; metrics.csv keeps it.
        metrics=[
            Metric(name, value, now, 0) for name, value in values.items() if math.isfinite(value)
        ],
        params=[Param(key, str(value)) for key, value in flat_settings(run.config).items()],
        tags=[RunTag(key, str(value)) for key, value in tags.items()],
    )
    client.log_artifact(run_id, str(run.path / "report.md"))
    client.set_terminated(run_id)
