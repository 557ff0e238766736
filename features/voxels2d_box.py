"""The paper's CNN input: tight box of the largest slice, stretched to 124 x 124 x 1.

Stretching removes most of the nodule's absolute size, though not all: resolution and the
width of the blurred edge still tell of it. HU of [-1000, 400] are scaled to [0, 1].
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmark.roi import Roi
from features._plane import in_plane_box, largest_slice, sample

MASK_MODIFIERS = True
"""It may be computed from another mask, as in ``voxels2d_box@eroded``."""


def extract(roi: Roi) -> NDArray[np.float32]:
    """The box, shape (124, 124, 1), in [0, 1]."""
    z = largest_slice(roi)
    top, bottom, left, right = in_plane_box(roi.mask[z])
    box = roi.image[z, top:bottom, left:right]
    return sample(box, 0, 0, bottom - top, right - left)
