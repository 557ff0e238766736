from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.cohort.labels import Cohort, LabelRule, assemble
from benchmark.cohort.splits import SplitRule, check_splits, make_splits, write_splits
from benchmark.roi import RoiDataset, RoiRecord
from benchmark.stored_files import read_splits


def cohort(n_patients: int = 60, seed: int = 0) -> Cohort:
    """One to four nodules a patient, about 40 % malignant."""
    rng = np.random.default_rng(seed)
    patients = np.repeat([f"p{i:03}" for i in range(n_patients)], rng.integers(1, 5, n_patients))
    labels = (rng.random(len(patients)) < 0.4).astype(np.int64)
    records = tuple(
        RoiRecord(f"r{i:04}", str(p), label=int(y))
        for i, (p, y) in enumerate(zip(patients, labels, strict=True))
    )
    return Cohort(records, labels, patients, {}, "")


RULES = [
    SplitRule(),
    SplitRule(group="none"),
    SplitRule(scheme="kfold", folds=5, repeats=3),
    SplitRule(scheme="kfold", group="none", folds=4),
    SplitRule(test_size=0.25, repeats=4),
]


@pytest.mark.parametrize("rule", RULES, ids=SplitRule.describe)
@given(seed=st.integers(0, 2**31 - 1))
@settings(max_examples=15, deadline=None)
def test_invariants(rule: SplitRule, seed: int) -> None:
    data = cohort(seed=seed)
    splits = make_splits(data, rule, seed)
    check_splits(splits, data, leaky=rule.leaky)
    everything = set(data.roi_ids.tolist())
    for split in splits:
        assert set(split.train) | set(split.test) == everything
        assert not set(split.train) & set(split.test)
    if rule.scheme == "kfold":
        for repeat in range(rule.repeats):
            tested = [i for s in splits if s.repeat == repeat for i in s.test]
            assert sorted(tested) == sorted(everything)
    prevalence = data.labels.mean()
    label = dict(zip(data.roi_ids.tolist(), data.labels.tolist(), strict=True))
    for split in splits:
        # Whole patients of up to four nodules cannot be dealt out exactly; unstratified
        # draws of this size stray by .2 and more.
        assert np.mean([label[i] for i in split.test]) == pytest.approx(prevalence, abs=0.12)
        if rule.scheme == "holdout":
            share = len(split.test) / len(everything)
            assert share == pytest.approx(rule.test_size, abs=0.06)


@pytest.mark.parametrize("rule", RULES, ids=SplitRule.describe)
def test_deterministic_and_different_by_seed_and_repeat(rule: SplitRule) -> None:
    data = cohort()
    splits = make_splits(data, rule, 1)
    assert splits == make_splits(data, rule, 1)
    assert splits != make_splits(data, rule, 2)
    assert len({s.test for s in splits}) == len(splits)


def given(sides: list[str], patients: list[str] | None = None) -> Cohort:
    """ROIs with a split of their own, labels alternating."""
    patients = patients or [f"p{i}" for i in range(len(sides))]
    labels = np.arange(len(sides)) % 2
    rows = enumerate(zip(patients, sides, strict=True))
    records = tuple(
        RoiRecord(f"r{i}", p, label=i % 2, attributes={"split": side}) for i, (p, side) in rows
    )
    return Cohort(records, labels, np.array(patients), {}, "")


GIVEN = SplitRule(scheme="given")


def test_a_given_split_is_taken_as_it_is() -> None:
    data = given(["train"] * 4 + ["val"] * 2 + [" test "] * 2)
    (split,) = make_splits(data, GIVEN, 0)
    assert split.train == ("r0", "r1", "r2", "r3", "r4", "r5")
    assert split.test == ("r6", "r7")
    assert split.scheme == "given"
    assert make_splits(data, GIVEN, 99) == [split]


@pytest.mark.parametrize("side", ["", "tset", "TEST"])
def test_a_given_split_must_be_given_of_every_roi(side: str) -> None:
    data = given(["train"] * 4 + ["test"] * 3 + [side])
    with pytest.raises(ValueError, match=f"roi_id 'r7': split is '{side}'; splits.scheme=given"):
        make_splits(data, GIVEN, 0)


def test_a_given_split_needs_both_classes_on_both_sides() -> None:
    with pytest.raises(ValueError, match="the test side has ROIs of one class only"):
        make_splits(given(["train"] * 5 + ["test"]), GIVEN, 0)


def test_a_given_split_that_shares_a_patient_is_refused_unless_declared() -> None:
    data = given(["train"] * 4 + ["test"] * 4, [*"abcd", *"defg"])
    splits = make_splits(data, GIVEN, 0)
    with pytest.raises(ValueError, match="patient 'd' and 0 others are on both"):
        check_splits(splits, data, leaky=False)
    check_splits(splits, data, leaky=SplitRule(scheme="given", group="none").leaky)


def test_more_repeats_leave_the_first_ones_alone() -> None:
    rule = SplitRule(scheme="kfold", repeats=1)
    more = make_splits(cohort(), replace(rule, repeats=3), 0)
    assert more[: rule.folds] == make_splits(cohort(), rule, 0)


def test_patient_on_both_sides_is_refused_unless_declared() -> None:
    data = cohort()
    splits = make_splits(data, SplitRule(group="none"), 0)
    with pytest.raises(ValueError, match=r"repeat 0 fold 0: patient 'p\d+' and \d+ others"):
        check_splits(splits, data, leaky=False)
    check_splits(splits, data, leaky=True)


def test_foreign_and_overlapping_ids_are_refused() -> None:
    data = cohort()
    (split,) = make_splits(data, SplitRule(), 0)
    with pytest.raises(ValueError, match="roi_id 'zzz' is not in the cohort"):
        check_splits([replace(split, test=("zzz",))], data, leaky=False)
    with pytest.raises(ValueError, match="is on both sides"):
        check_splits([replace(split, test=split.train)], data, leaky=True)


def test_round_trip(tmp_path: Path) -> None:
    splits = make_splits(cohort(), SplitRule(scheme="kfold", repeats=2), 3)
    write_splits(tmp_path / "splits.json", splits)
    assert list(read_splits(tmp_path / "splits.json")) == splits


def test_a_given_split_cannot_be_drawn_again() -> None:
    with pytest.raises(ValueError, match="repeats is 5; a given split cannot be drawn again"):
        SplitRule(scheme="given", repeats=5)


def test_too_few_patients() -> None:
    with pytest.raises(ValueError, match=r"patients with .* ROIs; this split makes 5 folds"):
        make_splits(cohort(4), SplitRule(scheme="kfold"), 0)


def test_each_key_of_the_rule_changes_what_it_names_and_nothing_else() -> None:
    data = cohort()
    holdout, kfold = SplitRule(), SplitRule(scheme="kfold")

    def sides(rule: SplitRule, seed: int = 1) -> list[tuple[str, ...]]:
        return [split.test for split in make_splits(data, rule, seed)]

    assert sides(replace(holdout, folds=3)) == sides(holdout)
    assert sides(replace(kfold, test_size=0.1)) == sides(kfold)
    assert len(sides(replace(kfold, folds=3))) == 3
    small, large = sides(replace(holdout, test_size=0.2))[0], sides(holdout)[0]
    assert len(small) == pytest.approx(len(large) * 2 / 3, rel=0.1)
    for rule in (holdout, kfold):
        ungrouped = replace(rule, group="none")
        assert sides(ungrouped) != sides(rule)
        for split in make_splits(data, ungrouped, 1):
            assert (split.scheme, split.repeat) == (rule.scheme, 0)
    repeated = make_splits(data, replace(kfold, repeats=2), 1)
    assert [(s.repeat, s.fold) for s in repeated] == [(r, f) for r in (0, 1) for f in range(5)]


@pytest.mark.parametrize("group", ["patient", "none"])
@pytest.mark.parametrize(("test_size", "share"), [(0.3, 0.3), (0.05, 0.05), (0.95, 0.95)])
def test_the_tested_share_is_the_one_asked_for(group: str, test_size: float, share: float) -> None:
    rule = SplitRule(group=group, test_size=test_size)
    data = cohort(200)
    (split,) = make_splits(data, rule, 0)
    # Patients of up to four ROIs: exact to one or two of them.
    assert len(split.test) / len(data.labels) == pytest.approx(share, abs=0.012)


def test_a_share_finer_than_twentieths_is_refused_where_folds_make_it() -> None:
    with pytest.raises(ValueError, match=r"test_size is 0\.01; .* from 0\.05 to 0\.95"):
        make_splits(cohort(), SplitRule(test_size=0.01), 0)
    assert make_splits(cohort(), SplitRule(test_size=0.05, group="none"), 0)


def test_ids_are_in_the_cohorts_order_and_rows_in_another_change_nothing() -> None:
    data = cohort()
    shuffled = np.random.default_rng(0).permutation(len(data.records))
    dataset = RoiDataset("d", tuple(data.records[i] for i in shuffled), lambda record: None)
    for rule in RULES:
        splits = make_splits(data, rule, 4)
        assert make_splits(assemble(dataset, LabelRule()), rule, 4) == splits
        for split in splits:
            assert list(split.train) == sorted(split.train)
            assert list(split.test) == sorted(split.test)


def test_classes_are_shared_out_evenly_whatever_the_group() -> None:
    """Patients of one ROI each: folds differ by one malignant ROI at most, as without groups."""
    labels = (np.arange(100) % 10 < 3).astype(np.int64)
    ids = [f"r{i:03}" for i in range(100)]
    records = tuple(RoiRecord(i, i, label=int(y)) for i, y in zip(ids, labels, strict=True))
    data = Cohort(records, labels, np.array(ids), {}, "")
    label = dict(zip(ids, labels.tolist(), strict=True))
    for group in ("patient", "none"):
        for split in make_splits(data, SplitRule(scheme="kfold", group=group), 0):
            assert (len(split.test), sum(label[i] for i in split.test)) == (20, 6)


def test_a_training_side_of_one_class_is_refused() -> None:
    data = given(["test", "train"] * 3 + ["test", "test"])  # odd rows are malignant
    with pytest.raises(ValueError, match="fold 0: the training side has ROIs of one class only"):
        make_splits(data, GIVEN, 0)


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        (SplitRule(), "stratified hold-out, 30% tested, grouped by patient, 1 repeat"),
        (SplitRule(scheme="kfold", folds=3, repeats=2),
         "stratified 3-fold, grouped by patient, 2 repeats"),
        (SplitRule(test_size=0.25, group="none"),
         "stratified hold-out, 25% tested, by ROI (LEAKY: a patient's ROIs may stand on both "
         "sides), 1 repeat"),
        (GIVEN, "the dataset's own, train and val against test, grouped by patient, 1 repeat"),
    ],
)  # fmt: skip
def test_the_protocol_says_the_rule(rule: SplitRule, says: str) -> None:
    assert rule.describe() == f"split: {says}"
    unknown = rule.describe(patients_known=False)
    assert ("patients unknown, perhaps on both sides" in unknown) is not rule.leaky
    assert "grouped by patient" not in unknown


def test_too_few_is_counted_in_patients_or_in_rois() -> None:
    """Three patients of two malignant ROIs each, and many benign ones."""
    labels = np.array([1] * 6 + [0] * 20)
    patients = np.array([f"p{i // 2}" for i in range(26)])
    records = tuple(RoiRecord(f"r{i:02}", p, label=int(y)) for i, (p, y) in
                    enumerate(zip(patients, labels, strict=True)))  # fmt: skip
    data = Cohort(records, labels, patients, {}, "")
    assert len(make_splits(data, SplitRule(scheme="kfold", folds=3), 0)) == 3
    with pytest.raises(ValueError, match="3 patients with malignant ROIs; this split makes 4"):
        make_splits(data, SplitRule(scheme="kfold", folds=4), 0)
    leaky = SplitRule(scheme="kfold", folds=6, group="none")
    assert len(make_splits(data, leaky, 0)) == 6
    with pytest.raises(ValueError, match="6 ROIs with malignant ROIs; this split makes 7"):
        make_splits(data, replace(leaky, folds=7), 0)
