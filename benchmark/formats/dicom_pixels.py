"""Pixels of CT slices, and the HU that they stand for.

Padding stands for no measurement: words that PixelPaddingValue and PixelPaddingRangeLimit name, and
whatever lies below -2000 HU, where no scanner's noise reaches. It becomes -1024 HU, the air of
``PADDING_HU``. Padding above that value cannot be told from tissue, and is reported.
"""

from __future__ import annotations

import struct
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.formats.dicom_header import last_line, load
from benchmark.formats.dicom_series import Slice

PADDING_HU = -1024
"""HU that padding is given: the lowest that scanners of 12 bits write, air with noise cut off."""

_LOWEST_HU = -2000
_INT16 = np.iinfo(np.int16)
_MOST_BYTES = 1 << 26  # of a slice, which has half a megabyte
_HEADER_BYTES = 1 << 22  # and what private fields hold
_JPEG_2000 = "1.2.840.10008.1.2.4.90"
_FRAMES = {*range(0xFFC0, 0xFFD0), 0xFFF7} - {0xFFC4, 0xFFC8, 0xFFCC}
"""Markers of JPEG and JPEG-LS that a frame's size follows."""

_PIXEL_TAGS = (
    "SOPClassUID", "SOPInstanceUID", "SamplesPerPixel", "PhotometricInterpretation", "Rows",
    "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelData",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Hounsfield:
    """HU of a window of a slice.

    Attributes
    ----------
    hu : ndarray of int16, shape (rows, columns)
        ``PADDING_HU`` where there is padding.
    padded : ndarray of bool, shape (rows, columns)
        True where padding had another value than ``PADDING_HU``.
    dubious : ndarray of bool, shape (rows, columns)
        True where the value is the header's padding, and as high as tissue's may be.
    """

    hu: NDArray[np.int16]
    padded: NDArray[np.bool_]
    dubious: NDArray[np.bool_]


def read_words(slice_: Slice, rows: range) -> NDArray[Any]:
    """Words of 16 bits of some rows, with the sign that the header says.

    Bits that are allocated and not stored are as in the file, or as the decoder leaves them.

    Parameters
    ----------
    slice_ : Slice
    rows : range
        Consecutive rows.

    Returns
    -------
    ndarray of int16 or uint16, shape (rows, columns)

    Raises
    ------
    ValueError
        Where they cannot be decoded.
    """
    dtype = "<i2" if slice_.signed else "<u2"
    if slice_.pixels_at < 0:
        decoded = _decoded(slice_)
        return decoded[rows.start : rows.stop].astype(dtype)
    words = np.fromfile(
        slice_.path,
        dtype,
        len(rows) * slice_.columns,
        offset=slice_.pixels_at + 2 * rows.start * slice_.columns,
    )
    return words.reshape(len(rows), slice_.columns)


def stored_values(slice_: Slice, words: NDArray[Any]) -> NDArray[Any]:
    """Stored values of words; what the unused bits hold is not defined, and is dropped."""
    unused = 16 - slice_.bits_stored
    return (words << unused) >> unused if unused else words  # there and back leaves the sign


def hounsfield(slice_: Slice, words: NDArray[Any]) -> Hounsfield:
    """Rescale words to HU, rounded to whole numbers.

    Raises
    ------
    ValueError
        Where HU of other voxels than padding do not fit 16 bits.
    """
    values = stored_values(slice_, words)
    slope, intercept = slice_.slope, slice_.intercept
    hu = values * slope + intercept
    if not slope.is_integer() or not intercept.is_integer():
        hu = np.rint(hu)
    padding = hu < _LOWEST_HU
    dubious = np.zeros(hu.shape, dtype=np.bool_)
    if slice_.padding is not None:
        low, high = slice_.padding
        # A word that the stored bits cannot hold is told by all of its bits.
        held = np.array(slice_.padding, dtype=words.dtype)
        fits = bool((stored_values(slice_, held) == held).all())
        among = values if fits else words
        named = (low <= among) & (among <= high)
        dubious = named & (hu > PADDING_HU) if fits else dubious
        padding |= named
    padded = padding & (hu != PADDING_HU)
    hu[padding] = PADDING_HU
    lowest, highest = float(hu.min()), float(hu.max())
    if highest > _INT16.max:
        raise ValueError(
            f"HU from {lowest:g} to {highest:g}, by RescaleSlope {slope:g} and RescaleIntercept "
            f"{intercept:g}; they must fit 16 bits"
        )
    return Hounsfield(hu.astype(np.int16), padded, dubious)


def _decoded(slice_: Slice) -> NDArray[Any]:
    size, plain = slice_.path.stat().st_size, 2 * slice_.rows * slice_.columns
    if plain > _MOST_BYTES or size > 8 * plain + _HEADER_BYTES:
        raise ValueError(
            f"it has {slice_.rows} x {slice_.columns} pixels in {size} bytes; at most "
            f"{_MOST_BYTES} bytes of pixels are decoded, from not much more"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # pydicom warns of more or fewer pixels than there are
            pixels = (_by_itk if slice_.by_itk else _by_pydicom)(slice_.path)
    except Exception as error:  # both raise whatever they stumble on in a damaged file
        raise ValueError(f"its pixels cannot be decoded ({last_line(error)})") from error
    if pixels.shape != (slice_.rows, slice_.columns):
        shape = " x ".join(map(str, pixels.shape))
        raise ValueError(
            f"its pixels are {shape} when decoded; they must be {slice_.rows} x {slice_.columns}"
        )
    return pixels


def _by_pydicom(path: Path) -> NDArray[Any]:
    pixels: NDArray[Any] = load(path).pixel_array
    return pixels


def _by_itk(path: Path) -> NDArray[Any]:
    """Stored values; ITK would rescale them, so it is given the pixels without the rescaling."""
    import pydicom
    import SimpleITK as sitk

    header = load(path)
    coded = _coded_size(header.PixelData, header.file_meta.TransferSyntaxUID == _JPEG_2000)
    if coded != (header.Rows, header.Columns):
        raise ValueError(
            f"coded as {coded[0]} x {coded[1]} pixels, not {header.Rows} x {header.Columns}"
        )
    bare = pydicom.Dataset()
    bare.file_meta = header.file_meta
    for name in _PIXEL_TAGS:
        if name in header:
            bare[name] = header[name]
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "pixels.dcm")
        bare.save_as(copy)
        voxels: NDArray[Any] = sitk.GetArrayFromImage(sitk.ReadImage(copy, imageIO="GDCMImageIO"))
    (plane,) = voxels
    return np.asarray(plane)


def _coded_size(pixels: bytes, jpeg_2000: bool) -> tuple[int, int]:
    """Rows and columns by the compressed pixels' own header, which decoders make room for."""
    if jpeg_2000:
        right, bottom, left, top = struct.unpack_from(">4L", pixels, pixels.index(b"\xff\x4f") + 8)
        return bottom - top, right - left
    at = pixels.index(b"\xff\xd8\xff") + 2
    while True:
        marker, length = struct.unpack_from(">2H", pixels, at)
        if marker in _FRAMES:
            rows, columns = struct.unpack_from(">2H", pixels, at + 5)
            return rows, columns
        at += 2 + max(length, 2)
