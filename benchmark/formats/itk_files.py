"""MetaImage (.mha, .mhd) and NRRD (.nrrd, .nhdr) files, read by ITK once their header is sound.

ITK crashes on some headers, fills in 1 mm where a size is missing, the identity where directions
are, and gives what it has of compressed voxels that are damaged, or that a MetaImage holds without
CompressedDataSize; it knows no bzip2. So the header is checked before it sees the file, and the
voxels that it sees are decompressed.
"""

from __future__ import annotations

import math
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.formats.files import SLACK_BYTES, START_BYTES, inflate, voxel_bytes
from benchmark.formats.geometry import Stored

_HEADER_LIMIT = START_BYTES
_META_BYTES = {
    "MET_CHAR": 1, "MET_UCHAR": 1, "MET_SHORT": 2, "MET_USHORT": 2, "MET_INT": 4, "MET_UINT": 4,
    "MET_LONG_LONG": 8, "MET_ULONG_LONG": 8, "MET_FLOAT": 4, "MET_DOUBLE": 8,
}  # fmt: skip
"""Bytes of a voxel; MET_LONG and MET_ULONG are left out, as their size depends on the writer."""

_NRRD_BYTES = {
    **dict.fromkeys(("signed char", "int8", "int8_t", "uchar", "unsigned char", "uint8",
                     "uint8_t"), 1),
    **dict.fromkeys(("short", "short int", "signed short", "signed short int", "int16", "int16_t",
                     "ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"), 2),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t", "uint", "unsigned int", "uint32",
                     "uint32_t", "float"), 4),
    **dict.fromkeys(("longlong", "long long", "long long int", "signed long long",
                     "signed long long int", "int64", "int64_t", "ulonglong",
                     "unsigned long long", "unsigned long long int", "uint64", "uint64_t",
                     "double"), 8),
}  # fmt: skip

_SPACES = (
    "left-posterior-superior", "lps", "right-anterior-superior", "ras", "left-anterior-superior",
    "las",
)  # fmt: skip
_ENCODINGS = {"gzip": "gzip", "gz": "gzip", "bzip2": "bzip2", "bz2": "bzip2", "raw": "raw"}
"""NRRD's encodings that are read, and what they are."""


@dataclass(frozen=True)
class _Header:
    """What must hold of a file before ITK reads it.

    Attributes
    ----------
    n_voxels, voxel_bytes : int
        Of them, not compressed.
    encoding : {"raw", "zlib", "gzip", "bzip2"}
    data_file : str
        Name of the file beside it that holds the voxels; empty where it holds them itself.
    starts : int
        Byte at which they begin where it holds them itself.
    """

    n_voxels: int
    voxel_bytes: int
    encoding: str
    data_file: str
    starts: int


def read(
    name: str, content_of: Callable[[str, Callable[[bytes], int]], bytes], roi_voxels: int
) -> Stored:
    """Voxels and place of a file.

    Parameters
    ----------
    name : str
        Its name; the suffix says the format.
    content_of : callable
        Content of a file in the same folder, by its name and the most bytes that it may have, by
        its beginning.
    roi_voxels : int
        Most voxels that are read.

    Raises
    ------
    ValueError
        Where the header lacks a size or a direction, contradicts itself or is of a kind that is
        not read here, and where the voxels are damaged.
    """
    meta = name.lower().endswith((".mha", ".mhd"))
    parse = _meta_header if meta else _nrrd_header

    def declared(header: _Header) -> int:
        return voxel_bytes(header.n_voxels, header.voxel_bytes, roi_voxels)

    def most(start: bytes) -> int:
        header = parse(start)
        return SLACK_BYTES + (0 if header.data_file else declared(header))

    content = content_of(name, most)
    header = parse(content)
    expected = declared(header)
    voxels = content[header.starts :]
    if header.data_file:
        voxels = content_of(header.data_file, lambda _: expected + SLACK_BYTES)
    if header.encoding != "raw":
        voxels = inflate(voxels, header.encoding, expected)
    if len(voxels) != expected:
        raise ValueError(f"is damaged: {len(voxels)} bytes of voxels, {expected} by its header")
    plain = (_plain_meta if meta else _plain_nrrd)(content[: header.starts])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "plain.mha" if meta else "plain.nrrd")
        path.write_bytes(plain + voxels)
        return _with_itk(path, "MetaImageIO" if meta else "NrrdImageIO")


def _plain_meta(header: bytes) -> bytes:
    """The header of the same voxels where they stand behind it as they are."""
    lines = header.split(b"\n")
    told = (b"CompressedData", b"CompressedDataSize", b"ElementDataFile", b"")
    kept = [line for line in lines if line.partition(b"=")[0].strip() not in told]
    return b"\n".join([*kept, b"ElementDataFile = LOCAL", b""])


def _plain_nrrd(header: bytes) -> bytes:
    """The header of the same voxels where they stand behind it as they are."""
    told = (b"encoding", b"data file", b"datafile", b"")
    kept = [
        line for line in header.splitlines() if line.partition(b":")[0].strip().lower() not in told
    ]
    return b"\n".join([*kept, b"encoding: raw", b"", b""])


def _with_itk(path: Path, reader: str) -> Stored:
    import SimpleITK as sitk

    try:
        image = sitk.ReadImage(str(path), imageIO=reader)
    except RuntimeError as error:
        raise ValueError(f"cannot be read ({str(error).strip().splitlines()[-1]})") from error
    if image.GetNumberOfComponentsPerPixel() != 1:
        raise ValueError("has several values a voxel; it must have one")
    voxels = sitk.GetArrayFromImage(image)
    n = image.GetDimension()
    n_axes = min(n, 3)
    turned = np.reshape(image.GetDirection(), (n, n))[:n_axes, :n_axes]
    axes, origin = np.eye(3), np.zeros(3)
    axes[:n_axes, :n_axes] = turned.T
    origin[:n_axes] = image.GetOrigin()[:n_axes]
    spacing = image.GetSpacing()[:n_axes][::-1]
    return Stored(voxels.reshape(voxels.shape[-n_axes:]), spacing, origin, axes[::-1])


def _meta_header(content: bytes) -> _Header:
    """Header of a MetaImage file: ``key = value`` a line, ElementDataFile being the last."""
    fields: dict[str, str] = {}
    starts = 0
    while "ElementDataFile" not in fields:
        end = content.find(b"\n", starts, _HEADER_LIMIT)
        if end < 0:
            raise ValueError("is no MetaImage: its header does not end with ElementDataFile")
        key, _, value = content[starts:end].decode("latin-1").partition("=")
        _put(fields, key.strip(), value.strip())
        starts = end + 1
    sizes = _sizes(fields, "NDims", "DimSize")
    n = len(sizes)
    _numbers(fields, "ElementSpacing" if "ElementSpacing" in fields else "ElementSize", n)
    _numbers(fields, _first(fields, "TransformMatrix", "Rotation", "Orientation"), n * n)
    _numbers(fields, _first(fields, "Offset", "Position", "Origin"), n)
    if fields.get("ElementNumberOfChannels", "1") != "1":
        raise ValueError("has several values a voxel; it must have one")
    if fields.get("BinaryData", "True").lower() != "true" or fields.get("HeaderSize", "0") != "0":
        raise ValueError("stores voxels as text or at an offset (BinaryData, HeaderSize)")
    compressed = fields.get("CompressedData", "False").lower() == "true"
    data_file = "" if fields["ElementDataFile"] == "LOCAL" else fields["ElementDataFile"]
    return _Header(
        math.prod(sizes), _known(fields, "ElementType", _META_BYTES),
        "zlib" if compressed else "raw", _beside(data_file), starts,
    )  # fmt: skip


def _nrrd_header(content: bytes) -> _Header:
    """Header of a NRRD file: ``field: value`` a line, up to an empty one."""
    if not content.startswith(b"NRRD000"):
        raise ValueError("is not NRRD: it does not begin with NRRD000")
    found = re.search(rb"\r?\n\r?\n", content[:_HEADER_LIMIT])
    text = content[: found.start() if found else _HEADER_LIMIT].decode("latin-1")
    fields: dict[str, str] = {}
    for line in text.splitlines()[1:]:
        key, colon, value = line.partition(": ")
        if colon and not line.startswith("#") and ":=" not in key:
            _put(fields, key.strip().lower(), value.strip())
    if found is None and "data file" not in fields and "datafile" not in fields:
        raise ValueError("is damaged: its header does not end")
    sizes = _sizes(fields, "dimension", "sizes")
    space = fields.get("space", "")
    # ITK writes no space for planes.
    plane = len(sizes) == 2 and fields.get("space dimension") == "2"
    if space.lower() not in _SPACES and not plane:
        raise ValueError(
            f"has the space '{space}'; left-posterior-superior, right-anterior-superior or "
            "left-anterior-superior must say where its voxels lie"
        )
    n = min(len(sizes), 3)
    _numbers(fields, "space directions", n * n)
    _numbers(fields, "space origin", n)
    for unit in re.findall(r'"([^"]*)"', fields.get("space units", "")):
        if unit.strip().lower() not in ("mm", "millimeter", "millimetre"):
            raise ValueError(f"has the space unit '{unit}'; mm is needed")
    for skip in ("line skip", "lineskip", "byte skip", "byteskip"):
        if fields.get(skip, "0") != "0":
            raise ValueError(f"has {skip} {fields[skip]}; voxels must begin behind the header")
    encoding = fields.get("encoding", "").lower()
    if encoding not in _ENCODINGS:
        raise ValueError(f"has the encoding '{encoding}'; raw, gzip and bzip2 are read")
    n_bytes = _known(fields, "type", _NRRD_BYTES)
    data_file = fields.get("data file", fields.get("datafile", ""))
    starts = found.end() if found else len(content)
    return _Header(math.prod(sizes), n_bytes, _ENCODINGS[encoding], _beside(data_file), starts)


def _put(fields: dict[str, str], key: str, value: str) -> None:
    if key in fields:
        raise ValueError(f"says {key} twice")
    fields[key] = value


def _sizes(fields: Mapping[str, str], dimension: str, sizes: str) -> list[int]:
    """Voxels along x, y, z; a fourth axis may have one."""
    n, found = fields.get(dimension, ""), fields.get(sizes, "").split()
    if n not in ("2", "3", "4") or not all(re.fullmatch("[0-9]{1,9}", each) for each in found):
        raise ValueError(
            f"has {dimension} '{n}' and {sizes} '{fields.get(sizes, '')}'; two to four axes of "
            "whole numbers are needed"
        )
    values = [int(each) for each in found]
    if len(values) != int(n) or min(values) < 1:
        raise ValueError(f"has {dimension} {n} and {sizes} '{fields[sizes]}'; they must agree")
    if values[3:] not in ([], [1]):
        raise ValueError(f"has {n} dimensions; it must have two or three")
    return values


def _numbers(fields: Mapping[str, str], key: str, n: int) -> None:
    """Check that a field has as many finite numbers."""
    words = re.sub(r"[(),]", " ", fields.get(key, "")).split()
    if not words:
        raise ValueError(f"has no {key}; nothing else says where its voxels lie and how large")
    try:
        values = [float(word) for word in words if word != "none"]
    except ValueError:
        values = [math.nan]
    if len(values) != n or not all(map(math.isfinite, values)):
        raise ValueError(f"has {key} '{fields[key]}'; {n} finite numbers are needed")


def _first(fields: Mapping[str, str], *keys: str) -> str:
    """The first key that is there, else the first of all."""
    return next((key for key in keys if key in fields), keys[0])


def _known(fields: Mapping[str, str], key: str, known: Mapping[str, Any]) -> int:
    value = fields.get(key, "")
    if value not in known:
        raise ValueError(f"has the {key} '{value}', which is not read here")
    return int(known[value])


def _beside(name: str) -> str:
    """Check that the file that holds the voxels is one file of the same folder."""
    if name.startswith("LIST") or "%" in name or re.search(r"[/\\ ]|^\.", name):
        raise ValueError(f"has its voxels in '{name}'; one file in the same folder is read")
    return name
