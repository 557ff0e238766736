"""Training prevalence for every ROI: what any model has to beat."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models._training import Floats, check_inputs, check_training, two_columns

FEATURES = "diameter"


class Prior:
    """P(malignant) is the share of malignant ROIs in training, whatever the features.

    Attributes
    ----------
    threshold_ : float
        0.5, the majority class: no threshold on a constant separates anything.
    """

    threshold_: float

    def fit(self, X: NDArray[Any], y: NDArray[Any], groups: NDArray[Any]) -> None:
        """Take the prevalence of y, shape (n,), 0 benign and 1 malignant."""
        check_training(X, y, groups, ndim=X.ndim)
        self._prevalence = float(np.mean(y))
        self.threshold_ = 0.5

    def predict_proba(self, X: NDArray[Any]) -> Floats:
        """Shape (n, 2), every row the same."""
        check_inputs(X, ndim=X.ndim)
        return two_columns(np.full(len(X), self._prevalence))


def build(seed: int, *, jobs: int = 1) -> Prior:
    """The prior; seed and jobs change nothing."""
    return Prior()
