"""``rois.csv``: each column says of each ROI what its manifest and its voxels say."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from benchmark.cohort import roi_table
from benchmark.cohort.labels import LabelRule, assemble
from benchmark.roi import Roi, RoiDataset, RoiRecord

SPACING_MM = (2.5, 0.5, 0.8)


def voxels(record: RoiRecord) -> Roi:
    """As many voxels as the number in the id says; ROIs called x have no mask."""
    mask = np.zeros((2, 4, 5), bool)
    mask.flat[: int(record.roi_id[1:])] = True
    outline = None if record.roi_id.startswith("x") else mask
    return Roi(record, np.zeros(mask.shape, np.float32), outline, SPACING_MM)


def test_every_column_of_every_roi() -> None:
    records = (
        RoiRecord("x9", "p", label=1, label_source="pathology",
                  attributes={"texture": "", "slice_thickness_mm": "thin"}),
        RoiRecord("r7", "q", malignancy_ratings=(5, 4, 5), attributes={"texture": "5 4 4 5"}),
        RoiRecord("r3", "p", malignancy_ratings=(1, 2, 1, 2), attributes={"texture": "1"}),
        RoiRecord("r5", "s", label=0, malignancy_ratings=(2,),
                  attributes={"slice_thickness_mm": " 1.25 "}),
    )  # fmt: skip
    cohort = assemble(RoiDataset("d", records, voxels), LabelRule())
    found = roi_table.table(cohort, [roi_table.measure(voxels(r)) for r in cohort.records])
    nan = math.nan
    diameter = {n: (6 * n * 2.5 * 0.5 * 0.8 / math.pi) ** (1 / 3) for n in (3, 5, 7)}
    expected = pd.DataFrame(
        [
            ("r3", "p", 0, diameter[3], 2.5, 1.5, 1.0, 1.0),
            ("r5", "s", 0, diameter[5], 1.25, 2.0, nan, nan),
            ("r7", "q", 1, diameter[7], 2.5, 14 / 3, 1.0, 4.5),
            ("x9", "p", 1, nan, 2.5, nan, nan, nan),
        ],
        columns=[
            "roi_id", "patient_id", "y_true", "equivalent_diameter_mm", "slice_thickness_mm",
            "malignancy_mean", "malignancy_range", "texture",
        ],
    )  # fmt: skip
    unusual = ["margin_mm", "obliquity_deg", "doubt"]
    assert found.columns[-4:].tolist() == [*unusual, "label_source"]
    assert found["label_source"].tolist() == ["reader", "", "reader", "pathology"]
    found = found.drop(columns=[*unusual, "label_source"])
    pd.testing.assert_frame_equal(found, expected, check_exact=False, rtol=1e-12)


@pytest.mark.parametrize("n", [2, 4])
def test_measurements_are_one_a_roi(n: int) -> None:
    records = tuple(RoiRecord(f"r{i}", "p", label=i % 2) for i in range(3))
    cohort = assemble(RoiDataset("d", records, voxels), LabelRule())
    with pytest.raises(ValueError, match="zip"):
        roi_table.table(cohort, [roi_table.RoiExtent(1.0, 1.0)] * n)


def test_what_is_unusual_is_measured() -> None:
    image = np.tile(np.arange(-850, -450, dtype=np.float32).reshape(20, 20), (5, 1, 1))
    mask = np.zeros(image.shape, bool)
    mask[2, 4:9, 6:12] = True
    record = RoiRecord("r", "p", label=0)
    extent = roi_table.measure(Roi(record, image, mask, (2.0, 0.5, 0.75), obliquity_deg=7.0))
    # 4 rows of 0.5 mm before the mask; 2 slices of 2 mm and 6 columns of 0.75 mm are more.
    assert extent.margin_mm == 2.0
    assert (extent.obliquity_deg, extent.doubt, extent.negative) == (7.0, "", True)
    alone = Roi(record, image[2:3] + 1000, mask[2:3], (0.5, 1.0, 1.0))
    assert roi_table.measure(alone).margin_mm == 4.0  # in the plane
    assert roi_table.measure(alone).doubt.startswith("no negative value")
    assert not roi_table.measure(alone).negative
