"""Mask modifiers: ``radiomics@eroded`` is ``radiomics`` of the ROI with its mask shrunk.

``features/_masks.py`` states them in its mapping ``MODIFIERS``; every feature set that says
``MASK_MODIFIERS = True`` takes them.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from benchmark.plugins.contracts import Extract, Value
from benchmark.roi import Roi
from benchmark.runtime.paths import ROOT

SIGN = "@"
PATH = ROOT / "features" / "_masks.py"

Modify = Callable[[Roi], Roi]


@dataclass(frozen=True)
class ModifiedExtract:
    """Extractor from the ROI with another mask; compared and hashed by its parts.

    Attributes
    ----------
    modify, extract : callable
        Functions of a module's top level, so that a worker process finds them by name.
    """

    modify: Modify
    extract: Extract

    def __call__(self, roi: Roi) -> Value:
        return self.extract(self.modify(roi))


def split(name: str) -> tuple[str, str]:
    """The feature set and the modifier of ``radiomics@eroded``; the modifier may be empty."""
    base, _, modifier = name.partition(SIGN)
    return base, modifier


def join(base: str, modifier: str) -> str:
    """The name of a feature set with a modifier: ``radiomics@eroded``."""
    return f"{base}{SIGN}{modifier}"


def known() -> Mapping[str, Modify]:
    """Mask modifiers by name, in the order in which they are stated."""
    found: Mapping[str, Modify] = importlib.import_module("features._masks").MODIFIERS
    return found


def describe(modifier: str) -> str:
    """First line of a modifier's docstring."""
    return (inspect.getdoc(known()[modifier]) or "").partition("\n")[0]
