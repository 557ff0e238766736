"""The input of ``voxels3d`` with the mask of the same voxels as second channel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmark.roi import Roi
from features import voxels3d
from features._plane import with_mask_channel

MASK_MODIFIERS = True
"""It may be computed from another mask, as in ``voxels3d_mask@eroded``."""


def extract(roi: Roi) -> NDArray[np.float32]:
    """Image and mask, shape (32, 32, 32, 2), in [0, 1].

    Raises
    ------
    UnavailableError
        Where the dataset has no masks.
    """
    return with_mask_channel(voxels3d.extract, roi)
