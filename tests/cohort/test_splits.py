from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.cohort.labels import Cohort
from benchmark.cohort.splits import SplitRule, check_splits, make_splits, read_splits, write_splits
from benchmark.roi import RoiRecord


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
    assert read_splits(tmp_path / "splits.json") == splits


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"test_size": 0.0}, "test_size is 0.0"),
        ({"test_size": 1.0}, "test_size is 1.0"),
        ({"folds": 1}, "folds is 1"),
        ({"repeats": 0}, "repeats is 0"),
        ({"scheme": "given", "repeats": 5}, "repeats is 5; a given split cannot be drawn again"),
    ],
)
def test_impossible_rules(rule: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SplitRule(**rule)


def test_too_few_patients() -> None:
    with pytest.raises(ValueError, match=r"patients with .* ROIs; this split makes 5 folds"):
        make_splits(cohort(4), SplitRule(scheme="kfold"), 0)
