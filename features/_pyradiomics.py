"""Settings, canonical ROI, resampling and classes that the pyradiomics feature sets share.

Values are those of pyradiomics' ``RadiomicsFeatureExtractor.execute`` on the canonical ROI, to
rounding. It is not called itself: half of its time goes to diagnostics that nobody reads here,
and what image types have in common is worked out for each again. Filters, texture matrices and
the mesh of all but large shapes are pyradiomics' own functions.

Two choices differ from pyradiomics' batch command. The ROI is made canonical: the mask's box and
``CANONICAL_MARGIN_MM`` of image around it, continued by its border's voxels where the image ends
earlier. The grid of resampling is in line with the mask's box, so that the same nodule has the
same features however large a crop it comes in, and a mask that touches the border loses no class.
And voxels are passed as float64, so that resampling does not round them to whole HU.
"""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmark.roi import CANONICAL_MARGIN_MM
from features._first_order import first_order
from features._region import Features, Floats, discretise, every_feature, prepare
from features._resample import MARGIN_VOXELS, bounding_box, resample
from features._shape import shape
from features._texture import texture

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

SPACING_MM = 1.0
BIN_WIDTH_HU = 25
LOG_SIGMAS_MM = (1.0, 2.0, 3.0)
_SHIFTS = 8
"""Voxels in front of a ROI that are tried; with eight, its middle is a sixteenth off on average."""

_FEW_VOXELS = 8
"""Resampled voxels of a mask's box below which it is rounded up to whole ones."""

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


def canonical(
    image: NDArray[np.float32],
    mask: NDArray[np.bool_],
    spacing_mm: tuple[float, float, float],
    *,
    planar: bool = False,
    filtered: bool = False,
) -> tuple[Floats, NDArray[np.bool_]]:
    """The mask's box with ``CANONICAL_MARGIN_MM`` on all sides, in the plane if ``planar``.

    Whole voxels, as many as reach that far; more where ``filtered`` is set and an axis would be too
    short for LoG. Where the image ends earlier, its border's voxels are repeated. So they are once
    more on the lower side, as often as brings the grid of resampling into line with the box.
    """
    boxes = bounding_box(mask)
    long = [(b.stop - b.start) * s / SPACING_MM for b, s in zip(boxes, spacing_mm, strict=True)]
    # Of the smallest masks every voxel is needed: of two, pyradiomics has not all features.
    tiny = math.prod(max(1, round(each)) for each in long) < _FEW_VOXELS
    lengths = [math.ceil(each) if tiny else max(1, round(each)) for each in long]
    wanted, kept = [], []
    for axis, (box, step) in enumerate(zip(boxes, spacing_mm, strict=True)):
        n, most = box.stop - box.start, mask.shape[axis]
        width, shift = math.ceil(CANONICAL_MARGIN_MM / step), 0
        if filtered:
            needed = math.ceil(_LOG_EXTENT_MM / min(step, SPACING_MM))
            width = max(width, math.ceil((needed - n) / 2))
        if planar and axis == 0:
            width = 0
        elif n > 1:
            across = tuple(other for other in range(3) if other != axis)
            shift = _shift(mask[boxes].sum(axis=across), lengths[axis], width, step)
        first, last = box.start - width, box.stop + width
        wanted.append(np.arange(first - shift, last).clip(max(0, first), most - 1))
        kept.append(slice(width + shift, width + shift + n))
    part = np.zeros([len(voxels) for voxels in wanted], bool)
    part[tuple(kept)] = mask[boxes]
    return image[np.ix_(*wanted)].astype(np.float64), part


def _shift(planes: NDArray[np.int64], n: int, width: int, step_mm: float) -> int:
    """Voxels to add in front of ``width`` others and a mask, along an axis.

    Resampled voxels of ``SPACING_MM`` begin at the image's end, and the nearest voxel says which of
    them are the mask's. A mask that begins anywhere between two of them gains or loses a layer by
    chance. The fewest voxels are added that bring its middle nearest to the middle of ``n``
    resampled voxels, and leave at least half of it.

    Parameters
    ----------
    planes : ndarray, shape (n_planes,)
        The mask's voxels in each plane across the axis, in its box.
    n : int
        Resampled voxels that the mask is long.
    width : int
    step_mm : float
    """
    long = len(planes) * step_mm / SPACING_MM
    parity = n % 2 / 2
    starts = (width + np.arange(_SHIFTS)) * step_mm / SPACING_MM
    middles = starts + long / 2 - parity
    centres = np.floor(starts)[:, None] + np.arange(math.ceil(long) + 1) + 0.5
    read = np.floor((centres - starts[:, None]) * SPACING_MM / step_mm).astype(int)
    within = (read >= 0) & (read < len(planes))
    left = (planes[np.where(within, read, 0)] * within).sum(axis=1) * SPACING_MM / step_mm
    lost = left < planes.sum() / 2
    off = np.abs(middles - np.rint(middles)).round(6)
    # The first of those that are nearest, lost ones last.
    return int(np.lexsort((off, lost))[0])


def for_itk(
    image: Floats, mask: NDArray[np.bool_], spacing_mm: tuple[float, float, float]
) -> tuple[Any, Any]:
    """Image and mask for SimpleITK."""
    import SimpleITK as sitk

    volumes = sitk.GetImageFromArray(image), sitk.GetImageFromArray(mask.astype(np.uint8))
    for volume in volumes:
        volume.SetSpacing(spacing_mm[::-1])
    return volumes


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
    chosen = settings(planar=planar)
    part = canonical(image, mask, spacing_mm, planar=planar, filtered=filtered)
    wanted_mm = chosen["resampledPixelSpacing"][::-1]
    values, inside, voxel_mm = resample(*part, spacing_mm, wanted_mm, BIN_WIDTH_HU)
    if planar:
        features = _named("original_shape2D", _shape2d(inside, voxel_mm, chosen))
    else:
        features = _named("original_shape", shape(inside, voxel_mm))
    images = itertools.chain(
        [("original", values)], _filtered(*part, spacing_mm, chosen) if filtered else []
    )
    for name, of_image in images:
        region = discretise(of_image, inside, chosen)
        classes = {"firstorder": first_order(of_image, region.counts, math.prod(voxel_mm))}
        for family, of_class in (classes | texture(region)).items():
            features |= _named(f"{name}_{family}", of_class)
    return features


def _named(prefix: str, of_class: Features) -> dict[str, float]:
    """Prefix the names and put them in pyradiomics' order, that of its get...FeatureValue."""
    names = sorted(of_class, key="{}FeatureValue".format)
    return {f"{prefix}_{name}": float(of_class[name]) for name in names}


@lru_cache(maxsize=1)
def _one_thread() -> ThreadpoolController:
    """Find BLAS, once; what comes back limits its threads.

    Parallelism is over ROIs, and threads would only compete for the same cores: on busy ones
    the eigenvalues of GLCM took twenty times as long.
    """
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


@lru_cache(maxsize=1)
def set_up() -> None:
    """Give ITK one thread and pyradiomics no messages, once."""
    import radiomics
    import SimpleITK as sitk

    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    # A failing class is found by the count of features, with the ROI's name beside it.
    radiomics.logger.setLevel(logging.CRITICAL)


def _shape2d(
    inside: NDArray[np.bool_], voxel_mm: tuple[float, ...], chosen: dict[str, Any]
) -> Features:
    """Shape of a slice's mask in its bounding box."""
    import SimpleITK as sitk
    from radiomics.shape2D import RadiomicsShape2D

    set_up()
    if inside.shape[-1] == 1:
        # pyradiomics has no 2D shape of a single column; the count of features will tell.
        return {}
    mask_itk = sitk.GetImageFromArray(inside.astype(np.uint8))
    mask_itk.SetSpacing(voxel_mm[::-1])
    # It takes the spacing from the image and nothing else.
    own = prepare(RadiomicsShape2D, inputImage=mask_itk, inputMask=mask_itk, settings=chosen)
    own._initSegmentBasedCalculation()
    return every_feature(own)


def _filtered(
    image: Floats,
    mask: NDArray[np.bool_],
    spacing_mm: tuple[float, float, float],
    chosen: dict[str, Any],
) -> Iterator[tuple[str, Floats]]:
    """Names and the mask's voxels of pyradiomics' LoG and wavelet images."""
    import SimpleITK as sitk
    from radiomics import imageoperations

    set_up()
    image_itk, mask_itk = imageoperations.resampleImage(
        *for_itk(image, mask, spacing_mm), padDistance=MARGIN_VOXELS, **chosen
    )
    inside = sitk.GetArrayFromImage(mask_itk) == 1
    for filtered, name, _ in itertools.chain(
        imageoperations.getLoGImage(image_itk, mask_itk, sigma=list(LOG_SIGMAS_MM)),
        imageoperations.getWaveletImage(image_itk, mask_itk),
    ):
        yield name, sitk.GetArrayViewFromImage(filtered)[inside]
