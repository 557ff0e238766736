"""What the pyradiomics feature sets share: settings, padding, resampling, and the classes.

Values are those of pyradiomics' ``RadiomicsFeatureExtractor.execute`` on the padded ROI, to
rounding. It is not called itself: half of its time goes to diagnostics that nobody reads here,
and what image types have in common is worked out for each again. Resampling, filters, texture
matrices and the shape's mesh are pyradiomics' own functions.

Two choices differ from pyradiomics' batch command: the ROI is padded by one voxel, without
which a mask that touches the border loses whole classes, and voxels are passed as float64, so
that resampling does not round them to whole HU.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from features._first_order import first_order
from features._region import discretise, every_feature, prepare
from features._texture import texture

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

SPACING_MM = 1.0
BIN_WIDTH_HU = 25
LOG_SIGMAS_MM = (1.0, 2.0, 3.0)
_MARGIN_VOXELS = 5
"""Resampled voxels around the mask, which filters see; pyradiomics' default. Fewer would be
quicker where nothing is filtered, but ITK would round voxels otherwise, and flat regions that
lie on the edge of a bin show that."""

_LOG_EXTENT_MM = 4.0
"""Along every axis LoG needs four voxels, and the largest sigma and one voxel more."""


def settings(*, planar: bool) -> dict[str, Any]:
    """Settings of pyradiomics that are not its defaults, as its parameter file names them.

    Parameters
    ----------
    planar : bool
        Shape and texture in the plane (``force2D``) rather than in space.
    """
    in_plane: dict[str, Any] = {"force2D": True, "force2Ddimension": 0} if planar else {}
    return {
        "binWidth": BIN_WIDTH_HU,
        # 0 keeps the slice as it is.
        "resampledPixelSpacing": [SPACING_MM, SPACING_MM, 0 if planar else SPACING_MM],
        # The smallest nodules are one voxel thick after resampling.
        "minimumROIDimensions": 1,
        **in_plane,
    }


def pad(
    image: NDArray[np.float32],
    mask: NDArray[np.bool_],
    spacing_mm: tuple[float, float, float],
    *,
    planar: bool = False,
    filtered: bool = False,
) -> tuple[Any, Any]:
    """Image and mask for SimpleITK, with a voxel more on all sides, in the plane if ``planar``.

    The border's voxels are repeated. Where that leaves an axis too short for LoG and
    ``filtered`` is set, more of them.
    """
    import SimpleITK as sitk

    widths = [0 if planar and axis == 0 else 1 for axis in range(3)]
    if filtered:
        for axis, (n, step) in enumerate(zip(image.shape, spacing_mm, strict=True)):
            needed = math.ceil(_LOG_EXTENT_MM / min(step, SPACING_MM))
            widths[axis] = max(widths[axis], math.ceil((needed - n) / 2))
    around = [(width, width) for width in widths]
    image_itk = sitk.GetImageFromArray(np.pad(image.astype(np.float64), around, "edge"))
    mask_itk = sitk.GetImageFromArray(np.pad(mask.astype(np.uint8), around))
    for volume in (image_itk, mask_itk):
        volume.SetSpacing(spacing_mm[::-1])
    return image_itk, mask_itk


def compute(
    image: NDArray[np.float32],
    mask: NDArray[np.bool_],
    spacing_mm: tuple[float, float, float],
    *,
    n_features: int,
    planar: bool = False,
    filtered: bool = False,
) -> dict[str, float]:
    """The features of a ROI, by pyradiomics' names and in its order.

    Parameters
    ----------
    image, mask : ndarray, shape (z, y, x)
        HU, and where the nodule is; one slice where ``planar``.
    spacing_mm : tuple of three floats
        Along (z, y, x).
    n_features : int
        As many must come out.
    planar : bool
        Shape and texture in the plane (``force2D``) rather than in space.
    filtered : bool
        Of the LoG and wavelet images too, not of the original alone.

    Raises
    ------
    ValueError
        Where the resampled mask has fewer than two voxels, or no two neighbours; where a
        feature is missing or not finite. pyradiomics' own behaviour for the last two is to log
        and go on.
    """
    with _one_thread().limit(limits=1, user_api="blas"):
        features = _features(image, mask, spacing_mm, planar=planar, filtered=filtered)
    unusable = [name for name, value in features.items() if not math.isfinite(value)]
    if unusable or len(features) != n_features:
        raise ValueError(
            f"pyradiomics gave {len(features)} of {n_features} features, "
            f"not finite: {', '.join(unusable) or 'none'}"
        )
    return features


def _features(
    image: NDArray[np.float32],
    mask: NDArray[np.bool_],
    spacing_mm: tuple[float, float, float],
    *,
    planar: bool,
    filtered: bool,
) -> dict[str, float]:
    from radiomics import imageoperations

    chosen = settings(planar=planar)
    image_itk, mask_itk = imageoperations.resampleImage(
        *pad(image, mask, spacing_mm, planar=planar, filtered=filtered),
        padDistance=_MARGIN_VOXELS,
        **chosen,
    )
    inside, box = _bounding_box(mask_itk)
    spacing = image_itk.GetSpacing()
    features = _shape(inside, spacing, planar=planar)
    for name, filtered_image in _images(image_itk, mask_itk, filtered=filtered):
        values = _array(filtered_image)[box][inside]
        region = discretise(values, inside, chosen)
        classes = {"firstorder": first_order(values, region.counts, math.prod(spacing))}
        classes |= texture(region)
        features |= {
            f"{name}_{family}_{feature}": float(of_class[feature])
            for family, of_class in classes.items()
            # pyradiomics sorts its methods, get...FeatureValue.
            for feature in sorted(of_class, key="{}FeatureValue".format)
        }
    return features


@lru_cache(maxsize=1)
def _one_thread() -> ThreadpoolController:
    """Set ITK and pyradiomics up, once; what comes back limits BLAS' threads.

    Parallelism is over ROIs, and threads would only compete for the same cores: on busy ones
    the eigenvalues of GLCM took twenty times as long.
    """
    import radiomics
    import SimpleITK as sitk
    from threadpoolctl import ThreadpoolController

    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    # A failing class is found by the count of features, with the ROI's name beside it.
    radiomics.logger.setLevel(logging.CRITICAL)
    return ThreadpoolController()


def _array(image: Any) -> NDArray[Any]:
    import SimpleITK as sitk

    voxels: NDArray[Any] = sitk.GetArrayViewFromImage(image)
    return voxels


def _bounding_box(mask_itk: Any) -> tuple[NDArray[np.bool_], tuple[slice, ...]]:
    """The mask in its bounding box, and the box, both (z, y, x)."""
    mask = _array(mask_itk) == 1
    places = np.nonzero(mask)
    if len(places[0]) < 2:
        raise ValueError(
            f"the resampled mask only contains {len(places[0])} segmented voxel; "
            "radiomics needs two or more"
        )
    box = tuple(slice(int(axis.min()), int(axis.max()) + 1) for axis in places)
    return np.ascontiguousarray(mask[box]), box


def _shape(
    inside: NDArray[np.bool_], spacing: tuple[float, ...], *, planar: bool
) -> dict[str, float]:
    """Of a mask in its bounding box; ``spacing`` in mm along (x, y, z)."""
    import SimpleITK as sitk
    from radiomics.shape import RadiomicsShape
    from radiomics.shape2D import RadiomicsShape2D

    if planar and inside.shape[-1] == 1:
        # pyradiomics has no 2D shape of a single column; the count of features will tell.
        return {}
    mask_itk = sitk.GetImageFromArray(inside.astype(np.uint8))
    mask_itk.SetSpacing(spacing)
    own = prepare(
        RadiomicsShape2D if planar else RadiomicsShape,
        # It takes the spacing from the image and nothing else.
        inputImage=mask_itk,
        inputMask=mask_itk,
        settings=settings(planar=planar),
    )
    own._initSegmentBasedCalculation()
    family = "shape2D" if planar else "shape"
    return {f"original_{family}_{name}": value for name, value in every_feature(own).items()}


def _images(image_itk: Any, mask_itk: Any, *, filtered: bool) -> Iterator[tuple[str, Any]]:
    """The original image and, where asked for, pyradiomics' LoG and wavelet images of it."""
    from radiomics import imageoperations

    yield "original", image_itk
    if filtered:
        for image, name, _ in imageoperations.getLoGImage(
            image_itk, mask_itk, sigma=list(LOG_SIGMAS_MM)
        ):
            yield name, image
        for image, name, _ in imageoperations.getWaveletImage(image_itk, mask_itk):
            yield name, image
