"""What readers said of nodules besides the label, as further targets of a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from models._training import Floats, Indices

CHARACTERISTICS = (
    "subtlety",
    "internal_structure",
    "calcification",
    "sphericity",
    "margin",
    "lobulation",
    "spiculation",
    "texture",
)
"""LIDC-IDRI's characteristics; models do not know features, so ``features/ratings.py`` has them
too, and a test compares."""

RATINGS = 5
"""Malignancy ratings go from 1 to this."""


class ReadingsWithAttributes(Protocol):
    """Readers' ratings of the training rows, of malignancy and of other characteristics."""

    @property
    def ratings(self) -> Sequence[tuple[int, ...]]:
        """Malignancy ratings of each row, 1 to 5, one a reader."""

    @property
    def attributes(self) -> Sequence[Mapping[str, str]]:
        """Further columns of each row, among them ``CHARACTERISTICS``."""


def distributions(readings: ReadingsWithAttributes) -> Floats:
    """Share of a row's readers that gave each rating, shape (n, 5)."""
    counted = [np.bincount(each, minlength=RATINGS + 1)[1:] for each in readings.ratings]
    shares = np.array(counted, np.float64)
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))


def characteristics(readings: ReadingsWithAttributes) -> Floats:
    """Means over the readers, shape (n, 8); NaN where the dataset has no such column.

    Internal structure and calcification are kinds rather than degrees, and are averaged all the
    same, as the feature set ``ratings`` does.
    """

    def mean(text: str) -> float:
        return fmean(map(float, text.split())) if text.strip() else float("nan")

    rows = [[mean(of.get(name, "")) for name in CHARACTERISTICS] for of in readings.attributes]
    return np.array(rows, np.float64).reshape(len(rows), len(CHARACTERISTICS))


def standardised(values: Floats, rows: Indices) -> tuple[Floats, Floats]:
    """Columns less the mean and by the SD of some rows, and 1 where a value is known, else 0.

    Unknown values become 0. Both have shape (n, columns). A column that is the same in all those
    rows, or known in none, is left out as if it were unknown.
    """
    known = np.isfinite(values)
    filled = np.where(known, values, 0.0)
    n = known[rows].sum(axis=0)
    mean = filled[rows].sum(axis=0) / np.maximum(n, 1)
    centred = np.where(known, values - mean, 0.0)
    sd = np.sqrt((centred[rows] ** 2).sum(axis=0) / np.maximum(n, 1))
    told = known & (sd > 0)
    return np.where(told, centred / np.where(sd > 0, sd, 1.0), 0.0), told.astype(np.float64)


def with_outputs(keras: Any, network: Any, units: int) -> Any:
    """The layers of a network, shared, but for the last: in its place new linear outputs."""
    return keras.Sequential(
        [keras.Input(network.input_shape[1:]), *network.layers[:-1], keras.layers.Dense(units)]
    )


def squared_error(keras: Any, told: NDArray[Any], output: Any, weight: Any) -> Any:
    """Weighted mean over the columns of the squared error of each row, shape (n,)."""
    return keras.ops.mean(weight * keras.ops.square(told - output), axis=1)
