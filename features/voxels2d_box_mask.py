"""The input of ``voxels2d_box`` with the mask of the same pixels as second channel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmark.roi import Roi
from features import voxels2d_box
from features._plane import with_mask_channel

MASK_MODIFIERS = True
"""It may be computed from another mask, as in ``voxels2d_box_mask@eroded``."""


def extract(roi: Roi) -> NDArray[np.float32]:
    """Image and mask, shape (124, 124, 2), in [0, 1].

    Raises
    ------
    UnavailableError
        Where the dataset has no masks.
    """
    return with_mask_channel(voxels2d_box.extract, roi)
