"""Image files of every format that is read: suffixes, compression, voxels with their place."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.formats import itk_files, nifti
from benchmark.formats.geometry import Stored, Volume

if TYPE_CHECKING:
    from upath import UPath

_NIFTI, _PAIR = (".nii", ".nii.gz"), (".hdr", ".hdr.gz", ".img", ".img.gz")
_ITK = (".mha", ".mhd", ".nrrd", ".nhdr")
SUFFIXES = (*_NIFTI, *_PAIR, *_ITK)
"""Suffixes that are read, in any case: NIfTI, alone and in pairs, MetaImage and NRRD."""


def load(path: Path | UPath, slice_thickness_mm: Callable[[], float]) -> Volume:
    """An image or a mask, in canonical order.

    Parameters
    ----------
    path : Path or UPath
    slice_thickness_mm : callable
        Asked for where the file is a plane, which becomes one slice.

    Raises
    ------
    OSError
        Where the file, or the other half of a pair, cannot be read.
    ValueError
        For everything else that makes its voxels, sizes or places doubtful.
    """
    name = path.name.lower()
    if not name.endswith(SUFFIXES):
        raise ValueError(
            f"is none of the formats that are read ({', '.join(SUFFIXES)}); other images, such as "
            "PNG, carry no HU and no millimetres"
        )
    if name.endswith(_ITK):
        stored = itk_files.read(
            path.name, path.read_bytes(), lambda other: (path.parent / other).read_bytes()
        )
    else:
        stored = _nifti(path)
    thickness = slice_thickness_mm() if stored.voxels.ndim == 2 else 0.0
    return stored.placed(thickness).canonical()


def _nifti(path: Path | UPath) -> Stored:
    if path.name.lower().endswith(_NIFTI):
        return nifti.read(_content(path))
    header, voxels = (_content(_sibling(path, kind)) for kind in ("hdr", "img"))
    return nifti.read(header, voxels)


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


def _content(path: Path | UPath) -> bytes:
    """The content of a file, decompressed where it is."""
    content = path.read_bytes()
    if not content.startswith(b"\x1f\x8b"):
        if path.name.lower().endswith(".gz"):
            raise ValueError("is named .gz and is not gzip")
        return content
    try:
        return gzip.decompress(content)
    except (zlib.error, OSError, EOFError) as error:
        raise ValueError(f"is damaged: {str(error) or type(error).__name__}") from error
