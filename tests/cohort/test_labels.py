from __future__ import annotations

import pytest

from benchmark.cohort.labels import LabelRule, assemble
from benchmark.datasets import manifest
from benchmark.roi import Roi, RoiDataset, RoiRecord


def dataset(*ratings: tuple[int, ...]) -> RoiDataset:
    records = [
        RoiRecord(f"r{i}", f"p{i}", malignancy_ratings=each) for i, each in enumerate(ratings)
    ]
    return RoiDataset("test", tuple(records), unread)


def unread(record: RoiRecord) -> Roi:
    raise AssertionError(f"{record.roi_id} was read")


RATINGS = [(1, 2, 3), (3, 3, 5), (5, 5), (2, 4, 4, 4), (1, 3, 3, 5), (2, 2, 3, 4)]


@pytest.mark.parametrize(
    ("rule", "labels"),
    [
        # medians 2, 3, 5 (two readers), 4, 3, 2.5; means 2, 3.67, 5, 3.5, 3, 2.75
        (LabelRule(), {"r0": 0, "r3": 1, "r5": 0}),
        (LabelRule(aggregation="mean"), {"r0": 0, "r1": 1, "r3": 1, "r5": 0}),
        (LabelRule(min_readers=2), {"r0": 0, "r2": 1, "r3": 1, "r5": 0}),
        (LabelRule(min_readers=4, indeterminate="benign"), {"r3": 1, "r4": 0, "r5": 0}),
        (
            LabelRule(indeterminate="malignant"),
            {"r0": 0, "r1": 1, "r3": 1, "r4": 1, "r5": 0},
        ),
    ],
)
def test_label_rules(rule: LabelRule, labels: dict[str, int]) -> None:
    cohort = assemble(dataset(*RATINGS), rule)
    assert dict(zip(cohort.roi_ids.tolist(), cohort.labels.tolist(), strict=True)) == labels
    assert len(labels) + sum(cohort.excluded.values()) == len(RATINGS)


def test_reasons_for_exclusion_are_counted() -> None:
    cohort = assemble(dataset(*RATINGS), LabelRule())
    assert cohort.excluded == {"indeterminate": 2, "with fewer than 3 readers": 1}
    assert "2 indeterminate" in cohort.describe()


def test_given_labels_override_the_rule_and_say_so() -> None:
    records = (RoiRecord("a", "p", label=0), RoiRecord("b", "q", label=1))
    cohort = assemble(RoiDataset("test", records, unread), LabelRule(min_readers=4))
    assert cohort.labels.tolist() == [0, 1]
    assert "the label rule is ignored" in cohort.protocol


def test_one_class_is_refused() -> None:
    with pytest.raises(ValueError, match="1 usable ROIs, only benign ones"):
        assemble(dataset((1, 1, 1), (3, 3, 3)), LabelRule())
    with pytest.raises(ValueError, match="0 usable ROIs, none"):
        assemble(dataset((3, 3, 3)), LabelRule())


@pytest.mark.parametrize(
    ("aggregation", "n", "malignant"), [("mean", 751, 308), ("median", 552, 253)]
)
def test_real_cohort(lidc_crops, aggregation, n, malignant) -> None:
    """The counts that the data's own documentation states for these rules."""
    cohort = assemble(manifest.open_dataset(lidc_crops), LabelRule(aggregation=aggregation))
    assert (len(cohort.labels), int(cohort.labels.sum())) == (n, malignant)
