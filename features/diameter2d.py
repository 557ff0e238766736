"""Area and equivalent diameter of the largest slice: what size alone can tell in one slice."""

from __future__ import annotations

import math

from benchmark.roi import Roi
from features._plane import largest_slice

MASK_MODIFIERS = True
"""It may be computed from another mask, as in ``diameter2d@eroded``."""


def extract(roi: Roi) -> dict[str, float]:
    """Size of the mask's largest slice; independent of the slice's thickness.

    Returns
    -------
    dict
        ``equivalent_diameter_mm``, of the disc with the mask's area, 2 (A / pi)^(1/2);
        ``area_mm2``, pixels times pixel area.
    """
    pixel_mm2 = roi.spacing_mm[1] * roi.spacing_mm[2]
    area = float(roi.mask[largest_slice(roi)].sum()) * pixel_mm2
    return {"equivalent_diameter_mm": 2 * math.sqrt(area / math.pi), "area_mm2": area}
