"""Logistic recalibration (Cox 1958), fitted to many weighted resamples at once.

The model is ``logit P(malignant) = intercept + slope * logit(y_prob)``. A row of weights is
one resample; all rows are solved together by Newton's method.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

CLIP = 1e-6
"""Probabilities are kept this far from 0 and 1 before their logit is taken: a forest says 0."""

_REACH = 1e-5
_MAX_STEPS = 200


def logits(y_prob: Floats) -> Floats:
    """log(p / (1 - p)) of probabilities clipped to ``[CLIP, 1 - CLIP]``, same shape."""
    clipped = np.clip(y_prob, CLIP, 1 - CLIP)
    return np.log(clipped) - np.log1p(-clipped)


def slope(y_true: NDArray[np.int64], x: Floats, weights: Floats) -> Floats:
    """Maximum-likelihood slope of the model with a free intercept.

    Parameters
    ----------
    y_true : ndarray, shape (n,), 0 or 1
    x : ndarray, shape (n,)
        Logits of the predictions.
    weights : ndarray, shape (n_resamples, n)

    Returns
    -------
    ndarray, shape (n_resamples,)
        NaN where no finite maximum exists: one class only, or the logits of one class lie
        all at or above those of the other. NaN too, beyond these, where double precision
        does not reach the maximum.
    """
    return _solve(y_true, x, weights, _overlap(y_true, x, weights), free_slope=True)[1]


def intercept_in_the_large(y_true: NDArray[np.int64], x: Floats, weights: Floats) -> Floats:
    """Maximum-likelihood intercept with the slope fixed at 1; shapes as in :func:`slope`.

    NaN where a resample has one class only.
    """
    malignant, total = weights @ y_true.astype(np.float64), weights.sum(axis=1)
    return _solve(
        y_true, x, weights, (malignant > 0) & (malignant < total), free_slope=False
    )[0]  # fmt: skip


def _overlap(y_true: NDArray[np.int64], x: Floats, weights: Floats) -> NDArray[np.bool_]:
    """True if each class reaches above the lowest logit of the other (Albert & Anderson 1984)."""
    ends = []
    for value in (0, 1):
        members = np.flatnonzero(y_true == value)
        if not len(members):
            return np.zeros(len(weights), dtype=bool)
        members = members[np.argsort(x[members], kind="stable")]
        present = weights[:, members] > 0
        lowest = x[members][present.argmax(axis=1)]
        highest = x[members][::-1][present[:, ::-1].argmax(axis=1)]
        ends.append((lowest, highest, present.any(axis=1)))
    (low0, high0, any0), (low1, high1, any1) = ends
    overlap: NDArray[np.bool_] = any0 & any1 & (high0 > low1) & (high1 > low0)
    return overlap


def _solve(
    y_true: NDArray[np.int64],
    x: Floats,
    weights: Floats,
    solvable: NDArray[np.bool_],
    *,
    free_slope: bool,
) -> tuple[Floats, Floats]:
    a, b = np.full(len(weights), np.nan), np.full(len(weights), np.nan)
    rows = np.flatnonzero(solvable)
    if len(rows):
        chosen = weights if len(rows) == len(weights) else weights[rows]
        # The rows resemble their mean: its solution, found from the identity, starts theirs.
        mean = chosen.mean(axis=0, keepdims=True)
        start = _newton(y_true, x, mean, np.zeros(1), np.ones(1), free_slope)
        a[rows], b[rows] = _newton(y_true, x, chosen, *start, free_slope=free_slope)
    return a, b


def _newton(
    y_true: NDArray[np.int64], x: Floats, weights: Floats, a: Floats, b: Floats, free_slope: bool
) -> tuple[Floats, Floats]:
    """Newton steps from one common (a, b), shape (1,), to a solution a row.

    They end when none moves a logit by more than ``_REACH``; convergence is quadratic, so
    the error left is of order ``_REACH ** 2``. Steps that move a logit by r > 1 are damped
    to log(1 + r) / r of their length, with which the method cannot diverge (Sun & Tran-Dinh
    2019: the logistic loss is self-concordant in their generalised sense).
    """
    powers = np.stack([np.ones_like(x), x, x * x], axis=1)
    sums = weights @ powers
    # With t = tanh(logit / 2), p = (1 + t) / 2 and p (1 - p) = (1 - t^2) / 4; numpy
    # vectorises tanh on more processors than exp.
    surplus = weights @ (powers[:, :2] * (2.0 * y_true[:, None])) - sums[:, :2]
    ends = np.array([x.min(), x.max()])
    room = np.empty((2, *weights.shape))
    for _ in range(_MAX_STEPS):
        first, second = _moments(x, powers, weights, a, b, room)
        g0, g1 = 2 * (surplus - first).T
        h0, h1, h2 = (sums - second).T
        with np.errstate(divide="ignore", invalid="ignore"):
            if free_slope:
                determinant = h0 * h2 - h1 * h1
                step_a = (h2 * g0 - h1 * g1) / determinant
                step_b = (h0 * g1 - h1 * g0) / determinant
            else:
                step_a, step_b = g0 / h0, np.zeros_like(g0)
        reach = np.abs(step_a[:, None] + np.multiply.outer(step_b, ends)).max(axis=1)
        damping = np.where(reach > 1, np.log1p(reach) / np.maximum(reach, 1), 1)
        a, b = a + damping * step_a, b + damping * step_b
        if not (reach >= _REACH).any():
            break
    arrived = reach < _REACH
    return np.where(arrived, a, np.nan), np.where(arrived, b, np.nan)


def _moments(
    x: Floats, powers: Floats, weights: Floats, a: Floats, b: Floats, room: Floats
) -> tuple[Floats, Floats]:
    """Sums of w t (1, x) and of w t^2 (1, x, x^2), shapes (n_resamples, 2) and (.., 3).

    ``room`` holds what lies between, shape (2, n_resamples, n): memory fetched anew in every
    step would cost as much as the arithmetic.
    """
    if len(a) == 1:
        shared = np.tanh((a + b * x) / 2)[:, None]
        return weights @ (shared * powers[:, :2]), weights @ (shared * shared * powers)
    t, weighted = room
    np.multiply.outer(b / 2, x, out=t)
    t += (a / 2)[:, None]
    np.tanh(t, out=t)
    np.multiply(weights, t, out=weighted)
    first = weighted @ powers[:, :2]
    weighted *= t
    return first, weighted @ powers
