"""107 pyradiomics features of the original image, resampled to 1 mm, bin width 25 HU.

Classes: shape, first order, GLCM, GLRLM, GLSZM, NGTDM and GLDM with pyradiomics' default
settings otherwise. Names are pyradiomics' own; ``docs/features.md`` has IBSI's name and code of
each, and where it deviates. ``_pyradiomics`` says what differs from pyradiomics' batch command.
"""

from __future__ import annotations

from benchmark.roi import Roi
from features._pyradiomics import compute

N_FEATURES = 107

PLANAR = "radiomics2d"
"""Takes its place in a run whose ROIs are all one slice thick."""

MASK_MODIFIERS = True
"""It may be computed from another mask, as in ``radiomics@eroded``."""


def extract(roi: Roi) -> dict[str, float]:
    """The features, by pyradiomics' names.

    A single-slice ROI of a 3D acquisition is a slab of known thickness, and counts as such.

    Raises
    ------
    UnavailableError
        Where the dataset has no masks.
    ValueError
        Where pyradiomics leaves a feature out or gives a value that is not finite.
    """
    return compute(roi.image, roi.mask, roi.spacing_mm, n_features=N_FEATURES)
