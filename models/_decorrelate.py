"""Drops constant columns and all but one of each set of near-duplicates.

Imports scikit-learn when imported: import it inside functions.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data


class Decorrelate(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Keep a column if it correlates with no kept column to its left beyond a limit.

    Many radiomics features are near-copies (surface and volume, energy and total energy,
    features that share a formula): they slow every fit and share out an importance or a
    penalty at random. Labels are not looked at.

    Parameters
    ----------
    limit : float
        Largest absolute Spearman correlation that two kept columns may have, in (0, 1].
    """

    def __init__(self, limit: float = 0.95) -> None:
        self.limit = limit

    def fit(self, X: NDArray[Any], y: NDArray[Any] | None = None) -> Self:
        """Choose the columns from training rows, shape (n, p)."""
        from scipy.stats import rankdata

        X = validate_data(self, X, dtype=np.float64)
        varies = np.flatnonzero(np.ptp(X, axis=0) > 0)
        if varies.size == 0:
            raise ValueError(f"all {X.shape[1]} columns of X are constant; at least one must vary")
        ranks = rankdata(X[:, varies], axis=0)
        ranks -= ranks.mean(axis=0)
        ranks /= np.linalg.norm(ranks, axis=0)
        # 1e-9: rounding must not decide on exact copies when the limit is 1.
        close = np.abs(ranks.T @ ranks) > self.limit + (1e-9 if self.limit == 1 else 0.0)
        kept: list[int] = []
        for column in range(len(varies)):
            if not close[column, kept].any():
                kept.append(column)
        self.kept_ = varies[kept]
        return self

    def transform(self, X: NDArray[Any]) -> NDArray[Any]:
        """The chosen columns, shape (n, kept)."""
        check_is_fitted(self)
        return np.asarray(validate_data(self, X, dtype=np.float64, reset=False)[:, self.kept_])
