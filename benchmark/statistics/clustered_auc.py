"""Variance of an AUC whose ROIs are clustered in patients, and of a difference of two."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmark.statistics.cases import Cases, Floats


def auc_components(arm: Cases) -> tuple[float, Floats]:
    """AUC within folds, and what each row contributes to its deviation.

    A malignant row's placement V is the share of its fold's benign rows that it beats, ties
    counting half; a benign row's is the share of malignant rows that beat it (DeLong et al.
    1988). Its contribution is (V - AUC) times the pairs that it is part of, over all pairs.
    With one fold these are DeLong's structural components over the number of their class;
    with several, the linearisation of the pairs-weighted mean of the folds' AUCs.

    Returns
    -------
    float, ndarray of shape (n,)
        Both NaN where no fold has both classes.
    """
    right, partners = np.zeros(len(arm.y_true)), np.zeros(len(arm.y_true))
    for fold in np.unique(arm.fold):
        in_fold = arm.fold == fold
        malignant = np.flatnonzero(in_fold & (arm.y_true == 1))
        benign = np.flatnonzero(in_fold & (arm.y_true == 0))
        right[malignant] = _beaten(arm.y_prob[malignant], arm.y_prob[benign])
        right[benign] = _beaten(-arm.y_prob[benign], -arm.y_prob[malignant])
        partners[malignant], partners[benign] = len(benign), len(malignant)
    pairs = partners[arm.y_true == 1].sum()
    if not pairs:
        return np.nan, np.full(len(right), np.nan)
    value = float(right[arm.y_true == 1].sum() / pairs)
    return value, (right - value * partners) / pairs


def _beaten(scores: Floats, others: Floats) -> Floats:
    """Number of ``others`` that each score exceeds, ties counting half."""
    others = np.sort(others)
    below = np.searchsorted(others, scores, "left") + np.searchsorted(others, scores, "right")
    return below / 2


def clustered_variance(
    contributions: Floats, y_true: NDArray[np.int64], cluster: NDArray[np.int64]
) -> float:
    """Obuchowski's (1997) variance of an AUC or of a difference of two.

    Contributions (see :func:`auc_components`; for a difference, the difference of those) are
    summed within clusters, for malignant and benign ROIs apart. Each class's sum of squares
    is scaled by I / (I - 1), I being the clusters that have the class, and the products by
    that of all clusters. Where no cluster has two ROIs this is DeLong's variance.

    Returns
    -------
    float
        NaN where a class is found in one cluster only.
    """
    sums, present = [], []
    n = int(cluster.max()) + 1
    for value in (1, 0):
        members = y_true == value
        sums.append(np.bincount(cluster[members], contributions[members], n))
        present.append(len(np.unique(cluster[members])))
    if min(present) < 2:
        return np.nan
    (malignant, benign), (n1, n0) = sums, present
    variance = (
        n1 / (n1 - 1) * float(malignant @ malignant)
        + n0 / (n0 - 1) * float(benign @ benign)
        + 2 * n / (n - 1) * float(malignant @ benign)
    )
    return max(0.0, variance)
