"""Settings of models: read from ``build``, checked by the rules in its types; and named arms."""

from __future__ import annotations

import inspect
import re
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import Any, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

from benchmark.plugins import registry
from benchmark.plugins.arms import EXTERNAL, Arm
from benchmark.runtime.failures import describe_error

_RULES = {
    "greater_than_equal": "it must be at least {ge:g}",
    "greater_than": "it must be above {gt:g}",
    "less_than_equal": "it must be at most {le:g}",
    "less_than": "it must be below {lt:g}",
    "finite_number": "it must be finite",
    "too_short": "it must hold at least {min_length}",
}
"""Pydantic's kinds of error that break a rule, in our words."""


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True)
class NamedArm:
    """An arm with a name of its own, as a table in a profile.

    Attributes
    ----------
    name : str
        Name in every table; no other arm of the run has it.
    model : str
    features : str
        One feature set, or several joined by ``+``; empty for the model's own.
    settings : dict
        Settings of the model, in this arm alone.
    """

    name: str
    model: str
    features: str = ""
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_arm_name("arms", self.name)


def check_external_name(name: str) -> None:
    """Refuse a name for predictions made elsewhere that no arm can have, or that a model has.

    Raises
    ------
    ValueError
    """
    _check_arm_name("predictions", name)
    if name in (EXTERNAL, *registry.names("models")):
        raise ValueError(
            f"predictions: name is '{name}', as a model of this suite is called; take another"
        )


def check_feature_table_name(name: str) -> None:
    """Refuse a name that a feature set made elsewhere cannot have, or that another one has.

    Raises
    ------
    ValueError
    """
    if not re.fullmatch(r"[A-Za-z]\w{0,59}", name, re.ASCII):
        raise ValueError(
            f"feature_tables: name is {name!r}; use 1 to 60 letters, digits and _, a letter first"
        )
    if name.lower() in registry.names("features"):
        raise ValueError(
            f"feature_tables: name is '{name}', as a feature set of this suite is called; take "
            "another"
        )


def _check_arm_name(key: str, name: str) -> None:
    if not re.fullmatch(r"[\w .,()=+@:-]{1,60}", name) or name != name.strip():
        raise ValueError(
            f"{key}: name is {name!r}; use 1 to 60 letters, digits, spaces and any of "
            "_ . , ( ) = + @ : -"
        )


def arm_of(entry: str | NamedArm, tables: Container[str] = ()) -> Arm:
    """The arm that an entry of ``arms`` in a profile stands for.

    Parameters
    ----------
    entry : str or NamedArm
    tables : container of str
        Names of the feature tables of the run.

    Raises
    ------
    ValueError
        For an unknown model, feature set or setting.
    """
    if isinstance(entry, str):
        model, _, features = entry.partition(":")
        name, settings = "", {}
    else:
        model, features, name = entry.model, entry.features, entry.name
        settings = checked_settings(f"arms: '{name}', settings.", model, entry.settings)
    plugin = registry.load_model(model)
    arm = Arm(model, features or plugin.features, name, settings, plugin.supervision)
    for each in arm.feature_sets:
        check_feature_set(each, tables)
    return arm


def check_feature_set(name: str, tables: Container[str]) -> None:
    """Refuse what is neither a feature set of the suite nor a feature table of the run."""
    if name not in tables:
        registry.load_feature_set(name)


def checked_settings(prefix: str, model: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a model, each as the type of its parameter.

    Parameters
    ----------
    prefix : str
        What stands before a setting's name in messages, as ``models.svm.``.
    model : str
    values : mapping of str to object

    Raises
    ------
    ValueError
        For a setting that the model's ``build`` does not take, and for a value that breaks the
        rule of its type.
    """
    build = registry.load_model(model).build
    file = f"models/{model}.py"
    try:
        known = [p for p in inspect.signature(build).parameters if p not in ("seed", "jobs")]
        hints = get_type_hints(build, include_extras=True)
    except Exception as error:  # annotations are a plug-in's code
        raise ValueError(
            f"{file}: the types of build cannot be read: {describe_error(error)}"
        ) from error
    checked = {}
    for key, value in values.items():
        if key not in known:
            raise ValueError(registry.unknown("key", prefix + key, [prefix + k for k in known]))
        if key not in hints:
            raise ValueError(f"{file}: build's {key} has no type; give it one, with its rule")
        adapter: TypeAdapter[Any] = TypeAdapter(hints[key], config=ConfigDict(allow_inf_nan=False))
        try:
            checked[key] = adapter.validate_python(value)
        except ValidationError as error:
            raise ValueError(told(error, prefix + key)) from error
    return checked


def told(error: ValidationError, key: str = "") -> str:
    """The first fault that pydantic found, in a line: the key, its value and the rule."""
    # Of a union's members, the one that was meant got furthest.
    first = max(
        error.errors(include_url=False),
        key=lambda each: (each["type"] == "value_error", len(each["loc"])),
    )
    if first["type"] == "value_error":  # raised by one of our dataclasses, complete as it is
        return str(first["ctx"]["error"])
    # Names of union members follow the key's own name; only the latter mean something here.
    parts = [str(part) for part in first["loc"]]
    inner = ".".join(p for p in parts if p.islower() and p.isidentifier() and p != "float")
    name = f"{key}.{inner}" if key and inner else key or inner or "value"
    about = f"{name} is {first['input']!r}"
    if first["type"] in _RULES:
        return f"{about}; {_RULES[first['type']].format(**first.get('ctx', {}))}"
    return f"{about}: {first['msg'][0].lower()}{first['msg'][1:]}"
