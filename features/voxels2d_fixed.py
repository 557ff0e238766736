"""A fixed 40 mm field of view around the largest slice's box, 124 x 124 x 1.

Keeps absolute size, unlike ``voxels2d_box``. Where the field of view reaches beyond the
image that was supplied, it is filled with air. Of a ROI without a mask, the middle slice is
taken, and its middle as the centre. HU of [-1000, 400] are scaled to [0, 1].
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmark.roi import Roi
from features._plane import in_plane_box, largest_slice, sample

FIELD_OF_VIEW_MM = 40.0

MASK_MODIFIERS = True
"""It may be computed from another mask, as in ``voxels2d_fixed@eroded``."""


def extract(roi: Roi) -> NDArray[np.float32]:
    """The field of view centred on the mask's box, shape (124, 124, 1), in [0, 1]."""
    if roi.has_mask:
        z = largest_slice(roi)
        top, bottom, left, right = in_plane_box(roi.mask[z])
    else:
        z = roi.image.shape[0] // 2
        top, left = 0, 0
        bottom, right = roi.image.shape[1:]
    height = FIELD_OF_VIEW_MM / roi.spacing_mm[1]
    width = FIELD_OF_VIEW_MM / roi.spacing_mm[2]
    return sample(
        roi.image[z], (top + bottom - height) / 2, (left + right - width) / 2, height, width
    )
