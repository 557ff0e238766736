"""pyradiomics' own ``execute`` on the canonical ROI: what every radiomics feature set equals."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

from benchmark.plugins import registry
from benchmark.roi import Roi
from features._plane import largest_slice
from features._pyradiomics import LOG_SIGMAS_MM, canonical, for_itk, set_up, settings

SETS: dict[str, dict[str, bool]] = {
    "radiomics": {},
    "radiomics2d": {"planar": True},
    "radiomics_filtered": {"filtered": True},
}
TEXTURE = ("firstorder", "glcm", "gldm", "glrlm", "glszm", "ngtdm")

RELATIVE = 1e-9
"""Asked for; what is seen is a thousandth of it, sums in another order."""

ROUNDING = 1e-9
"""A reference below it counts as zero, where terms cancel and only their rounding is left: shade,
skewness and correlation of symmetric distributions, deviations in flat regions. Terms reach 1e6,
rounding 1e-16 of that; values that mean something were never below 1e-6 in real nodules."""


class Deviation(NamedTuple):
    """Of a value from the reference, relative; absolute where that is zero."""

    relative: float
    feature: str
    value: float
    reference: float


def parameters(name: str) -> dict[str, Any]:
    """pyradiomics' parameter file for a feature set."""
    planar = SETS[name].get("planar", False)
    types: dict[str, Any] = {"Original": {}}
    if SETS[name].get("filtered"):
        types |= {"LoG": {"sigma": list(LOG_SIGMAS_MM)}, "Wavelet": {}}
    return {
        "setting": settings(planar=planar),
        "imageType": types,
        "featureClass": dict.fromkeys(("shape2D" if planar else "shape", *TEXTURE)),
    }


@lru_cache
def _extractor(name: str) -> Any:
    from radiomics.featureextractor import RadiomicsFeatureExtractor

    set_up()
    return RadiomicsFeatureExtractor(parameters(name))


def execute(name: str, roi: Roi) -> dict[str, float]:
    """The reference's features, in its order."""
    image, mask, spacing_mm = roi.image, roi.mask, roi.spacing_mm
    if SETS[name].get("planar"):
        plane = slice(largest_slice(roi), largest_slice(roi) + 1)
        image, mask, spacing_mm = image[plane], mask[plane], (1.0, *spacing_mm[1:])
    region = canonical(image, mask, spacing_mm, **SETS[name])
    values = _extractor(name).execute(*for_itk(*region, spacing_mm))
    return {k: float(v) for k, v in values.items() if not k.startswith("diagnostics")}


def compare(name: str, roi: Roi) -> Deviation:
    """The largest deviation of a ROI's features.

    Raises
    ------
    ValueError
        Where names or their order differ.
    """
    got, expected = registry.load_feature_set(name).extract(roi), execute(name, roi)
    if list(got) != list(expected):
        raise ValueError(
            f"feature set '{name}', roi_id '{roi.record.roi_id}': names or their order differ "
            f"from pyradiomics' in {sorted(set(got) ^ set(expected)) or 'order'}"
        )
    return max(_deviation(k, got[k], expected[k]) for k in expected)


def _deviation(feature: str, value: float, reference: float) -> Deviation:
    scale = abs(reference) if abs(reference) >= ROUNDING else 1.0
    return Deviation(abs(value - reference) / scale, feature, value, reference)
