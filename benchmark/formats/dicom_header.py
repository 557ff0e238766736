"""DICOM headers, read without the pixels.

The few lines below read plain little-endian headers several times as fast as pydicom. pydicom
reads what they do not understand: compressed pixels, big endian, headers of more than 64 kB.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.formats.files import inflate, plain_size

if TYPE_CHECKING:
    import pydicom

_HEADER_BYTES = 1 << 16
_PREAMBLE = 128
_EXPLICIT, _IMPLICIT = b"1.2.840.10008.1.2.1", b"1.2.840.10008.1.2"
_DEFLATED = "1.2.840.10008.1.2.1.99"
_MOST_INFLATED = 1 << 26  # a slice has half a megabyte
_LONG_VRS = {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT",
             b"UV"}  # fmt: skip
_SHORT_VRS = {b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FL", b"FD", b"IS", b"LO", b"LT",
              b"PN", b"SH", b"SL", b"SS", b"ST", b"TM", b"UI", b"UL", b"US"}  # fmt: skip
_EXPLICIT_ELEMENT = struct.Struct("<HH2sH").unpack_from
_IMPLICIT_ELEMENT = struct.Struct("<HHL").unpack_from
_LENGTH = struct.Struct("<L").unpack_from
_UNDEFINED, _UNKNOWN = 0xFFFFFFFF, -1
_ITEM, _SEQUENCE_END, _ITEM_END = (0xFFFE, 0xE000), (0xFFFE, 0xE0DD), b"\xfe\xff\x0d\xe0"
_PIXELS = 0x7FE00010
_LOOK_UP = 0x00283000
_TEXTS = {
    0x00080060: "Modality",
    0x0020000E: "SeriesInstanceUID",
    0x00200032: "ImagePositionPatient",
    0x00200037: "ImageOrientationPatient",
    0x00280004: "PhotometricInterpretation",
    0x00280008: "NumberOfFrames",
    0x00280030: "PixelSpacing",
    0x00281052: "RescaleIntercept",
    0x00281053: "RescaleSlope",
    0x00281054: "RescaleType",
    0x00282110: "LossyImageCompression",
}
_WHOLES = {
    0x00280002: "SamplesPerPixel",
    0x00280010: "Rows",
    0x00280011: "Columns",
    0x00280100: "BitsAllocated",
    0x00280101: "BitsStored",
    0x00280102: "HighBit",
    0x00280103: "PixelRepresentation",
    0x00280120: "PixelPaddingValue",
    0x00280121: "PixelPaddingRangeLimit",
}
Fields = dict[str, str]
"""Values of a header by DICOM keyword, as text; several values are divided by backslashes."""


def read_fields(path: Path) -> Fields | None:
    """Read the header; None where the file is not DICOM.

    ``PixelsAt`` and ``PixelBytes`` give the place and size of pixels that need no decoding,
    ``FileBytes`` the size of the file. A ``ModalityLUTSequence`` is ``present``, if there.

    Raises
    ------
    ValueError
        Where the file begins or is named like DICOM, and cannot be read.
    """
    size = plain_size(path)
    with path.open("rb") as handle:
        data = handle.read(_HEADER_BYTES)
    if data[_PREAMBLE : _PREAMBLE + 4] != b"DICM":
        if path.suffix.lower() == ".dcm":
            raise ValueError("it is named as DICOM and is none")
        return None
    try:
        fields = _scan(data)
    except struct.error:  # the header is longer than what was read, or damaged
        fields = None
    if fields is None or "SeriesInstanceUID" not in fields:
        fields = _fields_by_pydicom(path)
    return fields | {"FileBytes": str(size)}


def _scan(data: bytes) -> Fields | None:
    """Fields of a plain little-endian header; None where it is something else."""
    found: Fields = {}
    position, syntax = _PREAMBLE + 4, b""
    explicit = True  # the file's first group always is
    while True:
        tag, length, position = _element(data, position, explicit)
        if length == _UNKNOWN or (syntax == b"" and tag >> 16 != 0x0002):
            return None
        if tag == _PIXELS and length != _UNDEFINED:
            place = {"PixelsAt": str(position), "PixelBytes": str(length)}
            return found | place | {"TransferSyntaxUID": syntax.decode()}
        if tag == _LOOK_UP:
            found["ModalityLUTSequence"] = "present"
        if length == _UNDEFINED:
            position = _after_sequence(data, position, explicit)
            if position < 0:
                return None
            continue
        if tag in _TEXTS:
            value = data[position : position + length]
            found[_TEXTS[tag]] = value.decode("latin-1").strip(" \0")
        elif tag in _WHOLES:
            if length != 2:  # none, or several values, or text
                return None
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

    The length is ``_UNKNOWN`` where no value representation stands in its place.
    """
    if not explicit:
        group, element, length = _IMPLICIT_ELEMENT(data, position)
        return group << 16 | element, length, position + 8
    group, element, vr, length = _EXPLICIT_ELEMENT(data, position)
    if vr in _SHORT_VRS:
        return group << 16 | element, length, position + 8
    if vr in _LONG_VRS:
        return group << 16 | element, _LENGTH(data, position + 8)[0], position + 12
    return group << 16 | element, _UNKNOWN, position


def _after_sequence(data: bytes, position: int, explicit: bool) -> int:
    """End of a sequence of undefined length; negative where it is none that we understand."""
    while True:
        group, element, length = _IMPLICIT_ELEMENT(data, position)  # items are alike everywhere
        position += 8
        if (group, element) == _SEQUENCE_END:
            return position
        if (group, element) != _ITEM:
            return -1
        if length != _UNDEFINED:
            position += length
            continue
        while data[position : position + 4] != _ITEM_END:
            _, length, position = _element(data, position, explicit)
            if length == _UNKNOWN:
                return -1
            if length == _UNDEFINED:
                position = _after_sequence(data, position, explicit)
                if position < 0:
                    return -1
            else:
                position += length
        position += 8


def _fields_by_pydicom(path: Path) -> Fields:
    import pydicom

    names = [*_TEXTS.values(), *_WHOLES.values()]
    tags = [*names, "ModalityLUTSequence"]
    try:
        header = load(path, stop_before_pixels=True, specific_tags=tags)
        found: Fields = {}
        for name in names:
            value = header.get(name)
            several = isinstance(value, (list, pydicom.multival.MultiValue))
            if value is not None:
                found[name] = "\\".join(map(str, value)) if several else str(value)
        if "ModalityLUTSequence" in header:
            found["ModalityLUTSequence"] = "present"
        found["TransferSyntaxUID"] = str(header.file_meta.get("TransferSyntaxUID", ""))
    except Exception as error:  # pydicom raises whatever it stumbles on in a damaged file
        raise ValueError(f"its header cannot be read ({last_line(error)})") from error
    if not found.get("SeriesInstanceUID"):
        raise ValueError("its header names no series")
    return found


def load(path: Path, **how: Any) -> pydicom.FileDataset:
    """A file by pydicom, which would inflate a deflated one to whatever size.

    Raises
    ------
    ValueError
        Where it inflates to more than a slice can have.
    Exception
        Whatever pydicom stumbles on in a damaged file.
    """
    import pydicom
    from pydicom.filereader import read_file_meta_info

    meta = read_file_meta_info(path)
    if meta.get("TransferSyntaxUID") == _DEFLATED:
        if plain_size(path) > _MOST_INFLATED:
            raise ValueError(f"has more than {_MOST_INFLATED} bytes, deflated")
        begins = _PREAMBLE + 4 + 12 + int(meta.FileMetaInformationGroupLength)
        inflate(path.read_bytes()[begins:], "deflate", _MOST_INFLATED)
    return pydicom.dcmread(path, **how)


def last_line(error: Exception) -> str:
    """The last line of an error's message, or the error's name."""
    return (str(error).strip() or type(error).__name__).splitlines()[-1]
