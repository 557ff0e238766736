"""Slices of a CT series, from headers without pixels: where a slice lies, and what makes HU of it.

A slice is usable where its header says both. A CT without RescaleSlope or RescaleIntercept has
stored values and no HU: nothing is assumed in their place. Values of one slice hold for that slice,
so that slices of a series may be rescaled differently.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from benchmark.formats.dicom_header import Fields, read_fields

_TOLERANCE = 1e-3  # of the lengths of directions and of the cosine between them
_BITS = 16
_LUNG_HU = -900  # a chest has air; values that cannot go as low are not HU
# What a CT image states of itself, and the values that it may have.
_STATED = {
    "Modality": ("CT",),
    "SamplesPerPixel": ("1",),
    "PhotometricInterpretation": ("MONOCHROME2",),
    "BitsAllocated": (str(_BITS),),
    "PixelRepresentation": ("0", "1"),
}
# US is "unspecified", and says no more of a CT than none.
_OPTIONAL = {
    "NumberOfFrames": ("1",),
    "RescaleType": ("HU", "US"),
    "LossyImageCompression": ("00",),
}
_PLAIN = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1")
_DECODED_BY_PYDICOM = (
    *_PLAIN,  # with a header too long for ours
    "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.5",
)
_DECODED_BY_ITK = (
    "1.2.840.10008.1.2.4.57",
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.90",
)

UNREADABLE, NOT_HU, WRONG_GEOMETRY = "unreadable file", "not HU", "wrong geometry"


@dataclass(frozen=True)
class Slice:
    """One file of a series, pixels left in the file.

    Attributes
    ----------
    path : Path
    position_mm : tuple of three floats
        Centre of the first pixel, in the patient's axes (left, posterior, superior).
    orientation : tuple of six floats
        Directions of rising columns and of rising rows.
    rows, columns : int
    pixel_spacing_mm : tuple of two floats, or None
        Spacing between rows and between columns; None where the file does not say.
    slope, intercept : float
        The line from stored values to HU; the slope is above zero.
    bits_stored : int
    signed : bool
    padding : tuple of two ints, or None
        Lowest and highest word that stands for no measurement, as a number of 16 bits with the
        pixels' sign; None where the file names none.
    pixels_at : int
        Position in the file of 16-bit little-endian pixels; negative where they need decoding.
    by_itk : bool
        True where ITK decodes them, False where pydicom does.
    """

    path: Path
    position_mm: tuple[float, float, float]
    orientation: tuple[float, ...]
    rows: int
    columns: int
    pixel_spacing_mm: tuple[float, float] | None
    slope: float
    intercept: float
    bits_stored: int
    signed: bool
    padding: tuple[int, int] | None
    pixels_at: int
    by_itk: bool

    @property
    def z_mm(self) -> float:
        return self.position_mm[2]


@dataclass(frozen=True)
class Unusable:
    """A file of a series whose place is known, and that cannot be used.

    Attributes
    ----------
    path : Path
    z_mm : float
    reason : str
        ``UNREADABLE``, ``NOT_HU`` or ``WRONG_GEOMETRY``.
    detail : str
        The tag, its value and the rule.
    """

    path: Path
    z_mm: float
    reason: str
    detail: str


def read_slice(path: Path, series_instance_uid: str) -> Slice | Unusable | None:
    """Read a file's header; None where the file is not DICOM or of another series.

    Raises
    ------
    ValueError
        Where the file cannot be read as far as its place, with the reason.
    """
    fields = read_fields(path)
    if fields is None or fields.get("SeriesInstanceUID") != series_instance_uid:
        return None
    position = _numbers(fields, "ImagePositionPatient", 3)
    reason = NOT_HU
    try:
        _check_statements(fields)
        bits_stored = _bits_stored(fields)
        signed = fields["PixelRepresentation"] == "1"
        slope, intercept = _rescaling(fields, -(1 << bits_stored - 1) if signed else 0)
        padding = _padding(fields, signed)
        reason = WRONG_GEOMETRY
        orientation = _orientation(fields)
        spacing = _numbers(fields, "PixelSpacing", 2) if fields.get("PixelSpacing") else None
        rows, columns = _whole(fields, "Rows"), _whole(fields, "Columns")
        reason = UNREADABLE
        syntax = fields["TransferSyntaxUID"]
        _check_syntax(syntax)
        pixels_at = _pixels_at(fields, rows, columns)
    except ValueError as error:
        return Unusable(path, position[2], reason, str(error))
    return Slice(
        path=path,
        position_mm=(position[0], position[1], position[2]),
        orientation=orientation,
        rows=rows,
        columns=columns,
        pixel_spacing_mm=(spacing[0], spacing[1]) if spacing else None,
        slope=slope,
        intercept=intercept,
        bits_stored=bits_stored,
        signed=signed,
        padding=padding,
        pixels_at=pixels_at,
        by_itk=syntax in _DECODED_BY_ITK,
    )


def _check_statements(fields: Fields) -> None:
    for name, allowed in (_STATED | _OPTIONAL).items():
        value = fields.get(name, "").strip()
        if not value and name in _OPTIONAL:
            continue
        if not value:
            raise ValueError(f"it has no {name}")
        if value not in allowed:
            raise ValueError(f"{name} is '{value}'; it must be {' or '.join(allowed)}")
    if "ModalityLUTSequence" in fields:
        raise ValueError("it has a ModalityLUTSequence; HU need RescaleSlope and RescaleIntercept")


def _rescaling(fields: Fields, lowest_stored: int) -> tuple[float, float]:
    names = ("RescaleSlope", "RescaleIntercept")
    absent = [name for name in names if not fields.get(name)]
    if absent:
        raise ValueError(f"it has no {' and no '.join(absent)}; HU need both")
    (slope,), (intercept,) = (_numbers(fields, name, 1) for name in names)
    if slope <= 0:
        raise ValueError(f"RescaleSlope is {slope:g}; it must be above zero")
    lowest_hu = slope * lowest_stored + intercept
    if lowest_hu > _LUNG_HU:
        raise ValueError(
            f"RescaleIntercept is {intercept:g}; with RescaleSlope {slope:g} no value is below "
            f"{lowest_hu:g} HU, and lung is at {_LUNG_HU} HU or below"
        )
    return slope, intercept


def _bits_stored(fields: Fields) -> int:
    bits = _whole(fields, "BitsStored")
    if bits > _BITS:
        raise ValueError(f"BitsStored is {bits}; it must be at most BitsAllocated, {_BITS}")
    if fields.get("HighBit") and _numbers(fields, "HighBit", 1) != (bits - 1,):
        raise ValueError(
            f"HighBit is {fields['HighBit']}; with BitsStored {bits} it must be {bits - 1}"
        )
    return bits


def _padding(fields: Fields, signed: bool) -> tuple[int, int] | None:
    """The words of padding; tags may be written without the pixels' sign, or with it."""
    names = ("PixelPaddingValue", "PixelPaddingRangeLimit")
    first, limit = (fields.get(name, "") for name in names)
    if not first:
        if limit:
            raise ValueError(f"PixelPaddingRangeLimit is {limit}; PixelPaddingValue must be there")
        return None
    words = []
    for name in names:
        if fields.get(name):
            (word,) = _numbers(fields, name, 1)
            if not word.is_integer() or not -(1 << _BITS - 1) <= word < 1 << _BITS:
                raise ValueError(f"{name} is {fields[name]}; it must be a whole number of 16 bits")
            low = int(word) & 0xFFFF
            words.append(low - (1 << _BITS) if signed and low >> _BITS - 1 else low)
    return min(words), max(words)


def _orientation(fields: Fields) -> tuple[float, ...]:
    values = _numbers(fields, "ImageOrientationPatient", 6)
    across, down = values[:3], values[3:]
    lengths = (math.hypot(*across), math.hypot(*down))
    cosine = sum(a * b for a, b in zip(across, down, strict=True))
    if max(abs(cosine), *(abs(length - 1) for length in lengths)) > _TOLERANCE:
        raise ValueError(
            f"ImageOrientationPatient is '{fields['ImageOrientationPatient']}'; it must be two "
            "directions of length 1, at right angles"
        )
    return values


def _check_syntax(syntax: str) -> None:
    if syntax not in (*_DECODED_BY_PYDICOM, *_DECODED_BY_ITK):
        from pydicom.uid import UID

        raise ValueError(
            f"its TransferSyntaxUID is '{syntax}' ({UID(syntax).name}); pixels must be plain, or "
            "compressed without loss by RLE, JPEG, JPEG-LS or JPEG 2000"
        )


def _pixels_at(fields: Fields, rows: int, columns: int) -> int:
    if "PixelsAt" not in fields:
        return -1
    stated, needed = int(fields["PixelBytes"]), 2 * rows * columns
    if stated != needed:
        raise ValueError(f"{stated} bytes of pixels; {rows} x {columns} pixels need {needed}")
    if int(fields["PixelsAt"]) + stated > int(fields["FileBytes"]):
        raise ValueError("it is cut off within its pixels")
    return int(fields["PixelsAt"])


def _whole(fields: Fields, name: str) -> int:
    (value,) = _numbers(fields, name, 1)
    if value < 1 or not value.is_integer():
        raise ValueError(f"{name} is {fields[name]}; it must be a whole number above zero")
    return int(value)


def _numbers(fields: Fields, name: str, count: int) -> tuple[float, ...]:
    text = fields.get(name, "")
    if not text:
        raise ValueError(f"it has no {name}")
    try:
        values = tuple(map(float, text.split("\\")))
    except ValueError:
        values = ()
    # Python reads 1_0 as 10; DICOM has no such number.
    if len(values) != count or "_" in text or not all(map(math.isfinite, values)):
        wanted = "a number" if count == 1 else f"{count} numbers"
        raise ValueError(f"{name} is '{text}'; it must be {wanted}")
    return values
