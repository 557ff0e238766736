"""Columns of one or several feature sets, made normal and standardised, as one matrix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models._quantiles import Quantiles
from models._training import Floats, Indices, check_inputs

Inputs = NDArray[Any] | Mapping[str, NDArray[Any]]
"""Features, shape (n, p), or several sets of them by name."""

Tables = Mapping[str, NDArray[Any]]


class NormalColumns:
    """Columns made normal by their quantiles, then standardised.

    Where there are several feature sets, each weighs as much as another in distances and penalties,
    however many columns it has: its columns are divided by the square root of their number.
    """

    def fit(self, tables: Tables) -> NormalColumns:
        """Learn quantiles, means and deviations of each set's columns, each shape (n, p)."""
        from sklearn.preprocessing import StandardScaler

        self._quantiles = {name: Quantiles().fit(table) for name, table in tables.items()}
        self._scales = {
            name: StandardScaler().fit(quantiles.transform(tables[name]))
            for name, quantiles in self._quantiles.items()
        }
        self._columns = {name: table.shape[1] for name, table in tables.items()}
        return self

    def transform(self, tables: Tables) -> Floats:
        """All columns, shape (n, sum of p).

        Raises
        ------
        ValueError
            For feature sets, or a number of columns, other than those learnt from.
        """
        mean_width = sum(self._columns.values()) / len(self._columns)
        blocks = []
        for name, scale in self._scales.items():
            if name not in tables:
                raise ValueError(f"X has no feature set '{name}'; the model was fitted on it")
            width = self._columns[name]
            if tables[name].shape[1] != width:
                raise ValueError(
                    f"X has {tables[name].shape[1]} columns; the model was fitted on {width}"
                )
            block = scale.transform(self._quantiles[name].transform(tables[name]))
            blocks.append(block if len(self._scales) == 1 else block * (mean_width / width) ** 0.5)
        return blocks[0] if len(blocks) == 1 else np.hstack(blocks)


def as_tables(X: Inputs) -> Tables:
    """Feature sets by name, of one without a name or of several; all checked to be finite."""
    tables = X if isinstance(X, Mapping) else {"": X}
    for table in tables.values():
        check_inputs(table, ndim=2)
    return tables


def rows_of(tables: Tables, rows: Indices) -> Tables:
    """Some rows of each feature set."""
    return {name: table[rows] for name, table in tables.items()}
