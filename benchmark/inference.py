"""Intervals that respect clustering: resample patients, not ROIs.

A patient's nodules resemble each other, so ROIs are not independent and an interval that
resamples them is too short (Davison & Hinkley 1997, section 3.8).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

Floats = NDArray[np.float64]
Method = Literal["percentile", "bca"]

_MIN_DEFINED = 0.9
"""Share of resamples in which a metric must be defined for its interval to be given."""


@dataclass(frozen=True)
class Interval:
    """A two-sided interval; both ends NaN where it cannot be given."""

    low: float
    high: float


def patient_weights(patients: NDArray[np.str_], n_samples: int, seed: int) -> Floats:
    """Weights of a bootstrap over patients.

    Parameters
    ----------
    patients : ndarray, shape (n_rois,)
        Patient of each ROI. A ROI tested in several repeats stands in several rows.
    n_samples : int
    seed : int

    Returns
    -------
    ndarray, shape (n_samples, n_rois)
        How often each ROI's patient was drawn. The draw depends on the set of patients and
        the seed only, so that models are compared on the same resamples.
    """
    unique, index = np.unique(patients, return_inverse=True)
    draws = np.random.default_rng(seed).multinomial(
        len(unique), np.full(len(unique), 1 / len(unique)), size=n_samples
    )
    weights: Floats = draws[:, index].astype(np.float64)
    return weights


def leave_one_out_weights(patients: NDArray[np.str_]) -> Floats:
    """Weights of the jackknife over patients, shape (n_patients, n_rois)."""
    unique, index = np.unique(patients, return_inverse=True)
    weights: Floats = (index[None, :] != np.arange(len(unique))[:, None]).astype(np.float64)
    return weights


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
