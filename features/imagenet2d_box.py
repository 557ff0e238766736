"""2,864 features as ``imagenet2d``'s, without the mask as a channel.

The third channel is a wide window, HU of [-1000, 400]. The mask says which slice, and where and how
large its box is, and nothing else.
"""

from __future__ import annotations

from benchmark.roi import Roi
from features._imagenet import features

MASK_MODIFIERS = True
"""It may be computed from another mask, as in ``imagenet2d_box@eroded``."""


def extract(roi: Roi) -> dict[str, float]:
    """Features of the axial slice with the largest area of the mask, by view, layer and channel.

    Raises
    ------
    UnavailableError
        Where the dataset has no masks, and where the network's weights are not installed.
    """
    return features(roi, axes=(0,), with_mask=False)
