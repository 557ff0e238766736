"""Strata: who belongs, what is withheld, and pairs of equal size."""

from __future__ import annotations

import tracemalloc
from itertools import combinations, permutations
from types import MappingProxyType

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import roc_auc_score

from benchmark.cohort import roi_table
from benchmark.cohort.labels import LabelRule, assemble
from benchmark.columns import PREDICTION_TABLE, ROI_TABLE
from benchmark.config import Bootstrap
from benchmark.roi import Roi, RoiDataset, RoiRecord
from benchmark.statistics.strata import (
    LIFT,
    MATCHED_RATIO,
    MIN_PATIENTS,
    _assign,
    match_by_size,
    stratify,
)

BOOTSTRAP = Bootstrap(samples=100)


def predictions(y_true: np.ndarray, **scores: np.ndarray) -> pd.DataFrame:
    """One fold, one ROI a patient, an arm a keyword."""
    n = len(y_true)
    frames = [
        pd.DataFrame(
            {
                "roi_id": [f"r{i:03}" for i in range(n)],
                "patient_id": [f"p{i:03}" for i in range(n)],
                "model": model, "features": "f", "scheme": "holdout", "repeat": 0, "fold": 0,
                "y_true": y_true, "y_prob": y_prob, "threshold": 0.5,
            }
        )
        for model, y_prob in scores.items()
    ]  # fmt: skip
    return PREDICTION_TABLE.completed(pd.concat(frames, ignore_index=True))


def rois(y_true: np.ndarray, **columns: np.ndarray) -> pd.DataFrame:
    frame = pd.DataFrame(
        {"roi_id": [f"r{i:03}" for i in range(len(y_true))], "y_true": y_true, **columns}
    )
    return frame.reindex(columns=ROI_TABLE.columns)


@pytest.fixture(scope="module")
def scene() -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(3)
    y_true = rng.integers(0, 2, 300)
    diameter = rng.uniform(3, 20, 300)
    table = predictions(
        y_true,
        size_only=diameter / 20,
        other=np.clip(y_true * 0.3 + rng.uniform(0, 0.7, 300), 0, 1),
    )
    return table, rois(y_true, equivalent_diameter_mm=diameter)


def test_a_stratum_holds_the_metrics_of_its_rois(scene) -> None:
    table, about = scene
    found = stratify(table, about, BOOTSTRAP, seed=0)
    kept = about["equivalent_diameter_mm"].between(8, 15).to_numpy()
    other = table[table.model == "other"]
    row = found[(found.level == "8-15 mm") & (found.model == "other") & (found.metric == "auc")]
    expected = roc_auc_score(other["y_true"][kept], other["y_prob"][kept])
    assert row["value"].item() == pytest.approx(expected, abs=1e-12)  # the same sum, other order
    assert row["n_rois"].item() == kept.sum()
    assert row["n_malignant"].item() == about["y_true"][kept].sum()


def test_the_lift_is_the_difference_of_the_two_aucs(scene) -> None:
    table, about = scene
    found = stratify(table, about, BOOTSTRAP, seed=0)
    auc = found[found.metric == "auc"].set_index(["level", "model"])["value"]
    lifts = found[found.metric == LIFT]
    assert set(lifts.model) == {"other"}
    for row in lifts.itertuples():
        difference = auc[row.level, "other"] - auc[row.level, "size_only"]
        assert row.value == pytest.approx(difference, abs=1e-12)
        assert row.ci_low < row.value < row.ci_high


def test_levels_divide_the_rois(scene) -> None:
    table, about = scene
    found = stratify(table, about, BOOTSTRAP, seed=0)
    size = found[(found.stratum == "size") & (found.metric == "auc") & (found.model == "other")]
    assert size["n_rois"].sum() == len(about)
    assert set(found.stratum) == {"size", "size-matched"}  # the others are not known of any ROI


@pytest.mark.parametrize(
    ("diameter_mm", "level"),
    [(7.99, "< 8 mm"), (8.0, "8-15 mm"), (15.0, "8-15 mm"), (15.01, "> 15 mm")],
)
def test_edges(diameter_mm: float, level: str) -> None:
    y_true = np.array([0, 1])
    about = rois(y_true, equivalent_diameter_mm=np.full(2, diameter_mm))
    found = stratify(predictions(y_true, a=np.array([0.1, 0.9])), about, BOOTSTRAP, seed=0)
    assert set(found[found.stratum == "size"].level) == {level}


@pytest.mark.parametrize(
    ("n_malignant", "given"), [(MIN_PATIENTS - 1, False), (MIN_PATIENTS, True)]
)
def test_intervals_are_withheld_below_the_stated_number(n_malignant: int, given: bool) -> None:
    rng = np.random.default_rng(0)
    y_true = np.repeat([1, 0], [n_malignant, 40])
    about = rois(y_true, equivalent_diameter_mm=np.full(len(y_true), 10.0))
    table = predictions(y_true, a=rng.uniform(size=len(y_true)))
    found = stratify(table, about, BOOTSTRAP, seed=0)
    accuracy = found[(found.stratum == "size") & (found.metric == "accuracy")].iloc[0]
    assert np.isfinite(accuracy["value"])
    assert np.isfinite(accuracy["ci_low"]) == given
    assert ("withheld" in accuracy["method"]) != given


def test_intervals_are_withheld_by_patients_not_by_rois() -> None:
    """Sixty malignant ROIs of ten patients are ten cases."""
    rng = np.random.default_rng(0)
    y_true = np.repeat([1, 0], [60, 40])
    about = rois(y_true, equivalent_diameter_mm=np.full(100, 10.0))
    patient = [f"p{i % 10 if i < 60 else i}" for i in range(100)]
    table = predictions(y_true, a=rng.uniform(size=100)).assign(patient_id=patient)
    found = stratify(table, about, BOOTSTRAP, seed=0)
    assert found["ci_low"].isna().all()
    assert found["method"].str.contains("withheld").all()
    assert set(found.n_patients[found.stratum == "size"]) == {50}
    assert set(found.n_malignant[found.stratum == "size"]) == {60}


@pytest.mark.parametrize(
    ("column", "value", "level"),
    [
        ("texture", 2.0, "non-solid (1 to 2)"), ("texture", 2.01, "part-solid (2 to 4)"),
        ("texture", 3.99, "part-solid (2 to 4)"), ("texture", 4.0, "solid (4 to 5)"),
        ("malignancy_range", 1, "ratings 0 or 1 apart"),
        ("malignancy_range", 2, "ratings 2 or more apart"),
        ("slice_thickness_mm", 1.25, "<= 1.25 mm"),
        ("slice_thickness_mm", 1.26, "1.25 to 2.5 mm"),
        ("slice_thickness_mm", 2.5, "1.25 to 2.5 mm"), ("slice_thickness_mm", 2.51, "> 2.5 mm"),
    ],
)  # fmt: skip
def test_edges_of_the_other_strata(column: str, value: float, level: str) -> None:
    y_true = np.array([0, 1])
    about = rois(y_true, **{column: np.full(2, value)})
    found = stratify(predictions(y_true, a=np.array([0.1, 0.9])), about, BOOTSTRAP, seed=0)
    assert set(found.level) == {level}


def test_pairs_are_of_one_repeat_and_rows_without_a_partner_are_left_out() -> None:
    """r0 and r1 meet in repeat 0 only, r2 is never tested with a partner of its size."""
    y_true = np.array([1, 0, 1])
    about = rois(y_true, equivalent_diameter_mm=np.array([10.0, 10.0, 30.0]))
    once = predictions(y_true, a=np.array([0.8, 0.2, 0.9]))
    again = once.assign(repeat=1, fold=[0, 1, 0], y_prob=[0.5, 0.1, 0.9])
    found = stratify(pd.concat([once, again], ignore_index=True), about, BOOTSTRAP, seed=0)
    matched = found[found.stratum == "size-matched"].set_index("metric")
    assert matched.loc["auc", ["n_rois", "n_malignant"]].tolist() == [2, 1]
    # Of the two rows only: a third, of repeat 1, would change the mean of squares.
    assert matched.loc["brier", "value"] == pytest.approx(0.04)
    apart = stratify(again, about, BOOTSTRAP, seed=0)
    assert "size-matched" not in set(apart.stratum)


def test_matching_finds_as_many_pairs_as_there_can_be() -> None:
    rng = np.random.default_rng(1)
    for _ in range(40):
        y_true = np.repeat([1, 0], [4, 5])
        diameter = rng.uniform(5, 8, 9)
        matched = match_by_size(diameter, y_true)
        assert matched[y_true == 1].sum() == matched[y_true == 0].sum() == _most_pairs(diameter)


@pytest.mark.parametrize(
    ("n_malignant", "n_benign"), [(30, 50), (50, 30), (40, 40), (1, 9), (0, 3)]
)
def test_matching_is_the_cheapest_of_the_largest(n_malignant: int, n_benign: int) -> None:
    rng = np.random.default_rng(n_malignant)
    for spread in (0.1, 0.5, 1.5):
        y_true = rng.permutation(np.repeat([1, 0], [n_malignant, n_benign]))
        diameter = rng.lognormal(2, spread, len(y_true))
        one, other = (np.sort(np.log(diameter[y_true == label])) for label in (1, 0))
        distance, limit = np.abs(np.subtract.outer(one, other)), np.log(MATCHED_RATIO)
        rows, columns = linear_sum_assignment(np.where(distance <= limit, distance, 100 * limit))
        cheapest = [d for d in distance[rows, columns] if d <= limit]
        pairs = list(_assign(one, other))
        assert len({row for row, _ in pairs}) == len({column for _, column in pairs})
        assert len(pairs) == len(cheapest)
        assert sum(distance[pair] for pair in pairs) == pytest.approx(sum(cheapest), abs=1e-12)
        matched = match_by_size(diameter, y_true)
        assert matched[y_true == 1].sum() == matched[y_true == 0].sum() == len(pairs)


def test_matching_of_many_takes_little_memory() -> None:
    rng = np.random.default_rng(0)
    y_true = np.repeat([1, 0], 4000)
    tracemalloc.start()
    matched = match_by_size(rng.lognormal(2, 0.5, 8000), y_true)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert matched.sum() > 7000
    assert peak < 8e6  # as floats, the distances alone would be 128 MB


def _most_pairs(diameter: np.ndarray) -> int:
    """By trying everything: the first four are malignant, the other five benign."""
    for n in range(4, 0, -1):
        for chosen in combinations(range(4), n):
            for partners in permutations(range(4, 9), n):
                ratio = diameter[list(chosen)] / diameter[list(partners)]
                if np.all(np.maximum(ratio, 1 / ratio) <= MATCHED_RATIO):
                    return n
    return 0


def test_matching_takes_the_closer_partner_and_ignores_unknown_sizes() -> None:
    y_true = np.array([1, 0, 0, 1])
    matched = match_by_size(np.array([10.0, 10.9, 10.1, np.nan]), y_true)
    assert matched.tolist() == [True, False, True, False]


def test_size_says_nothing_among_pairs_of_equal_size() -> None:
    rng = np.random.default_rng(5)
    y_true = np.repeat([0, 1], 200)
    diameter = rng.lognormal(2 + 0.4 * y_true, 0.4)
    about = rois(y_true, equivalent_diameter_mm=diameter)
    found = stratify(predictions(y_true, size_only=diameter / 100), about, BOOTSTRAP, seed=0)
    assert roc_auc_score(y_true, diameter) > 0.7
    auc = found[(found.stratum == "size-matched") & (found.metric == "auc")].iloc[0]
    # Pairs differ by 10 % at most, against a spread of e^0.4: next to nothing is left.
    assert 0.45 < auc["value"] < 0.6


def test_pairs_are_of_one_fold() -> None:
    y_true = np.array([1, 0])
    about = rois(y_true, equivalent_diameter_mm=np.array([10.0, 10.0]))
    table = predictions(y_true, a=np.array([0.2, 0.8])).assign(fold=[0, 1])
    found = stratify(table, about, BOOTSTRAP, seed=0)
    assert "size-matched" not in set(found.stratum)


def test_characteristics_of_a_roi() -> None:
    about = {"slice_thickness_mm": "2.5", "texture": "5 4 4"}
    records = (
        RoiRecord("a", "p", malignancy_ratings=(4, 5, 2), attributes=MappingProxyType(about)),
        RoiRecord("b", "q", malignancy_ratings=(1,), attributes=MappingProxyType({"texture": "?"})),
    )
    cohort = assemble(RoiDataset("d", records, lambda r: None), LabelRule(min_readers=1))
    image = np.zeros((2, 3, 3), np.float32)
    with_mask = Roi(records[0], image, np.ones((2, 3, 3), bool), (3.0, 1.0, 1.0))
    without = Roi(records[1], image, None, (3.0, 1.0, 1.0))
    table = roi_table.table(cohort, [roi_table.measure(r) for r in (with_mask, without)])
    first, second = table.to_dict("records")
    assert first["equivalent_diameter_mm"] == pytest.approx((6 * 54 / np.pi) ** (1 / 3))
    assert (first["slice_thickness_mm"], second["slice_thickness_mm"]) == (2.5, 3.0)
    assert first["malignancy_mean"] == pytest.approx(11 / 3)
    assert first["malignancy_range"] == 3
    assert first["texture"] == pytest.approx(13 / 3)
    unknown = ("equivalent_diameter_mm", "malignancy_range", "texture")
    assert all(np.isnan(second[name]) for name in unknown)
