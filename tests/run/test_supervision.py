"""Supervision contracts: no test patient is learnt from, in any way in which models are fitted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmark.cohort import external
from benchmark.cohort.labels import LabelRule, assemble
from benchmark.cohort.splits import SplitRule, make_splits
from benchmark.config import Config, Multiverse
from benchmark.plugins.arms import LABELS, LEFT_OUT_TOO, NO_LABEL, RATINGS, Arm
from benchmark.plugins.contracts import Readings
from benchmark.roi import Roi, RoiDataset, RoiRecord
from benchmark.run import multiverse
from benchmark.run.loop import Bench, fit_and_test
from benchmark.run.results import FeatureTable, joined
from benchmark.run.supervision import records_to_extract
from benchmark.runtime.workers import LocalWorkers


class Silent:
    def update(self, task: str, done: float, total: float) -> None:
        """Nobody watches."""


def read(record: RoiRecord) -> Roi:
    raise AssertionError("features are given")


def dataset(name: str = "d", patients: str = "p", n: int = 60, seed: int = 0) -> RoiDataset:
    """Three nodules a patient: one benign, one malignant, one that rules may leave out."""
    rng = np.random.default_rng(seed)
    kinds = ((1, 1, 2), (5, 4, 5), (3, 3, 3))
    records = [
        RoiRecord(
            f"{name}{i:03}", f"{patients}{i // 3:02}", None,
            tuple(int(r) for r in rng.permutation(kinds[i % 3])),
            attributes={"texture": f"{i}"},
        )
        for i in range(n)
    ]  # fmt: skip
    return RoiDataset(name, tuple(records), read)


class Recorder:
    """Keeps what every fit was given; the one feature of a nodule is its number."""

    seen: list[tuple[Arm, np.ndarray, np.ndarray, np.ndarray, Readings | None]]

    def __init__(self, arm: Arm, log: list[Any]) -> None:
        self.arm, self.log = arm, log

    def fit(self, X: Any, y: Any, groups: Any, *, readings: Readings | None = None) -> None:
        self.log.append((self.arm, X[:, 0].astype(int), y, groups, readings))
        self.threshold_ = 0.5

    def predict_proba(self, X: Any) -> np.ndarray:
        p = (X[:, 0] % 7) / 7
        return np.column_stack([1 - p, p])


ARMS = [
    Arm("m", "number", name, supervision=supervision)
    for name, supervision in (
        ("labels", LABELS), ("ratings", RATINGS), ("more", LEFT_OUT_TOO),
    )
]  # fmt: skip


def table(records: Any) -> FeatureTable:
    """Numbers by place among the records, so that a row says which nodule it is."""
    rows = {record.roi_id: place for place, record in enumerate(records)}
    return FeatureTable(rows, np.arange(len(rows), dtype=float)[:, None], ("number",))


def bench(log: list[Any], seed: int = 0) -> Bench:
    return Bench(lambda arm, _: Recorder(arm, log), seed, "train", LocalWorkers(1), Silent())


def check(log: list[Any], records: list[RoiRecord], tested: list[set[str]]) -> None:
    """Every fit saw what its arm may see, and of no tested patient anything but other labels."""
    patient_of = [record.patient_id for record in records]
    by_arm: dict[str, int] = {}
    for arm, rows, y, groups, readings in log:
        place = by_arm[arm.name] = by_arm.get(arm.name, -1) + 1
        assert [patient_of[row] for row in rows] == groups.tolist()
        left_out = rows[y == NO_LABEL]
        assert not {patient_of[row] for row in left_out} & tested[place]
        if arm.supervision == LABELS:
            assert readings is None
        else:
            assert readings is not None
            assert list(readings.ratings) == [records[row].malignancy_ratings for row in rows]
            assert list(readings.attributes) == [records[row].attributes for row in rows]
        if arm.supervision != LEFT_OUT_TOO:
            assert not len(left_out)


RULES = {
    "k-fold": SplitRule("kfold", folds=4),
    "hold-out": SplitRule("holdout"),
    "leaky k-fold": SplitRule("kfold", group="none", folds=4),
    "repeats": SplitRule("kfold", folds=3, repeats=2),
}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_left_out_nodules_are_of_patients_who_are_trained_on_and_not_tested(
    rule: SplitRule,
) -> None:
    cohort = assemble(dataset(), LabelRule())
    records = records_to_extract(cohort, ARMS)
    assert len(records) == 60
    assert len(cohort.records) == 40
    assert len(records_to_extract(cohort, ARMS[:2])) == 40
    splits = make_splits(cohort, rule, 0)
    log: list[Any] = []
    fits = fit_and_test({"number": table(records)}, cohort, splits, ARMS, bench(log))
    assert not fits.failures
    patient_of = {record.roi_id: record.patient_id for record in records}
    tested = [{patient_of[i] for i in split.test} for split in splits]
    check(log, records, tested)
    if not rule.leaky:
        for split, (_, rows, y, _, _) in zip(splits, log[-len(splits) :], strict=True):
            assert {records[row].patient_id for row in rows} == {patient_of[i] for i in split.train}
            # Of every patient who is trained on, the nodule without a label too.
            assert (y == NO_LABEL).sum() == len({patient_of[i] for i in split.train})
    told = {(p["arm"], p["supervision"]) for p in fits.predictions}
    assert told == {(arm.name, arm.supervision) for arm in ARMS}
    counted = [row["n_rois"] for row in fits.training if row["arm"] == "more"]
    assert counted == [len(split.train) for split in splits]


def test_in_external_validation_nothing_of_the_other_dataset_is_learnt_from() -> None:
    ours, theirs = dataset(), dataset("e", "q", 30, 1)
    join = external.join(
        (ours, assemble(ours, LabelRule())), (theirs, assemble(theirs, LabelRule()))
    )
    records = records_to_extract(join.cohort, ARMS)
    assert len(records) == 40 + 20 + 20  # ours, theirs that are tested, ours that are left out
    log: list[Any] = []
    fit_and_test({"number": table(records)}, join.cohort, [join.split], ARMS, bench(log))
    check(log, records, [{record.patient_id for record in theirs.records}])
    assert len(log) == 3
    for _, rows, *_ in log:
        assert {records[row].patient_id[0] for row in rows} == {"p"}


def test_every_universe_keeps_to_its_own_rule() -> None:
    of = dataset()
    spanned = Multiverse(
        aggregation=("median",), min_readers=(3,), indeterminate=("drop", "benign"),
        scheme=("kfold",),
    )  # fmt: skip
    config = Config(splits=SplitRule("kfold", folds=3), multiverse=spanned)
    every, _ = multiverse.universes(of, config)
    own = next(u for u in every if u.own)
    further = multiverse.further_records(every, own.cohort, ARMS)
    records = [*own.cohort.records, *further]
    assert len(records) == 60
    log: list[Any] = []
    tables = {"number": table(records)}
    run = fit_and_test(tables, own.cohort, own.splits, ARMS, bench(log))
    mine = [(arm.name, rows.tolist()) for arm, rows, *_ in log]
    log.clear()
    multiverse.explore(every, run, tables, ARMS, bench(log), config)
    patient_of = {record.roi_id: record.patient_id for record in records}
    other = next(u for u in every if not u.own)
    assert not other.cohort.left_out
    splits = [*other.splits, *own.splits]  # the other rule's universe, then re-scoring
    tested = [{patient_of[i] for i in split.test} for split in splits]
    for arm in ARMS:
        check([each for each in log if each[0] == arm], records, tested)
    # Re-scoring makes the run's own fits again, of the same rows.
    assert [(arm.name, rows.tolist()) for arm, rows, *_ in log[-len(mine) :]] == mine


def test_an_arm_that_needs_ratings_is_skipped_where_a_nodule_has_none() -> None:
    whole = dataset()
    first = replace(whole.records[0], label=0, malignancy_ratings=())
    cohort = assemble(replace(whole, records=(first, *whole.records[1:])), LabelRule())
    splits = make_splits(cohort, RULES["k-fold"], 0)
    tables = {"number": table(records_to_extract(cohort, ARMS))}
    fits = fit_and_test(tables, cohort, splits, ARMS, bench([]))
    assert {p["arm"] for p in fits.predictions} == {"labels"}
    assert [(f.status, f.arm) for f in fits.failures] == [
        ("skipped", "ratings"),
        ("skipped", "more"),
    ]
    assert "roi_id 'd000' has none (1 of 40 have none)" in fits.failures[0].reason


def test_several_feature_sets_come_as_a_mapping_of_the_nodules_that_all_have() -> None:
    one = FeatureTable({"a": 0, "b": 1, "c": 2}, np.arange(3.0)[:, None])
    other = FeatureTable({"c": 0, "a": 1}, np.zeros((2, 4, 4, 1), np.float32))
    both = joined({"numbers": one, "images": other})
    assert both.rows == {"a": 0, "c": 1}
    assert both.values["numbers"].tolist() == [[0.0], [2.0]]
    assert both.values["images"].shape == (2, 4, 4, 1)
    changed = FeatureTable({"c": 0, "a": 1}, np.ones((2, 4, 4, 1), np.float32))
    assert joined({"numbers": one, "images": changed}).digests != both.digests
    renamed = joined({"numbers": one, "pictures": other})
    assert renamed.digests != both.digests


def test_a_model_of_several_feature_sets_runs(tmp_path: Path) -> None:
    cohort = assemble(dataset(), LabelRule())
    splits = make_splits(cohort, RULES["k-fold"], 0)
    seen = []

    class Pair(Recorder):
        def fit(self, X: Any, y: Any, groups: Any) -> None:
            seen.append({name: values.shape for name, values in X.items()})
            np.testing.assert_array_equal(X["number"], X["again"])
            super().fit(X["number"], y, groups)

        def predict_proba(self, X: Any) -> np.ndarray:
            return super().predict_proba(X["number"])

    made = replace(bench([]), build=lambda arm, _: Pair(arm, []))
    tables = {name: table(cohort.records) for name in ("number", "again")}
    arm = Arm("pair", "number+again")
    fits = fit_and_test(tables, cohort, splits, [arm], made)
    assert not fits.failures
    assert len(seen) == 4
    assert {p["features"] for p in fits.predictions} == {"number+again"}
    assert len(fits.predictions) == 40
    lacking = fit_and_test({"number": tables["number"]}, cohort, splits, [arm], made)
    assert not lacking.predictions
