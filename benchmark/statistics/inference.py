"""Intervals and tests that respect clustering: resample patients, not ROIs.

A patient's nodules resemble each other, so ROIs are not independent and an interval that
resamples them is too short (Davison & Hinkley 1997, section 3.8).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit, ndtr, ndtri, stdtr, stdtrit

Floats = NDArray[np.float64]
Quantiles = Literal["percentile", "bca"]

_MIN_DEFINED = 0.9
"""Share of resamples in which a metric must be defined for its interval to be given."""

_ROUNDING = 1e-9
"""Differences of metrics up to this are 0: sums in another order or calibration fits from
another start leave less than that, and 1e-8 is one pair in a hundred million."""


_HELD = 2**23
"""Most counts that are kept, 64 MB of them; as many as 2,000 resamples of 4,194 patients."""

_BLOCK = 2**20
"""Counts made at a time where more are needed, 8 MB of them."""


@dataclass(frozen=True)
class Interval:
    """A two-sided interval; both ends NaN where it cannot be given."""

    low: float
    high: float


@lru_cache(maxsize=2)
def draw_patients(n_patients: int, n_samples: int, seed: int) -> Floats:
    """A bootstrap over patients.

    Returns
    -------
    ndarray, shape (n_samples, n_patients)
        How often each patient was drawn; rows sum to ``n_patients``. A ROI's weight is its
        patient's count, in every repeat. The draw depends on the number of patients and
        the seed only, so that models tested on the same patients share their resamples.
    """
    weights = _draw(np.random.default_rng(seed), n_patients, n_samples)
    weights.flags.writeable = False  # the same array is handed out again
    return weights


def patient_draws(n_patients: int, n_samples: int, seed: int) -> Iterator[Floats]:
    """The rows of :func:`draw_patients`: at once where they are few, else in blocks of 8 MB."""
    if n_patients * n_samples <= _HELD:
        yield draw_patients(n_patients, n_samples, seed)
        return
    rng = np.random.default_rng(seed)
    rows = max(1, _BLOCK // n_patients)
    for start in range(0, n_samples, rows):
        yield _draw(rng, n_patients, min(rows, n_samples - start))


def _draw(rng: np.random.Generator, n_patients: int, n_samples: int) -> Floats:
    weights = np.empty((n_samples, n_patients))
    for row in weights:
        row[:] = np.bincount(rng.integers(n_patients, size=n_patients), minlength=n_patients)
    return weights


def leave_one_out(n_patients: int) -> Iterator[Floats]:
    """The jackknife over patients, in blocks: counts as in :func:`draw_patients`.

    One patient a row is at 0, in order; blocks are of 8 MB.
    """
    rows = max(1, _BLOCK // n_patients)
    for start in range(0, n_patients, rows):
        yield 1 - np.eye(min(rows, n_patients - start), n_patients, start)


def interval(
    samples: Floats,
    estimate: float,
    jackknife: Floats | None,
    method: Quantiles,
    level: float = 0.95,
) -> Interval:
    """Bootstrap interval from a statistic's resampled values.

    Parameters
    ----------
    samples : ndarray, shape (n_samples,)
        NaN where the statistic is undefined; such resamples are left out, and where they
        are more than a tenth no interval is given.
    estimate : float
        The statistic on the data themselves.
    jackknife : ndarray, shape (n_patients,), or None
        Its leave-one-patient-out values; ``bca`` needs them.
    method : {"percentile", "bca"}
        ``bca``: bias-corrected and accelerated (Efron 1987), acceleration from the
        jackknife over patients.
    level : float

    Returns
    -------
    Interval
    """
    defined = samples[np.isfinite(samples)]
    if len(defined) < _MIN_DEFINED * len(samples) or not np.isfinite(estimate):
        return Interval(np.nan, np.nan)
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    if method == "bca":
        if jackknife is None:
            raise ValueError("bca needs the leave-one-patient-out values")
        tails = _bca_tails(defined, estimate, jackknife, tails)
    low, high = np.quantile(defined, tails)
    return Interval(float(low), float(high))


def _bca_tails(samples: Floats, estimate: float, jackknife: Floats, tails: Floats) -> Floats:
    # Ties with the estimate count half, as in scipy.stats.bootstrap; a statistic that
    # never varies has no bias to correct.
    below = np.mean(samples < estimate) + np.mean(samples == estimate) / 2
    if not 0 < below < 1:
        return tails
    bias = ndtri(below)
    values = jackknife[np.isfinite(jackknife)]
    deviation = values.mean() - values
    spread = float(np.sum(deviation**2))
    acceleration = float(np.sum(deviation**3)) / (6 * spread**1.5) if spread > 0 else 0.0
    z = bias + ndtri(tails)
    adjusted: Floats = ndtr(bias + z / (1 - acceleration * z))
    return adjusted


def standard_error(samples: Floats, n_patients: int) -> float:
    """Standard error of a statistic from its values over resamples of patients.

    The standard deviation of the resampled values times ``sqrt(m / (m - 1))``, m being the
    patients that the statistic rests on: resampling m of m shrinks a variance by (m - 1) / m
    (Davison & Hinkley 1997, section 2.3).

    Parameters
    ----------
    samples : ndarray, shape (n_samples,)
    n_patients : int

    Returns
    -------
    float
        0 where no resample differs by more than rounding. NaN with fewer than two patients and
        where :func:`interval` gives none, for too many undefined resamples.
    """
    defined = samples[np.isfinite(samples)]
    if len(defined) < _MIN_DEFINED * len(samples) or n_patients < 2:
        return np.nan
    spread = float(defined.std(ddof=1))
    return spread * np.sqrt(n_patients / (n_patients - 1)) if spread > _ROUNDING else 0.0


def degrees_of_freedom(influence: Floats, n_patients: int) -> float:
    """Degrees of freedom of a patient-level standard error, by Satterthwaite's (1946) rule.

    A sum of n squares with kurtosis k has a relative variance of (k - 1) / n, and a chi-squared
    variable on d degrees one of 2 / d, so d = 2 n / (k - 1). A metric near its bound owes its
    error to few patients, and a long patient to one: k is large then, and d small. It is kept
    from 1 to ``n_patients`` - 1.

    Parameters
    ----------
    influence : ndarray, shape (n,)
        Each patient's influence on the statistic.
    n_patients : int
        Those that the statistic rests on.
    """
    squares = (influence - influence.mean()) ** 2
    if n_patients < 2 or not squares.sum() > 0:
        return np.nan
    excess = float(np.mean(squares**2) / np.mean(squares) ** 2) - 1
    most = n_patients - 1
    return float(np.clip(2 * len(squares) / excess, 1, most)) if excess > 0 else float(most)


def scaled_t(
    value: float,
    error: float,
    degrees: float,
    bounds: tuple[float, float],
    level: float = 0.95,
) -> Interval:
    """Student's t interval of a metric, made on a scale without bounds and taken back.

    Between two finite bounds the scale is the logit of the place between them (for the AUC:
    Pepe 2003, section 5.2), above a single lower one the logarithm of the distance to it, and the
    metric itself where there is none. The standard error follows by the delta method.

    Parameters
    ----------
    value, error : float
        Error above 0.
    degrees : float
    bounds : (float, float)
        The metric's lowest and highest values, between which ``value`` lies.
    level : float
    """
    low, high = bounds
    reach = float(stdtrit(degrees, (1 + level) / 2)) * error
    if np.isinf(low):
        return Interval(value - reach, value + reach)
    if np.isinf(high):
        factor = float(np.exp(reach / (value - low)))
        return Interval(low + (value - low) / factor, low + (value - low) * factor)
    width = high - low
    place = (value - low) / width
    step = reach / width / (place * (1 - place))
    ends = (low + width * float(expit(logit(place) + sign * step)) for sign in (-1, 1))
    return Interval(*ends)


def t_test(
    value: float, error: float, degrees: float, level: float = 0.95
) -> tuple[Interval, float]:
    """Student's t interval of a difference, and two-sided p of the null that it is 0.

    Both rest on the same error and degrees of freedom, so p is below ``1 - level`` exactly where
    the interval leaves out 0; and p has no floor, whatever the number of resamples.

    Returns
    -------
    Interval, float
        With an ``error`` of 0 no interval, and a p of 1 where the value is 0 too (but for
        rounding), NaN elsewhere: that no resample differs does not make a difference certain.
    """
    if not error > 0:
        p = 1.0 if error == 0 and abs(value) <= _ROUNDING else np.nan
        return Interval(np.nan, np.nan), p
    half = float(stdtrit(degrees, (1 + level) / 2)) * error
    return Interval(value - half, value + half), _two_sided(value, error, degrees)


def wilson(successes: float, trials: float, level: float = 0.95) -> Interval:
    """Wilson's (1927) score interval of a proportion; for independent trials only."""
    if not trials > 0:
        return Interval(np.nan, np.nan)
    z = float(ndtri((1 + level) / 2))
    p = successes / trials
    centre = (p + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z / (1 + z**2 / trials) * np.sqrt(p * (1 - p) / trials + z**2 / (4 * trials**2))
    return Interval(max(0.0, float(centre - half)), min(1.0, float(centre + half)))


def corrected_t(
    values: Floats, tested_per_trained: float, level: float = 0.95
) -> tuple[Interval, float]:
    """Interval of a mean over splits, and two-sided p of the null that it is 0.

    The training sides of repeated splits overlap, so the values are correlated and the
    ordinary t is too sure. Nadeau & Bengio (2003) put ``1/J + n_test/n_train`` in place of
    ``1/J`` into the variance of the mean over J splits; t has J - 1 degrees of freedom.

    Parameters
    ----------
    values : ndarray, shape (n_splits,)
        One value (or one difference of two models) a split.
    tested_per_trained : float
        ROIs tested over ROIs trained on.
    level : float

    Returns
    -------
    Interval, float
        NaN with fewer than two splits or where a split's value is undefined; p is NaN too
        where the values do not vary and are not 0.
    """
    if len(values) < 2 or not np.isfinite(values).all():
        return Interval(np.nan, np.nan), np.nan
    mean, degrees = float(values.mean()), len(values) - 1
    error = float(np.sqrt((1 / len(values) + tested_per_trained) * values.var(ddof=1)))
    half = float(stdtrit(degrees, (1 + level) / 2)) * error
    return Interval(mean - half, mean + half), _two_sided(mean, error, degrees)


def normal_test(value: float, variance: float, level: float = 0.95) -> tuple[Interval, float]:
    """Wald interval of an asymptotically normal value, and two-sided p of the null that it is 0.

    p is NaN where the variance is 0 and the value is not.
    """
    error = float(np.sqrt(variance))
    half = float(ndtri((1 + level) / 2)) * error
    return Interval(value - half, value + half), _two_sided(value, error, np.inf)


def _two_sided(value: float, error: float, degrees: float) -> float:
    if error > 0:
        return float(2 * stdtr(degrees, -abs(value) / error))
    return 1.0 if value == 0 else np.nan


def mcnemar(only_a: int, only_b: int) -> float:
    """Exact two-sided p of McNemar's (1947) test; for independent cases only.

    Parameters
    ----------
    only_a, only_b : int
        Cases that one model alone decides rightly. Given their sum, the null makes either
        count binomial with probability 1/2.
    """
    from scipy.stats import binom

    p = 2 * binom.cdf(min(only_a, only_b), only_a + only_b, 0.5)
    return min(1.0, float(p))


def holm(p: Floats) -> Floats:
    """Holm's (1979) adjusted p values of one family, shape kept; NaN are no members of it."""
    adjusted = np.full(len(p), np.nan)
    order = np.argsort(p)[: np.count_nonzero(np.isfinite(p))]
    steps = np.arange(len(order), 0, -1) * p[order]
    adjusted[order] = np.minimum(1, np.maximum.accumulate(steps))
    return adjusted
