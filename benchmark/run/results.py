"""What the loop leaves: rows of the run folder's tables, and what did not run."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.plugins.contracts import Arm


@dataclass(frozen=True)
class Failure:
    """Something that did not run, and why.

    ``status`` is ``failed``, or ``skipped`` where the dataset lacks what a feature set needs.
    Fields that do not apply are empty or -1.
    """

    status: str
    stage: str
    reason: str
    model: str = ""
    features: str = ""
    roi_id: str = ""
    repeat: int = -1
    fold: int = -1


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """One feature set of a cohort.

    Attributes
    ----------
    rows : dict of str to int
        ROI id -> row of ``values``; ROIs that failed are absent.
    values : ndarray, shape (n, p) float64 or (n, rows, columns, channels) float32
    columns : tuple of str
        Names of the columns; empty for images.
    """

    rows: dict[str, int]
    values: NDArray[Any]
    columns: tuple[str, ...] = ()

    @cached_property
    def digests(self) -> list[bytes]:
        """SHA-256 of each row's shape, type and bytes."""
        about = repr((self.values.dtype.str, self.values.shape[1:])).encode()
        rows = np.ascontiguousarray(self.values)
        return [hashlib.sha256(about + row.tobytes()).digest() for row in rows]


@dataclass
class Results:
    """Rows of the run folder's tables, whose columns ``benchmark.run.folder`` states.

    ``features`` are the tables that the models were fed, by name of the feature set; ``models``
    the packed models that were kept, by arm and fold of repeat 0.
    """

    predictions: list[dict[str, Any]] = field(default_factory=list)
    timings: list[dict[str, Any]] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)
    training: list[dict[str, Any]] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    features: dict[str, FeatureTable] = field(default_factory=dict)
    models: dict[tuple[Arm, int], bytes] = field(default_factory=dict)


def describe_error(error: Exception) -> str:
    """An exception's type and message on one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
