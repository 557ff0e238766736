"""NIfTI files: bytes that are the same for the same voxels, and the way back, with their place.

nibabel reads every NIfTI file, but takes ten times as long for a nodule, and its import takes as
long as a hundred nodules; plain files are read here. What a header says of sizes and places is
taken from all its fields together: where they contradict each other, the file is refused.
"""

from __future__ import annotations

import io
import math
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmark.formats.files import voxel_bytes
from benchmark.formats.geometry import Stored, in_words

_HEADER_BYTES, _VOXELS_AT = 348, 352
HEADER_BYTES = 540
"""Bytes of the longest header, that of NIfTI-2."""

_MOST_BEFORE_VOXELS = 1 << 24  # extensions, which hold DICOM headers at most
_TYPES = {"int16": 4, "uint8": 2}
_SCANNER, _MM = 1, 2
_PLAIN: dict[int, np.dtype[Any]] = {
    2: np.dtype("<u1"),
    4: np.dtype("<i2"),
    8: np.dtype("<i4"),
    16: np.dtype("<f4"),
    64: np.dtype("<f8"),
}
_GZIP = zlib.MAX_WBITS | 16

_AGREEMENT = 0.01
"""Relative difference up to which two statements of a voxel's size are one."""

_SAME_PLACE = 0.5
"""Voxels by which qform and sform may place the first voxel apart."""

_ROUNDING = 3 * float(np.finfo(np.float32).eps)
"""Value of 1 - b^2 - c^2 - d^2 that rounding makes of 0; nibabel has the same."""


class _Fields(NamedTuple):
    """Fields of a header that say where voxels lie, by their names in nifti1.h."""

    pixdim: tuple[float, ...]
    units: int
    qform_code: int
    sform_code: int
    quaternion: tuple[float, ...]
    offset: tuple[float, ...]
    srow: tuple[float, ...]


@dataclass(frozen=True)
class Grid:
    """Place of the voxels in the patient, in DICOM's axes (left, posterior, superior).

    Attributes
    ----------
    spacing_mm : tuple of three floats
        Voxel size along (z, y, x).
    origin_mm : sequence of three floats
        Centre of the first voxel.
    orientation : sequence of six floats
        DICOM's ImageOrientationPatient: directions of rising x and of rising y. z rises
        towards the head.
    """

    spacing_mm: tuple[float, float, float]
    origin_mm: Sequence[float]
    orientation: Sequence[float]

    def affine(self) -> NDArray[np.float64]:
        """Matrix from voxel (x, y, z) to mm in NIfTI's axes (right, anterior, superior), (3, 4)."""
        along_z, along_y, along_x = self.spacing_mm
        columns = [
            np.array(self.orientation[:3]) * along_x,
            np.array(self.orientation[3:]) * along_y,
            np.array((0.0, 0.0, along_z)),
            np.array(self.origin_mm),
        ]
        return np.stack(columns, axis=1) * [[-1.0], [-1.0], [1.0]]


def encode(voxels: NDArray[Any], grid: Grid, description: str) -> bytes:
    """The bytes of a ``.nii.gz``.

    Parameters
    ----------
    voxels : ndarray of int16 or uint8, shape (z, y, x)
    grid : Grid
    description : str
        Text of at most 79 ASCII characters.
    """
    depth, height, width = voxels.shape
    header = bytearray(_VOXELS_AT)
    put = struct.pack_into
    put("<i", header, 0, _HEADER_BYTES)
    put("<8h", header, 40, 3, width, height, depth, 1, 1, 1, 1)
    put("<2h", header, 70, _TYPES[voxels.dtype.name], 8 * voxels.itemsize)
    put("<8f", header, 76, 1.0, *grid.spacing_mm[::-1], 0.0, 0.0, 0.0, 0.0)
    put("<f", header, 108, _VOXELS_AT)
    put("<B", header, 123, _MM)
    put("<79s", header, 148, description.encode("ascii"))
    put("<2h", header, 252, 0, _SCANNER)
    put("<12f", header, 280, *grid.affine().ravel())
    put("<4s", header, 344, b"n+1\0")
    content = bytes(header) + voxels.astype(voxels.dtype.newbyteorder("<")).tobytes()
    # CT noise hardly repeats itself: runs alone take half the time of level 1, a seventh of
    # level 6, for files that are 2 and 3 % larger. zlib's gzip header holds no time.
    stream = zlib.compressobj(1, wbits=_GZIP, strategy=zlib.Z_RLE)
    return stream.compress(content) + stream.flush()


def declared_bytes(header: bytes, roi_voxels: int) -> int:
    """Bytes that a header declares, up to the last voxel.

    Raises
    ------
    ValueError
        Where it is no header, or declares what cannot be or more than may be read.
    """
    for order in "<>":
        if header[:4] == struct.pack(f"{order}i", 348) and len(header) >= 348:
            n_axes, *sides = struct.unpack_from(f"{order}8h", header, 40)
            (bits,) = struct.unpack_from(f"{order}h", header, 72)
            (offset,) = struct.unpack_from(f"{order}f", header, 108)
        elif header[:4] == struct.pack(f"{order}i", 540) and len(header) >= 540:
            (bits,) = struct.unpack_from(f"{order}h", header, 14)
            n_axes, *sides = struct.unpack_from(f"{order}8q", header, 16)
            (offset,) = struct.unpack_from(f"{order}q", header, 168)
        else:
            continue
        sides = sides[: max(n_axes, 0)]
        if not 1 <= n_axes <= 7 or min(sides) < 1:
            raise ValueError(f"has {n_axes} dimensions of {sides}; one to seven above 0 are needed")
        if not 0 <= offset <= _MOST_BEFORE_VOXELS:
            raise ValueError(
                f"has its voxels at byte {offset:g}; they must begin in the first "
                f"{_MOST_BEFORE_VOXELS}"
            )
        return int(offset) + voxel_bytes(math.prod(sides), bits / 8, roi_voxels)
    raise ValueError("is not NIfTI: it begins with none of its headers, of 348 and 540 bytes")


def read(header: bytes, voxels: bytes | None = None) -> Stored:
    """Voxels and place of a NIfTI-1 or NIfTI-2 file.

    Parameters
    ----------
    header : bytes
        Of a ``.nii``, or of the ``.hdr`` of a pair; not compressed.
    voxels : bytes, optional
        Of the ``.img`` of a pair.

    Raises
    ------
    ValueError
        Where the file is damaged or holds no single numbers, and where what it says of place and
        size is missing or contradicts itself.
    """
    if voxels is None and (plain := _plain(header)) is not None:
        return plain
    values, fields = _with_nibabel(header, voxels)
    if values.dtype.kind not in "iuf":
        raise ValueError(f"has values of type {_kind(values.dtype)}; one number a voxel is needed")
    return _stored(values.T, fields)


def _stored(values: NDArray[Any], fields: _Fields) -> Stored:
    """Voxels (z, y, x), or (y, x), with what the header says of their place."""
    n_axes = min(values.ndim, 3)
    if any(n != 1 for n in values.shape[:-3]):
        raise ValueError(f"has {values.ndim} dimensions; it must have two or three")
    return Stored(values.reshape(values.shape[-n_axes:]), *_place(fields, n_axes))


@lru_cache(maxsize=16)
def _place(
    fields: _Fields, n_axes: int
) -> tuple[tuple[float, ...], NDArray[np.float64], NDArray[np.float64]]:
    """Spacing, origin and axes, as ``Stored`` has them. An image and its mask share a header."""
    affine = _affine(fields, n_axes)
    spacing = np.linalg.norm(affine[:, :3], axis=0)
    # NIfTI's axes point right and to the front, DICOM's left and to the back.
    directions = (affine[:, :3] / np.where(spacing > 0, spacing, 1)).T[::-1] * (-1, -1, 1)
    origin = affine[:, 3] * (-1, -1, 1)
    unit_mm = _unit_mm(fields.units)
    stored = np.array(fields.pixdim[1:4]) * unit_mm
    origin_mm = origin * unit_mm
    for shared in (origin_mm, directions):
        shared.flags.writeable = False
    return tuple(stored[n_axes - 1 :: -1].tolist()), origin_mm, directions


def _affine(fields: _Fields, n_axes: int) -> NDArray[np.float64]:
    """Matrix from voxel (x, y, z) to position, in the file's unit and axes, shape (3, 4).

    The sform where there is one, else the qform; where both are, they must agree.
    """
    sides = np.array(fields.pixdim[1:4], np.float64)
    if not (np.isfinite(sides[:n_axes]).all() and (sides[:n_axes] > 0).all()):
        raise ValueError(
            f"has voxels of {in_words(sides[n_axes - 1 :: -1])} (pixdim, z to x); sizes must be "
            "positive numbers"
        )
    if fields.sform_code <= 0 and fields.qform_code <= 0:
        raise ValueError(
            "has neither sform nor qform (both codes are 0), so nothing says where its voxels lie "
            "and how large they are; write it again with its affine"
        )
    if fields.sform_code <= 0:
        return _qform(fields)
    sform = np.reshape(np.array(fields.srow, np.float64), (3, 4))
    by_sform = np.linalg.norm(sform[:, :n_axes], axis=0)
    if not (np.abs(by_sform - sides[:n_axes]) <= _AGREEMENT * sides[:n_axes]).all():
        raise ValueError(
            f"has voxels of {in_words(sides[n_axes - 1 :: -1])} by pixdim and of "
            f"{in_words(by_sform[::-1])} by its sform (z to x); they must agree to 1 %"
        )
    if fields.qform_code > 0:
        qform = _qform(fields)
        turned = np.abs((sform - qform)[:, :n_axes] / sides[:n_axes]).max()
        moved = np.linalg.norm((sform - qform)[:, 3])
        if not (turned <= _AGREEMENT and moved <= _SAME_PLACE * sides[:n_axes].min()):
            raise ValueError(
                f"has a qform and an sform whose axes differ by {turned:.2g} and whose origins lie "
                f"{moved:.4g} apart; they must agree to {_AGREEMENT} and half a voxel"
            )
    return sform


def _qform(fields: _Fields) -> NDArray[np.float64]:
    """Matrix of the quaternion, offsets and pixdim: method 2 of nifti1.h."""
    b, c, d = np.array(fields.quaternion, np.float64)
    squared = 1 - b * b - c * c - d * d
    if squared < -_ROUNDING:
        raise ValueError("has a quaternion (b, c, d) longer than 1")
    a = math.sqrt(squared) if squared > _ROUNDING else 0.0
    rotation = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    handed = -1.0 if fields.pixdim[0] < 0 else 1.0
    sides = np.array(fields.pixdim[1:4], np.float64) * (1, 1, handed)
    return np.column_stack([rotation * sides, fields.offset])


def _unit_mm(units: int) -> float:
    """Millimetres of the header's unit of length; a file that names none means mm."""
    known = {0: 1.0, 1: 1e3, 2: 1.0, 3: 1e-3}
    code = units & 7
    if code not in known:
        raise ValueError(f"has the unit of length {code}; NIfTI knows 1 (m), 2 (mm) and 3 (micron)")
    return known[code]


def _kind(dtype: np.dtype[Any]) -> str:
    return "RGB" if dtype.names else dtype.name


def _with_nibabel(header: bytes, voxels: bytes | None) -> tuple[NDArray[Any], _Fields]:
    import nibabel as nib
    from nibabel.fileholders import FileHolder

    second = header[4:7] in (b"n+2", b"ni2")
    magic = header[4:7] if second else header[344:347]
    if magic not in (b"n+1", b"ni1", b"n+2", b"ni2"):
        raise ValueError("is not NIfTI: its header lacks n+1, ni1, n+2 or ni2")
    if (voxels is None) != magic.startswith(b"n+"):
        raise ValueError(f"has the magic {magic.decode()}, which is not that of its suffix")
    if voxels is None:
        whole: Any = nib.Nifti2Image if second else nib.Nifti1Image
        image = whole.from_bytes(header)
    else:
        pair: Any = nib.Nifti2Pair if second else nib.Nifti1Pair
        image = pair.from_file_map(
            {
                "header": FileHolder(fileobj=io.BytesIO(header)),
                "image": FileHolder(fileobj=io.BytesIO(voxels)),
            }
        )
    raw = image.header
    fields = _Fields(
        pixdim=tuple(map(float, raw["pixdim"])),
        units=int(raw["xyzt_units"]),
        qform_code=int(raw["qform_code"]),
        sform_code=int(raw["sform_code"]),
        quaternion=tuple(float(raw[f"quatern_{each}"]) for each in "bcd"),
        offset=tuple(float(raw[f"qoffset_{each}"]) for each in "xyz"),
        srow=tuple(float(value) for each in "xyz" for value in raw[f"srow_{each}"]),
    )
    return np.asanyarray(image.dataobj), fields


def _plain(content: bytes) -> Stored | None:
    """A plain NIfTI-1 file: three axes, little-endian, values not rescaled; else None.

    nibabel reads the others, or says what is wrong.
    """
    if len(content) < _VOXELS_AT:
        return None
    (header_bytes,) = struct.unpack_from("<i", content)
    dimensions = struct.unpack_from("<8h", content, 40)
    type_code, bits = struct.unpack_from("<2h", content, 70)
    voxels_at, slope, intercept = struct.unpack_from("<3f", content, 108)
    if type_code not in _PLAIN:
        return None
    dtype = _PLAIN[type_code]
    n = math.prod(dimensions[1:4])
    plain = (
        header_bytes == _HEADER_BYTES
        and content[344:348] == b"n+1\0"
        and dimensions[0] == 3
        and min(dimensions[1:4]) > 0
        and bits == 8 * dtype.itemsize
        and voxels_at == _VOXELS_AT
        # A slope of 0 says that there is none.
        and (slope == 0 or (slope, intercept) == (1, 0))
        and len(content) >= _VOXELS_AT + n * dtype.itemsize
    )
    if not plain:
        return None
    turn = struct.unpack_from("<6f", content, 256)
    qform_code, sform_code = struct.unpack_from("<2h", content, 252)
    fields = _Fields(
        pixdim=struct.unpack_from("<8f", content, 76),
        units=content[123],
        qform_code=qform_code,
        sform_code=sform_code,
        quaternion=turn[:3],
        offset=turn[3:],
        srow=struct.unpack_from("<12f", content, 280),
    )
    voxels = np.frombuffer(content, dtype, n, _VOXELS_AT)
    return _stored(voxels.reshape(dimensions[3:0:-1]), fields)
