"""Plug-ins found by file name: each file in features/, models/ or benchmark/datasets/ is one.

Names that begin with an underscore are shared code, not plug-ins. ``benchmark.plugins.contracts``
states what a module must and may have.
"""

from __future__ import annotations

import ast
import difflib
import importlib
from collections.abc import Iterable, Iterator
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from benchmark.plugins import modifiers
from benchmark.plugins.contracts import DatasetPlugin, FeatureSet, Hook, ModelPlugin
from benchmark.plugins.foreign import contained, line_of
from benchmark.runtime.failures import describe_error
from benchmark.runtime.paths import PROFILES, ROOT

_FOLDERS = {"datasets": "benchmark/datasets", "features": "features", "models": "models"}
_BY_PATH_ONLY = "manifest"
"""The dataset that is opened by the path of a folder or CSV, and has no name of its own."""

Plugin = TypeVar("Plugin", FeatureSet, ModelPlugin, DatasetPlugin)


def names(kind: str) -> list[str]:
    """Names of the plug-ins of a kind, sorted; nothing is imported."""
    if kind == "profiles":
        return sorted(path.stem for path in PROFILES.glob("*.toml"))
    files = (ROOT / _FOLDERS[kind]).glob("*.py")
    return sorted(path.stem for path in files if not path.stem.startswith("_"))


def named_datasets() -> list[str]:
    """Names of the datasets that are opened by name."""
    return [name for name in names("datasets") if name != _BY_PATH_ONLY]


def knows(kind: str, name: str) -> bool:
    """True if there is a plug-in of that name, or a feature set and a modifier of that name."""
    base, sign, modifier = name.partition(modifiers.SIGN)
    if kind != "features" or not sign:
        return name in names(kind)
    return base in names(kind) and modifier in modifiers.known()


def describe(kind: str, name: str) -> str:
    """First line of a plug-in's docstring, or of a profile's leading comment.

    For a feature set with a modifier, the modifier's first line follows.
    """
    if kind == "profiles":
        return (PROFILES / f"{name}.toml").read_text().partition("\n")[0].lstrip("# ")
    base, modifier = modifiers.split(name)
    source = path_of(kind, base).read_text()
    line = (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]
    return f"{line} @{modifier}: {modifiers.describe(modifier)}" if modifier else line


def path_of(kind: str, name: str) -> Path:
    """The file of a plug-in."""
    return ROOT / _FOLDERS[kind] / f"{name}.py"


def files_of_features(name: str) -> list[Path]:
    """The files that compute a feature set: its own and, with a modifier, ``_masks.py``."""
    base, modifier = modifiers.split(name)
    return [path_of("features", base), *([modifiers.PATH] if modifier else [])]


def load_feature_set(name: str) -> FeatureSet:
    """Import a feature set by its name, as ``radiomics`` or ``radiomics@eroded``.

    Raises
    ------
    ValueError
        Where there is none of that name, where its module breaks the contract, or where it takes
        no modifiers.
    """
    base, sign, modifier = name.partition(modifiers.SIGN)
    if not sign:
        _refuse_underscore(name)
    found = _load(FeatureSet, "features", base)
    if not sign:
        return found
    stated = modifiers.known()
    if modifier not in stated:
        told = unknown("mask modifier", f"@{modifier}", [f"@{each}" for each in stated])
        raise ValueError(f"feature set '{name}': {told}")
    if not found.mask_modifiers:
        every = _sound(FeatureSet, "features", names("features"))
        taking = [each.name for each in every if each.mask_modifiers]
        raise ValueError(
            f"feature set '{name}': '{base}' takes no mask modifier, as features/{base}.py does "
            f"not state MASK_MODIFIERS = True; those that do: {', '.join(taking)}"
        )
    return replace(
        found,
        name=name,
        extract=modifiers.ModifiedExtract(stated[modifier], found.extract),
        planar=modifiers.join(found.planar, modifier) if found.planar else "",
    )


def load_model(name: str) -> ModelPlugin:
    """Import a model.

    Raises
    ------
    ValueError
        Where there is none of that name, or its module breaks the contract.
    """
    return _load(ModelPlugin, "models", name)


def load_dataset(name: str) -> DatasetPlugin:
    """Import a dataset that is opened by name.

    Raises
    ------
    ValueError
        Where there is none of that name, or its module breaks the contract.
    """
    if name not in named_datasets():
        raise ValueError(unknown("dataset", name, named_datasets()))
    return _load(DatasetPlugin, "datasets", name)


def find_dataset(named: str) -> DatasetPlugin | None:
    """The dataset that a name or the path of a file of its kind stands for; None for others."""
    if named in named_datasets():
        return load_dataset(named)
    if Path(named).suffix:
        for plugin in _sound(DatasetPlugin, "datasets", named_datasets()):
            if Path(named).suffix in plugin.suffixes:
                return plugin
    return None


def unknown(what: str, name: str, known: list[str]) -> str:
    """The message ``unknown model 'xbg'; did you mean 'xgb'? There are: ...``."""
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean '{close[0]}'?" if close else "."
    return f"unknown {what} '{name}'{hint} There are: {', '.join(known)}"


def _load(contract: type[Plugin], kind: str, name: str) -> Plugin:
    if name not in names(kind):
        raise ValueError(unknown(kind.removesuffix("s"), name, names(kind)))
    file = f"{_FOLDERS[kind]}/{name}.py"
    try:
        with contained():
            given = vars(importlib.import_module(f"{_FOLDERS[kind].replace('/', '.')}.{name}"))
    except Exception as error:  # a plug-in's file may hold and do anything
        line = line_of(error, path_of(kind, name))
        where = f"{file}, line {line}" if line else file
        raise ValueError(f"{where} cannot be imported: {describe_error(error)}") from error
    return contract(name=name, **hooks_of(contract, file, given))


def _sound(contract: type[Plugin], kind: str, known: Iterable[str]) -> Iterator[Plugin]:
    """Those plug-ins that can be loaded; a broken one concerns only who names it."""
    for name in known:
        try:
            yield _load(contract, kind, name)
        except ValueError:
            continue


def fault(kind: str, name: str) -> str:
    """Why a plug-in cannot be used; empty where it can. Its module is imported."""
    contracts = {"datasets": DatasetPlugin, "features": FeatureSet, "models": ModelPlugin}
    if kind not in contracts or (kind == "datasets" and name == _BY_PATH_ONLY):
        return ""
    try:
        _load(contracts[kind], kind, name)
    except ValueError as error:
        return str(error)
    return ""


def hooks_of(contract: type[Plugin], file: str, given: dict[str, Any]) -> dict[str, Any]:
    """Names that a module holds, by the contract's fields; what it may lack is left out.

    Raises
    ------
    ValueError
        Where a name is missing or its value is of the wrong kind.
    """
    held = {}
    for each in fields(contract):
        hook: Hook | None = each.metadata.get("hook")
        if hook is None:
            continue
        if hook.name not in given:
            if each.default is MISSING:
                raise ValueError(f"{file} has no {hook.name}; it must be {hook.rule}")
        elif not hook.fits(given[hook.name]):
            raise ValueError(f"{file}: {hook.name} is {given[hook.name]!r}; it must be {hook.rule}")
        else:
            held[each.name] = given[hook.name]
    return held


def _refuse_underscore(name: str) -> None:
    """Refuse the former names of modified feature sets, such as ``radiomics_eroded``."""
    for modifier in modifiers.known():
        base = name.removesuffix(f"_{modifier}")
        if base != name and base in names("features") and name not in names("features"):
            raise ValueError(
                f"feature set '{name}' is now written '{modifiers.join(base, modifier)}'"
            )
