"""1,130 pyradiomics features: the original image, LoG of 1, 2 and 3 mm, eight wavelet bands.

The 107 of ``radiomics``, and the 93 that are not shape of each filtered image, with the same
settings; wavelet: pyradiomics' default, one level of coif1. Filters see five voxels around the
mask. Where the ROI has no voxels there, LoG repeats its border and the wavelet wraps round it,
as in pyradiomics; a ROI that is too short for LoG is padded by more than one voxel.

There is no planar counterpart, LoG being a filter in space: a single slice counts as a slab of
its thickness with the same content above and below.
"""

from __future__ import annotations

from benchmark.roi import Roi
from features._pyradiomics import compute

N_FEATURES = 1130

MASK_MODIFIERS = True
"""It may be computed from another mask, as in ``radiomics_filtered@eroded``."""


def extract(roi: Roi) -> dict[str, float]:
    """The features, by pyradiomics' names.

    Raises
    ------
    UnavailableError
        Where the dataset has no masks.
    ValueError
        Where pyradiomics leaves a feature out or gives a value that is not finite.
    """
    return compute(roi.image, roi.mask, roi.spacing_mm, n_features=N_FEATURES, filtered=True)
