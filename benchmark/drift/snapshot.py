"""What the drift gate reads of a run folder or of a baseline, which is a smaller run folder."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from benchmark.cohort.splits import Split, read_splits
from benchmark.run.folder import read_csv, read_features, read_timings
from benchmark.run.results import Failure

FILES = (
    "config.toml", "environment.json", "splits.json", "failures.json", "predictions.parquet",
    "metrics.csv", "timings.csv", "rois.csv",
)  # fmt: skip
"""With ``features/``, what a baseline holds; named as in a run folder."""


@dataclass(frozen=True, eq=False)
class Snapshot:
    """One side of the comparison; the tables are those of :mod:`benchmark.run.folder`."""

    path: Path
    config: Mapping[str, Any]
    environment: Mapping[str, Any]
    splits: tuple[Split, ...]
    failures: tuple[Failure, ...]
    predictions: pd.DataFrame
    metrics: pd.DataFrame
    timings: pd.DataFrame
    rois: pd.DataFrame
    features: Mapping[str, pd.DataFrame]

    @property
    def name(self) -> str:
        """The dataset's."""
        return str(self.environment["dataset"]["name"])


def read(path: Path) -> Snapshot:
    """Read a run folder or a baseline.

    Raises
    ------
    ValueError
        Where a file is missing.
    """
    for name in FILES:
        if not (path / name).is_file():
            raise ValueError(f"'{path}' is neither a run folder nor a baseline: no {name} in it")
    failures = json.loads((path / "failures.json").read_text())
    return Snapshot(
        path=path,
        config=tomllib.loads((path / "config.toml").read_text()),
        environment=json.loads((path / "environment.json").read_text()),
        splits=tuple(read_splits(path / "splits.json")),
        failures=tuple(Failure(**failure) for failure in failures),
        predictions=pd.read_parquet(path / "predictions.parquet"),
        metrics=read_csv(path / "metrics.csv"),
        timings=read_timings(path / "timings.csv"),
        rois=read_csv(path / "rois.csv"),
        features=read_features(path),
    )
