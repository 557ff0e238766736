"""102 pyradiomics features of the largest slice, 2D shape and texture, in-plane 1 mm.

Classes: shape2D, first order, GLCM, GLRLM, GLSZM, NGTDM and GLDM, with ``force2D`` and bin
width 25 HU, pyradiomics' defaults otherwise. Nothing depends on the slice's thickness, which
makes this the feature set of single-slice images; of 3D images it sees the slice with the
largest mask only.
"""

from __future__ import annotations

from benchmark.roi import Roi
from features._plane import largest_slice
from features._pyradiomics import compute

N_FEATURES = 102

MASK_MODIFIERS = True
"""It may be computed from another mask, as in ``radiomics2d@eroded``."""


def extract(roi: Roi) -> dict[str, float]:
    """The features, by pyradiomics' names.

    Raises
    ------
    UnavailableError
        Where the dataset has no masks.
    ValueError
        Where pyradiomics leaves a feature out or gives a value that is not finite.
    """
    z = largest_slice(roi)
    plane = slice(z, z + 1)
    # TotalEnergy multiplies by the voxel's volume; 1 mm makes that the pixel's area.
    spacing_mm = (1.0, *roi.spacing_mm[1:])
    return compute(
        roi.image[plane], roi.mask[plane], spacing_mm, planar=True, n_features=N_FEATURES
    )
