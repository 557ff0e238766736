"""Damaged DICOM files: a CT series of which one to three slices are odd."""

from __future__ import annotations

import os
import shutil
import struct
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
from numpy.typing import NDArray
from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset
from pydicom.uid import UID

from benchmark.formats.images import load
from scripts.fuzzing import images, sources
from tests.helpers.lidc_dicom import (
    FOUR,
    compress_by_itk,
    nodules_of,
    noise,
    outlined_slices,
    write_series,
)

Damage = Callable[[Path, np.random.Generator], None]

_NUMBERS = ("", "0", "-1", "1", "2", "nan", "1e400", "65535", "0.001", "-32768")
_FIELDS: dict[str, tuple[object, ...]] = {
    "Rows": (0, 1, 511, 65535), "Columns": (0, 1, 511, 65535),
    "BitsAllocated": (0, 1, 8, 12, 32, 64), "BitsStored": (0, 1, 8, 12, 17),
    "HighBit": (0, 7, 11, 31), "PixelRepresentation": (1, 2), "SamplesPerPixel": (0, 3),
    "PhotometricInterpretation": ("MONOCHROME1", "RGB", "", "PALETTE COLOR"),
    "RescaleSlope": _NUMBERS, "RescaleIntercept": _NUMBERS, "SliceThickness": _NUMBERS,
    "PixelPaddingValue": (0, 1024, 63536), "NumberOfFrames": _NUMBERS,
    "PixelSpacing": (["0", "0"], ["-1", "1"], ["0.7", "0.8"], ["nan", "nan"], "1", ""),
    "ImagePositionPatient": (["0", "0", "0"], ["nan"] * 3, ["1e30"] * 3, "", ["1", "2"]),
    "ImageOrientationPatient": (["1", "0", "0", "0", "-1", "0"], ["0"] * 6, ["nan"] * 6, ""),
    "InstanceNumber": _NUMBERS, "Modality": ("MR", "", "SEG"),
    "SeriesInstanceUID": ("1.2.3", "", "x" * 64), "PatientID": ("LIDC-IDRI-0001", ""),
    "SpecificCharacterSet": ("ISO_IR 100", "ISO 2022 IR 87", "none"),
}  # fmt: skip
_SYNTAXES = (
    "1.2.840.10008.1.2", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.5", "1.2.3.4", "",
)  # fmt: skip
_OTHER_VOXELS = {"bits", "pixel bits", "RescaleSlope", "RescaleIntercept", "PixelPaddingValue"}
"""Damage that may leave a sound file with other voxels: it has no checksum, or a header says so."""


def make_source(folder: Path) -> None:
    """A scan of four nodules, compressed in part, and beside it what is built of it."""
    scan, *_ = nodules_of(FOUR)

    def compress(header: Dataset, index: int) -> None:
        if index % 3 == 0:
            compress_by_itk(header)

    write_series(folder, scan, noise, change=compress)
    sources.command("build", "lidc", *_options(folder))


def commands(target: Path) -> list[list[str]]:
    """Argument lists of ``python -m benchmark``."""
    return [["build", "lidc", *_options(target)]]


def _options(folder: Path) -> list[str]:
    out = folder.with_name(f"{folder.name}-rois")
    return ["--dicom", str(folder), "--patients", FOUR, "--jobs", "1", "--out", str(out)]


def wrong(source: Path, target: Path, kind: str, arguments: list[str], status: int) -> str:
    """A voxel of image or mask that is not the one at its place in the good build.

    A crop may end earlier, at a slice that cannot be used.
    """
    if _OTHER_VOXELS & set(kind.split("+")):
        return ""
    good, built = (folder.with_name(f"{folder.name}-rois") for folder in (source, target))
    rows = pd.read_csv(built / "manifest.csv").set_index("roi_id")
    expected = pd.read_csv(good / "manifest.csv").set_index("roi_id")
    for roi_id, row in rows.iterrows():
        for column in ("image", "mask"):
            told = _differs(built / row[column], good / expected.loc[roi_id, column])
            if told:
                return f"{column} of {roi_id}: {told}"
    return ""


def _differs(built: Path, good: Path) -> str:
    (found, corner), (whole, origin) = _placed(built), _placed(good)
    at = corner - origin
    if (at < 0).any() or (at + found.shape > whole.shape).any():
        return "lies beyond the good one"
    there = whole[tuple(slice(a, a + n) for a, n in zip(at, found.shape, strict=True))]
    n_other = int((found != there).sum())
    return f"{n_other} of {found.size} voxels differ" if n_other else ""


def _placed(path: Path) -> tuple[NDArray[np.int16], NDArray[np.int64]]:
    """Voxels, and the number of voxels from the patient's origin to the first, by axis."""
    volume = load(path.parent, path.name, lambda: 1.0)
    place = volume.geometry
    steps = (place.axes @ place.origin_mm) / place.spacing_mm
    return volume.voxels, np.rint(steps).astype(np.int64)


def mutate(source: Path, target: Path, rng: np.random.Generator) -> str:
    """Link a series' files and damage one to three of them, mostly where a nodule lies.

    Parameters
    ----------
    source : Path
        A good series, as ``make_source`` writes it.
    target : Path
        New folder.
    rng : Generator

    Returns
    -------
    str
        The kinds of damage.
    """
    shutil.copytree(source, target, copy_function=os.link)
    files = sorted(target.rglob("*.dcm"), reverse=True)  # numbered from the head down
    slices = sorted({n for nodule in nodules_of(FOUR) for n in outlined_slices(nodule)})
    kinds = []
    for _ in range(rng.integers(1, 4)):
        anywhere = rng.random() < 0.2
        path = files[int(rng.integers(len(files)) if anywhere else rng.choice(slices))]
        kind = sorted(_DAMAGE)[rng.integers(len(_DAMAGE))]
        if path.is_file() and path.stat().st_nlink > 1:  # still the good one's
            content = path.read_bytes()
            path.unlink()
            path.write_bytes(content)
            _DAMAGE[kind](path, rng)
            kinds.append(kind)
    return "+".join(kinds)


def _field(name: str, path: Path, rng: np.random.Generator) -> None:
    header = pydicom.dcmread(path)
    if name == "TransferSyntaxUID":
        header.file_meta.TransferSyntaxUID = UID(_SYNTAXES[rng.integers(len(_SYNTAXES))])
    elif rng.random() < 0.2:
        header.pop(name, None)
    else:
        odd = _FIELDS[name]
        with suppress(ValueError, OverflowError):  # pydicom holds no such value
            header.add_new(name, dictionary_VR(name), odd[rng.integers(len(odd))])
    _save(header, path)


def _save(header: Dataset, path: Path) -> None:
    """Write a header as it is, also where it breaks DICOM's rules; a good one where it cannot."""
    good = path.read_bytes()
    try:
        header.save_as(path, enforce_file_format=False)
    except Exception:  # pydicom will not write such a value
        path.write_bytes(good)


def _pixels(path: Path, rng: np.random.Generator) -> None:
    header = pydicom.dcmread(path)
    pixels = header.PixelData
    much = b"\xff" * (64 << 20)
    changed = (b"", pixels[:-1], pixels[: len(pixels) // 2], pixels + b"\0\0", pixels + much)
    header.PixelData = changed[rng.integers(len(changed))]
    _save(header, path)


def _pixel_bits(path: Path, rng: np.random.Generator) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(rng.integers(1, 20)):
        content[int(rng.integers(2000, len(content)))] ^= 1 << int(rng.integers(8))
    path.write_bytes(content)


def _header_bits(path: Path, rng: np.random.Generator) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(rng.integers(1, 6)):
        content[int(rng.integers(1500))] ^= 1 << int(rng.integers(8))
    path.write_bytes(content)


def _length(path: Path, rng: np.random.Generator) -> None:
    """An element's length, or what stands in its place, is odd."""
    content = bytearray(path.read_bytes())
    odd = (0, 1, 0xFFFF, 0xFFFFFFFE, 0xFFFFFFFF)[rng.integers(5)]
    struct.pack_into("<I", content, int(rng.integers(130, 1400)), odd)
    path.write_bytes(content)


def _other_slice(path: Path, rng: np.random.Generator) -> None:
    others = sorted(one for one in path.parent.iterdir() if one.stat().st_nlink > 1)
    header, other = (pydicom.dcmread(one) for one in (path, others[rng.integers(len(others))]))
    header.ImagePositionPatient = other.ImagePositionPatient
    _save(header, path)


def _nested(path: Path, rng: np.random.Generator) -> None:
    """A sequence in a sequence in a sequence, of undefined lengths, perhaps without an end."""
    content = path.read_bytes()
    depth = int(rng.choice([3, 300, 30_000]))
    begin = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    end = b"\xfe\xff\x0d\xe0\0\0\0\0" + b"\xfe\xff\xdd\xe0\0\0\0\0"
    at = max(0, content.find(begin[:6]))
    path.write_bytes(
        content[:at] + begin * depth + end * depth * int(rng.integers(2)) + content[at:]
    )


_DAMAGE: dict[str, Damage] = {
    **{name: partial(_field, name) for name in (*_FIELDS, "TransferSyntaxUID")},
    "bits": _header_bits, "pixel bits": _pixel_bits, "pixels": _pixels,
    "length": _length,
    "another's place": _other_slice, "nested": _nested, "truncated": images.truncate,
    "something else": images.something_else, "sparse": images.sparse,
}  # fmt: skip
