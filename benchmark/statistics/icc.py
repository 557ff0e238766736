"""Intraclass correlation: how far repeated measurements of the same things agree.

Shrout and Fleiss, Psychological Bulletin 86 (1979) 420-428; words for its size by Koo and Li,
Journal of Chiropractic Medicine 15 (2016) 155-163.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

WORDS = ("excellent", "good", "moderate", "poor", "undefined")
_LOWER_BOUNDS = (0.9, 0.75, 0.5)


@dataclass(frozen=True, eq=False)
class MeanSquares:
    """Mean squares of a two-way layout without replication; arrays of shape (p,).

    Attributes
    ----------
    n, k : int
        Subjects, and measurements of each.
    subjects, raters, residual : ndarray
        Shrout and Fleiss' BMS, JMS and EMS.
    """

    n: int
    k: int
    subjects: Floats
    raters: Floats
    residual: Floats


@dataclass(frozen=True, eq=False)
class Agreement:
    """ICC(2,1) and the ends of its interval, arrays of shape (p,); NaN where undefined."""

    icc: Floats
    low: Floats
    high: Floats


def mean_squares(values: Floats) -> MeanSquares:
    """Split the variance of n subjects measured by k raters.

    Parameters
    ----------
    values : ndarray, shape (n, k, p)
        Finite; p quantities, each on its own.

    Raises
    ------
    ValueError
        Where there are fewer than two subjects or raters.
    """
    n, k = values.shape[:2]
    if min(n, k) < 2:
        raise ValueError(f"{n} subjects measured {k} times; an ICC needs two of either at least")
    grand = values.mean(axis=(0, 1))
    subject, rater = values.mean(axis=1) - grand, values.mean(axis=0) - grand
    residual = values - grand - subject[:, np.newaxis] - rater
    return MeanSquares(
        n,
        k,
        k * (subject**2).sum(axis=0) / (n - 1),
        n * (rater**2).sum(axis=0) / (k - 1),
        (residual**2).sum(axis=(0, 1)) / ((n - 1) * (k - 1)),
    )


def icc_2_1(values: Floats, confidence: float = 0.95) -> Agreement:
    """ICC(2,1): two-way random effects, absolute agreement, a single measurement.

    The interval is Shrout and Fleiss', with Satterthwaite's degrees of freedom; it takes the
    subjects as independent.

    Parameters
    ----------
    values : ndarray, shape (n, k, p)
        Finite; n subjects measured by k raters.
    confidence : float
        In (0, 1).

    Returns
    -------
    Agreement
        Undefined where all n k values are equal.

    Raises
    ------
    ValueError
        Where there are fewer than two subjects or raters.
    """
    from scipy.stats import f

    ms = mean_squares(values)
    n, k, subjects, raters, residual = ms.n, ms.k, ms.subjects, ms.raters, ms.residual
    icc = _ratio(subjects - residual, subjects + (k - 1) * residual + k * (raters - residual) / n)

    # Satterthwaite's degrees of freedom, both sides multiplied by the residual's square, which
    # may be 0. A negative ICC counts as 0: with weights of both signs they could vanish.
    share = np.maximum(icc, 0)
    of_raters = k * share * raters
    of_residual = (n * (1 + (k - 1) * share) - k * share) * residual
    degrees = _ratio(
        (k - 1) * (n - 1) * (of_raters + of_residual) ** 2,
        (n - 1) * of_raters**2 + of_residual**2,
        otherwise=k - 1,
    )
    tail = (1 + confidence) / 2
    above, below = f.ppf(tail, n - 1, degrees), f.ppf(tail, degrees, n - 1)
    noise = k * raters + (k * n - k - n) * residual
    return Agreement(
        icc,
        _ratio(n * (subjects - above * residual), above * noise + n * subjects),
        _ratio(n * (below * subjects - residual), noise + n * below * subjects),
    )


def word(icc: float) -> str:
    """Koo and Li's word for an ICC: poor below .5, moderate, good from .75, excellent from .9.

    They advise to read both ends of the interval.
    """
    if np.isnan(icc):
        return "undefined"
    return next((w for w, low in zip(WORDS, _LOWER_BOUNDS, strict=False) if icc >= low), "poor")


def _ratio(numerator: Floats, denominator: Floats, otherwise: float = np.nan) -> Floats:
    """Quotients; ``otherwise`` where the denominator is 0."""
    result = np.full_like(denominator, otherwise)
    return np.divide(numerator, denominator, out=result, where=denominator != 0)
