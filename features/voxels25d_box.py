"""Three planes through the nodule as channels, each as in ``voxels2d_box``: 124 x 124 x 3.

Axial, coronal and sagittal: of each direction the plane with the largest area of the mask, of
equals the first, in the tight box of the mask there, stretched to 124 x 124 pixels. HU of
[-1000, 400] are scaled to [0, 1]. Voxels are thicker than wide, so that the coronal and sagittal
boxes hold fewer of them; of a ROI that is one slice thick they are one line, stretched.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmark.roi import Roi
from features._plane import in_plane_box, sample

MASK_MODIFIERS = True
"""It may be computed from another mask, as in ``voxels25d_box@eroded``."""


def extract(roi: Roi) -> NDArray[np.float32]:
    """The planes, shape (124, 124, 3), in [0, 1]: axial, coronal, sagittal.

    Raises
    ------
    UnavailableError
        Where the dataset has no masks.
    """
    return np.concatenate([_plane(roi, axis) for axis in range(3)], axis=-1)


def _plane(roi: Roi, axis: int) -> NDArray[np.float32]:
    others = tuple(other for other in range(3) if other != axis)
    place = int(roi.mask.sum(axis=others).argmax())
    image, mask = (np.take(array, place, axis=axis) for array in (roi.image, roi.mask))
    top, bottom, left, right = in_plane_box(mask)
    return sample(image[top:bottom, left:right], 0, 0, bottom - top, right - left)
