"""Hounsfield units: values that cannot be HU are refused, those that hardly are get named.

CT stores HU from -1024 (air is -1000) to 3071, in 12 bits, or to 32767 beside metal. What other
tools make of them looks like numbers too: grey values of a window, 0 to 1, stored values without
the rescale, negative HU in unsigned numbers, padding outside the scanner's circle.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

AIR_HU, TOP_HU = -1024.0, 3071.0
"""Ends of the scale of 12 bits."""

_PADDING_HU = -1500.0
"""Where no tissue, air or noise of a CT lies; padding is -2000, -3024 or -32768."""

_LIMIT_HU = 32768.0
"""End of the numbers of 16 bits with a sign."""

_COARSE_HU = 4.0
"""Step between grey levels from which on they are fewer than a CT has; scanners have 1, or 2."""

_ENOUGH_VOXELS = 200
"""Voxels below which a step between grey levels says nothing."""


def refuse_impossible(image: NDArray[np.float32], mask: NDArray[np.bool_] | None) -> None:
    """Check a ROI's values, shape (z, y, x), against what HU can be.

    Raises
    ------
    ValueError
        Where values are beyond 16 bits; where all lie from 0 to 1; where a voxel of the mask is
        darker than anything that a scanner measures.
    """
    low, high = float(image.min()), float(image.max())
    if high >= _LIMIT_HU or low < -_LIMIT_HU:
        raise ValueError(
            f"image has values from {low:g} to {high:g}; HU end at 32767, so negative values were "
            "stored without a sign, or these are no HU"
        )
    if low >= 0 and high <= 1:
        raise ValueError(
            f"image has values from {low:g} to {high:g}, a normalised image; HU are needed"
        )
    if mask is not None:
        darkest = float(image[mask].min())
        if darkest <= _PADDING_HU:
            count = int(np.count_nonzero(image[mask] <= _PADDING_HU))
            raise ValueError(
                f"mask has {count} voxels of {_PADDING_HU:g} or less, down to {darkest:g}; no "
                "tissue is below about -1024 HU, so this is padding"
            )


def doubt(image: NDArray[np.float32], mask: NDArray[np.bool_] | None) -> str:
    """Reason to doubt that a ROI's values, shape (z, y, x), are HU; empty where there is none."""
    low, high = float(image.min()), float(image.max())
    if low >= 0:
        return f"no negative value ({low:g} to {high:g}), though air and lung are below -500 HU"
    if mask is not None:
        values = image[mask]
        darkest, brightest = float(values.min()), float(values.max())
        if darkest < AIR_HU or brightest > TOP_HU:
            return (
                f"mask has {darkest:g} to {brightest:g} HU, beyond the {AIR_HU:g} to {TOP_HU:g} "
                "of CT"
            )
    if image.size >= _ENOUGH_VOXELS:
        levels = np.unique(image)
        step = float(np.diff(levels).min()) if len(levels) > 1 else np.inf
        if step >= _COARSE_HU:
            return f"{len(levels)} grey levels, {step:g} HU apart at least; a CT has steps of 1"
    return ""
