"""The run folder: everything a table or a figure is made from, nothing rounded.

=====================  ==============================================================
config.toml            resolved configuration; ``--profile`` accepts it
environment.json       dataset, protocol, package versions, hardware, command line
splits.json            training and test ROI ids of each repeat and fold
failures.json          what failed or was skipped, and why
predictions.parquet    one row a (ROI, split, arm); see ``PREDICTION_COLUMNS``
features/NAME.parquet  one row a ROI: what the models were fed; see :func:`feature_frame`
metrics.csv            one row a (arm, metric); ``benchmark.statistics.scoring.COLUMNS``
comparisons.csv        one row a (pair of arms, metric, test); ``comparisons.COLUMNS``
ranks.csv              how often each arm takes each rank by AUC over resamples of patients
split_metrics.csv      where there are several splits: means over them, corrected for overlap
timings.csv            one row a timed call, or one that the cache spared; ``TIMING_COLUMNS``
history.csv            one row a training epoch, for models that have epochs
training.csv           AUC of each fit on the ROIs that it was fitted on, for the train-test gap
rois.csv               one row a ROI: size, slice thickness, ratings; ``benchmark.cohort.roi_table``
near_duplicates.csv    pairs of ROIs that are made of the same pixels
strata.csv             the metrics within strata; ``benchmark.statistics.strata.COLUMNS``
multiverse.csv         with ``--multiverse``: one row a (universe, arm); ``multiverse.COLUMNS``
multiverse.parquet     the predictions that it is made from
models/                fitted models of repeat 0 (``benchmark.run.stored_models``)
gallery.md, .json      with ``report``: single nodules explained (``benchmark.report.gallery``)
figures/               with ``report``: their pictures, mean |SHAP|, the check of the heat maps
explanations.csv       with ``report``: mean |SHAP| of each feature of each classical arm
=====================  ==============================================================

Each table ends with a column ``intensities``: ``acquired``, or ``synthetic`` where voxel
values come from a simulation.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tomli_w

from benchmark.cohort.near_duplicates import Pair
from benchmark.cohort.splits import Split, read_splits, write_splits
from benchmark.config import Config, as_toml_tree, flat_settings
from benchmark.plugins.contracts import Arm
from benchmark.run.results import Failure, FeatureTable, Results
from benchmark.runtime import provenance
from benchmark.runtime.paths import ROOT

PREDICTION_COLUMNS = [
    "roi_id", "patient_id", "model", "features", "scheme", "repeat", "fold",
    "y_true", "y_prob", "threshold", "intensities",
]  # fmt: skip
ID_COLUMNS = ("roi_id", "patient_id", "roi_a", "roi_b")
"""Of any stored table."""

TIMING_COLUMNS = [
    "model", "features", "stage", "repeat", "fold", "seconds", "n_rois", "n_cached", "device",
    "intensities",
]  # fmt: skip
TRAINING_COLUMNS = ["model", "features", "repeat", "fold", "auc", "n_rois", "intensities"]
MULTIVERSE = "multiverse.csv"


@dataclass(frozen=True)
class RunFolder:
    """A finished run, read back."""

    path: Path
    config: Mapping[str, Any]
    environment: Mapping[str, Any]
    splits: tuple[Split, ...]
    predictions: pd.DataFrame
    metrics: pd.DataFrame
    comparisons: pd.DataFrame
    timings: pd.DataFrame
    training: pd.DataFrame
    rois: pd.DataFrame
    strata: pd.DataFrame
    near_duplicates: tuple[Pair, ...]
    failures: tuple[Failure, ...]
    multiverse: pd.DataFrame | None = None
    history: pd.DataFrame | None = None

    @property
    def synthetic(self) -> bool:
        """Whether voxel values come from a simulation."""
        return bool(self.environment["dataset"]["intensities"] == "synthetic")


def read_run(path: Path) -> RunFolder:
    """Read a run folder.

    Raises
    ------
    ValueError
        Where it is none.
    """
    import tomllib

    try:
        failures = json.loads((path / "failures.json").read_text())
        return RunFolder(
            path=path,
            config=tomllib.loads((path / "config.toml").read_text()),
            environment=json.loads((path / "environment.json").read_text()),
            splits=tuple(read_splits(path / "splits.json")),
            predictions=pd.read_parquet(path / "predictions.parquet"),
            metrics=read_csv(path / "metrics.csv"),
            comparisons=read_csv(path / "comparisons.csv"),
            timings=read_timings(path / "timings.csv"),
            training=read_csv(path / "training.csv"),
            rois=read_csv(path / "rois.csv"),
            strata=read_csv(path / "strata.csv"),
            near_duplicates=_read_pairs(path / "near_duplicates.csv"),
            failures=tuple(Failure(**failure) for failure in failures),
            multiverse=_read_if_there(path / MULTIVERSE),
            history=_read_if_there(path / "history.csv"),
        )
    except FileNotFoundError as error:
        missing = Path(str(error.filename)).name
        raise ValueError(f"'{path}' is not a run folder: no {missing} in it") from error


def complete(path: Path, config: Config, arms: Sequence[Arm], *, multiverse: bool) -> RunFolder:
    """Read a run folder that is to have been made with a configuration, of these arms.

    Raises
    ------
    ValueError
        Where it was made with another, naming the first key that differs, or lacks a model or
        the multiverse. Feature sets are not compared: single slices have others.
    """
    run = read_run(path)
    had_models = {arm.partition(":")[0] for arm in run.config["arms"]}
    lacking = [arm.model for arm in arms if arm.model not in had_models]
    if multiverse and run.multiverse is None:
        lacking.append("multiverse")
    if lacking:
        raise ValueError(f"'{path}' is a complete run without {lacking[0]}; name another folder")
    asked, had = (flat_settings(tree) for tree in (as_toml_tree(config), run.config))
    for key in asked.keys() | had.keys():
        if key != "arms" and asked.get(key) != had.get(key):
            raise ValueError(
                f"'{path}' is a complete run with {key} = {had.get(key)!r}, not "
                f"{asked.get(key)!r}; name another folder"
            )
    return run


def _read_pairs(path: Path) -> tuple[Pair, ...]:
    table = read_csv(path)
    rows = zip(table.roi_a, table.roi_b, table.similarity, strict=True)
    return tuple(Pair(a, b, float(similarity)) for a, b, similarity in rows)


def read_csv(path: Path) -> pd.DataFrame:
    """A stored table; ids, and an arm's empty name (extraction, say), stay text."""
    ids = dict.fromkeys(ID_COLUMNS, str)
    # Only what is empty is missing: an id may be "NA".
    table = pd.read_csv(path, dtype=ids, keep_default_na=False, na_values=[""])
    return table.fillna(dict.fromkeys(table.columns.intersection(["model", "features"]), ""))


def read_timings(path: Path) -> pd.DataFrame:
    """The stored times; runs from before there was a cache measured all of theirs."""
    table = read_csv(path)
    return table if "n_cached" in table else table.assign(n_cached=0)


def _read_if_there(path: Path) -> pd.DataFrame | None:
    return read_csv(path) if path.is_file() else None


def write_run(
    path: Path,
    config: Config,
    environment: Mapping[str, Any],
    splits: Sequence[Split],
    results: Results,
    predictions: Mapping[str, pd.DataFrame],
    tables: Mapping[str, pd.DataFrame],
) -> None:
    """Write all of a run's files into the folder ``path``.

    ``predictions`` are Parquet files by name, ``tables`` CSV files.
    """
    intensities = environment["dataset"]["intensities"]
    (path / "config.toml").write_text(tomli_w.dumps(as_toml_tree(config)))
    (path / "environment.json").write_text(json.dumps(environment, indent=1) + "\n")
    write_splits(path / "splits.json", splits)
    failures = [asdict(failure) for failure in results.failures]
    (path / "failures.json").write_text(json.dumps(failures, indent=1) + "\n")
    for name, rows in predictions.items():
        rows.assign(intensities=intensities).to_parquet(
            path / f"{name}.parquet", index=False, compression="zstd"
        )
    (path / "features").mkdir()
    for name, values in results.features.items():
        feature_frame(values).assign(intensities=intensities).to_parquet(
            path / "features" / f"{name}.parquet", index=False, compression="zstd"
        )
    timings = pd.DataFrame(results.timings, columns=TIMING_COLUMNS[:-1])
    history = {"history": pd.DataFrame(results.history)} if results.history else {}
    training = pd.DataFrame(results.training, columns=TRAINING_COLUMNS[:-1])
    tables = {**tables, "timings": timings, "training": training, **history}
    for name, table in tables.items():
        table.assign(intensities=intensities).to_csv(path / f"{name}.csv", index=False)


def feature_frame(table: FeatureTable) -> pd.DataFrame:
    """A feature set as stored, float64, ``roi_id`` first.

    Images are too large to store. Four numbers of each tell whether they are the same: mean,
    standard deviation, and the mean of value times position along rows and columns (from -1 to
    1), which a flip or an exchange of axes changes.
    """
    if table.columns:
        values, columns = table.values, list(table.columns)
    else:
        images = table.values.astype(np.float64)
        inner = tuple(range(1, images.ndim))
        down, across = (np.linspace(-1, 1, side) for side in images.shape[1:3])
        moments = [
            images.mean(axis=inner),
            images.std(axis=inner),
            images.mean(axis=inner[1:]) @ down / len(down),
            images.mean(axis=(1, *inner[2:])) @ across / len(across),
        ]
        values, columns = np.stack(moments, axis=1), ["mean", "sd", "mean_by_row", "mean_by_column"]
    frame = pd.DataFrame(values, columns=columns)
    frame.insert(0, "roi_id", list(table.rows))
    return frame


def read_features(path: Path) -> dict[str, pd.DataFrame]:
    """The feature sets of a run folder by name; empty for runs that stored none."""
    files = sorted((path / "features").glob("*.parquet"))
    return {
        file.stem: pd.read_parquet(file).drop(columns="intensities").set_index("roi_id")
        for file in files
    }


def prediction_table(results: Results) -> pd.DataFrame:
    """The predictions of a run, typed, columns ``PREDICTION_COLUMNS`` less the last."""
    table = pd.DataFrame(results.predictions, columns=PREDICTION_COLUMNS[:-1])
    whole = dict.fromkeys(("repeat", "fold", "y_true"), "int64")
    real = dict.fromkeys(("y_prob", "threshold"), "float64")
    return table.astype({**whole, **real})


def describe_machine() -> dict[str, Any]:
    """Package versions, interpreter, processor and source revision."""
    return {
        "python": platform.python_version(),
        "packages": provenance.versions(),
        "platform": platform.platform(),
        "processor": provenance.processor(),
        "cores": os.cpu_count(),
        "command": ["python", "-m", "benchmark", *sys.argv[1:]],
        "revision": _revision(),
    }


def _revision() -> str:
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty"],
            cwd=ROOT, capture_output=True, text=True, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return ""  # no git, or not a checkout
    return done.stdout.strip()
