"""Plug-ins of a test's own, beside those of this checkout and in this process."""

from __future__ import annotations

import importlib
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from benchmark.plugins import registry
from benchmark.runtime.paths import ROOT

FOLDERS = ("benchmark/datasets", "features", "models")


def add_plugins(root: Path, sources: Mapping[str, str], patch: pytest.MonkeyPatch) -> None:
    """Let the registry find files in ``root``: copies of all plug-ins, and ``sources`` by path."""
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__py*"))
        package = importlib.import_module(folder.replace("/", "."))
        patch.setattr(package, "__path__", [*package.__path__, str(root / folder)])
    for name, source in sources.items():
        (root / name).write_text(source, encoding="utf-8")
        module = name.removesuffix(".py").replace("/", ".")
        patch.setitem(sys.modules, module, None)  # so that it is forgotten at the end
        del sys.modules[module]
    patch.setattr(registry, "ROOT", root)
