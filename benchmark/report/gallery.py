"""What the report's gallery shows: single nodules with pictures and the scores they were given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class GalleryItem:
    """One nodule in the gallery.

    Attributes
    ----------
    roi_id, patient_id : str
    kind : str
        Why it is shown, as in ``missed by all models``; items of a kind stand together.
    label : str
        What it is called in the dataset, ``benign`` or ``malignant``.
    ratings : tuple of int
        The readers' malignancy ratings, where there are any.
    scores : mapping of str to float
        P(malignant) by arm.
    pictures : mapping of str to bytes
        PNG files by what they show; the text stands under the picture and is its alternative.
    notes : str
    """

    roi_id: str
    patient_id: str
    kind: str
    label: str
    ratings: tuple[int, ...] = ()
    scores: Mapping[str, float] = field(default_factory=dict)
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    notes: str = ""
