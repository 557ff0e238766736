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


@pytest.mark.parametrize(
    ("ratings", "median", "mean"),
    [
        ((3, 3, 3), None, None),  # exactly 3, both
        ((1, 3, 5), None, None),
        ((2, 3, 3, 4), None, None),
        ((1, 3, 3, 4), None, 0),  # median 3, mean 2.75
        ((3, 3, 4), None, 1),  # median 3, mean 3.33
        ((1, 1, 4, 4), 0, 0),  # 2.5
        ((2, 3, 4, 4), 1, 1),  # median 3.5, mean 3.25: a half counts
        ((1, 4, 4), 1, None),  # median 4, mean 3
        ((1, 2, 5, 5), 1, 1),  # median 3.5, mean 3.25
        ((1, 1, 4, 5, 4), 1, None),  # more readers than four do no harm
    ],
)
@pytest.mark.parametrize("indeterminate", ["drop", "benign", "malignant"])
def test_what_is_exactly_3_and_what_is_not(
    ratings: tuple[int, ...], median: int | None, mean: int | None, indeterminate: str
) -> None:
    both = dataset(ratings, (1, 1, 1), (5, 5, 5))
    for aggregation, label in (("median", median), ("mean", mean)):
        cohort = assemble(both, LabelRule(aggregation, indeterminate=indeterminate))
        found = dict(zip(cohort.roi_ids.tolist(), cohort.labels.tolist(), strict=True))
        expected = {"drop": None, "benign": 0, "malignant": 1}[indeterminate]
        assert found.get("r0") == (expected if label is None else label)
        assert cohort.excluded == ({} if "r0" in found else {"indeterminate": 1})


@pytest.mark.parametrize("min_readers", [1, 2, 3, 4])
def test_as_many_readers_as_are_asked_for_are_enough(min_readers: int) -> None:
    rated = dataset(*((5,) * n for n in range(1, 5)), (1, 1, 1, 1))
    cohort = assemble(rated, LabelRule(min_readers=min_readers))
    assert cohort.roi_ids.tolist() == [f"r{n - 1}" for n in range(min_readers, 6)]
    left_out = {f"with fewer than {min_readers} readers": min_readers - 1}
    assert cohort.excluded == (left_out if min_readers > 1 else {})


def test_a_label_of_its_own_goes_before_ratings_and_is_told() -> None:
    records = (
        RoiRecord("b", "q", label=0, malignancy_ratings=(5, 5, 5)),
        RoiRecord("a", "p", malignancy_ratings=(4, 4, 4)),
        RoiRecord("c", "p", malignancy_ratings=(1, 1)),
    )
    cohort = assemble(RoiDataset("test", records, unread), LabelRule())
    assert cohort.roi_ids.tolist() == ["a", "b"]
    assert cohort.labels.tolist() == [1, 0]
    assert cohort.patients.tolist() == ["p", "q"]
    assert cohort.protocol == (
        "label: median of the readers' malignancy ratings > 3, at least 3 readers, exactly 3 "
        "dropped; 1 ROIs carry a label of their own, used as given"
    )
    assert cohort.describe() == (
        "2 ROIs of 2 patients, 1 malignant; left out: 1 with fewer than 3 readers"
    )


@pytest.mark.parametrize(
    ("sources", "told"),
    [
        (("", ""), ""),
        (("pathology", "pathology"), "; label source: pathology"),
        (("pathology", "follow-up"), "; label sources: follow-up 1, pathology 1 ROIs"),
        (("pathology", ""), "; label sources: not stated 1, pathology 1 ROIs"),
    ],
)
def test_the_protocol_says_what_labels_rest_on(sources: tuple[str, str], told: str) -> None:
    records = tuple(
        RoiRecord(f"r{label}", "p", label, label_source=source)
        for label, source in enumerate(sources)
    )
    cohort = assemble(RoiDataset("test", records, unread), LabelRule())
    assert cohort.protocol == f"label: as given by the dataset (the label rule is ignored){told}"


def test_ratings_are_a_source_beside_labels_of_another() -> None:
    records = (
        RoiRecord("a", "p", malignancy_ratings=(4, 4, 4)),
        RoiRecord("b", "q", 0, label_source="follow-up"),
        RoiRecord("c", "q", malignancy_ratings=(3, 3, 3)),  # left out: it has no label
    )
    cohort = assemble(RoiDataset("test", records, unread), LabelRule())
    assert cohort.protocol.endswith("; label sources: follow-up 1, reader 1 ROIs")


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"label": 1, "label_source": "biopsy"}, "label_source is 'biopsy'; it must be one of"),
        ({"malignancy_ratings": (5,), "label_source": "pathology"}, "and there is no label"),
    ],
)
def test_a_source_that_cannot_be_is_refused(record: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RoiRecord("r", "p", **record)


@pytest.mark.parametrize("indeterminate", ["drop", "benign", "malignant"])
def test_the_protocol_says_the_rule(indeterminate: str) -> None:
    fate = {
        "drop": "dropped", "benign": "counted as benign", "malignant": "counted as malignant",
    }[indeterminate]  # fmt: skip
    rule = LabelRule("mean", 2, indeterminate)
    assert rule.describe() == (
        f"label: mean of the readers' malignancy ratings > 3, at least 2 readers, exactly 3 {fate}"
    )
