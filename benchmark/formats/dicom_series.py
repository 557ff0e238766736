"""Slices of a CT series: headers without pixels, rows of pixels without headers, HU."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.formats.dicom_header import Fields, last_line, read_fields

_AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
_INT16 = np.iinfo(np.int16)


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
        Spacing between rows and between columns; None where the file does not say.
    slope, intercept : float
        The line from stored values to HU.
    bits_stored : int
    signed : bool
    pixels_at : int
        Position in the file of 16-bit little-endian pixels; negative where pydicom has to decode
        them.
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


def read_stored(slice_: Slice, rows: range) -> NDArray[Any]:
    """Stored values of some rows, in the type and sign that the header says.

    Parameters
    ----------
    slice_ : Slice
    rows : range
        Consecutive rows.

    Returns
    -------
    ndarray, shape (rows, columns)

    Raises
    ------
    ValueError
        Where pydicom cannot decode them.
    """
    if slice_.pixels_at < 0:
        return _pixels_by_pydicom(slice_.path)[rows.start : rows.stop]
    stored = np.fromfile(
        slice_.path,
        "<i2" if slice_.signed else "<u2",
        len(rows) * slice_.columns,
        offset=slice_.pixels_at + 2 * rows.start * slice_.columns,
    )
    unused = 16 - slice_.bits_stored
    if unused:  # their content is not defined; shifting there and back leaves the sign
        stored = (stored << unused) >> unused
    return stored.reshape(len(rows), slice_.columns)


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


def _pixels_by_pydicom(path: Path) -> NDArray[Any]:
    import pydicom

    try:
        pixels: NDArray[Any] = pydicom.dcmread(path).pixel_array
    except Exception as error:  # as above; a decoder that is not installed among them
        raise ValueError(f"its pixels cannot be decoded ({last_line(error)})") from error
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
