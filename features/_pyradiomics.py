"""What the pyradiomics feature sets share: settings, padding, and the count of features.

Two choices differ from pyradiomics' batch command: the ROI is padded by one voxel, without
which a mask that touches the border loses whole classes, and voxels are passed as float64, so
that resampling does not round them to whole HU.
"""

from __future__ import annotations

import logging
import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from radiomics.featureextractor import RadiomicsFeatureExtractor

SPACING_MM = 1.0
BIN_WIDTH_HU = 25
_PADDING_VOXELS = 1
_TEXTURE_CLASSES = ("firstorder", "glcm", "gldm", "glrlm", "glszm", "ngtdm")


def compute(
    image: NDArray[np.float32],
    mask: NDArray[np.bool_],
    spacing_mm: tuple[float, float, float],
    *,
    planar: bool,
    n_features: int,
) -> dict[str, float]:
    """The features of the original image, by pyradiomics' names.

    Parameters
    ----------
    image, mask : ndarray, shape (z, y, x)
        HU, and where the nodule is; one slice where ``planar``.
    spacing_mm : tuple of three floats
        Along (z, y, x).
    planar : bool
        Shape and texture in the plane (``force2D``) rather than in space.
    n_features : int
        As many must come out.

    Raises
    ------
    ValueError
        Where pyradiomics leaves a feature out or gives a value that is not finite; its own
        behaviour is to log and go on.
    """
    import SimpleITK as sitk

    padding = [(0 if planar else _PADDING_VOXELS,) * 2, *[(_PADDING_VOXELS,) * 2] * 2]
    image_itk = sitk.GetImageFromArray(np.pad(image.astype(np.float64), padding, "edge"))
    mask_itk = sitk.GetImageFromArray(np.pad(mask.astype(np.uint8), padding))
    for volume in (image_itk, mask_itk):
        volume.SetSpacing(spacing_mm[::-1])
    features = {
        name: float(value)
        for name, value in _extractor(planar).execute(image_itk, mask_itk).items()
        if name.startswith("original_")
    }
    unusable = [name for name, value in features.items() if not math.isfinite(value)]
    if unusable or len(features) != n_features:
        raise ValueError(
            f"pyradiomics gave {len(features)} of {n_features} features, "
            f"not finite: {', '.join(unusable) or 'none'}"
        )
    return features


@lru_cache(maxsize=2)
def _extractor(planar: bool) -> RadiomicsFeatureExtractor:
    import SimpleITK as sitk
    from radiomics.featureextractor import RadiomicsFeatureExtractor

    # Parallelism is over ROIs; ITK's own threads would only compete for the same cores.
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    # A failing class is found by the count above, with the ROI's name beside it.
    logging.getLogger("radiomics").setLevel(logging.CRITICAL)
    in_plane: dict[str, Any] = {"force2D": True, "force2Ddimension": 0} if planar else {}
    extractor = RadiomicsFeatureExtractor(
        binWidth=BIN_WIDTH_HU,
        # 0 keeps the slice as it is.
        resampledPixelSpacing=[SPACING_MM, SPACING_MM, 0 if planar else SPACING_MM],
        # The smallest nodules are one voxel thick after resampling.
        minimumROIDimensions=1,
        **in_plane,
    )
    extractor.disableAllFeatures()
    for name in ("shape2D" if planar else "shape", *_TEXTURE_CLASSES):
        extractor.enableFeatureClassByName(name)
    return extractor
