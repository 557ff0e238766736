"""The readers' eight ratings other than malignancy, and the size they saw: the human ceiling.

The same readers gave the malignancy ratings that the labels are made of, so a model on
these is not a competitor: it shows how far the ratings explain each other. It takes no mask
modifiers: readers rated the nodule, not a mask.
"""

from __future__ import annotations

from statistics import fmean

from benchmark.roi import Roi, UnavailableError

CHARACTERISTICS = (
    "subtlety",
    "internal_structure",
    "calcification",
    "sphericity",
    "margin",
    "lobulation",
    "spiculation",
    "texture",
)
"""LIDC-IDRI's characteristics, as manifest columns with one rating a reader each."""


def extract(roi: Roi) -> dict[str, float]:
    """Mean over the readers of each characteristic, and the size of the mask.

    Returns
    -------
    dict
        ``CHARACTERISTICS``, on LIDC-IDRI's scales; ``equivalent_diameter_mm``.

    Raises
    ------
    UnavailableError
        Where the dataset has no such columns.
    """
    features = {}
    for name in CHARACTERISTICS:
        ratings = roi.record.attributes.get(name, "").split()
        if not ratings:
            raise UnavailableError(f"the dataset has no readers' ratings of {name}")
        features[name] = fmean(map(float, ratings))
    features["equivalent_diameter_mm"] = roi.equivalent_diameter_mm
    return features
