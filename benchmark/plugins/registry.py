"""Plug-ins found by file name: a file in features/, models/ or benchmark/datasets/ is one.

Names that begin with an underscore are shared code, not plug-ins.
"""

from __future__ import annotations

import ast
import difflib
import importlib
from pathlib import Path
from types import ModuleType

from benchmark.runtime.paths import PROFILES, ROOT

_FOLDERS = {"datasets": "benchmark/datasets", "features": "features", "models": "models"}


def names(kind: str) -> list[str]:
    """Names of the plug-ins of a kind, sorted; nothing is imported."""
    if kind == "profiles":
        return sorted(path.stem for path in PROFILES.glob("*.toml"))
    files = (ROOT / _FOLDERS[kind]).glob("*.py")
    return sorted(path.stem for path in files if not path.stem.startswith("_"))


def describe(kind: str, name: str) -> str:
    """First line of a plug-in's docstring, or of a profile's leading comment."""
    if kind == "profiles":
        return (PROFILES / f"{name}.toml").read_text().partition("\n")[0].lstrip("# ")
    source = path_of(kind, name).read_text()
    return (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]


def path_of(kind: str, name: str) -> Path:
    """The file of a plug-in."""
    return ROOT / _FOLDERS[kind] / f"{name}.py"


def load(kind: str, name: str) -> ModuleType:
    """Import a plug-in.

    Raises
    ------
    ValueError
        Where there is none of that name.
    """
    if name not in names(kind):
        raise ValueError(unknown(kind.removesuffix("s"), name, names(kind)))
    return importlib.import_module(f"{_FOLDERS[kind].replace('/', '.')}.{name}")


def load_dataset(name: str) -> ModuleType | None:
    """The dataset plug-in that a name or a path to an npz file stands for; None for others."""
    if name.endswith(".npz"):
        return load("datasets", "nodulemnist3d")
    if name in names("datasets") and name != "manifest":
        return load("datasets", name)
    return None


def unknown(what: str, name: str, known: list[str]) -> str:
    """``unknown model 'xbg'; did you mean 'xgb'? There are: ...``."""
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean '{close[0]}'?" if close else "."
    return f"unknown {what} '{name}'{hint} There are: {', '.join(known)}"
