"""The ROI contract: what a dataset may leave out of a record, and what is refused."""

from __future__ import annotations

import pickle
from copy import deepcopy
from typing import Any

import numpy as np
import pytest

from benchmark.roi import Roi, RoiDataset, RoiRecord


def test_a_record_without_attributes_goes_to_workers_and_models() -> None:
    """Both copy it; plug-ins of one file often give no attributes."""
    record = RoiRecord("a", "p", None, (4, 5))
    assert pickle.loads(pickle.dumps(record)) == deepcopy(record) == record
    assert RoiRecord("b", "p", 1).attributes is not record.attributes


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"roi_id": " "}, "roi_id is empty"),
        ({"patient_id": ""}, "patient_id is empty"),
        ({"label": 2}, r"label is 2; it must be 0 \(benign\) or 1 \(malignant\)"),
        ({"malignancy_ratings": (3, 6)}, "malignancy_ratings has 6; ratings are whole numbers"),
        ({"label": None}, "neither label nor malignancy_ratings"),
        ({"intensities": "painted"}, "intensities is 'painted'; it must be one of acquired, syn"),
        ({"label_source": "guess"}, "label_source is 'guess'; it must be one of"),
    ],
)
def test_a_record_that_a_dataset_may_not_give(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RoiRecord(**{"roi_id": "a", "patient_id": "p", "label": 1} | change)


IMAGE = np.zeros((2, 3, 4), np.float32)
MASK = np.ones((2, 3, 4), bool)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": IMAGE[0]}, r"image has 2 dimensions; a ROI is \(z, y, x\)"),
        ({"outline": MASK[1:]}, "mask .*1, 3, 4"),
        ({"outline": ~MASK}, "mask is empty; every ROI needs at least one voxel"),
        ({"spacing_mm": (1.0, 0.7)}, r"spacing is \(1.0, 0.7\) mm; it must be three positive"),
        ({"spacing_mm": (1.0, 0.7, 0.0)}, "it must be three positive numbers"),
        ({"spacing_mm": (1.0, 0.7, float("inf"))}, "it must be three positive numbers"),
    ],
)
def test_a_roi_that_a_dataset_may_not_give(change: dict[str, Any], message: str) -> None:
    given = {"image": IMAGE, "outline": MASK, "spacing_mm": (1.0, 0.7, 0.7)} | change
    with pytest.raises(ValueError, match=message):
        Roi(RoiRecord("a", "p", 1), **given)


@pytest.mark.parametrize(
    ("roi_ids", "message"),
    [("", "dataset 'd' has no ROIs"), ("aba", "roi_id 'a' appears twice; it must be unique")],
)
def test_a_dataset_has_rois_and_each_once(roi_ids: str, message: str) -> None:
    def unread(record: RoiRecord) -> Roi:
        raise AssertionError(f"{record.roi_id} was read")

    records = tuple(RoiRecord(roi_id, "p", 1) for roi_id in roi_ids)
    with pytest.raises(ValueError, match=message):
        RoiDataset("d", records, unread)
