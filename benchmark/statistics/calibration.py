"""Logistic recalibration (Cox 1958), fitted to many weighted resamples at once.

The model is ``logit P(malignant) = intercept + slope * logit(y_prob)``. A row of weights is
one resample; all rows are solved together by Newton's method.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
AnyFloats = NDArray[np.floating[Any]]

CLIP = 1e-6
"""Probabilities are kept this far from 0 and 1 before their logit is taken: a forest says 0."""

_REACH = 1e-5
_MAX_STEPS = 200
_NEAR, _FEW_STEPS = 1e-3, 12
"""Reach and number of the steps in single precision, which others follow."""


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
        near = _nearly(y_true, x, chosen, *start, free_slope)
        a[rows], b[rows] = _newton(y_true, x, chosen, *near, free_slope)
    return a, b


def _nearly(
    y_true: NDArray[np.int64],
    x: Floats,
    weights: Floats,
    a: AnyFloats,
    b: AnyFloats,
    free_slope: bool,
) -> tuple[AnyFloats, AnyFloats]:
    """Solutions in single precision, a quarter of the time; the start where there is none."""
    x_32, weights_32, a_32, b_32 = (each.astype(np.float32) for each in (x, weights, a, b))
    near_a, near_b = _newton(
        y_true, x_32, weights_32, a_32, b_32, free_slope, _NEAR, _FEW_STEPS
    )  # fmt: skip
    found = np.isfinite(near_a) & np.isfinite(near_b)
    return np.where(found, near_a, a), np.where(found, near_b, b)


def _newton(
    y_true: NDArray[np.int64],
    x: AnyFloats,
    weights: AnyFloats,
    a: AnyFloats,
    b: AnyFloats,
    free_slope: bool,
    reach_wanted: float = _REACH,
    max_steps: int = _MAX_STEPS,
) -> tuple[AnyFloats, AnyFloats]:
    """Newton steps from (a, b), one for each row or one for all, to a solution a row.

    A row's steps end once one moves its logits by less than ``reach_wanted``; convergence is
    quadratic, so the error left is of the order of its square. Steps that move a logit by
    r > 1 are damped to log(1 + r) / r of their length, with which the method cannot diverge
    (Sun & Tran-Dinh 2019: the logistic loss is self-concordant in their generalised sense).
    """
    found_a, found_b = np.full((2, len(weights)), np.nan, x.dtype)
    rows = np.arange(len(weights))
    powers = np.stack([np.ones_like(x), x, x * x], axis=1)
    malignant = weights @ (powers[:, :2] * y_true.astype(x.dtype)[:, None])
    ends = np.array([x.min(), x.max()])
    room = np.empty((2, *weights.shape), x.dtype)
    for _ in range(max_steps):
        first, second = _moments(x, powers, weights, a, b, room)
        g0, g1 = (malignant - first[:, :2]).T
        h0, h1, h2 = (first - second).T
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            if free_slope:
                determinant = h0 * h2 - h1 * h1
                step_a = (h2 * g0 - h1 * g1) / determinant
                step_b = (h0 * g1 - h1 * g0) / determinant
            else:
                step_a, step_b = g0 / h0, np.zeros_like(g0)
            reach = np.abs(step_a[:, None] + np.multiply.outer(step_b, ends)).max(axis=1)
            damping = np.where(reach > 1, np.log1p(reach) / np.maximum(reach, 1), 1)
            a, b = a + damping * step_a, b + damping * step_b
        arrived = reach < reach_wanted
        found_a[rows[arrived]], found_b[rows[arrived]] = a[arrived], b[arrived]
        on = reach >= reach_wanted
        if not on.any():
            break
        if 2 * on.sum() <= len(rows):  # few are slow: the others need not wait for them
            rows, weights, malignant, a, b = (each[on] for each in (rows, weights, malignant, a, b))
            room = room[:, : len(rows)]
    return found_a, found_b


def _moments(
    x: AnyFloats, powers: AnyFloats, weights: AnyFloats, a: AnyFloats, b: AnyFloats, room: AnyFloats
) -> tuple[AnyFloats, AnyFloats]:
    """Sums of w p (1, x, x^2) and of w p^2 (1, x, x^2), shapes (n_resamples, 3).

    p is the P(malignant) of the model. ``room`` holds what lies between, shape (2, n_resamples, n):
    memory fetched anew in every step would cost as much as the arithmetic.
    """
    if len(a) == 1:
        p = _logistic(-a - b * x)[:, None]
        return weights @ (p * powers), weights @ (p * p * powers)
    p, weighted = room
    np.multiply.outer(-b, x, out=p)
    p -= a[:, None]
    np.multiply(weights, _logistic(p), out=weighted)
    first = weighted @ powers
    weighted *= p
    return first, weighted @ powers


def _logistic(minus_logit: AnyFloats) -> AnyFloats:
    """1 / (1 + exp(.)), in the place of what is given."""
    with np.errstate(over="ignore"):
        np.exp(minus_logit, out=minus_logit)
    minus_logit += 1
    return np.reciprocal(minus_logit, out=minus_logit)
