"""pyradiomics' texture features, summed over a whole matrix rather than feature by feature.

The matrices are pyradiomics' own, from its classes and their C code; the sums over all but
NGTDM's are written here, under pyradiomics' names. Formulas: its documentation, class by class.
Grey levels are numbered without gaps before a matrix is made, which keeps it small, and the
formulas bring their values back in; only NGTDM's matrix depends on them.
"""

from __future__ import annotations

import numpy as np

from features._glcm import glcm
from features._region import Features, Floats, Region, entropy_of, every_feature, of_ranks, prepare


def texture(region: Region) -> dict[str, Features]:
    """Features of every texture class, by class name.

    Raises
    ------
    ValueError
        Where no two voxels of the ROI are neighbours.
    """
    return {
        "glcm": glcm(region),
        "gldm": _gldm(region),
        "glrlm": _glrlm(region),
        "glszm": _glszm(region),
        "ngtdm": _ngtdm(region),
    }


def _glrlm(region: Region) -> Features:
    from radiomics.glrlm import RadiomicsGLRLM

    P = of_ranks(RadiomicsGLRLM, region)._calculateMatrix()[0]
    lengths = np.arange(1, P.shape[1] + 1)
    return _sized(P, region.present, lengths, ("ShortRun", "LongRun", "Run", "RunLength"))


def _glszm(region: Region) -> Features:
    from radiomics.glszm import RadiomicsGLSZM

    P = of_ranks(RadiomicsGLSZM, region)._calculateMatrix()[0]
    sizes = np.arange(1, P.shape[1] + 1)
    words = ("SmallArea", "LargeArea", "Zone", "SizeZone")
    return _sized(P[..., None], region.present, sizes, words)


def _gldm(region: Region) -> Features:
    from radiomics.gldm import RadiomicsGLDM

    own = of_ranks(RadiomicsGLDM, region, gldm_a=0)
    P = own._calculateMatrix()[0]
    words = ("SmallDependence", "LargeDependence", "Dependence", "Dependence")
    features = _sized(P[..., None], region.present, own.coefficients["jvector"], words)
    # The first is first order's Uniformity, the second always 1; pyradiomics has neither.
    del features["GrayLevelNonUniformityNormalized"], features["DependencePercentage"]
    for level in ("Low", "High"):
        features[f"{level}GrayLevelEmphasis"] = features.pop(f"{level}GrayLevelDependenceEmphasis")
    return features


def _sized(P: Floats, levels: Floats, sizes: Floats, words: tuple[str, str, str, str]) -> Features:
    """What GLRLM, GLSZM and GLDM have in common: counts by grey level and a size.

    Parameters
    ----------
    P : ndarray, shape (levels, sizes, angles)
        Counts; features are means over angles.
    levels, sizes : ndarray
        What the first two axes stand for.
    words : tuple of four strings
        In names: small, large, the unit, and what non-uniformity is of.
    """
    small, large, unit, extent = words
    n, n_sizes, n_angles = P.shape
    by_level = np.array([np.ones(n), levels**-2.0, levels**2.0])
    by_size = np.array([np.ones(n_sizes), sizes**-2.0, sizes**2.0])
    # Columns of sizes under every power of the level, then both powers.
    powers = (by_level @ P.reshape(n, -1)).reshape(3, n_sizes, n_angles)
    of_size: Floats = powers[0]
    of_level: Floats = P.sum(axis=1)
    total = of_level.sum(axis=0)
    emphasis = (by_size @ powers / total).mean(axis=2)
    probabilities = P[P > 0] / np.broadcast_to(total, P.shape)[P > 0]

    def variance(weights: Floats, values: Floats) -> float:
        share = weights / total
        return float((share * (values[:, None] - values @ share) ** 2).sum() / n_angles)

    return {
        f"{small}Emphasis": emphasis[0, 1],
        f"{large}Emphasis": emphasis[0, 2],
        "GrayLevelNonUniformity": ((of_level**2).sum(axis=0) / total).mean(),
        "GrayLevelNonUniformityNormalized": ((of_level / total) ** 2).sum() / n_angles,
        f"{extent}NonUniformity": ((of_size**2).sum(axis=0) / total).mean(),
        f"{extent}NonUniformityNormalized": ((of_size / total) ** 2).sum() / n_angles,
        f"{unit}Percentage": (total / (sizes @ of_size)).mean(),
        "GrayLevelVariance": variance(of_level, levels),
        f"{unit}Variance": variance(of_size, sizes),
        f"{unit}Entropy": entropy_of(probabilities) / n_angles,
        f"LowGrayLevel{unit}Emphasis": emphasis[1, 0],
        f"HighGrayLevel{unit}Emphasis": emphasis[2, 0],
        f"{small}LowGrayLevelEmphasis": emphasis[1, 1],
        f"{small}HighGrayLevelEmphasis": emphasis[2, 1],
        f"{large}LowGrayLevelEmphasis": emphasis[1, 2],
        f"{large}HighGrayLevelEmphasis": emphasis[2, 2],
    }


def _ngtdm(region: Region) -> Features:
    from radiomics.ngtdm import RadiomicsNGTDM

    own = prepare(
        RadiomicsNGTDM,
        imageArray=region.levels,
        maskArray=region.mask,
        coefficients={"Ng": int(region.present[-1])},
        settings=region.settings,
    )
    own._initCalculation()
    return every_feature(own)
