"""A cube of 32 mm around the middle of the mask's box, 32 x 32 x 32 x 1 voxels of 1 mm.

Axes are (z, y, x), as everywhere. Voxels are interpolated linearly, without smoothing before: of
slices 3 mm apart, two of three are blends, and of pixels below 1 mm, some are left out. A nodule
longer than 32 mm is cut. Where the cube reaches beyond the image that was supplied, it is filled
with air, as in ``voxels2d_fixed``; of a ROI without a mask, the middle of the image is taken. HU of
[-1000, 400] are scaled to [0, 1].

Of a file that ends close to the nodule most of the cube is air, and where the air begins tells the
nodule's length: of the first 400 nodules of ``lidc_crops``, whose files often end with the mask
along z, a median of 85 % of the cube.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmark.roi import LUNG_WINDOW_HU, Roi
from features._resample import bounding_box

SIDE = 32
VOXEL_MM = 1.0

MASK_MODIFIERS = True
"""It may be computed from another mask, as in ``voxels3d@eroded``."""


def extract(roi: Roi) -> NDArray[np.float32]:
    """The cube centred on the mask's box, shape (32, 32, 32, 1), in [0, 1]."""
    from scipy.ndimage import map_coordinates

    box = bounding_box(roi.mask) if roi.has_mask else tuple(slice(0, n) for n in roi.image.shape)
    from_middle = (np.arange(SIDE) + 0.5 - SIDE / 2) * VOXEL_MM
    # A voxel covers [i, i + 1) of its axis, and its centre is at i + .5.
    at = [
        (axis.start + axis.stop) / 2 + from_middle / step_mm - 0.5
        for axis, step_mm in zip(box, roi.spacing_mm, strict=True)
    ]
    # Half a voxel beyond the outermost centres still belongs to the image.
    z, y, x = ((a >= -0.5) & (a <= n - 0.5) for a, n in zip(at, roi.image.shape, strict=True))
    inside = z[:, None, None] & y[:, None] & x
    values = map_coordinates(roi.image, np.meshgrid(*at, indexing="ij"), order=1, mode="nearest")
    low, high = LUNG_WINDOW_HU
    values = np.where(inside, values, low)
    return ((np.clip(values, low, high) - low) / (high - low)).astype(np.float32)[..., None]
