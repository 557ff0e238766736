"""ROIs made of the same pixels, found by content: another mask, crop, id, rounding or a shift.

Round nodules look alike, so a small picture alone tells nothing. Fine detail and noise tell two
copies of one scan from two look-alikes. So a thumbnail of the nodule's surroundings, in physical
units, is freed of its coarse structure and its local contrast, and the rest is correlated over
small shifts. ``scripts/calibrate_near_duplicates.py`` measures the threshold,
``results/near_duplicates.md`` holds the figures.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark.cohort.splits import Split
from benchmark.roi import Roi

Descriptor = NDArray[np.uint8]
Floats = NDArray[np.float32]
Places = NDArray[np.int32]

THRESHOLD = 0.85
"""Similarity from which two ROIs count as made of the same pixels."""

SIDE = 24
"""Side of a thumbnail, in pixels of 1 mm."""

_BLUR_MM = 0.6
_RANGE_HU = (-1000.0, 400.0)
_COARSE_MM = 1.5
_LOCAL_MM = 3.0
_FLOOR_HU = 15.0
"""Local contrast below this, in HU, may be rounding: it is not raised to the level of the rest."""
_REACH = 2  # pixels of 1 mm that two masks' centres may lie apart, along each axis
_MIN_OVERLAP = 150  # pixels that both must show
MAX_ROIS = 10_000
"""Most ROIs among which a run seeks pairs: time grows with the square, to minutes here.

With more, a run seeks none, and says so.
"""
_TINY = np.float32(1e-9)
_BLOCK = 256  # ROIs compared with all others at a time


@dataclass(frozen=True)
class Pair:
    """Two ROIs of the same pixels, by id in ascending order, and their similarity, up to 1."""

    roi_a: str
    roi_b: str
    similarity: float


def descriptor(roi: Roi) -> Descriptor:
    """A thumbnail of the ROI's surroundings, made without its label.

    Returns
    -------
    ndarray, shape (SIDE, SIDE), uint8
        1 mm pixels around the centre of the mask in its largest slice (of the middle slice
        where there is no mask): 1 to 255 for HU of -1000 to 400, 0 where the image does not
        reach.
    """
    if roi.outline is None:
        z = roi.image.shape[0] // 2
        centre = [n / 2 for n in roi.image.shape[1:]]
    else:
        z = int(roi.outline.sum(axis=(1, 2)).argmax())
        centre = [float(np.mean(where)) + 0.5 for where in np.nonzero(roi.outline[z])]
    (rows, has_row), (columns, has_column) = (
        _kernel(n, mm, pixels)
        for n, mm, pixels in zip(roi.image.shape[1:], roi.spacing_mm[1:], centre, strict=True)
    )
    low, high = _RANGE_HU
    thumbnail = rows @ np.clip(roi.image[z], low, high) @ columns.T
    codes = np.rint((thumbnail - low) / (high - low) * 254) + 1
    return np.where(np.outer(has_row, has_column), codes, 0).astype(np.uint8)


def _kernel(n: int, spacing_mm: float, centre: float) -> tuple[Floats, NDArray[np.bool_]]:
    """Gaussian resampling of an axis to SIDE points of 1 mm, and a mask of the points it covers."""
    points_mm = np.arange(SIDE) - (SIDE - 1) / 2 + centre * spacing_mm
    pixels_mm = (np.arange(n) + 0.5) * spacing_mm
    weights = np.exp(-0.5 * ((points_mm[:, None] - pixels_mm) / _BLUR_MM) ** 2)
    covered = (points_mm >= 0) & (points_mm <= n * spacing_mm)
    total = np.maximum(weights.sum(axis=1, keepdims=True), 1e-12)
    return np.where(covered[:, None], weights / total, 0).astype(np.float32), covered


def too_many(n: int) -> str:
    """The reason why near-duplicates of ``n`` ROIs are not sought; empty where they are."""
    if n <= MAX_ROIS:
        return ""
    return f"not sought: {n} ROIs, and time grows with the square; the limit is {MAX_ROIS}"


def find(roi_ids: Sequence[str], descriptors: Sequence[Descriptor]) -> list[Pair]:
    """The rows of :func:`find_table`."""
    return [Pair(*row) for row in find_table(roi_ids, descriptors).itertuples(index=False)]


def find_table(roi_ids: Sequence[str], descriptors: Sequence[Descriptor]) -> pd.DataFrame:
    """All pairs with a similarity of at least ``THRESHOLD``, most similar first.

    Time grows with the square of the number of ROIs; memory with their number, and by less than
    100 bytes a pair.

    Parameters
    ----------
    roi_ids : sequence of str, length n
    descriptors : sequence of ndarray, length n
        Thumbnails, as :func:`descriptor` gives them.

    Returns
    -------
    DataFrame
        The fields of :class:`Pair`, one pair a row.
    """
    order = np.argsort(np.asarray(roi_ids))
    names = np.array(roi_ids, dtype=object)[order]
    first, second, similarity = _alike([descriptors[i] for i in order])
    ranked = np.lexsort((second, first, -similarity))
    return pd.DataFrame({
        "roi_a": names[first[ranked]], "roi_b": names[second[ranked]],
        "similarity": similarity[ranked].astype(np.float64),
    })  # fmt: skip


def _alike(descriptors: Sequence[Descriptor]) -> tuple[Places, Places, Floats]:
    """Pairs that are similar enough: places of the first and the second, and similarities."""
    found = [(np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.float32))]
    if len(descriptors) > 1:
        for start, block in _blocks(np.stack(descriptors)):
            i, j = (each.astype(np.int32) for each in np.nonzero(np.triu(block >= THRESHOLD, 1)))
            found.append((start + i, start + j, np.minimum(block[i, j], np.float32(1))))
    first, second, similarity = (np.concatenate(each) for each in zip(*found, strict=True))
    return first, second, similarity


def similarities(thumbnails: Descriptor) -> Floats:
    """Similarity of every two thumbnails, shape (n, n); the part below the diagonal stays 0.

    It is -1 where two thumbnails show too little in common.
    """
    whole = np.zeros((len(thumbnails), len(thumbnails)), np.float32)
    for start, block in _blocks(thumbnails):
        whole[start : start + len(block), start:] = block
    return whole


def _blocks(thumbnails: Descriptor) -> Iterator[tuple[int, Floats]]:
    """Blocks of rows, each with its first row: similarities to all thumbnails from that row on."""
    detail, shown = _detail(thumbnails)
    others = _flat(detail), _flat(detail) ** 2, _flat(shown)
    for start in range(0, len(thumbnails), _BLOCK):
        rows = slice(start, start + _BLOCK)
        yield start, _similarity(detail[rows], shown[rows], *(each[start:] for each in others))


def _detail(thumbnails: Descriptor) -> tuple[Floats, Floats]:
    """Fine structure at even contrast, and 1 where there is a picture, shapes (n, SIDE, SIDE)."""
    shown = (thumbnails > 0).astype(np.float32)
    low, high = _RANGE_HU
    hu = (thumbnails.astype(np.float32) - 1) * np.float32((high - low) / 254) * shown
    fine = (hu - _average(hu, shown, _COARSE_MM)) * shown
    variance = _average(fine * fine, shown, _LOCAL_MM)
    even = fine / (np.sqrt(variance) + np.float32(_FLOOR_HU))
    return np.asarray(even, np.float32), shown


def _average(stack: Floats, shown: Floats, sigma_mm: float) -> Floats:
    """Gaussian average of what is shown around each pixel."""
    from scipy.ndimage import gaussian_filter

    total, weight = (
        gaussian_filter(each, (0, sigma_mm, sigma_mm), mode="constant", truncate=3)
        for each in (stack, shown)
    )
    return np.asarray(total / np.maximum(weight, _TINY), np.float32)


def _shift(stack: Floats, dy: int, dx: int) -> Floats:
    moved = np.zeros_like(stack)
    n = SIDE
    moved[:, max(dy, 0) : n + min(dy, 0), max(dx, 0) : n + min(dx, 0)] = stack[
        :, max(-dy, 0) : n - max(dy, 0), max(-dx, 0) : n - max(dx, 0)
    ]
    return moved


def _flat(stack: Floats) -> Floats:
    return stack.reshape(len(stack), -1)


def _similarity(
    detail: Floats, shown: Floats, other: Floats, other_squared: Floats, other_shown: Floats
) -> Floats:
    """Highest correlation over the shifts of the rows, on what both show.

    ``other`` and what follows it are flat: one row a thumbnail.
    """
    best = np.full((len(detail), len(other)), -1, np.float32)
    for dy in range(-_REACH, _REACH + 1):
        for dx in range(-_REACH, _REACH + 1):
            moved, moved_shown = (_flat(_shift(each, dy, dx)) for each in (detail, shown))
            norms = (moved**2 @ other_shown.T) * (moved_shown @ other_squared.T)
            enough = moved_shown @ other_shown.T >= _MIN_OVERLAP
            products = moved @ other.T
            values = np.where(enough, products / np.sqrt(np.maximum(norms, _TINY)), -1)
            np.maximum(best, values, out=best)
    return best


def across(splits: Sequence[Split], pairs: Sequence[Pair]) -> tuple[int, list[Pair]]:
    """Pairs that cross from training into test.

    Returns
    -------
    int
        Tested ROIs, over all splits, whose near-duplicate was trained on.
    list of Pair
        The pairs that some split separates, each once.
    """
    tested = 0
    parted: dict[Pair, None] = {}
    for split in splits:
        train, test = set(split.train), set(split.test)
        concerned: set[str] = set()
        for pair in pairs:
            for one, other in ((pair.roi_a, pair.roi_b), (pair.roi_b, pair.roi_a)):
                if one in test and other in train:
                    concerned.add(one)
                    parted[pair] = None
        tested += len(concerned)
    return tested, list(parted)
