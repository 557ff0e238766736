"""Change-points: lasting steps are found where they are, and noise is left alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmark.tracking.change_points import Change, changes, cut
from benchmark.tracking.history_plot import plot


@pytest.mark.parametrize(
    ("values", "cuts"),
    [
        ([0.9] * 3 + [0.8] * 3, [3]),
        ([0.9] * 4 + [0.8] * 2 + [0.9] * 5, [4, 6]),
        ([0.9] * 12, []),
        ([0.9] * 6 + [0.9 + 1e-9] * 6, []),  # another machine
        ([0.9, 0.9, 0.8], []),
        ([], []),
    ],
)
def test_steps_without_noise_are_cut_where_they_are(values: list[float], cuts: list[int]) -> None:
    assert cut(np.array(values)) == cuts


def test_a_step_of_many_deviations_is_found_and_noise_is_not() -> None:
    rng = np.random.default_rng(0)
    runs = rng.normal(0.9, 0.01, (400, 20))
    alarms = np.mean([bool(cut(each)) for each in runs])
    assert alarms < 0.04  # 2 % nominally; three standard errors above
    runs[:, 13:] -= 0.06
    found = [cut(each) for each in runs]
    assert np.mean([13 in each for each in found]) > 0.95


def history(auc: list[float], **columns: str) -> pd.DataFrame:
    rows = [
        {
            "run": f"run{n}", "started": f"2026-01-{n + 1:02}T00:00:00+00:00", "dataset": "rois",
            "fingerprint": "f", "protocol": "p", "intensities": "acquired", "arm": "svm:radiomics",
            "python": "3.11", "packages": "{}", "accuracy": 0.8, "sensitivity": 0.8,
            "specificity": 0.8, "auc": value, "auc_low": value - 0.02, "auc_high": value + 0.02,
        }
        for n, value in enumerate(auc)
    ]  # fmt: skip
    other = {f"{m}_{end}": 0.8 for m in ("accuracy", "sensitivity", "specificity")
             for end in ("low", "high")}  # fmt: skip
    return pd.DataFrame(rows).assign(**other, **columns)


def test_a_change_names_its_first_run_and_both_levels() -> None:
    (change,) = changes(history([0.9] * 5 + [0.85] * 4))
    assert change == Change(
        "svm:radiomics", "auc", "run5", "2026-01-06T00:00:00+00:00", 0.9,
        pytest.approx(0.85), 5, 4,
    )  # fmt: skip


def test_runs_on_other_data_are_another_series() -> None:
    table = pd.concat([history([0.9] * 5), history([0.85] * 5, fingerprint="other")])
    assert changes(table) == []


def test_runs_without_the_metric_are_passed_over() -> None:
    (change,) = changes(history([0.9, 0.9, np.nan, 0.9, 0.85, np.nan, 0.85, 0.85]))
    assert (change.run, change.n_before, change.n_after) == ("run4", 3, 3)


def test_changes_are_drawn_and_listed(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        import matplotlib as mpl

        patch.setitem(mpl.rcParams, "svg.fonttype", "none")  # text as text
        (path,) = plot(history([0.9] * 5 + [0.85] * 4), tmp_path)
        drawn = path.read_text()
        (path,) = plot(history([0.9] * 9), tmp_path)
    told = "another level: svm:radiomics auc: 0.900 over 5 runs, 0.850 over 4 from 2026-01-06"
    assert told in drawn
    assert "another level" not in path.read_text()
