"""Image files of every format that is read: suffixes, compression, voxels with their place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.formats import files, itk_files, nifti
from benchmark.formats.geometry import Stored, Volume

if TYPE_CHECKING:
    from upath import UPath

_NIFTI, _PAIR = (".nii", ".nii.gz"), (".hdr", ".hdr.gz", ".img", ".img.gz")
_GZIP = b"\x1f\x8b"
_Read = Callable[["Path | UPath", Callable[[bytes], int]], bytes]
_ITK = (".mha", ".mhd", ".nrrd", ".nhdr")
SUFFIXES = (*_NIFTI, *_PAIR, *_ITK)
"""Suffixes that are read, in any case: NIfTI, alone and in pairs, MetaImage and NRRD."""


def load(
    folder: Path | UPath,
    name: str,
    slice_thickness_mm: Callable[[], float],
    access: files.Access = files.DEFAULT_ACCESS,
) -> Volume:
    """An image or a mask, in canonical order.

    Parameters
    ----------
    folder : Path or UPath
        Of the manifest.
    name : str
        Path of the file, from there.
    slice_thickness_mm : callable
        Asked for where the file is a plane, which becomes one slice.
    access : Access, optional

    Raises
    ------
    OSError
        Where the file, or the other half of a pair, cannot be read.
    ValueError
        For everything else that makes its voxels, sizes or places doubtful.
    """
    path = folder / name
    kind = path.name.lower()
    if not kind.endswith(SUFFIXES):
        raise ValueError(
            f"is none of the formats that are read ({', '.join(SUFFIXES)}); other images, such as "
            "PNG, carry no HU and no millimetres"
        )

    def read(part: Path | UPath, most: Callable[[bytes], int]) -> bytes:
        if not access.outside:
            files.check_inside(part, name, folder)
        return files.read(part, most)

    if kind.endswith(_ITK):
        stored = itk_files.read(
            path.name, lambda other, most: read(path.parent / other, most), access.roi_voxels
        )
    else:
        stored = _nifti(path, read, access.roi_voxels)
    thickness = slice_thickness_mm() if stored.voxels.ndim == 2 else 0.0
    return stored.placed(thickness).canonical()


def _nifti(path: Path | UPath, read: _Read, roi_voxels: int) -> Stored:
    whole = path.name.lower().endswith(_NIFTI)

    def most(start: bytes) -> int:
        if start.startswith(_GZIP):
            start = files.beginning(start, "gzip", nifti.HEADER_BYTES)
        return nifti.declared_bytes(start, roi_voxels) + files.SLACK_BYTES

    header_at = path if whole else _sibling(path, "hdr")
    header = _plain(header_at, read(header_at, most if whole else _a_header), most)
    if whole:
        return nifti.read(header)
    declared = most(header)
    voxels_at = _sibling(path, "img")
    content = read(voxels_at, lambda _: declared)
    return nifti.read(header, _plain(voxels_at, content, lambda _: declared))


def _a_header(_: bytes) -> int:
    return files.SLACK_BYTES


def _sibling(path: Path | UPath, kind: str) -> Path | UPath:
    """The half of a pair that has the voxels (``img``) or says what they are (``hdr``)."""
    stem, dot, last = path.name.rpartition(".")
    if last.lower() == "gz":
        stem, _, own = stem.rpartition(".")
        ending = f"{kind}.{last}"
    else:
        own, ending = last, kind
    if own.lower() == kind:
        return path
    return path.parent / f"{stem}{dot}{ending.upper() if own.isupper() else ending}"


def _plain(path: Path | UPath, content: bytes, most: Callable[[bytes], int]) -> bytes:
    """The content of a file, decompressed where it is, to no more than it may have."""
    if content.startswith(_GZIP):
        return files.inflate(content, "gzip", most(content))
    if path.name.lower().endswith(".gz"):
        raise ValueError("is named .gz and is not gzip")
    most(content)
    return content
