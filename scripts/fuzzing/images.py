"""Damaged images: a small ROI dataset of which one to three files are odd."""

from __future__ import annotations

import gzip
import os
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from scripts.fuzzing import sources
from scripts.fuzzing.reading import READ_DATASET

Damage = Callable[[Path, np.random.Generator], None]

_FIELDS = (  # byte and format, of NIfTI-1
    (0, "i"), (40, "h"), (42, "h"), (44, "h"), (46, "h"), (48, "h"), (70, "h"), (72, "h"),
    (76, "f"), (80, "f"), (84, "f"), (88, "f"), (108, "f"), (123, "B"),
    (252, "h"), (254, "h"), (256, "f"), (260, "f"), (264, "f"), (268, "f"), (280, "f"), (292, "f"),
    (296, "f"), (316, "f"), (344, "i"),
)  # fmt: skip
_SCALE = ((112, "f"), (116, "f"))  # what the header says of them is what the voxels are
_TEXT_VALUES = (
    b"", b"0", b"-1", b"nan", b"1e999", b"99999999999", b"30000 30000 30000", b"none", b"\xff\xfe",
    b"LOCAL", b"LIST", b"../a.raw", b"/dev/zero", b"%d.raw", b"1 0 0", b"gzip", b"float",
)  # fmt: skip


make_source = sources.make_dataset

_OTHER_VOXELS = {"bits", "flipped", "scale"}
"""Damage that may leave a sound file with other voxels: it has no checksum, or a header says so."""

_FITS = 1 << 29


def commands(target: Path) -> list[list[str]]:
    """Reading, and argument lists of ``python -m benchmark`` that are quick."""
    read = [READ_DATASET, str(target), f"{target}-read"]
    run = ["run", "--dataset", str(target), *sources.QUICK, "--out", f"{target}-run"]
    return [read, ["audit", str(target), "--out", f"{target}-audit", "--jobs", "1"], run]


def wrong(source: Path, target: Path, kind: str, arguments: list[str], status: int) -> str:
    """A ROI that is not the good one's, where the damage cannot have made it so."""
    if arguments[0] != READ_DATASET or _OTHER_VOXELS & set(kind.split("+")):
        return ""
    found, good = (pd.read_parquet(f"{folder}-read") for folder in (target, source))
    changed = found.index[found["content"] != good["content"].reindex(found.index)]
    return f"other voxels, mask or spacing of {list(changed)}" if len(changed) else ""


def mutate(source: Path, target: Path, rng: np.random.Generator) -> str:
    """Copy a dataset and damage one to three of its images and masks.

    Parameters
    ----------
    source : Path
        A good dataset: a folder with ``manifest.csv``.
    target : Path
        New folder.
    rng : Generator

    Returns
    -------
    str
        The kinds of damage.
    """
    shutil.copytree(source, target)
    files = sorted(path for path in target.rglob("*") if path.name.lower().endswith(_SUFFIXES))
    kinds = []
    for _ in range(rng.integers(1, 4)):
        path = files[rng.integers(len(files))]
        text = path.name.lower().endswith(_TEXT_HEADERS)
        headless = path.suffix.lower() == ".img"  # of which every other byte may be a voxel
        possible = _ANY | (_OF_TEXT if text else {} if headless else _OF_NIFTI)
        kind = sorted(possible)[rng.integers(len(possible))]
        if can_be_damaged(path):
            possible[kind](path, rng)
            kinds.append(kind)
    return "+".join(kinds)


def can_be_damaged(path: Path) -> bool:
    """Whether a file is one that fits in memory, and no link that leads out of its folder."""
    return not path.is_symlink() and path.is_file() and path.stat().st_size <= _FITS


def _of_content(change: Callable[[bytearray, np.random.Generator], bytes]) -> Damage:
    """Damage of what a file holds, decompressed where it is."""

    def damage(path: Path, rng: np.random.Generator) -> None:
        content = path.read_bytes()
        packed = content.startswith(b"\x1f\x8b")
        try:
            changed = change(bytearray(gzip.decompress(content) if packed else content), rng)
        except (OSError, EOFError, zlib.error):  # damaged already
            return
        path.write_bytes(gzip.compress(changed, 1) if packed else changed)

    return damage


def _field(content: bytearray, rng: np.random.Generator) -> bytes:
    return _with_odd(content, *_FIELDS[rng.integers(len(_FIELDS))], rng)


def _scale(content: bytearray, rng: np.random.Generator) -> bytes:
    return _with_odd(content, *_SCALE[rng.integers(len(_SCALE))], rng)


def _with_odd(content: bytearray, at: int, kind: str, rng: np.random.Generator) -> bytes:
    odd: tuple[float, ...]
    if kind == "f":
        odd = (0.0, -1.0, float("nan"), float("inf"), 1e30, 1e-30, 0.5)
    else:
        top = 1 << 8 * struct.calcsize(kind) - 1
        odd = (0, 1, 2, 7, 64, 255, top - 1) if kind == "B" else (0, 1, -1, 8, 512, -top, top - 1)
    if len(content) >= at + 4:
        struct.pack_into(f"<{kind}", content, at, odd[rng.integers(len(odd))])
    return bytes(content)


def _flip(content: bytearray, rng: np.random.Generator) -> bytes:
    for _ in range(rng.integers(1, 20)):
        if content:
            content[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
    return bytes(content)


def _swell(content: bytearray, rng: np.random.Generator) -> bytes:
    return bytes(content) + bytes(int(rng.choice([1, 1000, 3 << 20, 300 << 20])))


def _swap(content: bytearray, rng: np.random.Generator) -> bytes:
    for at in range(0, min(len(content), 348) - 1, 2):
        content[at], content[at + 1] = content[at + 1], content[at]
    return bytes(content)


def _text_value(content: bytearray, rng: np.random.Generator) -> bytes:
    lines = bytes(content).split(b"\n")
    headed = [n for n, line in enumerate(lines[:30]) if b"=" in line or b": " in line]
    if headed:
        n = headed[rng.integers(len(headed))]
        mark = b"=" if b"=" in lines[n] else b":"
        lines[n] = lines[n].partition(mark)[0] + mark + b" " + rng.choice(np.array(_TEXT_VALUES))
    return b"\n".join(lines)


def _text_line(content: bytearray, rng: np.random.Generator) -> bytes:
    lines = bytes(content).split(b"\n")
    n = int(rng.integers(min(len(lines), 15)))
    lines[n : n + 1] = [] if rng.random() < 0.5 else [lines[n]] * 2
    return b"\n".join(lines)


def truncate(path: Path, rng: np.random.Generator) -> None:
    os.truncate(path, int(rng.integers(path.stat().st_size + 1)))


def _bits(path: Path, rng: np.random.Generator) -> None:
    path.write_bytes(_flip(bytearray(path.read_bytes()), rng))


def something_else(path: Path, rng: np.random.Generator) -> None:
    path.unlink()
    (
        path.mkdir,
        lambda: os.mkfifo(path),
        lambda: path.symlink_to("/dev/zero"),
        lambda: path.symlink_to("/dev/stdin"),
        lambda: path.symlink_to(path.name),
        lambda: path.symlink_to("/etc/hostname"),
        lambda: path.write_bytes(b""),
        lambda: path.write_bytes(rng.bytes(1000)),
        lambda: None,
    )[rng.integers(9)]()


def sparse(path: Path, rng: np.random.Generator) -> None:
    os.truncate(path, int(rng.choice([1 << 22, 8 << 30])))


def _other_suffix(path: Path, rng: np.random.Generator) -> None:
    other = path.with_name(path.name.split(".")[0] + str(rng.choice(np.array(_SUFFIXES))))
    content = path.read_bytes()
    path.unlink()
    other.write_bytes(content)
    manifest = next(folder / "manifest.csv" for folder in path.parents if _has_manifest(folder))
    text = manifest.read_text("utf-8").replace(path.name, other.name)
    manifest.write_text(text, "utf-8")


def _has_manifest(folder: Path) -> bool:
    return (folder / "manifest.csv").is_file()


_SUFFIXES = (".nii", ".nii.gz", ".hdr", ".img", ".mha", ".mhd", ".nrrd", ".nhdr")
_TEXT_HEADERS = (".mha", ".mhd", ".nrrd", ".nhdr")
_ANY: dict[str, Damage] = {
    "truncated": truncate, "bits": _bits, "something else": something_else, "sparse": sparse,
    "other suffix": _other_suffix, "longer": _of_content(_swell), "flipped": _of_content(_flip),
}  # fmt: skip
_OF_NIFTI: dict[str, Damage] = {
    "field": _of_content(_field), "scale": _of_content(_scale), "byte order": _of_content(_swap),
}  # fmt: skip
_OF_TEXT: dict[str, Damage] = {"value": _of_content(_text_value), "line": _of_content(_text_line)}
