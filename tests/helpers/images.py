"""Images that a network can learn to tell apart."""

from __future__ import annotations

from typing import Any

import numpy as np


def images(n: int, seed: int, side: int = 32) -> tuple[Any, Any, Any]:
    """Noise, with a bright square in the middle of the malignant ones; a patient each."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    X = rng.normal(0.4, 0.1, (n, side, side, 1)).astype(np.float32)
    X[y == 1, 8:24, 8:24] += 0.3
    return np.clip(X, 0, 1), y, np.array([f"p{i}" for i in range(n)])
