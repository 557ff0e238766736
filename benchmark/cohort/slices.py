"""Single slices in place of nodules: each ROI gives several cases.

Published comparisons often sample images a slice at a time and split them at random, so that
slices of one nodule stand on both sides. With ``slices`` and ``splits.group = none`` a run does
the same, declared leaky, and ``audit RUN_DIR`` measures what it adds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from benchmark.roi import Roi, RoiDataset, RoiRecord
from benchmark.runtime.progress import Progress
from benchmark.runtime.workers import Workers

MIN_AREA = 0.5
"""Least share of the largest slice's area: a nodule's caps are a voxel or two, and no picture."""

_ROI, _INDEX = "slice_of", "slice_index"


@dataclass(frozen=True)
class SliceLoader:
    """Reads one slice of a ROI; picklable."""

    read: Callable[[RoiRecord], Roi]

    def __call__(self, record: RoiRecord) -> Roi:
        """The slice, shape (1, y, x)."""
        roi = self.read(replace(record, roi_id=record.attributes[_ROI]))
        index = int(record.attributes[_INDEX])
        plane = slice(index, index + 1)
        outline = None if roi.outline is None else roi.outline[plane]
        readers = tuple(mask[plane] for mask in roi.reader_outlines if mask[plane].any())
        return Roi(record, roi.image[plane], outline, roi.spacing_mm, readers)


def cut(dataset: RoiDataset, per_roi: int, workers: Workers, progress: Progress) -> RoiDataset:
    """A dataset whose ROIs are slices of the given one's.

    Parameters
    ----------
    dataset : RoiDataset
    per_roi : int
        Most slices of a ROI. They are spread evenly over the slices where its mask has at least
        ``MIN_AREA`` of its area in the largest slice (over all slices where it has no mask). The
        id of a slice is ``ROI@INDEX``.
    workers : Workers
    progress : Progress

    Raises
    ------
    ValueError
        For a ROI that cannot be read.
    """
    chosen = workers.map(partial(_choose, dataset.read, per_roi), dataset.records, batch=16)
    records: list[RoiRecord] = []
    for number, (record, indices) in enumerate(zip(dataset.records, chosen, strict=True), start=1):
        for index in indices:
            of = {_ROI: record.roi_id, _INDEX: str(index)}
            records.append(
                replace(
                    record,
                    roi_id=f"{record.roi_id}@{index:03}",
                    attributes={**record.attributes, **of},
                )
            )
        progress.update("Choosing slices", number, len(dataset.records))
    note = f"Each ROI is one of up to {per_roi} slices of a nodule, and a case of its own"
    return replace(
        dataset,
        records=tuple(records),
        read=SliceLoader(dataset.read),
        notes=(*dataset.notes, note),
    )


def _choose(read: Callable[[RoiRecord], Roi], per_roi: int, record: RoiRecord) -> list[int]:
    roi = read(record)
    if roi.outline is None:
        usable = np.arange(roi.image.shape[0])
    else:
        area = roi.outline.sum(axis=(1, 2))
        usable = np.flatnonzero(area >= MIN_AREA * area.max())
    n = min(per_roi, len(usable))
    # The middles of n equal stretches: one slice is the middle one, not the first.
    places = (np.arange(n) + 0.5) * len(usable) / n
    return [int(usable[int(place)]) for place in places]
