"""Outputs of plug-ins: what a feature set and a fitted model may give, checked where it arrives."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.plugins.contracts import NamesDevice, ReportsChoices, ReportsEpochs, Value

SUM_TOLERANCE = 1e-3
"""How far the two probabilities of a ROI may add up beside 1: half precision rounds to 5e-4."""

CHOICE = {"setting", "value", "edge"}
EDGES = ("", "lowest", "highest")


def checked_features(value: object) -> Value:
    """One ROI's features, numbers as Python's floats.

    Raises
    ------
    ValueError
        For what is neither a dict of finite numbers by name nor a plain array of finite ones.
    """
    if isinstance(value, dict):
        return _checked_numbers(value)
    if type(value) is not np.ndarray:
        raise ValueError(
            f"extract gave {_described(value)}; it must give a dict of numbers or an image, a "
            "plain array of float32"
        )
    if value.dtype.kind not in "fiub" or value.ndim == 0 or value.size == 0:
        raise ValueError(
            f"extract gave an array of {value.dtype} and shape {value.shape}; an image holds at "
            "least one number"
        )
    if not np.isfinite(value).all():
        count = int((~np.isfinite(value)).sum())
        raise ValueError(
            f"extract gave an array with {count} values that are not finite; all must be"
        )
    return value


def kind_of(value: Value) -> tuple[Any, ...]:
    """What must be alike in the features of all ROIs: names in their order, or shape and type."""
    return (value.shape, value.dtype.str) if isinstance(value, np.ndarray) else tuple(value)


def checked_probabilities(found: object, n: int) -> NDArray[np.float64]:
    """P(malignant), shape (n,), of what ``predict_proba`` gave for n rows.

    Raises
    ------
    ValueError
        For what is no array of shape (n, 2) of finite numbers in [0, 1] whose rows add up to 1.
    """
    if not isinstance(found, np.ndarray) or found.dtype.kind not in "fiub":
        raise ValueError(
            f"predict_proba gave {_described(found)}; an array of floats, shape ({n}, 2), is needed"
        )
    if found.shape != (n, 2) or not np.isfinite(found).all():
        raise ValueError(
            f"predict_proba gave shape {found.shape} with "
            f"{int((~np.isfinite(found)).sum())} values that are not finite; "
            f"({n}, 2) finite ones are needed"
        )
    probabilities = found.astype(np.float64)
    outside = (probabilities < 0) | (probabilities > 1)
    if outside.any():
        raise ValueError(
            f"predict_proba gave {probabilities[outside][0]:g}, and {int(outside.sum())} values "
            "in all outside [0, 1]; probabilities are needed"
        )
    sums = probabilities.sum(axis=1)
    off = np.abs(sums - 1) > SUM_TOLERANCE
    if off.any():
        raise ValueError(
            f"predict_proba gave a row that adds up to {sums[off][0]:g}; the probabilities of "
            "benign and malignant must add up to 1"
        )
    return probabilities[:, 1]


def checked_threshold(found: object) -> float:
    """A model's ``threshold_``; raises ValueError where it is no number in [0, 1]."""
    number = _number(found)
    if not 0 <= number <= 1:
        raise ValueError(f"threshold_ is {_described(found)}; it must be a number from 0 to 1")
    return number


def device_of(model: object) -> str:
    """A fitted model's ``device_``, ``cpu`` where it names none; raises ValueError for no text."""
    if not isinstance(model, NamesDevice):
        return "cpu"
    if not isinstance(model.device_, str) or not model.device_.strip():
        raise ValueError(f"device_ is {_described(model.device_)}; it must be text, as 'cpu'")
    return model.device_


def epochs_of(model: object) -> list[dict[str, float]]:
    """A fitted model's ``history_``, empty where it has no epochs.

    Raises
    ------
    ValueError
        For what is no list of dicts of numbers by name, each with ``epoch``.
    """
    if not isinstance(model, ReportsEpochs):
        return []
    rows = _rows("history_", model.history_)
    found = []
    for row in rows:
        numbers = {str(name): _number(value) for name, value in row.items()}
        if "epoch" not in numbers or any(map(math.isnan, numbers.values())):
            raise ValueError(
                f"history_ has the row {row!r}; each row holds numbers by name, with 'epoch'"
            )
        found.append(numbers)
    return found


def choices_of(model: object) -> list[dict[str, str]]:
    """A fitted model's ``choices_``, empty where it reports none.

    Raises
    ------
    ValueError
        For what is no list of dicts of texts, as ``ReportsChoices`` states.
    """
    if not isinstance(model, ReportsChoices):
        return []
    rows = _rows("choices_", model.choices_)
    for row in rows:
        texts = all(isinstance(value, str) for value in row.values())
        if set(row) != CHOICE or not texts or row["edge"] not in EDGES:
            raise ValueError(
                f"choices_ has the row {row!r}; each holds the texts 'setting', 'value' and "
                "'edge', which is 'lowest', 'highest' or empty"
            )
    return [dict(row) for row in rows]


def _checked_numbers(value: dict[Any, Any]) -> dict[str, float]:
    if not value:
        raise ValueError("extract gave an empty dict; it must hold at least one number by name")
    found = {}
    for name, given in value.items():
        number = _number(given)
        if not isinstance(name, str) or not math.isfinite(number):
            raise ValueError(
                f"extract gave {name!r}: {_described(given)}; features are finite numbers by name"
            )
        found[name] = number
    return found


def _number(value: object) -> float:
    """A real number, or an array of a single one, as Python's float; NaN for anything else."""
    if isinstance(value, np.ndarray) and value.ndim == 0 and value.dtype.kind in "fiub":
        return float(value)
    return float(value) if isinstance(value, Real | np.bool_) else math.nan


def _rows(name: str, value: object) -> Sequence[Mapping[Any, Any]]:
    if not isinstance(value, list) or not all(isinstance(row, Mapping) for row in value):
        raise ValueError(f"{name} is {_described(value)}; it must be a list of dicts")
    return value


def _described(value: object) -> str:
    """A value in a few words: numbers and short texts as they are, others by their type."""
    if value is None or isinstance(value, bool | int | float | str | np.generic):
        return repr(value)[:60]
    return f"{type(value).__name__} {repr(value)[:40]}".replace("\n", " ")
