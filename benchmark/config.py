"""Configuration: a profile's TOML, then ``--set key=value``; unknown keys are refused."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

from annotated_types import Ge, Le, MinLen
from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

from benchmark.cohort.labels import LabelRule
from benchmark.cohort.splits import SplitRule
from benchmark.formats.files import DEFAULT_ACCESS
from benchmark.formats.text import read_toml
from benchmark.plugins import registry
from benchmark.plugins.arms import Arm
from benchmark.plugins.settings import (
    NamedArm,
    arm_of,
    check_external_name,
    check_feature_set,
    check_feature_table_name,
    checked_settings,
    told,
)
from benchmark.runtime.paths import PROFILES

_OF_A_TABLE = "logistic"
"""Model of an arm that a feature table feeds where none is named: the one that is least tuned."""

_OPEN = {
    "models": "models.NAME.SETTING", "predictions": "predictions.NAME",
    "feature_tables": "feature_tables.NAME",
}  # fmt: skip
"""Keys under which any name may stand."""


@dataclass(frozen=True)
class Bootstrap:
    """Settings of intervals: resamples of patients, and the method.

    Attributes
    ----------
    samples : int
    method : {"scaled_t", "percentile", "bca"}
        ``scaled_t``: Student's t around the value, on the metric's own scale; the others take
        quantiles of the resamples (``benchmark.statistics.inference``).
    """

    samples: Annotated[int, Ge(100), Le(100_000)] = 2000
    method: Literal["scaled_t", "percentile", "bca"] = "scaled_t"


@dataclass(frozen=True)
class Limits:
    """Limits of what may hang, crash or fill the memory.

    Attributes
    ----------
    fit_s : float
        Seconds that one fit may take, with its imports and predictions; 0 sets no limit. With
        one, fits run in a process of their own, one by one, and a fit that takes longer or
        crashes is a failure of that arm and fold.
    roi_voxels : int
        Voxels of an image or a mask; by default those of a whole CT.
    """

    fit_s: Annotated[float, Ge(0)] = 0.0
    roi_voxels: Annotated[int, Ge(1)] = DEFAULT_ACCESS.roi_voxels


@dataclass(frozen=True)
class Multiverse:
    """Span of ``--multiverse``: every combination, and the run's own protocol.

    Attributes
    ----------
    aggregation, min_readers, indeterminate : tuple
        Values of the label rule's keys of these names.
    scheme, group : tuple
        Values of the keys of ``splits``; its other keys stay the run's.
    """

    aggregation: Annotated[tuple[Literal["median", "mean"], ...], MinLen(1)] = ("median", "mean")
    min_readers: Annotated[tuple[Annotated[int, Ge(1)], ...], MinLen(1)] = (1, 3, 4)
    indeterminate: Annotated[tuple[Literal["drop", "benign", "malignant"], ...], MinLen(1)] = (
        "drop", "benign", "malignant",
    )  # fmt: skip
    scheme: Annotated[tuple[Literal["holdout", "kfold"], ...], MinLen(1)] = ("holdout", "kfold")
    group: Annotated[tuple[Literal["patient", "none"], ...], MinLen(1)] = ("patient",)


@with_config(ConfigDict(extra="forbid", allow_inf_nan=False))
@dataclass(frozen=True)
class Config:
    """One run's resolved settings; ``config.toml`` in the run folder is this, written out.

    Attributes
    ----------
    profile, dataset : str
    test_dataset : str
        Where one is named, models train on all of ``dataset`` and are tested on all of this one;
        ``splits`` then goes unused.
    seed : int
    arms : tuple of str or NamedArm
        ``model`` (with its default feature set), ``model:features``, ``model:one+other``, or a
        table with a name of its own and settings of the model.
    slices : int
        0 takes ROIs as they are; otherwise each gives up to as many single slices, each a case
        of its own (``benchmark.cohort.slices``).
    threshold : float or "train"
        Threshold on P(malignant); ``train`` lets each model choose its own on training patients.
    keep_models : bool
        Store the fitted models of the first repeat, which ``report`` explains.
    fit_together : bool
        Train the folds and repeats of a model as one program, where it can (``paper_cnn`` with
        KERAS_BACKEND=jax). Results are the same but for rounding; a fit's time is then its share.
    allow_outside : bool
        Read what a manifest names outside of its folder.
    label, splits, bootstrap, multiverse, limits
        :class:`LabelRule`, :class:`SplitRule`, :class:`Bootstrap`, :class:`Multiverse`,
        :class:`Limits`.
    models : dict
        Settings by model name; each model's ``build`` says which it takes.
    predictions : dict of str to str
        Files of predictions made elsewhere, by the name of the arm that they make
        (``benchmark.user_tables.predictions``).
    feature_tables : dict of str to str
        Files of features made elsewhere, by the name of the feature set that they make
        (``benchmark.user_tables.features``).
    """

    profile: str = "quick"
    dataset: str = "phantom"
    test_dataset: str = ""
    seed: Annotated[int, Ge(0)] = 0
    arms: tuple[str | NamedArm, ...] = ()
    slices: Annotated[int, Ge(0), Le(1000)] = 0
    threshold: Annotated[float, Ge(0), Le(1)] | Literal["train"] = "train"
    keep_models: bool = True
    fit_together: bool = False
    allow_outside: bool = False
    label: LabelRule = field(default_factory=LabelRule)
    splits: SplitRule = field(default_factory=SplitRule)
    bootstrap: Bootstrap = field(default_factory=Bootstrap)
    multiverse: Multiverse = field(default_factory=Multiverse)
    limits: Limits = field(default_factory=Limits)
    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    predictions: dict[str, str] = field(default_factory=dict)
    feature_tables: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in self.predictions:
            check_external_name(name)
        for name in self.feature_tables:
            check_feature_table_name(name)

    @property
    def user_tables(self) -> tuple[str, ...]:
        """Files of predictions and features made elsewhere."""
        return (*self.predictions.values(), *self.feature_tables.values())


def load_config(profile: str, settings: Iterable[str] = ()) -> Config:
    """Resolve a profile and settings.

    Parameters
    ----------
    profile : str
        Name of a profile in ``benchmark/profiles`` or path of a TOML file, the
        ``config.toml`` of a former run included.
    settings : iterable of str
        ``key=value``; the value is read as TOML, or as text where it is none.

    Raises
    ------
    ValueError
        Naming the key, the value and the rule, and the profile where the fault is in it.
    """
    if profile.endswith(".toml"):
        path, name = Path(profile), Path(profile).stem
    elif profile in registry.names("profiles"):
        path, name = PROFILES / f"{profile}.toml", profile
    else:
        raise ValueError(registry.unknown("profile", profile, registry.names("profiles")))
    tree = read_toml(path, f"profile '{profile}'")
    tree.setdefault("profile", name)
    alone = deepcopy(tree)
    for setting in settings:
        _set(tree, setting)
    try:
        return _resolve(tree)
    except ValueError as error:
        if str(error) == _fault(alone):
            raise ValueError(f"profile '{profile}': {error}") from error
        raise


def select_arms(
    config: Config, models: Iterable[str] | None = None, features: Iterable[str] | None = None
) -> list[Arm]:
    """The arms to run.

    ``models`` restricts them to those models or arms, and adds a model that the profile lacks
    with its default feature set; ``features`` restricts them to those fed by the named sets.
    Without ``models``, a feature table that feeds none of the arms gets ``logistic``.

    Raises
    ------
    ValueError
        For an unknown name, for two arms of one name, for a feature table that feeds no arm, and
        where nothing is left.
    """
    tables = config.feature_tables
    chosen = _distinct(arm_of(entry, tables) for entry in config.arms)
    if models is not None:
        wanted = list(models)
        known = {name for arm in chosen for name in (arm.model, arm.name)}
        chosen = [arm for arm in chosen if arm.model in wanted or arm.name in wanted]
        chosen += [arm_of(model, tables) for model in wanted if model not in known]
    else:
        chosen += [arm_of(f"{_OF_A_TABLE}:{name}", tables) for name in _unfed(tables, chosen)]
    if features is not None:
        wanted = list(features)
        for name in wanted:
            check_feature_set(name, tables)
        chosen = [arm for arm in chosen if set(arm.feature_sets) <= set(wanted)]
    for name in _unfed(tables, chosen):
        raise ValueError(
            f"feature table '{name}' feeds none of the arms to run; name one that it feeds, as "
            f"in --models {_OF_A_TABLE}:{name}"
        )
    if twice := [arm.name for arm in chosen if arm.name in config.predictions]:
        raise ValueError(f"predictions: '{twice[0]}' is an arm of the run; give them another name")
    if not chosen:
        raise ValueError(
            "no arm is left to run; pair a model with a feature set in the profile or with "
            "--set 'arms=[\"model:features\"]'"
        )
    return chosen


def as_toml_tree(config: Config) -> dict[str, Any]:
    """The configuration as nested plain values, ready to be written as TOML."""
    tree: dict[str, Any] = TypeAdapter(Config).dump_python(config, mode="json")
    return tree


def flat_settings(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A configuration's tree with dotted keys, as ``--set`` writes them."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= flat_settings(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _resolve(tree: Mapping[str, Any]) -> Config:
    """The configuration that a tree of values says."""
    _refuse_unknown(tree)
    try:
        config = TypeAdapter(Config).validate_python(tree)
    except ValidationError as error:
        raise ValueError(told(error)) from error
    return replace(
        config,
        models={
            name: checked_settings(f"models.{name}.", name, values)
            for name, values in config.models.items()
        },
    )


def _fault(tree: Mapping[str, Any]) -> str:
    """The message with which a tree is refused; empty where it is not."""
    try:
        _resolve(tree)
    except ValueError as error:
        return str(error)
    return ""


def _unfed(tables: Mapping[str, str], arms: Iterable[Arm]) -> list[str]:
    """Feature tables that feed none of the arms."""
    fed = {name for arm in arms for name in arm.feature_sets}
    return [name for name in tables if name not in fed]


def _distinct(arms: Iterable[Arm]) -> list[Arm]:
    """The arms, each once; two that differ and have one name are refused."""
    found: dict[str, Arm] = {}
    for arm in arms:
        other = found.setdefault(arm.name, arm)
        if other.as_config() != arm.as_config():
            raise ValueError(f"arms: '{arm.name}' names two arms; give each a name of its own")
    return list(found.values())


def _set(tree: dict[str, Any], setting: str) -> None:
    key, separator, text = setting.partition("=")
    if not separator or not key.strip():
        raise ValueError(f"--set '{setting}': write it as key=value")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        value = text.strip()
    *parents, leaf = key.strip().split(".")
    node = tree
    for parent in parents:
        node = node.setdefault(parent, {})
        if not isinstance(node, dict):
            raise ValueError(f"--set '{setting}': '{parent}' holds a value, not a table")
    node[leaf] = value


def _refuse_unknown(tree: Mapping[str, Any]) -> None:
    known = _known_keys()
    for key, value in tree.items():
        if key in _OPEN:
            continue
        paths = [f"{key}.{leaf}" for leaf in value] if isinstance(value, dict) else [key]
        for path in paths:
            if path not in known:
                raise ValueError(registry.unknown("key", path, [*known, *_OPEN.values()]))


def _known_keys() -> list[str]:
    hints = get_type_hints(Config)
    keys: list[str] = []
    for entry in fields(Config):
        kind = hints[entry.name]
        if is_dataclass(kind):
            keys += [f"{entry.name}.{leaf.name}" for leaf in fields(kind)]
        elif entry.name not in _OPEN:
            keys.append(entry.name)
    return keys
