"""Files that are not trusted: memory and time follow what a header may declare."""

from __future__ import annotations

import bz2
import gzip
import os
import struct
import time
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmark.datasets.manifest import open_dataset
from benchmark.formats import images, nifti
from benchmark.formats.files import Access
from benchmark.formats.text import read_toml
from tests.helpers.volumes import write_volume

VOXELS = np.arange(4 * 6 * 8, dtype=np.int16).reshape(4, 6, 8)
GRID = nifti.Grid((2.0, 0.5, 0.5), (0.0, 0.0, 0.0), (1, 0, 0, 0, 1, 0))
PLAIN = gzip.decompress(nifti.encode(VOXELS, GRID, "test"))
ZEROS = bytes(100 << 20)
MHA = b"\n".join(
    [
        b"NDims = 3", b"DimSize = 8 6 4", b"ElementSpacing = 1 1 1", b"Offset = 0 0 0",
        b"TransformMatrix = 1 0 0 0 1 0 0 0 1", b"ElementType = MET_SHORT",
        b"CompressedData = True", b"ElementDataFile = LOCAL", b"",
    ]
)  # fmt: skip
NRRD = b"\n".join(
    [
        b"NRRD0004", b"type: short", b"dimension: 3", b"space: left-posterior-superior",
        b"sizes: 8 6 4", b"space directions: (1,0,0) (0,1,0) (0,0,1)",
        b"space origin: (0,0,0)", b"endian: little", b"encoding: ENCODING", b"", b"",
    ]
)  # fmt: skip


def packed(content: bytes) -> bytes:
    stream = zlib.compressobj(1, wbits=31)
    return stream.compress(content) + stream.flush()


def with_header(at: int, fmt: str, *values: float) -> bytes:
    content = bytearray(PLAIN)
    struct.pack_into(fmt, content, at, *values)
    return bytes(content)


def version_2(order: str, n_axes: int, *sides: int, offset: int = 544) -> bytes:
    """A NIfTI-2 header of 16 bits a voxel."""
    content = bytearray(544)
    struct.pack_into(f"{order}i8s", content, 0, 540, b"n+2\0\r\n\x1a\n")
    struct.pack_into(f"{order}2h", content, 12, 4, 16)
    struct.pack_into(f"{order}8q", content, 16, n_axes, *sides, *[1] * (7 - len(sides)))
    struct.pack_into(f"{order}q", content, 168, offset)
    return bytes(content)


def sparse(path: Path, start: bytes, size: int = 20 << 30) -> None:
    path.write_bytes(start)
    os.truncate(path, size)


def detached(path: Path) -> None:
    header = MHA.replace(b"True", b"False").replace(b"LOCAL", b"voxels.raw")
    path.write_bytes(header)
    sparse(path.parent / "voxels.raw", b"")


def written(make: Callable[[], bytes]) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(make())


ODD: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "gzip": ("a.nii.gz", written(lambda: packed(PLAIN + ZEROS)), "inflates to more than"),
    "members": (
        "a.nii.gz", written(lambda: packed(PLAIN) + packed(ZEROS)), "inflates to more than",
    ),
    "half of a pair": (
        "a.hdr.gz", written(lambda: packed(PLAIN[:348] + ZEROS)), "inflates to more than",
    ),
    "trailing": ("a.nii", lambda path: sparse(path, PLAIN), "its header allow"),
    "trailing zip": (
        "a.nii.gz", lambda path: sparse(path, packed(PLAIN)), "its header allow",
    ),
    "sides": ("a.nii", written(lambda: with_header(42, "<3h", 30000, 30000, 30000)), "declares 27"),
    "negative": ("a.nii", written(lambda: with_header(42, "<h", -8)), "above 0 are needed"),
    "axes": ("a.nii", written(lambda: with_header(40, "<h", 1000)), "1000 dimensions"),
    "version 2": (
        "a.nii", written(lambda: version_2(">", 4, 30000, 30000, 30000)), "voxels of 2 bytes",
    ),
    "version 2 axes": ("a.nii", written(lambda: version_2("<", 8)), "has 8 dimensions"),
    "version 2 offset": (
        "a.nii", written(lambda: version_2("<", 3, 8, 6, 4, offset=1 << 40)), "at byte 1.09951e+12",
    ),
    "offset": ("a.nii", written(lambda: with_header(108, "<f", 1e30)), "at byte 1e+30"),
    "offset nan": ("a.nii", written(lambda: with_header(108, "<f", float("nan"))), "at byte nan"),
    "bits": ("a.nii", written(lambda: with_header(72, "<h", 32000)), "of 4000 bytes"),
    "meta": ("a.mha", written(lambda: MHA + zlib.compress(ZEROS, 1)), "inflates to more than"),
    "meta sides": (
        "a.mha", written(lambda: MHA.replace(b"8 6 4", b"30000 30000 30000")), "declares 27",
    ),
    "meta trailing": ("a.mha", lambda path: sparse(path, MHA), "its header allow"),
    "meta detached": ("a.mhd", detached, "its header allow"),
    "nrrd": (
        "a.nrrd", written(lambda: NRRD.replace(b"ENCODING", b"gzip") + packed(ZEROS)),
        "inflates to more than",
    ),
    "nrrd bzip2": (
        "a.nrrd", written(lambda: NRRD.replace(b"ENCODING", b"bzip2") + bz2.compress(ZEROS, 1)),
        "inflates to more than",
    ),
    "pipe": ("a.nii", os.mkfifo, "no plain file"),
    "device": ("a.nii.gz", lambda path: path.symlink_to("/dev/zero"), "no plain file"),
}  # fmt: skip


@pytest.mark.parametrize("case", ODD)
def test_images_that_would_take_all_memory_or_wait_for_ever(tmp_path: Path, case: str) -> None:
    name, make, message = ODD[case]
    make(tmp_path / name)
    before = time.process_time()
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=message.replace("+", r"\+")):
            images.load(tmp_path, name, lambda: 1.0, Access(outside=True))
        assert tracemalloc.get_traced_memory()[1] < 1 << 26
    finally:
        tracemalloc.stop()
    assert time.process_time() - before < 10


def test_a_small_file_may_have_some_bytes_more(tmp_path: Path) -> None:
    for name, content in (
        ("a.nii", PLAIN),
        ("b.nii.gz", packed(PLAIN + bytes(1000))),
        ("c.nii.gz", packed(PLAIN) + bytes(1000)),
        ("d.mha", MHA + ZLIB + b"more"),
    ):
        (tmp_path / name).write_bytes(content)
        np.testing.assert_array_equal(
            images.load(tmp_path, name, lambda: 1.0).voxels.astype(int).sum(), VOXELS.sum()
        )


ZLIB, GZIP, BZIP2 = (
    pack(VOXELS.astype("<i2").tobytes()) for pack in (zlib.compress, gzip.compress, bz2.compress)
)
SIZED = MHA.replace(b"CompressedData = True", b"CompressedData = True\nCompressedDataSize = 99999")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.mha", MHA + ZLIB),
        ("a.mha", SIZED + ZLIB),
        ("a.nrrd", NRRD.replace(b"ENCODING", b"gzip") + GZIP),
        ("a.nrrd", NRRD.replace(b"ENCODING", b"bzip2") + BZIP2),
    ],
    ids=["no CompressedDataSize", "another CompressedDataSize", "gzip", "bzip2"],
)
def test_compressed_voxels_are_the_plain_ones(tmp_path: Path, name: str, content: bytes) -> None:
    """ITK gives other voxels of the first, cannot read the second, and knows no bzip2."""
    (tmp_path / name).write_bytes(content)
    np.testing.assert_array_equal(images.load(tmp_path, name, lambda: 1.0).voxels, VOXELS)


def test_the_limit_is_a_setting(tmp_path: Path) -> None:
    (tmp_path / "a.nii").write_bytes(PLAIN)
    images.load(tmp_path, "a.nii", lambda: 1.0, Access(roi_voxels=VOXELS.size))
    with pytest.raises(ValueError, match=r"192 voxels .* at most 191 .*limits\.roi_voxels"):
        images.load(tmp_path, "a.nii", lambda: 1.0, Access(roi_voxels=VOXELS.size - 1))


def pair(folder: Path) -> None:
    header = PLAIN[:344] + b"ni1\0"
    (folder / "p.hdr").write_bytes(header[:108] + struct.pack("<f", 0) + header[112:])
    (folder.parent / "p.img").write_bytes(PLAIN[352:])
    (folder / "p.img").symlink_to(folder.parent / "p.img")


def mhd(folder: Path) -> None:
    (folder / "d.mhd").write_bytes(MHA.replace(b"True", b"False").replace(b"LOCAL", b"d.raw"))
    (folder.parent / "d.raw").write_bytes(VOXELS.tobytes())
    (folder / "d.raw").symlink_to(folder.parent / "d.raw")


OUTSIDE: dict[str, tuple[str, Callable[[Path], object]]] = {
    "above": ("../a.nii", lambda folder: None),
    "absolute": ("ABSOLUTE", lambda folder: None),
    "link": ("l.nii", lambda folder: (folder / "l.nii").symlink_to("../a.nii")),
    "folder": ("there/a.nii", lambda folder: (folder / "there").symlink_to("..")),
    "pair": ("p.hdr", pair),
    "detached": ("d.mhd", mhd),
}


@pytest.mark.parametrize("case", OUTSIDE)
def test_what_lies_outside_is_read_where_that_is_allowed(tmp_path: Path, case: str) -> None:
    name, make = OUTSIDE[case]
    folder = tmp_path / "rois"
    folder.mkdir()
    (tmp_path / "a.nii").write_bytes(PLAIN)
    make(folder)
    name = name.replace("ABSOLUTE", str(tmp_path / "a.nii"))
    with pytest.raises(ValueError, match=r"outside of the manifest's folder.*--allow-outside"):
        images.load(folder, name, lambda: 1.0)
    read = images.load(folder, name, lambda: 1.0, Access(outside=True)).voxels
    assert sorted(read.ravel().tolist()) == sorted(VOXELS.ravel().tolist())


def test_a_link_within_the_folder_is_read(tmp_path: Path) -> None:
    write_volume(tmp_path / "store/a.nii", VOXELS)
    (tmp_path / "link").symlink_to("store")
    images.load(tmp_path, "link/../store/a.nii", lambda: 1.0)
    images.load(tmp_path, "link/a.nii", lambda: 1.0)


HEADER = b"roi_id,patient_id,image,mask,label"
TABLES: dict[str, tuple[Callable[[Path], object], str]] = {
    "large": (lambda path: sparse(path, HEADER), "bytes, and its kind"),
    "long line": (
        lambda path: path.write_bytes(HEADER + b"\n" + b"a" * (1 << 25)), "cannot be read"
    ),
    "columns": (
        lambda path: path.write_bytes(
            HEADER + b"".join(b",c%d" % n for n in range(1_000_000)) + b"\na,b,c,d,1\n"
        ),
        "values, not",
    ),
    "cells": (lambda path: path.write_bytes(HEADER + b"\na" + b"," * 20_000_000), "cells"),
    "blank": (lambda path: path.write_bytes(b"\n" * (60 << 20)), "cells|no column"),
    "NUL": (lambda path: path.write_bytes(HEADER + b"\n\0,a,b,c,1\n"), "NUL"),
    "pipe": (os.mkfifo, "no such file"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "no such file"),
}  # fmt: skip


@pytest.mark.parametrize("case", TABLES)
def test_tables_that_would_take_all_memory_or_wait_for_ever(tmp_path: Path, case: str) -> None:
    make, message = TABLES[case]
    make(tmp_path / "manifest.csv")
    before = time.process_time()
    with pytest.raises(ValueError, match=message):
        open_dataset(tmp_path / "manifest.csv")
    assert time.process_time() - before < 20  # others use the machine


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (os.mkfifo, "no plain file"),
        (lambda path: path.symlink_to("/dev/zero"), "no plain file"),
        (lambda path: path.mkdir(), "Is a directory"),
        (lambda path: sparse(path, b"a = 1"), "bytes, and its kind"),
        (lambda path: path.write_bytes(b"a = " + b"[" * 100_000), "not TOML"),
    ],
)
def test_toml_likewise(tmp_path: Path, make: Callable[[Path], object], message: str) -> None:
    make(tmp_path / "profile.toml")
    with pytest.raises(ValueError, match=f"profile: .*{message}"):
        read_toml(tmp_path / "profile.toml", "profile")
