"""Changed and shifted inputs: exact comparison, Kolmogorov-Smirnov, one error for all features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmark.drift import shift
from benchmark.run.folder import RunFolder


def side(values: np.ndarray, per_patient: int = 1, prefix: str = "r") -> RunFolder:
    """A side with feature set ``f`` of shape (n, p); labels alternate between patients."""
    n = len(values)
    ids = [f"{prefix}{i:05}" for i in range(n)]
    patients = np.arange(n) // per_patient
    nothing = np.full(n, np.nan)
    rois = pd.DataFrame(
        {
            "roi_id": ids, "patient_id": [f"{prefix}p{i}" for i in patients],
            "y_true": patients % 2, "equivalent_diameter_mm": nothing,
            "slice_thickness_mm": nothing, "malignancy_mean": nothing, "texture": nothing,
        }
    )  # fmt: skip
    frame = pd.DataFrame(values, columns=[f"x{j}" for j in range(values.shape[1])], index=ids)
    frame.index.name = "roi_id"
    return RunFolder(Path()).replaced(rois=rois, features={"f": frame})


def of_set(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["features"] == "f"].reset_index(drop=True)


def test_changes_are_counted_roi_by_roi_in_standard_deviations() -> None:
    values = np.random.default_rng(0).normal(size=(60, 3))
    other = values.copy()
    other[:4, 1] += 2 * values[:, 1].std(ddof=1)
    other[:, 2] += 1e-12
    table = of_set(shift.table(side(values), side(other), 1e-9))
    assert table["n_changed"].tolist() == [0, 4, 0]
    assert table["n_shared"].tolist() == [60] * 3
    assert table["largest_change"][1] == pytest.approx(2)


def test_a_value_known_on_one_side_only_has_changed() -> None:
    values = np.ones((10, 2))
    other = values.copy()
    values[0, 0] = other[0, 0] = other[1, 1] = np.nan
    table = of_set(shift.table(side(values), side(other), 1e-9))
    assert table["n_changed"].tolist() == [0, 1]
    assert table["largest_change"][1] == np.inf


def test_another_scanner_shifts_what_it_moves() -> None:
    rng = np.random.default_rng(0)
    old, new = rng.normal(size=(150, 20)), rng.normal(size=(150, 20))
    new[:, 7] += 1
    table = of_set(shift.table(side(old), side(new, prefix="q"), 1e-9))
    shifted = table[table["p_holm"] <= shift.LEVEL]
    assert shifted["feature"].tolist() == ["x7"]
    assert table["n_shared"].tolist() == [0] * 20


@pytest.mark.parametrize("per_patient", [1, 5])
def test_false_alarms_over_all_features_together_are_within_the_level(per_patient: int) -> None:
    """Twenty features, no shift; a patient's ROIs have one value, the worst clustering."""
    alarms = 0
    runs = 200
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        old, new = (
            np.repeat(rng.normal(size=(40, 20)), per_patient, axis=0) for _ in range(2)
        )  # fmt: skip
        table = shift.table(side(old, per_patient), side(new, per_patient, "q"), 1e-9)
        alarms += bool((table["p_holm"] <= shift.LEVEL).any())
    # 5 % of 200 is 10; 17 and more would come once in a hundred times at exactly 5 %. Without
    # one ROI a patient, nearly every run of the second case is an alarm.
    assert alarms <= 17


def test_label_balance() -> None:
    even = side(np.zeros((200, 1)))
    assert shift.label_balance(even, even) == ((100, 200), (100, 200), 1.0)
    rare = side(np.zeros((200, 1)), prefix="q")
    rare.rois["y_true"] = (np.arange(200) < 40).astype(int)
    assert shift.label_balance(even, rare)[1] == (40, 200)
    assert shift.label_balance(even, rare)[2] < 1e-6
