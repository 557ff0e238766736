"""Equivalent diameter and volume from mask and spacing: what size alone can tell."""

from __future__ import annotations

from benchmark.roi import Roi

PLANAR = "diameter2d"
"""Takes its place in a run whose ROIs are all one slice thick."""

MASK_MODIFIERS = True
"""It may be computed from another mask, as in ``diameter@eroded``."""


def extract(roi: Roi) -> dict[str, float]:
    """Size of the mask.

    Returns
    -------
    dict
        ``equivalent_diameter_mm``, of the ball with the mask's volume, (6 V / pi)^(1/3);
        ``volume_mm3``, voxels times voxel volume (IBSI: approximate volume, YEKZ).
    """
    return {
        "equivalent_diameter_mm": roi.equivalent_diameter_mm,
        "volume_mm3": roi.volume_mm3,
    }
