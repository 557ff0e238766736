"""Files of a run folder that are no tables, checked when they are read, and what all must agree on.

A run folder may be a stranger's, or damaged. ``benchmark.stored_table`` checks each table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired

import pandas as pd
from annotated_types import Ge, Le
from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict  # pydantic takes none of typing's before Python 3.12

from benchmark.cohort.splits import Split
from benchmark.columns import by_arm
from benchmark.config import Bootstrap
from benchmark.formats.text import decode, read_toml
from benchmark.plugins.arms import arms_in
from benchmark.runtime.failures import Failure

Count = Annotated[int, Ge(0), Le(10**9)]
Seconds = Annotated[float, Ge(0), Le(10**9)]


@with_config(ConfigDict(extra="allow"))
class Dataset(TypedDict):
    """The dataset that a run was made on."""

    name: str
    intensities: Literal["acquired", "synthetic"]
    fingerprint: str
    cohort: str
    patients_known: NotRequired[bool]


@with_config(ConfigDict(extra="allow"))
class Protocol(TypedDict):
    """Label, split and threshold in words."""

    label: str
    split: str
    threshold: str
    leaky: bool


@with_config(ConfigDict(extra="allow"))
class Environment(TypedDict):
    """What ``environment.json`` must say, and what it may."""

    started: str
    wall_s: Seconds
    jobs: Count
    workers: NotRequired[str]
    reference_s: NotRequired[list[Seconds]]
    dataset: Dataset
    protocol: Protocol
    python: str
    packages: dict[str, str]
    platform: str
    processor: str
    cores: Count | None
    command: NotRequired[list[str]]
    user_tables: NotRequired[dict[str, str]]
    revision: str


@with_config(ConfigDict(extra="allow"))
class ArmEntry(TypedDict):
    """An arm with a name of its own."""

    name: str
    model: str
    features: NotRequired[str]
    settings: NotRequired[dict[str, Any]]


@with_config(ConfigDict(extra="allow"))
class Settings(TypedDict):
    """What ``config.toml`` must say for a report; ``benchmark.config`` reads it for a run."""

    profile: str
    dataset: str
    test_dataset: NotRequired[str]
    seed: Annotated[int, Ge(0), Le(2**63)]
    arms: list[str | ArmEntry]
    threshold: Annotated[float, Ge(0), Le(1)] | Literal["train"]
    label: dict[str, Any]
    splits: dict[str, Any]
    bootstrap: Bootstrap
    models: NotRequired[dict[str, dict[str, Any]]]


def read_environment(path: Path) -> Mapping[str, Any]:
    """``environment.json``."""
    found: Mapping[str, Any] = _json(path, Environment)
    return found


def read_failures(path: Path) -> tuple[Failure, ...]:
    """``failures.json``."""
    return tuple(_json(path, list[Failure]))


def read_splits(path: Path) -> tuple[Split, ...]:
    """``splits.json``; no split tests a ROI that it trains on, and each stands once."""
    splits: list[Split] = _json(path, list[Split])
    seen = set()
    for split in splits:
        place = f"{split.scheme} repeat {split.repeat} fold {split.fold}"
        train, test = set(split.train), set(split.test)
        if place in seen:
            raise ValueError(f"{path.name}: {place} stands twice; each split has one entry")
        if both := sorted(train & test):
            raise ValueError(f"{path.name}: {place} trains on and tests ROI {both[0]!r}")
        if len(train) < len(split.train) or len(test) < len(split.test):
            raise ValueError(f"{path.name}: {place} names a ROI twice")
        seen.add(place)
    return tuple(splits)


def read_config(path: Path) -> Mapping[str, Any]:
    """``config.toml``, as a tree."""
    tree = read_toml(path, path.name)
    try:
        TypeAdapter(Settings).validate_python(tree)
    except ValidationError as error:
        raise ValueError(f"{path.name}: {_first(error)}") from error
    return tree


def _json(path: Path, kind: Any) -> Any:
    try:
        text = decode(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from error
    try:
        return TypeAdapter(kind).validate_json(text, strict=True)
    except ValidationError as error:
        raise ValueError(f"{path.name}: {_first(error)}") from error


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"]))
    return f"{where + ': ' if where else ''}{first['msg'][0].lower()}{first['msg'][1:]}"


def check_together(
    environment: Mapping[str, Any],
    splits: Sequence[Split],
    rois: pd.DataFrame,
    predictions: pd.DataFrame,
    metrics: pd.DataFrame,
    others: Mapping[str, pd.DataFrame],
) -> None:
    """Refuse files that contradict each other: arms, ROIs, patients, labels, splits.

    Parameters
    ----------
    environment, splits, rois, predictions, metrics
        Content of the files that every run folder and baseline has.
    others : mapping of str to DataFrame
        Further tables, by their files' names.
    """
    tables = {"predictions.parquet": predictions, "metrics.csv": metrics, "rois.csv": rois}
    tables |= others
    known = environment["dataset"]["intensities"]
    for name, table in tables.items():
        if (table["intensities"] != known).any():
            raise ValueError(
                f"{name}, column 'intensities': not '{known}', as environment.json says"
            )
    _check_arms(predictions, metrics, others)
    _check_rois(rois, predictions)
    tested = {(s.scheme, s.repeat, s.fold): set(s.test) for s in splits}
    for (scheme, repeat, fold), rows in predictions.groupby(["scheme", "repeat", "fold"]):
        own = tested.get((str(scheme), int(str(repeat)), int(str(fold))), set())
        if strangers := sorted(set(rows["roi_id"]) - own):
            raise ValueError(
                f"predictions.parquet: ROI {strangers[0]!r} is predicted in {scheme} repeat "
                f"{repeat} fold {fold}, which splits.json does not test it in"
            )


def _check_rois(rois: pd.DataFrame, predictions: pd.DataFrame) -> None:
    own = {row["roi_id"]: row for row in rois.to_dict("records")}
    told = predictions[["roi_id", "patient_id", "y_true"]].drop_duplicates()
    for row in told.to_dict("records"):
        roi_id = row["roi_id"]
        if roi_id not in own:
            raise ValueError(f"predictions.parquet: ROI {roi_id!r} is not in rois.csv")
        for column in ("patient_id", "y_true"):
            if own[roi_id][column] != row[column]:
                raise ValueError(
                    f"predictions.parquet: ROI {roi_id!r} has {column} {row[column]!r}, in "
                    f"rois.csv {own[roi_id][column]!r}; they must be the same"
                )


def _check_arms(
    predictions: pd.DataFrame, metrics: pd.DataFrame, others: Mapping[str, pd.DataFrame]
) -> None:
    made = {arm.name: arm for arm in arms_in(predictions)}
    scored = {arm.name: arm for arm in arms_in(metrics)}
    for name in [*made, *scored]:
        if name not in made or name not in scored:
            here, there = "predictions.parquet", "metrics.csv"
            where = f"{here}, not in {there}" if name in made else f"{there}, not in {here}"
            raise ValueError(f"arm {name!r} is in {where}; each arm is in both")
        if made[name] != scored[name]:
            raise ValueError(f"metrics.csv: arm {name!r} has another model or other features")
    asked = {arm: set(rows["metric"]) for arm, rows in by_arm(metrics).items()}
    for metric in sorted(set().union(*asked.values())):
        for arm, own in asked.items():
            if metric not in own:
                raise ValueError(f"metrics.csv: arm {arm!r} has no row of metric '{metric}'")
    for file, table in {"predictions.parquet": predictions, "metrics.csv": metrics}.items():
        if len(table[["arm", "model", "features", "supervision"]].drop_duplicates()) > len(made):
            raise ValueError(f"{file}: an arm has rows of two models, feature sets or supervisions")
    for file, table in others.items():
        for column in table.columns.intersection(["arm", "arm_a", "arm_b"]):
            if strangers := sorted(set(table[column]) - made.keys() - {""}):
                raise ValueError(f"{file}: arm {strangers[0]!r} is not in predictions.parquet")
