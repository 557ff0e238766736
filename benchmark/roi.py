"""The ROI contract: what every dataset supplies and every feature set may rely on.

Axis order is always ``(z, y, x)``, for arrays and for spacing, and the axes rise most nearly
towards the patient's head, back and left (DICOM's LPS); sources that store another order convert
once, when they read.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Intensities = Literal["acquired", "synthetic"]
"""Source of voxel values: a scanner, or a simulation that must say so."""

INTENSITIES: tuple[Intensities, ...] = ("acquired", "synthetic")

GIVEN_SPLITS = ("train", "val", "test")

LABEL_SOURCES = ("reader", "pathology", "follow-up")
"""What a label may rest on: a reader's judgement of the image, tissue, or watching the nodule."""

LUNG_WINDOW_HU = (-1000.0, 400.0)
"""Range that images show and networks are fed: air to above the density of enhanced soft tissue."""

CANONICAL_MARGIN_MM = 3.0
"""Image around a mask's box that radiomics are computed with. Three voxels of their 1 mm grid: the
spline that resamples reads two, and what lies farther weighs less than a hundredth. More would lie
beyond the crops that many datasets come in."""

OBLIQUE_DEG = 1.0
"""Angle to the patient's axes from which on a ROI is called oblique; headers round to a thousandth
of it."""

RATING_SCALE = range(1, 6)
"""LIDC-IDRI's malignancy suspicion, 1 (highly unlikely) to 5 (highly suspicious)."""


class UnavailableError(ValueError):
    """A ROI lacks what a feature set needs; the feature set is skipped, with this reason."""


@dataclass(frozen=True, slots=True)
class RoiRecord:
    """Record of a ROI, without its voxels: one row of ``manifest.csv``.

    Attributes
    ----------
    roi_id, patient_id : str
        Both non-empty; ``roi_id`` is unique in its dataset.
    label : int or None
        0 benign, 1 malignant, where the dataset carries labels.
    malignancy_ratings : tuple of int
        One rating a reader, 1 to 5; empty where the dataset carries labels instead.
    attributes : mapping of str to str
        Every other column of the row, as text.
    intensities : {"acquired", "synthetic"}
    label_source : str
        One of ``LABEL_SOURCES`` where the dataset says what its label rests on, else empty.
    """

    roi_id: str
    patient_id: str
    label: int | None = None
    malignancy_ratings: tuple[int, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)  # picklable: it goes to workers
    intensities: Intensities = "acquired"
    label_source: str = ""

    @property
    def source(self) -> str:
        """What the label rests on: ``reader`` where ratings make it, empty where none says."""
        return "reader" if self.label is None else self.label_source

    @property
    def given_split(self) -> str:
        """Side of the dataset's own split, column ``split``; empty where it has none."""
        return self.attributes.get("split", "").strip()

    def __post_init__(self) -> None:
        for name, value in (("roi_id", self.roi_id), ("patient_id", self.patient_id)):
            if not value.strip():
                raise ValueError(f"{name} is empty; every ROI needs one")
        if self.label not in (None, 0, 1):
            raise ValueError(f"label is {self.label!r}; it must be 0 (benign) or 1 (malignant)")
        for rating in self.malignancy_ratings:
            if rating not in RATING_SCALE:
                raise ValueError(
                    f"malignancy_ratings has {rating!r}; ratings are whole numbers from 1 to 5"
                )
        if self.label is None and not self.malignancy_ratings:
            raise ValueError("neither label nor malignancy_ratings; every ROI needs one of them")
        if self.intensities not in INTENSITIES:
            raise ValueError(
                f"intensities is {self.intensities!r}; it must be one of {', '.join(INTENSITIES)}"
            )
        if self.label_source not in ("", *LABEL_SOURCES):
            raise ValueError(
                f"label_source is {self.label_source!r}; it must be one of "
                f"{', '.join(LABEL_SOURCES)}, or empty"
            )
        if self.label is None and self.label_source not in ("", "reader"):
            raise ValueError(
                f"label_source is {self.label_source!r}, and there is no label: "
                "malignancy_ratings are readers'; give a label, or leave label_source empty"
            )


@dataclass(frozen=True, eq=False)
class Roi:
    """A nodule's voxels and, where the dataset has masks, its outline.

    Attributes
    ----------
    record : RoiRecord
    image : ndarray, shape (z, y, x), float32
        Hounsfield units, finite.
    outline : ndarray, shape (z, y, x), bool, or None
        The nodule's mask, at least one voxel; None in a dataset without masks. Read it
        through ``mask``.
    spacing_mm : tuple of three floats
        Voxel size along (z, y, x), in millimetres, positive.
    reader_outlines : tuple of ndarray, shape (z, y, x), bool
        Each reader's own mask, at least one voxel; empty where the dataset has none. Read
        them through ``reader_masks``.
    obliquity_deg : float
        Largest angle between an axis of the voxels and the patient's, degrees.

    Raises
    ------
    ValueError
        Where one of these rules does not hold.
    """

    record: RoiRecord
    image: NDArray[np.float32]
    outline: NDArray[np.bool_] | None
    spacing_mm: tuple[float, float, float]
    reader_outlines: tuple[NDArray[np.bool_], ...] = ()
    obliquity_deg: float = 0.0

    def __post_init__(self) -> None:
        if self.image.ndim != 3:
            raise ValueError(f"image has {self.image.ndim} dimensions; a ROI is (z, y, x)")
        outlines = {"mask": self.outline} if self.outline is not None else {}
        outlines |= {f"reader mask {n}": drawn for n, drawn in enumerate(self.reader_outlines, 1)}
        for name, outline in outlines.items():
            if self.image.shape != outline.shape:
                raise ValueError(
                    f"image is {self.image.shape} and {name} is {outline.shape} voxels (z, y, x); "
                    "they must be the same size"
                )
        if not np.isfinite(self.image).all():
            count = int(np.count_nonzero(~np.isfinite(self.image)))
            raise ValueError(f"image has {count} NaN or infinite voxels; HU must be finite")
        for name, outline in outlines.items():
            if not outline.any():
                raise ValueError(f"{name} is empty; every ROI needs at least one voxel")
        if len(self.spacing_mm) != 3 or not all(np.isfinite(s) and s > 0 for s in self.spacing_mm):
            raise ValueError(f"spacing is {self.spacing_mm} mm; it must be three positive numbers")

    @property
    def has_mask(self) -> bool:
        return self.outline is not None

    @property
    def mask(self) -> NDArray[np.bool_]:
        """The nodule's mask, shape (z, y, x).

        Raises
        ------
        UnavailableError
            Where the dataset has none: a feature set that asks for it is skipped.
        """
        if self.outline is None:
            raise UnavailableError("the dataset has no masks")
        return self.outline

    @property
    def reader_masks(self) -> tuple[NDArray[np.bool_], ...]:
        """Each reader's own mask, shape (z, y, x), in the dataset's order.

        Raises
        ------
        UnavailableError
            Where there are none: a feature set that asks for them is skipped.
        """
        if not self.reader_outlines:
            raise UnavailableError(
                f"roi_id '{self.record.roi_id}' has no readers' masks (manifest column "
                "reader_masks)"
            )
        return self.reader_outlines

    @property
    def volume_mm3(self) -> float:
        """Mask voxels times voxel volume, mm^3 (IBSI: approximate volume, YEKZ)."""
        return float(np.count_nonzero(self.mask) * np.prod(self.spacing_mm))

    @property
    def equivalent_diameter_mm(self) -> float:
        """Diameter of the ball with the mask's volume, (6 V / pi)^(1/3), mm."""
        return float((6 * self.volume_mm3 / math.pi) ** (1 / 3))

    @property
    def margin_mm(self) -> float:
        """Least image around the mask's box, mm; of a single slice, in its plane."""
        free: list[float] = []
        for axis, step_mm in enumerate(self.spacing_mm):
            others = tuple(other for other in range(3) if other != axis)
            occupied = np.flatnonzero(self.mask.any(axis=others))
            n = self.image.shape[axis]
            if axis > 0 or n > 1:
                free.append(step_mm * min(int(occupied[0]), n - 1 - int(occupied[-1])))
        return min(free)

    def content_hash(self) -> str:
        """SHA-256 over voxels, masks and spacing: equal exactly where the content is."""
        digest = hashlib.sha256()
        digest.update(repr((self.image.shape, tuple(map(float, self.spacing_mm)))).encode())
        digest.update(np.ascontiguousarray(self.image, dtype="<f4").tobytes())
        if self.outline is not None:
            digest.update(np.packbits(self.outline).tobytes())
        for drawn in self.reader_outlines:
            # Marked, so that a lone reader's mask is not taken for the ROI's.
            digest.update(b"reader" + np.packbits(drawn).tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class RoiDataset:
    """ROI records and the way to their voxels.

    Attributes
    ----------
    name : str
        Short name for tables.
    records : tuple of RoiRecord
        ``roi_id`` unique.
    read : callable
        ``read(record) -> Roi``; picklable, so that worker processes can call it.
    notes : tuple of str
        What must be said beside every result on this dataset.
    unnamed_patients_of : str
        Where patient ids are not published, so that each ROI counts as a patient of its
        own: the collection that the patients belong to, as their ids begin.
    """

    name: str
    records: tuple[RoiRecord, ...]
    read: Callable[[RoiRecord], Roi]
    notes: tuple[str, ...] = ()
    unnamed_patients_of: str = ""

    def __post_init__(self) -> None:
        if not self.records:
            raise ValueError(f"dataset '{self.name}' has no ROIs")
        seen: set[str] = set()
        for record in self.records:
            if record.roi_id in seen:
                raise ValueError(f"roi_id '{record.roi_id}' appears twice; it must be unique")
            seen.add(record.roi_id)

    @property
    def intensities(self) -> Intensities:
        """``"synthetic"`` as soon as one ROI is."""
        synthetic = any(r.intensities == "synthetic" for r in self.records)
        return "synthetic" if synthetic else "acquired"
