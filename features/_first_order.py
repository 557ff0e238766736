"""pyradiomics' first-order features, sharing moments and order statistics among them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from features._region import Floats


def first_order(
    values: NDArray[Any], counts: NDArray[np.int64], voxel_mm3: float
) -> dict[str, float]:
    """The 18 first-order features, by pyradiomics' names and formulas.

    Parameters
    ----------
    values : ndarray, shape (n_voxels,)
        Of the ROI's voxels, in any order.
    counts : ndarray of int, shape (n_levels,)
        Voxels of each grey level.
    voxel_mm3 : float
        Volume of a voxel.
    """
    x = values.astype(float)
    ascending = np.sort(x)
    low, first, median, third, high = _percentiles(ascending, np.array([10, 25, 50, 75, 90]))
    smallest, largest = ascending[[0, -1]]
    n, mean = len(x), x.sum() / len(x)
    deviation = x - mean
    squared = deviation**2
    variance = squared.sum() / n
    # A flat region has neither skewness nor kurtosis: 0.
    scale = variance or 1.0
    robust = x[(x >= low) & (x <= high)]
    # Of two voxels neither is between the percentiles: undefined.
    robust_deviation = np.abs(robust - robust.mean()).mean() if robust.size else np.nan
    energy = (x**2).sum()
    share = counts / counts.sum()
    return {
        "10Percentile": low,
        "90Percentile": high,
        "Energy": energy,
        "Entropy": -(share * np.log2(share + np.spacing(1))).sum(),
        "InterquartileRange": third - first,
        "Kurtosis": (squared**2).sum() / n / scale**2,
        "Maximum": largest,
        "Mean": mean,
        "MeanAbsoluteDeviation": np.abs(deviation).sum() / n,
        "Median": median,
        "Minimum": smallest,
        "Range": largest - smallest,
        "RobustMeanAbsoluteDeviation": robust_deviation,
        "RootMeanSquared": np.sqrt(energy / n),
        "Skewness": (squared * deviation).sum() / n / scale**1.5,
        "TotalEnergy": energy * voxel_mm3,
        "Uniformity": (share**2).sum(),
        "Variance": variance,
    }


def _percentiles(ascending: Floats, percent: NDArray[np.int64]) -> Floats:
    """``numpy.percentile`` of sorted values, to the bit; it would import ``numpy.ma``."""
    place = (len(ascending) - 1) * (percent / 100)
    below = place.astype(int)
    share = place - below
    a, b = ascending[below], ascending[np.minimum(below + 1, len(ascending) - 1)]
    between: Floats = np.where(share < 0.5, a + (b - a) * share, b - (b - a) * (1 - share))
    return between
