"""Damaged tables: a small ROI dataset of which the manifest is odd in one to three places."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from scripts.fuzzing import images, sources
from scripts.fuzzing.reading import READ_DATASET

make_source = sources.make_dataset
commands = images.commands

Cells = list[list[str]]

_VALUES = (
    "", " ", "0", "1", "2", "-1", "1.0", "1,5", "nan", "NA", "null", "1e400", "9" * 400, "1 2 3",
    "1;2;3", "6", "\u0661", "\u00bd", "e\u0301", "\u00e9", "\u202eabc", "\ufeff", "\x00",
    "\x1b[31m", "\U0001f600", "'", '"', '""', "a\nb", "a\r", "=1+1", "../x.nii", "/etc/passwd",
    "/dev/zero", ".", "..", "~", "images", "manifest.csv", "http://localhost/x.nii", "file:///etc/passwd",
    "a" * 5000,     "x/" * 3000, "synthetic", "acquired", "TRAIN", "test", "C:\\x.nii",
)  # fmt: skip
_NAMES = (
    "", "label", "LABEL", "malignancy_ratings", "intensities", "split", "slice_thickness_mm",
    "pylidc_annotation_id", "reader_masks", "series_instance_uid", "roi_id", "manifest_row",
    "index", "subtlety", "image ", "\ufeffroi_id",
)  # fmt: skip


_OTHER_MEANING = {"cell", "column", "name", "lost cell", "exchanged", "flipped", "inserted"}
"""Damage that may leave a sound table which says something else."""


def wrong(source: Path, target: Path, kind: str, arguments: list[str], status: int) -> str:
    """A ROI with another patient, label or image than the good one's, where no cell says so."""
    if arguments[0] != READ_DATASET or _OTHER_MEANING & set(kind.split("+")):
        return ""
    found, good = (pd.read_parquet(f"{folder}-read") for folder in (target, source))
    same = found.equals(good.reindex(found.index))
    return "" if same else f"another patient, label or image: {found.compare(good)}"


def mutate(source: Path, target: Path, rng: np.random.Generator) -> str:
    """Copy a dataset and damage its manifest one to three times.

    Parameters
    ----------
    source : Path
        A good dataset: a folder with ``manifest.csv``, written plainly.
    target : Path
        New folder.
    rng : Generator

    Returns
    -------
    str
        The kinds of damage.
    """
    shutil.copytree(source, target)
    manifest = target / "manifest.csv"
    cells = [line.split(",") for line in manifest.read_text("utf-8").splitlines()]
    kinds = []
    for _ in range(rng.integers(1, 4)):
        kind = sorted(_OF_CELLS)[rng.integers(len(_OF_CELLS))]
        _OF_CELLS[kind](cells, rng)
        kinds.append(kind)
    content = "\n".join(map(",".join, cells)).encode("utf-8", "surrogatepass")
    if rng.random() < 0.5:
        kind = sorted(_OF_BYTES)[rng.integers(len(_OF_BYTES))]
        content = _OF_BYTES[kind](content, rng)
        kinds.append(kind)
    manifest.write_bytes(content)
    return "+".join(kinds)


def _cell(cells: Cells, rng: np.random.Generator) -> None:
    row = cells[rng.integers(len(cells))]
    if row:
        row[rng.integers(len(row))] = _VALUES[rng.integers(len(_VALUES))]


def _column(cells: Cells, rng: np.random.Generator) -> None:
    at = int(rng.integers(len(cells[0]) + 1))
    value = _VALUES[rng.integers(len(_VALUES))]
    for row in cells:
        row.insert(at, value)
    cells[0][at] = _NAMES[rng.integers(len(_NAMES))]


def _name(cells: Cells, rng: np.random.Generator) -> None:
    cells[0][rng.integers(len(cells[0]))] = _NAMES[rng.integers(len(_NAMES))]


def _lost_cell(cells: Cells, rng: np.random.Generator) -> None:
    row = cells[rng.integers(len(cells))]
    if len(row) > 1:
        del row[rng.integers(len(row))]


def _row_again(cells: Cells, rng: np.random.Generator) -> None:
    cells.insert(int(rng.integers(len(cells) + 1)), list(cells[rng.integers(len(cells))]))


def _lost_row(cells: Cells, rng: np.random.Generator) -> None:
    if len(cells) > 1:
        del cells[rng.integers(len(cells))]


def _exchanged(cells: Cells, rng: np.random.Generator) -> None:
    one, other = (cells[rng.integers(len(cells))] for _ in range(2))
    a, b = rng.integers(len(one) or 1), rng.integers(len(other) or 1)
    if one and other:
        one[a], other[b] = other[b], one[a]


def _flip(content: bytes, rng: np.random.Generator) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.integers(1, 10)):
        changed[rng.integers(len(changed))] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _encoding(content: bytes, rng: np.random.Generator) -> bytes:
    name = ("utf-16", "utf-16-le", "utf-8-sig", "utf-32", "cp037", "latin-1")[rng.integers(6)]
    return content.decode("utf-8", "replace").encode(name, "replace")


def _separators(content: bytes, rng: np.random.Generator) -> bytes:
    return content.replace(b",", (b";", b"\t", b"|", b",,", b", ", b"\0")[rng.integers(6)])


def _line_ends(content: bytes, rng: np.random.Generator) -> bytes:
    ends = (b"\r\n", b"\r", b"\n\n", b"\n\r", b"\x0b", b"\xe2\x80\xa8")
    return content.replace(b"\n", ends[rng.integers(6)])


def _inserted(content: bytes, rng: np.random.Generator) -> bytes:
    at = int(rng.integers(len(content) + 1))
    odd = (
        b'"',
        b"'",
        b"\0",
        b"\xff",
        b"sep=;\n",
        b"#",
        b"," * 100_000,
        b"a" * 200_000,
        b"\n" * 9999,
    )
    return content[:at] + odd[rng.integers(len(odd))] + content[at:]


def _cut(content: bytes, rng: np.random.Generator) -> bytes:
    return content[: rng.integers(len(content) + 1)]


_OF_CELLS: dict[str, Callable[[Cells, np.random.Generator], None]] = {
    "cell": _cell, "column": _column, "name": _name, "lost cell": _lost_cell,
    "row again": _row_again, "lost row": _lost_row, "exchanged": _exchanged,
}  # fmt: skip
_OF_BYTES: dict[str, Callable[[bytes, np.random.Generator], bytes]] = {
    "flipped": _flip, "encoding": _encoding, "separators": _separators, "line ends": _line_ends,
    "inserted": _inserted, "cut": _cut,
}  # fmt: skip
