"""Contracts of plug-ins: what a feature set and a model must have, and what they may have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from benchmark.roi import Roi


@dataclass(frozen=True, order=True)
class Arm:
    """A model with the feature set that it is fed."""

    model: str
    features: str

    def __str__(self) -> str:
        return f"{self.model}:{self.features}"


Value = dict[str, float] | NDArray[np.float32]


Extract = Callable[[Roi], Value]


class Model(Protocol):
    """What a file in models/ builds.

    Attributes
    ----------
    threshold_ : float
        After ``fit``: the decision threshold on P(malignant), chosen on training patients.
    """

    threshold_: float

    def fit(self, X: NDArray[Any], y: NDArray[np.int64], groups: NDArray[np.str_]) -> None:
        """Fit on arrays of shape (n, p) or (n, rows, columns, channels); groups: patients."""

    def predict_proba(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """Probabilities of benign and malignant, shape (n, 2)."""


@runtime_checkable
class ReportsEpochs(Protocol):
    """A model that trains in epochs, and says so."""

    on_epoch: Callable[[int, int], None] | None
    history_: list[dict[str, float]]


Build = Callable[[Arm, int], Model]
"""Builds the model of an arm from a seed; picklable."""


FitTogether = Callable[
    [Sequence[Model], Sequence[tuple[NDArray[Any], NDArray[np.int64], NDArray[np.str_]]]], None
]
"""Fits models, each to its (X, y, groups), as their ``fit`` would one by one."""


Pack = Callable[[Model], bytes]
"""Makes a file of a fitted model."""
