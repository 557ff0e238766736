"""Calibration of scores to P(malignant), fitted and chosen on out-of-fold scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models._training import Floats, Indices

Sigmoid = tuple[float, float]
"""Slope and intercept that make log-odds of malignancy of a score."""

IDENTITY: Sigmoid = (1.0, 0.0)
"""Leaves log-odds as they are."""


def choose_sigmoid(
    log_odds: Floats,
    y: NDArray[Any],
    groups: NDArray[Any],
    splits: Sequence[tuple[Indices, Indices]],
) -> Sigmoid:
    """Platt's sigmoid of log-odds where it calibrates better than none, else ``IDENTITY``.

    The rows of each inner fold are rated by a sigmoid of the other folds' rows. The sigmoid is
    taken if that lowers the log loss, summed over patients, by more than one standard error of
    the sum (patients being independent), and if the one fitted to all rows rises: the order of
    the scores, and with it the AUC, never changes.

    Parameters
    ----------
    log_odds : ndarray, shape (n,)
        By models that were not fitted on the row.
    y : ndarray, shape (n,)
        0 benign, 1 malignant.
    groups : ndarray, shape (n,)
        Patient ids.
    splits : sequence of (ndarray, ndarray)
        Inner folds: row numbers to fit on and to hold out.
    """
    gain = np.empty(len(y))
    for fitted, held_out in splits:
        sigmoid = fit_platt(log_odds[fitted], y[fitted])
        raw = log_odds[held_out]
        better = sigmoid[0] * raw + sigmoid[1]
        gain[held_out] = _log_loss(raw, y[held_out]) - _log_loss(better, y[held_out])
    _, patient = np.unique(groups, return_inverse=True)
    by_patient = np.bincount(patient, weights=gain)
    error = np.sqrt(len(by_patient)) * by_patient.std(ddof=1)
    found = fit_platt(log_odds, y)
    return found if by_patient.sum() > error and found[0] > 0 else IDENTITY


def at_whole_prevalence(
    log_odds: Floats, y: NDArray[Any], splits: Sequence[tuple[Indices, Indices]]
) -> Floats:
    """Out-of-fold log-odds as models fitted at the prevalence of all rows would give them.

    The sides that inner folds fit on differ in prevalence, and by Bayes' rule log-odds differ by
    the log-odds of it. Where a strong penalty shrinks scores, that is more than all they say, and
    neither threshold nor calibration could be chosen on them.
    """
    from scipy.special import logit

    shifted = log_odds.copy()
    for fitted, held_out in splits:
        shifted[held_out] += logit(y.mean()) - logit(y[fitted].mean())
    return shifted


def fit_platt(scores: Floats, y: NDArray[Any]) -> Sigmoid:
    """Slope and intercept of the sigmoid that maps scores to P(malignant).

    The labels are softened to (n1 + 1) / (n1 + 2) and 1 / (n0 + 2), which keeps the slope
    finite where the classes separate. Source: Platt 1999, "Probabilistic outputs for support
    vector machines", section 2.2. The scores must be out-of-fold ones.
    """
    from sklearn.linear_model import LogisticRegression

    n_malignant = int((y == 1).sum())
    n_benign = len(y) - n_malignant
    soft = np.where(y == 1, (n_malignant + 1) / (n_malignant + 2), 1 / (n_benign + 2))
    # Scaled for the optimiser, whose tolerance is absolute; a soft label is two weighted rows.
    scale = float(np.std(scores)) or 1.0
    fitted = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000).fit(
        np.tile(scores / scale, 2)[:, None],
        np.repeat([1, 0], len(y)),
        sample_weight=np.concatenate([soft, 1 - soft]),
    )
    return float(fitted.coef_[0, 0]) / scale, float(fitted.intercept_[0])


def apply_platt(scores: Floats, sigmoid: Sigmoid) -> Floats:
    """P(malignant), shape (n,), of scores by a slope and an intercept."""
    from scipy.special import expit

    slope, intercept = sigmoid
    return np.asarray(expit(slope * scores + intercept), dtype=np.float64)


def _log_loss(log_odds: Floats, y: NDArray[Any]) -> Floats:
    return np.asarray(np.logaddexp(0, np.where(y == 1, -log_odds, log_odds)))
