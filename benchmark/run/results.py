"""Results of a run in memory: feature tables, and rows of the stored tables."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark.columns import PREDICTION_TABLE
from benchmark.plugins.arms import Arm
from benchmark.plugins.contracts import Inputs
from benchmark.runtime.failures import Failure


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """One feature set of a cohort, or several side by side.

    Attributes
    ----------
    rows : dict of str to int
        ROI id -> row of ``values``; ROIs that failed are absent.
    values : ndarray, shape (n, p) float64 or (n, [depth,] rows, columns, channels) float32
        Of several feature sets, a mapping of their names to such arrays.
    columns : tuple of str
        Names of the columns; empty for images and for several feature sets.
    """

    rows: dict[str, int]
    values: Inputs
    columns: tuple[str, ...] = ()

    @cached_property
    def digests(self) -> list[bytes]:
        """SHA-256 of each row's shape, type and bytes."""
        if isinstance(self.values, Mapping):
            parts = [_digests(f"{name}\0".encode(), part) for name, part in self.values.items()]
            return [hashlib.sha256(b"".join(row)).digest() for row in zip(*parts, strict=True)]
        return _digests(b"", self.values)


def _digests(name: bytes, values: NDArray[Any]) -> list[bytes]:
    about = name + repr((values.dtype.str, values.shape[1:])).encode()
    rows = np.ascontiguousarray(values)
    return [hashlib.sha256(about + row.tobytes()).digest() for row in rows]


_MOMENTS = ("mean", "sd", "mean_by_row", "mean_by_column", "mean_by_slice")
"""Columns that stand for an image in a stored feature set, the last one of volumes alone."""


def feature_frame(table: FeatureTable) -> pd.DataFrame:
    """One feature set as stored, float64, ``roi_id`` first.

    Images are too large to store. Four numbers of each tell whether they are the same: mean,
    standard deviation, and the mean of value times position along rows and columns (from -1 to
    1), which a flip or an exchange of axes changes. Of a volume, a fifth is that along slices.
    """
    values, columns = np.asarray(table.values), list(table.columns)
    if not columns:
        images = values.astype(np.float64)
        inner = tuple(range(1, images.ndim))
        moments = [images.mean(axis=inner), images.std(axis=inner)]
        for axis in (2, 3, 1) if images.ndim == 5 else (1, 2):
            place = np.linspace(-1, 1, images.shape[axis])
            others = tuple(each for each in inner if each != axis)
            moments.append(images.mean(axis=others) @ place / len(place))
        values, columns = np.stack(moments, axis=1), list(_MOMENTS[: len(moments)])
    frame = pd.DataFrame(values, columns=columns)
    frame.insert(0, "roi_id", list(table.rows))
    return frame


def stored_inputs(frame: pd.DataFrame) -> FeatureTable | None:
    """What :func:`feature_frame` stored, indexed by ROI id; None where it stands for images."""
    columns = tuple(frame.columns)
    if columns in (_MOMENTS, _MOMENTS[:-1]):
        return None
    place_of = {str(roi_id): row for row, roi_id in enumerate(frame.index)}
    # In the order of memory that extraction gives: sums over rows are the same to the last bit.
    return FeatureTable(place_of, np.ascontiguousarray(frame.to_numpy(np.float64)), columns)


def joined(tables: Mapping[str, FeatureTable]) -> FeatureTable:
    """Several feature sets side by side, of the ROIs that all of them have."""
    ids = [i for i in next(iter(tables.values())).rows if all(i in t.rows for t in tables.values())]
    values = {}
    for name, table in tables.items():
        whole = table.values
        if isinstance(whole, Mapping):
            raise TypeError(f"'{name}' is several feature sets already")
        values[name] = whole[[table.rows[roi_id] for roi_id in ids]]
    return FeatureTable({roi_id: row for row, roi_id in enumerate(ids)}, values)


@dataclass(frozen=True, eq=False)
class Extraction:
    """Feature sets of a cohort by name, what their extraction took, and what failed."""

    tables: dict[str, FeatureTable]
    timings: list[dict[str, Any]]
    failures: list[Failure]


@dataclass(frozen=True, eq=False)
class Fits:
    """Rows of the stored tables that fitting and testing arms gave, and what failed.

    Attributes
    ----------
    predictions, timings, epochs, training, choices : list of dict
        Of the tables in ``benchmark.columns``.
    failures : list of Failure
    models : dict of (Arm, int) to bytes
        The packed models that were kept, by arm and fold of repeat 0.
    """

    predictions: list[dict[str, Any]] = field(default_factory=list)
    timings: list[dict[str, Any]] = field(default_factory=list)
    epochs: list[dict[str, Any]] = field(default_factory=list)
    training: list[dict[str, Any]] = field(default_factory=list)
    choices: list[dict[str, Any]] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    models: dict[tuple[Arm, int], bytes] = field(default_factory=dict)

    @cached_property
    def prediction_table(self) -> pd.DataFrame:
        """The predictions, typed."""
        return PREDICTION_TABLE.frame(self.predictions)
