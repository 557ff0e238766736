"""Intervals that respect clustering: resample patients, not ROIs.

A patient's nodules resemble each other, so ROIs are not independent and an interval that
resamples them is too short (Davison & Hinkley 1997, section 3.8).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, norm
from scipy.stats import t as student_t

Floats = NDArray[np.float64]
Method = Literal["percentile", "bca"]

_MIN_DEFINED = 0.9
"""Share of resamples in which a metric must be defined for its interval to be given."""

_ROUNDING = 1e-9
"""Differences of metrics up to this are 0: sums in another order or calibration fits from
another start leave less than that, and 1e-8 is one pair in a hundred million."""


_HELD = 2**23
"""Counts made at a time, 64 MB of them; as many as 2,000 resamples of 4,194 patients."""


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
    """The rows of :func:`draw_patients` in blocks that are never larger than 64 MB."""
    if n_patients * n_samples <= _HELD:
        yield draw_patients(n_patients, n_samples, seed)
        return
    rng = np.random.default_rng(seed)
    rows = max(1, _HELD // n_patients)
    for start in range(0, n_samples, rows):
        yield _draw(rng, n_patients, min(rows, n_samples - start))


def _draw(rng: np.random.Generator, n_patients: int, n_samples: int) -> Floats:
    drawn = rng.integers(n_patients, size=(n_samples, n_patients))
    drawn += n_patients * np.arange(n_samples)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=n_samples * n_patients)
    weights: Floats = counts.reshape(n_samples, n_patients).astype(np.float64)
    return weights


def leave_one_out(n_patients: int) -> Iterator[Floats]:
    """The jackknife over patients, in blocks: counts as in :func:`draw_patients`.

    One patient a row is at 0, in order; blocks are never larger than 64 MB.
    """
    rows = max(1, _HELD // n_patients)
    for start in range(0, n_patients, rows):
        yield 1 - np.eye(min(rows, n_patients - start), n_patients, start)


def interval(
    samples: Floats,
    estimate: float,
    jackknife: Floats | None,
    method: Method,
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
    bias = norm.ppf(below)
    values = jackknife[np.isfinite(jackknife)]
    deviation = values.mean() - values
    spread = float(np.sum(deviation**2))
    acceleration = float(np.sum(deviation**3)) / (6 * spread**1.5) if spread > 0 else 0.0
    z = bias + norm.ppf(tails)
    adjusted: Floats = norm.cdf(bias + z / (1 - acceleration * z))
    return adjusted


def bootstrap_p(samples: Floats) -> float:
    """Two-sided p of the null that a statistic is 0, from its resampled values.

    ``2 min(1 + #{samples <= 0}, 1 + #{samples >= 0}) / (B + 1)``, at most 1: the level at
    which the percentile interval first touches 0, one sample being added to each tail
    (Davison & Hinkley 1997, section 4.2). Undefined resamples are left out as in
    :func:`interval`, and the p is NaN where that gives no interval.
    """
    defined = samples[np.isfinite(samples)]
    if len(defined) < _MIN_DEFINED * len(samples):
        return np.nan
    below, above = (np.count_nonzero(side <= _ROUNDING) for side in (defined, -defined))
    tail = 1 + min(below, above)
    return min(1.0, 2 * tail / (len(defined) + 1))


def wilson(successes: float, trials: float, level: float = 0.95) -> Interval:
    """Wilson's (1927) score interval of a proportion; for independent trials only."""
    if not trials > 0:
        return Interval(np.nan, np.nan)
    z = float(norm.ppf((1 + level) / 2))
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
    half = float(student_t.ppf((1 + level) / 2, degrees)) * error
    return Interval(mean - half, mean + half), _two_sided(mean, error, student_t(degrees))


def normal_test(value: float, variance: float, level: float = 0.95) -> tuple[Interval, float]:
    """Wald interval of an asymptotically normal value, and two-sided p of the null that it is 0.

    p is NaN where the variance is 0 and the value is not.
    """
    error = float(np.sqrt(variance))
    half = float(norm.ppf((1 + level) / 2)) * error
    return Interval(value - half, value + half), _two_sided(value, error, norm)


def _two_sided(value: float, error: float, distribution: Any) -> float:
    if error > 0:
        return float(2 * distribution.sf(abs(value) / error))
    return 1.0 if value == 0 else np.nan


def mcnemar(only_a: int, only_b: int) -> float:
    """Exact two-sided p of McNemar's (1947) test; for independent cases only.

    Parameters
    ----------
    only_a, only_b : int
        Cases that one model alone decides rightly. Given their sum, the null makes either
        count binomial with probability 1/2.
    """
    p = 2 * binom.cdf(min(only_a, only_b), only_a + only_b, 0.5)
    return min(1.0, float(p))


def holm(p: Floats) -> Floats:
    """Holm's (1979) adjusted p values of one family, shape kept; NaN are no members of it."""
    adjusted = np.full(len(p), np.nan)
    order = np.argsort(p)[: np.count_nonzero(np.isfinite(p))]
    steps = np.arange(len(order), 0, -1) * p[order]
    adjusted[order] = np.minimum(1, np.maximum.accumulate(steps))
    return adjusted
