"""Decision threshold of a model, chosen on training patients."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models._training import Floats


def youden_threshold(y: NDArray[Any], scores: Floats) -> float:
    """Threshold that maximises Youden's J = sensitivity + specificity - 1.

    At or above it is malignant. It lies midway between two neighbouring scores; of equal
    maxima the lowest is taken (the more sensitive one); 0.5 where no threshold has J > 0,
    as with constant scores.

    Source: Youden, Cancer 1950;3:32-35.

    Parameters
    ----------
    y : ndarray, shape (n,)
        0 or 1, both present.
    scores : ndarray, shape (n,)
        P(malignant), of rows that were not fitted on.
    """
    values, rank = np.unique(scores, return_inverse=True)
    malignant = np.bincount(rank, weights=y == 1)
    benign = np.bincount(rank, weights=y == 0)
    # J of a threshold just above values[i]: benign share at or below minus malignant share.
    # Whole numbers up to the last division keep ties exact.
    n_malignant, n_benign = int(malignant.sum()), int(benign.sum())
    gain = np.cumsum(benign)[:-1] * n_malignant - np.cumsum(malignant)[:-1] * n_benign
    if gain.size == 0 or gain.max() <= 0:
        return 0.5
    best = int(np.argmax(gain))
    return float((values[best] + values[best + 1]) / 2)
