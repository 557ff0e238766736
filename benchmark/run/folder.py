"""The run folder on disk: everything a table or a figure is made from, nothing rounded.

=====================  ==============================================================
config.toml            resolved configuration; ``--profile`` accepts it
environment.json       dataset, protocol, package versions, hardware, command line
splits.json            training and test ROI ids of each repeat and fold
failures.json          what failed or was skipped, and why
features/NAME.parquet  one row a ROI: what the models were fed (``benchmark.run.results``)
models/                fitted models of repeat 0 (``benchmark.run.stored_models``)
gallery.md, .json      with ``report``: single nodules explained (``benchmark.report.gallery``)
figures/               with ``report``: pictures, mean absolute SHAP, check of the heat maps
=====================  ==============================================================

The tables beside these (``predictions.parquet``, ``metrics.csv`` and others) are declared, with
their columns, in ``benchmark.columns``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import tomli_w

from benchmark.cohort.near_duplicates import Pair
from benchmark.cohort.splits import Split, write_splits
from benchmark.columns import (
    CHOICE_TABLE,
    COMPARISON_TABLE,
    EPOCH_TABLE,
    METRIC_TABLE,
    MULTIVERSE_TABLE,
    NEAR_DUPLICATE_TABLE,
    PREDICTION_TABLE,
    ROI_TABLE,
    STRATA_TABLE,
    TIMING_TABLE,
    TRAINING_TABLE,
)
from benchmark.config import Config, as_toml_tree, flat_settings
from benchmark.plugins.arms import Arm, arms_in
from benchmark.run.results import FeatureTable, feature_frame
from benchmark.runtime.failures import Failure
from benchmark.stored_files import (
    check_together,
    read_config,
    read_environment,
    read_failures,
    read_splits,
)
from benchmark.stored_table import INTENSITIES, TEXT, StoredTable
from benchmark.user_tables.csv_rows import digest

T = TypeVar("T")

_FURTHER_FILES = (
    COMPARISON_TABLE.file, TRAINING_TABLE.file, STRATA_TABLE.file, NEAR_DUPLICATE_TABLE.file,
)  # fmt: skip

_CHANGES_NOTHING = ("allow_outside", "limits.fit_s", "limits.roi_voxels")
"""Settings of what may be done, which a finished run was not stopped by."""

BASELINE_FILES = (
    "config.toml", "environment.json", "splits.json", "failures.json", PREDICTION_TABLE.file,
    METRIC_TABLE.file, TIMING_TABLE.file, ROI_TABLE.file,
)  # fmt: skip
"""With ``features/``, what a baseline holds: a smaller run folder."""


class RunFolder:
    """A finished run, or a baseline, on disk; what is asked for is read once.

    Parameters
    ----------
    path : Path
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def replaced(self, **known: Any) -> RunFolder:
        """A copy, with what was read so far, in which some attributes are something else."""
        unknown = sorted(name for name in known if name != "path" and not hasattr(type(self), name))
        if unknown:
            raise TypeError(f"a run folder has no {unknown[0]}")
        copy = RunFolder(self.path)
        vars(copy).update({**vars(self), **known})
        return copy

    @property
    def name(self) -> str:
        """The dataset's."""
        return str(self.environment["dataset"]["name"])

    @property
    def synthetic(self) -> bool:
        """True if voxel values come from a simulation."""
        return bool(self.environment["dataset"]["intensities"] == "synthetic")

    @property
    def arms(self) -> tuple[Arm, ...]:
        """Arms that finished, in the order of the tables."""
        return tuple(arms_in(self.metrics))

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """The resolved configuration, as a tree."""
        return self._read(read_config, "config.toml")

    @cached_property
    def environment(self) -> Mapping[str, Any]:
        """Dataset, protocol, package versions, hardware, command line."""
        return self._read(read_environment, "environment.json")

    @cached_property
    def splits(self) -> tuple[Split, ...]:
        """Training and test ROI ids of each repeat and fold."""
        return self._read(read_splits, "splits.json")

    @cached_property
    def failures(self) -> tuple[Failure, ...]:
        """Failures and skips."""
        return self._read(read_failures, "failures.json")

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """``PREDICTION_TABLE``."""
        return self._table(PREDICTION_TABLE)

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """``METRIC_TABLE``."""
        return self._table(METRIC_TABLE)

    @cached_property
    def comparisons(self) -> pd.DataFrame:
        """``COMPARISON_TABLE``."""
        return self._table(COMPARISON_TABLE)

    @cached_property
    def timings(self) -> pd.DataFrame:
        """``TIMING_TABLE``."""
        return self._table(TIMING_TABLE)

    @cached_property
    def training(self) -> pd.DataFrame:
        """``TRAINING_TABLE``."""
        return self._table(TRAINING_TABLE)

    @cached_property
    def rois(self) -> pd.DataFrame:
        """``ROI_TABLE``."""
        return self._table(ROI_TABLE)

    @cached_property
    def strata(self) -> pd.DataFrame:
        """``STRATA_TABLE``."""
        return self._table(STRATA_TABLE)

    @cached_property
    def near_duplicates(self) -> tuple[Pair, ...]:
        """Pairs of ROIs of the same pixels."""
        rows = self._table(NEAR_DUPLICATE_TABLE).to_dict("records")
        return tuple(Pair(row["roi_a"], row["roi_b"], row["similarity"]) for row in rows)

    @cached_property
    def multiverse(self) -> pd.DataFrame | None:
        """``MULTIVERSE_TABLE``; None where the run explored none."""
        return self.table_if_there(MULTIVERSE_TABLE)

    @cached_property
    def epochs(self) -> pd.DataFrame | None:
        """``EPOCH_TABLE``; None where no model trains in epochs."""
        return self.table_if_there(EPOCH_TABLE)

    @cached_property
    def choices(self) -> pd.DataFrame | None:
        """``CHOICE_TABLE``; None where no model chooses settings, and of older runs."""
        return self.table_if_there(CHOICE_TABLE)

    @cached_property
    def features(self) -> dict[str, pd.DataFrame]:
        """Inputs of the models, by feature set, indexed by ROI id; see ``feature_frame``."""
        found = {}
        for file in sorted((self.path / "features").glob("*.parquet")):
            table = StoredTable(
                f"features/{file.stem}", {"roi_id": TEXT}, open=True, parquet=True, key=("roi_id",)
            )
            found[file.stem] = self._table(table).drop(columns=INTENSITIES).set_index("roi_id")
        return found

    def _table(self, table: StoredTable) -> pd.DataFrame:
        return self._read(lambda _: table.read(self.path), table.file)

    def table_if_there(self, table: StoredTable) -> pd.DataFrame | None:
        """A table, or None where the folder has none."""
        return self._table(table) if (self.path / table.file).exists() else None

    def _read(self, read: Callable[[Path], T], name: str) -> T:
        """Read one of the folder's files; the only place where one is opened."""
        path = self.path / name
        if not path.is_file():
            what = "is no file" if path.exists() else "is not in it"
            raise ValueError(f"'{self.path}' is not a run folder: {name} {what}")
        try:
            return read(path)
        except OSError as error:
            raise ValueError(f"'{path}': cannot be read ({error.strerror})") from error
        except ValueError as error:
            raise ValueError(f"'{self.path}': {error}") from error


def read_run(path: Path) -> RunFolder:
    """Open a run folder.

    Raises
    ------
    ValueError
        Where it is none, naming the first file that is missing; where a file is damaged or
        contradicts another, naming file, column or key, and row.
    """
    run = _opened(path, "is not a run folder", (*BASELINE_FILES, *_FURTHER_FILES))
    if "command" not in run.environment:
        raise ValueError(f"'{path}': environment.json: command is missing")
    return run


def read_baseline(path: Path) -> RunFolder:
    """Open a baseline, or a run folder that stands in for one.

    Raises
    ------
    ValueError
        Where it is neither, as :func:`read_run` does.
    """
    return _opened(path, "is neither a run folder nor a baseline", BASELINE_FILES)


def _opened(path: Path, what: str, files: Sequence[str]) -> RunFolder:
    for name in files:
        if not (path / name).is_file():
            raise ValueError(f"'{path}' {what}: no {name} in it")
    run = RunFolder(path)
    for name in ("config", "failures", "timings"):  # the others are looked at below
        getattr(run, name)
    others = {}
    if COMPARISON_TABLE.file in files:
        others = {COMPARISON_TABLE.file: run.comparisons, STRATA_TABLE.file: run.strata}
    known = run.environment, run.splits, run.rois, run.predictions, run.metrics
    try:
        check_together(*known, others)
    except ValueError as error:
        raise ValueError(f"'{path}': {error}") from error
    return run


def complete(path: Path, config: Config, arms: Sequence[Arm], *, multiverse: bool) -> RunFolder:
    """Open a run folder that is to have been made with a configuration, of these arms.

    Raises
    ------
    ValueError
        Where it was made with another, naming the first key that differs, lacks a model or the
        multiverse, or read other predictions or features than the files now hold. Feature sets
        are not compared: single slices have others.
    """
    run = read_run(path)
    had = {_without_features(arm) for arm in run.config["arms"]}
    lacking = [str(arm) for arm in arms if _without_features(arm.as_config()) not in had]
    if multiverse and run.multiverse is None:
        lacking.append("multiverse")
    if lacking:
        raise ValueError(f"'{path}' is a complete run without {lacking[0]}; name another folder")
    asked, known = (flat_settings(tree) for tree in (as_toml_tree(config), run.config))
    for key in asked.keys() | known.keys():
        if key not in _CHANGES_NOTHING and key != "arms" and asked.get(key) != known.get(key):
            raise ValueError(
                f"'{path}' is a complete run with {key} = {known.get(key)!r}, not "
                f"{asked.get(key)!r}; name another folder"
            )
    for file in config.user_tables:
        if digest(Path(file)) != run.environment.get("user_tables", {}).get(file):
            raise ValueError(
                f"'{path}' is a complete run, and '{file}' has another content than it read; name "
                "another folder"
            )
    return run


def _without_features(arm: str | Mapping[str, Any]) -> str:
    """An arm of a configuration as text, but for its feature sets."""
    if isinstance(arm, str):
        return arm.partition(":")[0]
    return json.dumps({k: v for k, v in arm.items() if k != "features"}, sort_keys=True)


def write_run(
    path: Path,
    config: Config,
    environment: Mapping[str, Any],
    splits: Sequence[Split],
    failures: Sequence[Failure],
    features: Mapping[str, FeatureTable],
    tables: Sequence[tuple[StoredTable, pd.DataFrame]],
) -> None:
    """Write all of a run's files into the folder ``path``."""
    intensities = environment["dataset"]["intensities"]
    (path / "config.toml").write_text(tomli_w.dumps(as_toml_tree(config)), encoding="utf-8")
    _write_json(path / "environment.json", environment)
    write_splits(path / "splits.json", splits)
    _write_json(path / "failures.json", [asdict(failure) for failure in failures])
    (path / "features").mkdir()
    for name, values in features.items():
        feature_frame(values).assign(**{INTENSITIES: intensities}).to_parquet(
            path / "features" / f"{name}.parquet", index=False, compression="zstd"
        )
    for table, rows in tables:
        table.write(rows, path, intensities)


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
