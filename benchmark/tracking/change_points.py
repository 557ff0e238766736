"""Change-points of a history: runs from which on a metric has another level.

A metric of one arm over the runs of a series is cut into stretches of constant mean, two runs or
more each, such that the sum of squares within stretches plus a price for each cut is smallest
(optimal partitioning: Jackson et al. 2005, IEEE Signal Processing Letters 12:105). The price is in
units of the noise, which the differences of neighbouring runs tell: 1.4826 times their median size
over the root of 2. Where most runs repeat the one before to the last bit, there is no noise, and
every lasting step is a change.

The price, 4 log n + 120 / n variances for n runs, is set so that of unchanged histories with
Gaussian noise about 2 % are cut at all, from 6 runs to 60. A step of 3 standard deviations in the
middle is then found in 36 % of histories of 8 runs, 73 % of 15 and nearly all of 30.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark.report.tables.main import HEADLINE

SERIES = ["dataset", "fingerprint", "protocol"]
"""Columns of a history that its comparable runs share."""

_FEWEST = 2
_LEAST_NOISE = 1e-7  # as the tolerance of drift: below it, two machines differ


@dataclass(frozen=True)
class Change:
    """A change of level.

    Attributes
    ----------
    arm, metric : str
    run, started : str
        First run of the new level.
    before, after : float
        Means of the stretches on either side.
    n_before, n_after : int
        Their runs.
    """

    arm: str
    metric: str
    run: str
    started: str
    before: float
    after: float
    n_before: int
    n_after: int

    def __str__(self) -> str:
        return (
            f"{self.arm} {self.metric}: {self.before:.3f} over {self.n_before} runs, "
            f"{self.after:.3f} over {self.n_after} from {self.started[:10]} ({self.run}) on"
        )


def changes(history: pd.DataFrame) -> list[Change]:
    """Changes of the headline metrics of every arm, over runs that can be compared.

    Parameters
    ----------
    history : DataFrame
        As :func:`benchmark.tracking.history.read` gives.
    """
    found = []
    for (*_, arm), rows in history.groupby([*SERIES, "arm"], sort=False):
        for metric in HEADLINE:
            known = rows[rows[metric].notna()]
            values = known[metric].to_numpy(np.float64)
            cuts = [0, *cut(values), len(values)]
            for begin, middle, end in zip(cuts, cuts[1:], cuts[2:], strict=False):
                first = known.iloc[middle]
                found.append(
                    Change(
                        arm=str(arm),
                        metric=metric,
                        run=first["run"],
                        started=first["started"],
                        before=float(values[begin:middle].mean()),
                        after=float(values[middle:end].mean()),
                        n_before=middle - begin,
                        n_after=end - middle,
                    )
                )
    return found


def cut(values: NDArray[np.float64]) -> list[int]:
    """Places at which a new level begins, ascending.

    Parameters
    ----------
    values : ndarray, shape (n,)
    """
    n = len(values)
    if n < 2 * _FEWEST:
        return []
    noise = max(1.4826 * float(np.median(np.abs(np.diff(values)))) / math.sqrt(2), _LEAST_NOISE)
    price = (4 * math.log(n) + 120 / n) * noise**2
    centred = values - values.mean()
    sums, squares = (np.concatenate([[0.0], np.cumsum(part)]) for part in (centred, centred**2))
    best = np.full(n + 1, np.inf)
    best[0] = -price
    begins = np.zeros(n + 1, dtype=np.int64)
    for end in range(_FEWEST, n + 1):
        begin = np.arange(end - _FEWEST + 1)
        within = squares[end] - squares[begin] - (sums[end] - sums[begin]) ** 2 / (end - begin)
        whole = best[begin] + within + price
        begins[end] = np.argmin(whole)
        best[end] = whole[begins[end]]
    return sorted(_path(begins, n))


def _path(begins: NDArray[np.int64], end: int) -> Iterator[int]:
    while begins[end] > 0:
        end = int(begins[end])
        yield end
