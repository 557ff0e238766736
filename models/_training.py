"""Shared parts of every model: input checks and inner folds by patient."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

MIN_FOLDS = 2
"""Fewer inner folds leave nothing to choose a setting or a threshold on."""


def check_inputs(X: NDArray[Any], ndim: int) -> None:
    """Refuse arrays of another rank than ``ndim``, without rows, or not finite.

    Raises
    ------
    ValueError
        Naming the shape, or the first row and column that is not finite.
    """
    if X.ndim != ndim or 0 in X.shape:
        raise ValueError(f"X has shape {X.shape}; it must have {ndim} axes, none of them empty")
    finite = np.isfinite(X)
    if not finite.all():
        first = tuple(int(i) for i in np.argwhere(~finite)[0])
        raise ValueError(
            f"X{list(first)} is {X[first]}; every value must be finite "
            f"({int((~finite).sum())} are not): drop or repair the ROI or the feature"
        )


def check_training(X: NDArray[Any], y: NDArray[Any], groups: NDArray[Any], ndim: int) -> None:
    """Refuse training data that no model can learn from.

    Parameters
    ----------
    X : ndarray
        Rank ``ndim``, finite.
    y : ndarray, shape (n,)
        0 benign, 1 malignant; both must occur.
    groups : ndarray, shape (n,)
        Patient ids.

    Raises
    ------
    ValueError
        Naming what is wrong, its value and the rule.
    """
    check_rows(X, y, groups, ndim)
    labels = np.unique(y).tolist()
    if labels != [0, 1]:
        raise ValueError(f"y holds the classes {labels}; training needs 0 and 1, and no others")


def check_rows(X: NDArray[Any], y: NDArray[Any], groups: NDArray[Any], ndim: int) -> None:
    """Refuse inputs that :func:`check_inputs` refuses, and labels or patients of other rows."""
    check_inputs(X, ndim)
    for name, array in (("y", y), ("groups", groups)):
        if array.shape != (len(X),):
            raise ValueError(f"{name} has shape {array.shape}; X has {len(X)} rows, one each")


def inner_splits(
    y: NDArray[Any], groups: NDArray[Any], folds: int, seed: int
) -> list[tuple[Indices, Indices]]:
    """Stratified folds of the training rows in which no patient is on both sides.

    As many as ``folds``, fewer where there are fewer patients with either class; then fewer
    still until each side of each fold has both classes, without which an AUC is undefined.

    Returns
    -------
    list of (ndarray, ndarray)
        Row numbers to fit on and to hold out; the held-out ones partition the rows.

    Raises
    ------
    ValueError
        Where not even two such folds can be made.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    if folds < MIN_FOLDS:
        raise ValueError(f"inner_folds is {folds}; it must be at least {MIN_FOLDS}")
    patients = [len(np.unique(groups[y == label])) for label in (0, 1)]
    for n_splits in range(min(folds, *patients), MIN_FOLDS - 1, -1):
        folder = StratifiedGroupKFold(n_splits, shuffle=True, random_state=seed)
        splits = list(folder.split(np.zeros(len(y)), y, groups))
        if all(len(np.unique(y[side])) == 2 for split in splits for side in split):
            return splits
    raise ValueError(
        f"training has {patients[0]} patients with a benign and {patients[1]} with a malignant "
        f"ROI; {MIN_FOLDS} inner folds grouped by patient need at least {MIN_FOLDS} of each, "
        "so placed that every fold has both classes"
    )


def split_patients(
    y: NDArray[Any], groups: NDArray[Any], fraction: float, seed: int
) -> tuple[Indices, Indices]:
    """Rows to fit on and rows to hold out, no patient on both sides.

    The share is of patients with any malignant ROI and of patients with none, each rounded
    and at least one on either side.

    Raises
    ------
    ValueError
        Where a kind of patient has too few to be on both sides.
    """
    if fraction == 0:
        return np.arange(len(y)), np.empty(0, dtype=np.intp)
    rng = np.random.default_rng(seed)
    malignant = np.unique(groups[y == 1])
    benign = np.setdiff1d(groups, malignant)
    chosen = []
    for kind, patients in (("no", benign), ("a", malignant)):
        if len(patients) < 2:
            raise ValueError(
                f"training has {len(patients)} patients with {kind} malignant ROI; "
                f"validation_fraction {fraction} needs at least 2"
            )
        count = min(max(round(fraction * len(patients)), 1), len(patients) - 1)
        chosen.append(rng.permutation(patients)[:count])
    held_out = np.isin(groups, np.concatenate(chosen))
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def two_columns(malignant: NDArray[Any]) -> Floats:
    """P(malignant), shape (n,), to (n, 2) float64 whose rows sum to 1."""
    p = np.asarray(malignant, dtype=np.float64)
    return np.column_stack([1.0 - p, p])
