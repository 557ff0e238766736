"""Slices of a CT series: headers without pixels, pixels without headers, HU.

Of most slices only the position is needed, so that headers are read alone, and by the few lines
that plain little-endian files ask for; pydicom reads whatever they do not understand
(compressed pixels, big endian, sequences of unknown length).
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_HEADER_BYTES = 1 << 16
_PREAMBLE = 128
_EXPLICIT, _IMPLICIT = b"1.2.840.10008.1.2.1", b"1.2.840.10008.1.2"
_LONG_VRS = {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT",
             b"UV"}  # fmt: skip
_UNDEFINED = 0xFFFFFFFF
_PIXELS = 0x7FE00010
_TEXTS = {
    0x00100020: "PatientID",
    0x0020000E: "SeriesInstanceUID",
    0x00200013: "InstanceNumber",
    0x00200032: "ImagePositionPatient",
    0x00200037: "ImageOrientationPatient",
    0x00280008: "NumberOfFrames",
    0x00280030: "PixelSpacing",
    0x00281052: "RescaleIntercept",
    0x00281053: "RescaleSlope",
}
_WHOLES = {
    0x00280002: "SamplesPerPixel",
    0x00280010: "Rows",
    0x00280011: "Columns",
    0x00280100: "BitsAllocated",
    0x00280101: "BitsStored",
    0x00280103: "PixelRepresentation",
}
_AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
_INT16 = np.iinfo(np.int16)

Fields = dict[str, str]
"""What a header says, by DICOM keyword, as text; several values are divided by backslashes."""


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
    instance_number : int
    rows, columns : int
    pixel_spacing_mm : tuple of two floats, or None
        Between rows, between columns; None where the file does not say.
    slope, intercept : float
        Of stored values to HU.
    bits_stored : int
    signed : bool
    pixels_at : int
        Where in the file 16-bit little-endian pixels begin; negative where pydicom has to
        decode them.
    """

    path: Path
    position_mm: tuple[float, float, float]
    orientation: tuple[float, ...]
    instance_number: int
    rows: int
    columns: int
    pixel_spacing_mm: tuple[float, float] | None
    slope: float
    intercept: float
    bits_stored: int
    signed: bool
    pixels_at: int

    @property
    def z_mm(self) -> float:
        return self.position_mm[2]


def read_fields(path: Path) -> Fields | None:
    """What the header says; None where the file is not DICOM.

    ``PixelsAt`` and ``PixelBytes`` say where pixels lie that need no decoding.

    Raises
    ------
    ValueError
        Where the file begins as DICOM, or is named as such, and cannot be read.
    """
    with path.open("rb") as handle:
        data = handle.read(_HEADER_BYTES)
        size = os.fstat(handle.fileno()).st_size
    if data[_PREAMBLE : _PREAMBLE + 4] != b"DICM":
        if path.suffix.lower() == ".dcm":
            raise ValueError("it is named as DICOM and is none")
        return None
    try:
        fields = _scan(data)
    except struct.error:  # the header is longer than what was read, or damaged
        fields = None
    if fields is None or "SeriesInstanceUID" not in fields:
        return _fields_by_pydicom(path)
    if int(fields["PixelsAt"]) + int(fields["PixelBytes"]) > size:
        raise ValueError("it is cut off within its pixels")
    return fields


def read_slice(path: Path, series_instance_uid: str) -> Slice | None:
    """Read a file's header; None where the file is not DICOM or of another series.

    Raises
    ------
    ValueError
        Naming the tag that is missing or makes no sense, or saying why the file cannot be read.
    """
    fields = read_fields(path)
    if fields is None or fields.get("SeriesInstanceUID") != series_instance_uid:
        return None
    number = _reader(fields)
    position = number("ImagePositionPatient", 3)
    spacing = number("PixelSpacing", 2) if fields.get("PixelSpacing") else None
    rows, columns = (int(number(name, 1)[0]) for name in ("Rows", "Columns"))
    plain = (
        "PixelsAt" in fields
        and fields.get("BitsAllocated") == "16"
        and fields.get("SamplesPerPixel", "1") == "1"
        and int(fields.get("NumberOfFrames") or 1) == 1
    )
    if plain and int(fields["PixelBytes"]) < 2 * rows * columns:
        raise ValueError(
            f"{fields['PixelBytes']} bytes of pixels; {rows} x {columns} pixels need "
            f"{2 * rows * columns}"
        )
    return Slice(
        path=path,
        position_mm=(position[0], position[1], position[2]),
        orientation=number("ImageOrientationPatient", 6, _AXIAL),
        instance_number=int(number("InstanceNumber", 1, (0.0,))[0]),
        rows=rows,
        columns=columns,
        pixel_spacing_mm=(spacing[0], spacing[1]) if spacing else None,
        slope=number("RescaleSlope", 1, (1.0,))[0],
        intercept=number("RescaleIntercept", 1, (0.0,))[0],
        bits_stored=int(number("BitsStored", 1, (16.0,))[0]),
        signed=fields.get("PixelRepresentation") == "1",
        pixels_at=int(fields["PixelsAt"]) if plain else -1,
    )


def read_stored(slice_: Slice) -> NDArray[Any]:
    """Stored values, shape (rows, columns), of the type and sign that the header says.

    Raises
    ------
    ValueError
        Where pydicom cannot decode them.
    """
    if slice_.pixels_at < 0:
        return _pixels_by_pydicom(slice_.path)
    count = slice_.rows * slice_.columns
    stored = np.fromfile(
        slice_.path, "<i2" if slice_.signed else "<u2", count, offset=slice_.pixels_at
    )
    unused = 16 - slice_.bits_stored
    if unused:  # their content is not defined; shifting there and back leaves the sign
        stored = (stored << unused) >> unused
    return stored.reshape(slice_.rows, slice_.columns)


def to_hu(stored: NDArray[Any], slope: float, intercept: float) -> NDArray[np.int16]:
    """Rescale stored values to HU, rounded to whole numbers.

    Padding outside of the scanner's field of view is rescaled as any other voxel, as pylidc
    does: stored -2000 becomes -3024 HU with the usual intercept.

    Raises
    ------
    ValueError
        Where HU do not fit 16 bits.
    """
    hu = stored * slope + intercept
    if not slope.is_integer() or not intercept.is_integer():
        hu = np.rint(hu)
    low, high = float(hu.min()), float(hu.max())
    if low < _INT16.min or high > _INT16.max:
        raise ValueError(
            f"HU from {low:g} to {high:g}, by slope {slope:g} and intercept {intercept:g}; "
            "they must fit 16 bits"
        )
    return hu.astype(np.int16)


def _scan(data: bytes) -> Fields | None:
    """Fields of a plain little-endian header; None where it is something else."""
    found: Fields = {}
    position, syntax = _PREAMBLE + 4, b""
    explicit = True  # the file's first group always is
    while True:
        tag, length, position = _element(data, position, explicit)
        if length == _UNDEFINED or (syntax == b"" and tag >> 16 != 0x0002):
            return None
        if tag == _PIXELS:
            return found | {"PixelsAt": str(position), "PixelBytes": str(length)}
        if tag in _TEXTS:
            value = data[position : position + length]
            found[_TEXTS[tag]] = value.decode("latin-1").strip(" \0")
        elif tag in _WHOLES:
            found[_WHOLES[tag]] = str(struct.unpack_from("<H", data, position)[0])
        elif tag == 0x00020010:
            syntax = data[position : position + length].strip(b" \0")
            if syntax not in (_EXPLICIT, _IMPLICIT):
                return None
        position += length
        if explicit and syntax == _IMPLICIT and data[position : position + 2] != b"\x02\x00":
            explicit = False


def _element(data: bytes, position: int, explicit: bool) -> tuple[int, int, int]:
    """Tag, length and place of the value that begins at ``position``.

    The length is ``_UNDEFINED`` as well where no value representation stands in its place.
    """
    group, element = struct.unpack_from("<HH", data, position)
    tag = group << 16 | element
    if not explicit:
        return tag, struct.unpack_from("<L", data, position + 4)[0], position + 8
    vr = data[position + 4 : position + 6]
    if not (vr.isalpha() and vr.isupper()):
        return tag, _UNDEFINED, position
    if vr in _LONG_VRS:
        return tag, struct.unpack_from("<L", data, position + 8)[0], position + 12
    return tag, struct.unpack_from("<H", data, position + 6)[0], position + 8


def _fields_by_pydicom(path: Path) -> Fields:
    import pydicom

    names = [*_TEXTS.values(), *_WHOLES.values()]
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=names)
        found: Fields = {}
        for name in names:
            value = header.get(name)
            several = isinstance(value, (list, pydicom.multival.MultiValue))
            if value is not None:
                found[name] = "\\".join(map(str, value)) if several else str(value)
    except Exception as error:  # pydicom raises whatever it stumbles on in a damaged file
        raise ValueError(f"its header cannot be read ({_last_line(error)})") from error
    return found


def _pixels_by_pydicom(path: Path) -> NDArray[Any]:
    import pydicom

    try:
        pixels: NDArray[Any] = pydicom.dcmread(path).pixel_array
    except Exception as error:  # as above; a decoder that is not installed among them
        raise ValueError(f"its pixels cannot be decoded ({_last_line(error)})") from error
    if pixels.ndim != 2:
        raise ValueError(f"its pixels have {pixels.ndim} dimensions; a slice has two")
    return pixels


def _reader(fields: Fields) -> Callable[..., tuple[float, ...]]:
    def number(
        name: str, count: int, default: tuple[float, ...] | None = None
    ) -> tuple[float, ...]:
        text = fields.get(name, "")
        if not text:
            if default is None:
                raise ValueError(f"it has no {name}")
            return default
        try:
            values = tuple(map(float, text.split("\\")))
        except ValueError:
            values = ()
        if len(values) != count or not all(map(math.isfinite, values)):
            raise ValueError(f"{name} is '{text}'; it must be {count} numbers")
        return values

    return number


def _last_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[-1]
