"""2,864 features as ``imagenet2d``'s, averaged over an axial, coronal and sagittal plane.

Each plane is the one with the largest area of the mask. Pixels are stretched to their size in
millimetres. Of a ROI that is one slice thick, two planes show a line.
"""

from __future__ import annotations

from benchmark.roi import Roi
from features._imagenet import features

MASK_MODIFIERS = True
"""It may be computed from another mask, as in ``imagenet25d@eroded``."""


def extract(roi: Roi) -> dict[str, float]:
    """Features averaged over the three planes, by view, layer and channel.

    Raises
    ------
    UnavailableError
        Where the dataset has no masks, and where the network's weights are not installed.
    """
    return features(roi, axes=(0, 1, 2), with_mask=True)
