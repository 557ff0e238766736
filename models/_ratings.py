"""Readers' ratings as targets, and inner folds of nodules of which some have no label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from models._training import Floats, Indices, inner_splits

NO_LABEL = -1
"""Label of a training ROI that the label rule leaves out."""

RATING_OF_LABEL = np.array([2.0, 4.0])
"""Benign and malignant on the scale of ratings, where labels alone are learnt."""

LearnFrom = Literal["ratings+left_out", "ratings", "labels"]
"""What a model uses of what it is given: all; nodules with a label alone; their labels alone."""


class Readings(Protocol):
    """Readers' ratings of the training rows."""

    @property
    def ratings(self) -> Sequence[tuple[int, ...]]:
        """Malignancy ratings of each row, 1 to 5, one a reader."""


def targets(
    readings: Readings, y: NDArray[Any], learn_from: LearnFrom
) -> tuple[Indices, Floats, Floats]:
    """Rows to learn from, and of each row the rating to learn and its weight.

    The rating is the readers' mean, and the weight the square root of their number.

    Raises
    ------
    ValueError
        Where a row has no rating, and for readings of another number of rows.
    """
    ratings = readings.ratings
    if len(ratings) != len(y):
        raise ValueError(f"readings has {len(ratings)} rows; X has {len(y)}, one each")
    silent = [row for row, each in enumerate(ratings) if not each]
    if silent:
        raise ValueError(f"training row {silent[0]} has no rating; every row needs one or more")
    rows = np.arange(len(y)) if learn_from == "ratings+left_out" else np.flatnonzero(y != NO_LABEL)
    if learn_from == "labels":
        return rows, RATING_OF_LABEL[np.maximum(y, 0)], np.ones(len(y))
    means = np.array([np.mean(each) for each in ratings], np.float64)
    return rows, means, np.sqrt([float(len(each)) for each in ratings])


def folds_of_labelled(
    y: NDArray[Any], groups: NDArray[Any], folds: int, seed: int
) -> list[tuple[Indices, Indices]]:
    """Inner folds of the labelled rows; others are fitted where their patient is not held out.

    Returns
    -------
    list of (ndarray, ndarray)
        Row numbers to fit on and to hold out, as ``inner_splits`` gives them.
    """
    labelled, others = np.flatnonzero(y != NO_LABEL), np.flatnonzero(y == NO_LABEL)
    found = []
    for fitted, tested in inner_splits(y[labelled], groups[labelled], folds, seed):
        held_out = labelled[tested]
        more = others[~np.isin(groups[others], groups[held_out])]
        found.append((np.concatenate([labelled[fitted], more]), held_out))
    return found
