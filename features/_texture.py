"""pyradiomics' texture features, summed over a whole matrix rather than feature by feature.

The matrices are pyradiomics' own, from its C code; the sums over them are written here, under
pyradiomics' names. Formulas: its documentation, class by class.
Grey levels are numbered without gaps before a matrix is made, which keeps it small, and the
formulas bring their values back in; only NGTDM's matrix depends on them.
"""

from __future__ import annotations

import numpy as np

from features._glcm import glcm
from features._region import NEIGHBOURS, Features, Floats, Region, c_code, entropy_of


def texture(region: Region) -> dict[str, Features]:
    """Features of every texture class, by class name.

    Raises
    ------
    ValueError
        Where no two voxels of the ROI are neighbours, and for a class whose matrix pyradiomics
        fails to make.
    """
    classes = {"glcm": glcm, "gldm": _gldm, "glrlm": _glrlm, "glszm": _glszm, "ngtdm": _ngtdm}
    features = {}
    for family, of_region in classes.items():
        try:
            features[family] = of_region(region)
        except IndexError as error:  # from its C code; its own command logs it and goes on
            raise ValueError(f"pyradiomics gives no {family} features: {error}") from error
    return features


def _glrlm(region: Region) -> Features:
    n, longest = len(region.present), max(region.mask.shape)
    P = c_code("_cmatrices").calculate_glrlm(
        region.ranks, region.mask, n, longest, *region.in_plane
    )[0][0]
    # pyradiomics empties an angle along which no two voxels lie, and leaves it out.
    P = P[:, :, P.any(axis=(0, 1))]
    return _sized(P, region.present, ("ShortRun", "LongRun", "Run", "RunLength"))


def _glszm(region: Region) -> Features:
    n, n_voxels = len(region.present), int(region.counts.sum())
    P = c_code("_cmatrices").calculate_glszm(
        region.ranks, region.mask, n, n_voxels, *region.in_plane
    )[0]
    return _sized(P[..., None], region.present, ("SmallArea", "LargeArea", "Zone", "SizeZone"))


def _gldm(region: Region) -> Features:
    n, alike = len(region.present), 0
    P = c_code("_cmatrices").calculate_gldm(
        region.ranks, region.mask, NEIGHBOURS, n, alike, *region.in_plane
    )[0]
    words = ("SmallDependence", "LargeDependence", "Dependence", "Dependence")
    features = _sized(P[..., None], region.present, words)
    # The first is first order's Uniformity, the second always 1; pyradiomics has neither.
    del features["GrayLevelNonUniformityNormalized"], features["DependencePercentage"]
    for level in ("Low", "High"):
        features[f"{level}GrayLevelEmphasis"] = features.pop(f"{level}GrayLevelDependenceEmphasis")
    return features


def _sized(P: Floats, levels: Floats, words: tuple[str, str, str, str]) -> Features:
    """Common part of GLRLM, GLSZM and GLDM: counts by grey level and a size.

    Parameters
    ----------
    P : ndarray, shape (levels, sizes, angles)
        Counts, of sizes from 1 up; features are means over angles.
    levels : ndarray
        What the first axis stands for.
    words : tuple of four strings
        In names: small, large, the unit, and what non-uniformity is of.
    """
    small, large, unit, extent = words
    occurring = np.flatnonzero(P.any(axis=(0, 2)))
    P = P[:, occurring]
    sizes: Floats = occurring + np.float64(1)
    n, n_sizes, n_angles = P.shape
    by_level = np.array([np.ones(n), 1 / levels**2, levels**2])
    by_size = np.array([np.ones(n_sizes), 1 / sizes**2, sizes**2])
    # Columns of sizes under every power of the level, then both powers.
    powers = (by_level @ P.reshape(n, -1)).reshape(3, n_sizes, n_angles)
    of_size: Floats = powers[0]
    of_level: Floats = P.sum(axis=1)
    total = of_level.sum(axis=0)
    emphasis = (by_size @ powers / total).sum(axis=2) / n_angles
    entries = np.flatnonzero(P)
    probabilities = P.reshape(-1)[entries] / total[entries % n_angles]
    level_share, size_share = of_level / total, of_size / total

    def variance(share: Floats, values: Floats) -> float:
        return float((share * (values[:, None] - values @ share) ** 2).sum() / n_angles)

    return {
        f"{small}Emphasis": emphasis[0, 1],
        f"{large}Emphasis": emphasis[0, 2],
        "GrayLevelNonUniformity": (level_share * of_level).sum() / n_angles,
        "GrayLevelNonUniformityNormalized": (level_share**2).sum() / n_angles,
        f"{extent}NonUniformity": (size_share * of_size).sum() / n_angles,
        f"{extent}NonUniformityNormalized": (size_share**2).sum() / n_angles,
        f"{unit}Percentage": (total / (sizes @ of_size)).sum() / n_angles,
        "GrayLevelVariance": variance(level_share, levels),
        f"{unit}Variance": variance(size_share, sizes),
        f"{unit}Entropy": entropy_of(probabilities) / n_angles,
        f"LowGrayLevel{unit}Emphasis": emphasis[1, 0],
        f"HighGrayLevel{unit}Emphasis": emphasis[2, 0],
        f"{small}LowGrayLevelEmphasis": emphasis[1, 1],
        f"{small}HighGrayLevelEmphasis": emphasis[2, 1],
        f"{large}LowGrayLevelEmphasis": emphasis[1, 2],
        f"{large}HighGrayLevelEmphasis": emphasis[2, 2],
    }


def _ngtdm(region: Region) -> Features:
    highest = int(region.present[-1])
    make = c_code("_cmatrices").calculate_ngtdm
    P = make(region.levels, region.mask, NEIGHBOURS, highest, *region.in_plane)[0]
    # Voxels of each level that have neighbours, how far those are off in sum, the level.
    n, s, i = P[P[:, 0] > 0].T
    n_voxels, n_levels = n.sum(), len(n)
    p = n / n_voxels
    ps, ip = p * s, i * p
    apart = i[:, None] - i
    pairs = p[:, None] + p
    coarse, strange = ps.sum(), s.sum()
    unlike = np.abs(ip[:, None] - ip).sum()
    contrast = p @ apart**2 @ p * strange / n_voxels
    return {
        # Of a flat region pyradiomics' values are 1e6 and 0.
        "Busyness": coarse / unlike if unlike else 0.0,
        "Coarseness": 1 / coarse if coarse else 1e6,
        "Complexity": (np.abs(apart) * (ps[:, None] + ps) / pairs).sum() / n_voxels,
        "Contrast": contrast / (n_levels * (n_levels - 1)) if n_levels > 1 else 0.0,
        "Strength": (pairs * apart**2).sum() / strange if strange else 0.0,
    }
