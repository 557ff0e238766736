"""107 pyradiomics features of the original image, resampled to 1 mm, bin width 25 HU.

Classes: shape, first order, GLCM, GLRLM, GLSZM, NGTDM and GLDM with pyradiomics' default
settings otherwise. Names are pyradiomics' own; IBSI deviations are those that pyradiomics
documents for 3.0.1. Two choices differ from its batch command: the ROI is padded by one
voxel all round, without which a mask that touches the border loses whole classes, and
voxels are passed as float64, so that resampling does not round them to whole HU.
"""

from __future__ import annotations

import logging
import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from benchmark.roi import Roi

if TYPE_CHECKING:
    from radiomics.featureextractor import RadiomicsFeatureExtractor

N_FEATURES = 107
_SPACING_MM = 1.0
_BIN_WIDTH_HU = 25
_PADDING_VOXELS = 1


def extract(roi: Roi) -> dict[str, float]:
    """The features, by pyradiomics' names.

    Raises
    ------
    ValueError
        Where pyradiomics leaves a feature out or gives a value that is not finite; its own
        behaviour is to log and go on.
    """
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(np.pad(roi.image.astype(np.float64), _PADDING_VOXELS, "edge"))
    mask = sitk.GetImageFromArray(np.pad(roi.mask.astype(np.uint8), _PADDING_VOXELS))
    for volume in (image, mask):
        volume.SetSpacing(roi.spacing_mm[::-1])
    features = {
        name: float(value)
        for name, value in _extractor().execute(image, mask).items()
        if name.startswith("original_")
    }
    unusable = [name for name, value in features.items() if not math.isfinite(value)]
    if unusable or len(features) != N_FEATURES:
        raise ValueError(
            f"pyradiomics gave {len(features)} of {N_FEATURES} features, "
            f"not finite: {', '.join(unusable) or 'none'}"
        )
    return features


@lru_cache(maxsize=1)
def _extractor() -> RadiomicsFeatureExtractor:
    import SimpleITK as sitk
    from radiomics.featureextractor import RadiomicsFeatureExtractor

    # Parallelism is over ROIs; ITK's own threads would only compete for the same cores.
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    # A failing class is found by the count above, with the ROI's name beside it.
    logging.getLogger("radiomics").setLevel(logging.CRITICAL)
    # The smallest nodules are one voxel thick after resampling.
    return RadiomicsFeatureExtractor(
        binWidth=_BIN_WIDTH_HU,
        resampledPixelSpacing=[_SPACING_MM] * 3,
        minimumROIDimensions=1,
    )
