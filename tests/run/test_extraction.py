"""Extraction: which ROI's features stand where, what is timed, and what is said of failures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from benchmark.plugins.arms import Arm
from benchmark.roi import Roi, RoiDataset, RoiRecord, UnavailableError
from benchmark.run import extraction
from benchmark.run.extraction import Extracted, extract
from benchmark.run.results import Extraction, FeatureTable
from benchmark.runtime.workers import LocalWorkers
from tests.helpers.clock import Clock

# Neither in order nor a whole number of chunks.
ORDER = [7, 2, 9, 0, 4, 1, 8, 3, 6, 5, 10]


class Silent:
    def update(self, task: str, done: float, total: float) -> None: ...


def records() -> tuple[RoiRecord, ...]:
    return tuple(RoiRecord(f"r{i:02}", f"p{i}", label=i % 2) for i in ORDER)


def number(roi: Roi) -> float:
    return float(roi.record.roi_id[1:])


def read(record: RoiRecord) -> Roi:
    return Roi(record, np.zeros((1, 2, 3), np.float32), np.ones((1, 2, 3), bool), (1, 1, 1))


def run(
    extractor: Callable[[Roi], Any],
    *,
    memory: Any = None,
    read: Callable[[RoiRecord], Roi] = read,
) -> tuple[dict[str, FeatureTable], Extraction]:
    results = extract(
        RoiDataset("d", records(), read), records(), [Arm("m", "f"), Arm("n", "f")],
        {"f": extractor}, workers=LocalWorkers(1), progress=Silent(), cache=memory,
    )  # fmt: skip
    return results.tables, results


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(extraction, "time", clock)
    return clock


def test_the_first_call_and_reading_are_not_timed(clock: Clock) -> None:
    """The first one imports libraries; reading is not extraction."""
    called: list[str] = []

    def slow_at_first(roi: Roi) -> dict[str, float]:
        clock.spend(2 if called else 1000)
        called.append(roi.record.roi_id)
        return {"n": number(roi)}

    def slow_read(record: RoiRecord) -> Roi:
        clock.spend(50)
        return read(record)

    _, results = run(slow_at_first, read=slow_read)
    (timing,) = results.timings
    assert (timing["seconds"], timing["n_rois"]) == (2 * len(ORDER), len(ORDER))
    assert len(called) == len(ORDER) + 1
    assert clock.now == 1000 + 2 * len(ORDER) + 50 * len(ORDER)


def test_an_extractor_is_warmed_up_once_a_process(clock: Clock) -> None:
    called: list[str] = []

    def counted(roi: Roi) -> dict[str, float]:
        called.append(roi.record.roi_id)
        return {"n": 0.0}

    run(counted)
    assert len(called) == len(ORDER) + 1
    run(counted)
    assert len(called) == 2 * len(ORDER) + 1


def test_rows_are_the_rois_own_and_columns_the_features() -> None:
    tables, _ = run(lambda roi: {"b": number(roi), "a": -number(roi)})
    table = tables["f"]
    assert table.columns == ("b", "a")
    assert table.rows.keys() == {f"r{i:02}" for i in ORDER}
    for roi_id, row in table.rows.items():
        assert table.values[row].tolist() == [float(roi_id[1:]), -float(roi_id[1:])]


def test_images_are_stacked_in_the_same_way() -> None:
    tables, _ = run(lambda roi: np.full((2, 3, 1), number(roi), np.float32))
    table = tables["f"]
    assert (table.columns, table.values.shape) == ((), (len(ORDER), 2, 3, 1))
    assert table.values.dtype == np.float32
    for roi_id, row in table.rows.items():
        assert (table.values[row] == float(roi_id[1:])).all()


def test_each_failing_roi_is_named_with_its_reason_in_order_of_id() -> None:
    def fragile(roi: Roi) -> dict[str, float]:
        if roi.record.roi_id in ("r08", "r02", "r07"):
            raise ZeroDivisionError(f"in {roi.record.roi_id}")
        return {"n": number(roi)}

    tables, results = run(fragile)
    failed = [(f.status, f.stage, f.features, f.roi_id, f.reason) for f in results.failures]
    assert failed == [
        ("failed", "extract", "f", roi_id, f"ZeroDivisionError: in {roi_id}")
        for roi_id in ("r02", "r07", "r08")
    ]
    assert list(tables["f"].rows) == [f"r{i:02}" for i in sorted(ORDER) if i not in (2, 7, 8)]
    (timing,) = results.timings
    assert (timing["n_rois"], timing["n_cached"]) == (len(ORDER) - 3, 0)


def test_one_roi_that_lacks_what_is_needed_skips_the_whole_set() -> None:
    def wanting(roi: Roi) -> dict[str, float]:
        if roi.record.roi_id == "r04":
            raise UnavailableError("no ratings here")
        if roi.record.roi_id == "r05":
            raise ValueError("never told, as nothing is made of the others")
        return {"n": 1.0}

    tables, results = run(wanting)
    assert not tables
    assert [(f.status, f.roi_id, f.reason) for f in results.failures] == [
        ("skipped", "", "no ratings here")
    ]
    assert not results.timings


def test_nothing_but_failures_gives_no_table() -> None:
    def broken(roi: Roi) -> dict[str, float]:
        raise ValueError("always")

    tables, results = run(broken)
    assert not tables
    assert len(results.failures) == len(ORDER)


class Remembered:
    """Knows every second ROI's features, at 5 s each."""

    def __init__(self) -> None:
        self.kept: list[str] = []

    def recall_features(self, name: str, records: Sequence[RoiRecord]) -> dict[str, Extracted]:
        assert name == "f"
        return {
            r.roi_id: Extracted(r.roi_id, 5.0, {"n": 100 + float(r.roi_id[1:])}, cached=True)
            for r in records
            if int(r.roi_id[1:]) % 2
        }

    def keep_features(
        self, name: str, records: Sequence[RoiRecord], extracted: Sequence[Extracted]
    ) -> None:
        assert {r.roi_id for r in records} == {each.roi_id for each in extracted}
        self.kept += [each.roi_id for each in extracted if each.value is not None]


def test_what_is_recalled_is_taken_with_its_time_and_only_the_rest_is_made(clock: Clock) -> None:
    memory, called = Remembered(), []

    def counted(roi: Roi) -> dict[str, float]:
        called.append(roi.record.roi_id)
        clock.spend(1)
        if roi.record.roi_id == "r06":
            raise ValueError("no")
        return {"n": number(roi)}

    tables, results = run(counted, memory=memory)
    even = [f"r{i:02}" for i in ORDER if i % 2 == 0]
    assert set(called) == set(even)
    assert sorted(memory.kept) == sorted(set(even) - {"r06"})
    for roi_id, row in tables["f"].rows.items():
        n = float(roi_id[1:])
        assert tables["f"].values[row] == (n + 100 if n % 2 else n)
    (timing,) = results.timings
    assert (timing["n_rois"], timing["n_cached"]) == (10, 5)
    assert timing["seconds"] == 5 * 5 + 5 * 1


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (None, "extract gave None; it must give a dict of numbers or an image"),
        ([1.0, 2.0], "extract gave list [1.0, 2.0]"),
        (3.0, "extract gave 3.0"),
        ({}, "extract gave an empty dict"),
        ({"n": {"m": 1.0}}, "extract gave 'n': dict {'m': 1.0}; features are finite numbers"),
        ({"n": "1"}, "extract gave 'n': '1'; features are finite numbers by name"),
        ({"n": np.nan}, "extract gave 'n': nan"),
        ({1: 1.0}, "extract gave 1: 1.0"),
        ({"other": 1.0}, "extract gave 1 features (other); most ROIs have 1 features (n)"),
        ({"n": 1.0, "m": 2.0}, "extract gave 2 features (n, m); most ROIs have 1 features (n)"),
        (np.zeros((2, 2), np.float32), "extract gave an array of float32 and shape (2, 2); most"),
        (np.full((2, 2), np.nan), "extract gave an array with 4 values that are not finite"),
        (np.array([None]), "extract gave an array of object and shape (1,)"),
        (np.zeros((0, 2)), "shape (0, 2); an image holds at least one number"),
        (np.ma.zeros((2, 2)), "extract gave MaskedArray"),
    ],
)  # fmt: skip
def test_what_are_no_features_is_a_failure_of_that_roi_alone(value: Any, why: str) -> None:
    def odd(roi: Roi) -> Any:
        return value if roi.record.roi_id == "r07" else {"n": number(roi)}

    tables, results = run(odd)
    (failure,) = results.failures
    assert (failure.status, failure.stage, failure.roi_id) == ("failed", "extract", "r07")
    assert why in failure.reason
    assert tables["f"].rows.keys() == {f"r{i:02}" for i in ORDER if i != 7}
    for roi_id, row in tables["f"].rows.items():
        assert tables["f"].values[row] == float(roi_id[1:])


def test_numbers_may_be_numpys() -> None:
    tables, results = run(lambda roi: {"a": np.float32(0.1), "b": np.array(2), "c": True})
    assert not results.failures
    assert tables["f"].values[0].tolist() == [float(np.float32(0.1)), 2.0, 1.0]


@pytest.mark.parametrize("raised", [SystemExit(0), GeneratorExit(), RecursionError("deep")])
def test_an_extractor_may_raise_anything(raised: BaseException) -> None:
    def ending(roi: Roi) -> dict[str, float]:
        if roi.record.roi_id == "r04":
            raise raised
        return {"n": number(roi)}

    tables, results = run(ending)
    (failure,) = results.failures
    assert failure.roi_id == "r04"
    assert type(raised).__name__ in failure.reason
    assert len(tables["f"].rows) == len(ORDER) - 1


def test_an_extractor_that_writes_on_its_roi_fails() -> None:
    def scribbling(roi: Roi) -> dict[str, float]:
        roi.image[:] = 1
        return {"n": number(roi)}

    _, results = run(scribbling)
    assert len(results.failures) == len(ORDER)
    assert "read-only" in results.failures[0].reason
