"""Slices of a nodule: which are taken, and what each keeps of its ROI."""

from __future__ import annotations

import numpy as np
import pytest

from benchmark.cohort import slices
from benchmark.roi import Roi, RoiDataset, RoiRecord
from benchmark.runtime.workers import LocalWorkers

AREAS = (1, 3, 4, 8, 7, 4, 3)
"""Of the seven slices' masks; half of the largest is 4."""


class Silent:
    def update(self, task: str, done: float, total: float) -> None: ...


def read(record: RoiRecord) -> Roi:
    """Four rows and six columns of which each slice is told by its values."""
    mask = np.zeros((len(AREAS), 4, 6), bool)
    for z, area in enumerate(AREAS):
        mask[z].flat[:area] = True
    image = np.arange(mask.size, dtype=np.float32).reshape(mask.shape)
    partly = mask & (np.arange(len(AREAS)) > 3)[:, None, None]
    return Roi(record, image, mask, (2.5, 0.5, 0.8), (mask, partly))


def cut(per_roi: int) -> RoiDataset:
    record = RoiRecord("a", "p", malignancy_ratings=(4, 5, 2), attributes={"site": "here"},
                       intensities="synthetic")  # fmt: skip
    dataset = RoiDataset("d", (record,), read, ("a note",))
    return slices.cut(dataset, per_roi, LocalWorkers(1), Silent())


@pytest.mark.parametrize(
    ("per_roi", "taken"),
    [(1, [4]), (2, [3, 5]), (3, [2, 4, 5]), (4, [2, 3, 4, 5]), (9, [2, 3, 4, 5])],
)
def test_slices_of_at_least_half_the_largest_area_evenly_spread(
    per_roi: int, taken: list[int]
) -> None:
    assert [r.roi_id for r in cut(per_roi).records] == [f"a@{z:03}" for z in taken]


def test_a_slice_is_its_rois_in_all_but_the_voxels() -> None:
    dataset = cut(4)
    whole = read(dataset.records[0])
    for record, z in zip(dataset.records, (2, 3, 4, 5), strict=True):
        assert (record.patient_id, record.label) == ("p", None)
        assert (record.malignancy_ratings, record.intensities) == ((4, 5, 2), "synthetic")
        assert record.attributes["site"] == "here"
        roi = dataset.read(record)
        assert roi.record is record
        np.testing.assert_array_equal(roi.image, whole.image[z : z + 1])
        np.testing.assert_array_equal(roi.mask, whole.mask[z : z + 1])
        assert roi.spacing_mm == (2.5, 0.5, 0.8)
        assert len(roi.reader_outlines) == (2 if z > 3 else 1)
        np.testing.assert_array_equal(roi.reader_outlines[0], whole.mask[z : z + 1])
    assert dataset.notes[0] == "a note"
    assert "up to 4 slices of a nodule" in dataset.notes[1]


def test_without_a_mask_every_slice_is_one_of_the_nodule() -> None:
    record = RoiRecord("a", "p", 1)
    shape = (len(AREAS), 4, 6)

    def read_unmasked(record: RoiRecord) -> Roi:
        return Roi(record, np.zeros(shape, np.float32), None, (2.5, 0.5, 0.8))

    dataset = RoiDataset("d", (record,), read_unmasked)
    cut_up = slices.cut(dataset, 9, LocalWorkers(1), Silent())
    assert [r.roi_id for r in cut_up.records] == [f"a@{z:03}" for z in range(len(AREAS))]
    assert all(cut_up.read(r).outline is None for r in cut_up.records)
