"""Each method warning is raised where it is due, with its figure, and only there."""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmark.cohort.near_duplicates import Pair
from benchmark.columns import CHOICE_TABLE
from benchmark.plugins.arms import Arm
from benchmark.report.wording.method_warnings import cautions
from benchmark.run.folder import RunFolder
from tests.helpers.small_run import N, calibrated, run


def starting(run_: RunFolder, words: str) -> list[str]:
    return [caution for caution in cautions(run_) if caution.startswith(words)]


def test_nothing_is_said_of_a_clean_run() -> None:
    p, y_true = calibrated(N, 0)
    noise = np.random.default_rng(1).normal(0, 3, N)
    worse = 1 / (1 + np.exp(-(np.log(p / (1 - p)) + noise)))
    assert [c for c in cautions(run({"size_only": worse, "m": p}, y_true)) if "m:f" in c] == []


def test_worse_than_size() -> None:
    p, y_true = calibrated(N, 0)
    noise = np.random.default_rng(1).uniform(size=N)
    (said,) = starting(run({"size_only": p, "m": noise}, y_true), "Worse than size alone")
    assert "m:f -0." in said


def test_a_size_that_ranks_by_chance_is_a_low_bar() -> None:
    p, y_true = calibrated(N, 0)
    noise = np.random.default_rng(1).uniform(size=N)
    for size in (noise, 1 - p):
        (said,) = starting(run({"size_only": size, "m": p}, y_true), "Size is a low bar")
        assert "better than chance, AUC 0." in said
    assert starting(run({"size_only": p, "m": noise}, y_true), "Size is a low bar") == []


def test_no_lift() -> None:
    p, y_true = calibrated(N, 0)
    jitter = np.clip(p + np.random.default_rng(1).normal(0, 0.01, N), 0, 1)
    (said,) = starting(run({"size_only": p, "m": jitter}, y_true), "No lift over size")
    assert "m:f" in said
    assert "[-0." in said


def test_a_constant_is_not_blamed() -> None:
    p, y_true = calibrated(N, 0)
    assert not any("prior" in c for c in cautions(run({"size_only": p, "prior": 0 * p}, y_true)))


def test_threshold_chosen_on_the_tested_rois() -> None:
    p, y_true = calibrated(N, 0)
    youden = [((p >= t) & (y_true == 1)).sum() / y_true.sum()
              - ((p >= t) & (y_true == 0)).sum() / (1 - y_true).sum() for t in p]  # fmt: skip
    best = float(p[int(np.argmax(youden))])
    (said,) = starting(run({"m": p}, y_true, threshold=best), "Threshold of m:f: it is the best")
    assert f"{max(youden):.3f}" in said
    assert starting(run({"m": p}, y_true, threshold=best + 0.1), "Threshold of m:f") == []


def test_a_lift_without_an_interval() -> None:
    p, y_true = calibrated(N, 0)
    said = starting(run({"size_only": p, "twin": p}, y_true), "No lift over size")
    assert said == ["No lift over size is shown, AUC - size has no interval: twin:f +0.000"]


def test_few_cases() -> None:
    p, y_true = calibrated(120, 0)
    (said,) = starting(run({"m": p}, y_true), "Few cases")
    assert f"{y_true.sum()} patients with malignant and {(1 - y_true).sum()} with benign" in said
    assert starting(run({"m": calibrated(N, 0)[0]}, calibrated(N, 0)[1]), "Few cases") == []


def test_few_cases_are_patients_and_not_their_rois() -> None:
    p, y_true = calibrated(N, 0)
    patients = [f"p{i % 90}" for i in range(N)]
    (said,) = starting(run({"m": p}, y_true, patients=patients), "Few cases")
    n = [len({patients[i] for i in np.flatnonzero(y_true == label)}) for label in (1, 0)]
    assert f"{n[0]} patients with malignant and {n[1]} with benign" in said


def test_a_patient_with_many_rois() -> None:
    p, y_true = calibrated(N, 0)
    for n, named in ((134, True), (133, False)):  # of 400; a third is 133.3
        patients = ["long"] * n + [f"p{i}" for i in range(N - n)]
        said = starting(run({"m": p}, y_true, patients=patients), "A patient with many ROIs")
        assert len(said) == named
    said = starting(run({"m": p}, y_true, patients=["long"] * 200 + patients[200:]),
                    "A patient with many ROIs")  # fmt: skip
    assert "200 of 400 tested ROIs (50 %) are of long" in said[0]


def test_calibration() -> None:
    p, y_true = calibrated(N, 0)
    logit = np.log(p / (1 - p))
    overconfident = 1 / (1 + np.exp(-3 * logit))
    (said,) = starting(run({"m": overconfident}, y_true), "Calibration is off")
    assert "m:f slope 0.3" in said
    assert starting(run({"m": p}, y_true), "Calibration") == []


def test_train_test_gap() -> None:
    p, y_true = calibrated(N, 0)
    (said,) = starting(run({"m": p}, y_true, trained={"m": 1.0}), "Train-test gap")
    assert "m:f 1.000 and 0.8" in said
    assert starting(run({"m": p}, y_true, trained={"m": 0.9}), "Train-test gap") == []


def test_leaky() -> None:
    p, y_true = calibrated(N, 0)
    (said,) = starting(run({"m": p}, y_true, leaky=True), "Leaky split")
    assert "1 of 400 tested ROIs" in said
    assert starting(run({"m": p}, y_true), "Leaky split") == []


def test_near_duplicates_across_the_split() -> None:
    p, y_true = calibrated(N, 0)
    pairs = (Pair("other", "r0003", 0.97), Pair("r0001", "r0002", 0.99))
    (said,) = starting(run({"m": p}, y_true, pairs=pairs), "Near-duplicates")
    assert "of 1 tested ROIs" in said
    assert "other and r0003, similarity 0.970" in said
    assert starting(run({"m": p}, y_true, pairs=pairs[1:]), "Near-duplicates") == []


def test_no_size_row() -> None:
    p, y_true = calibrated(N, 0)
    assert starting(run({"m": p}, y_true), "No size-only row")
    assert starting(run({"size_only": p}, y_true), "No size-only row") == []


def test_each_arm_is_named_with_its_own_figures_and_no_other() -> None:
    """Several arms, one of them at fault at a time: neither its neighbours nor their figures."""
    p, y_true = calibrated(N, 0)
    logit = np.log(p / (1 - p))
    noise = np.random.default_rng(1).normal(0, 3, N)
    arms = {
        "size_only": 1 / (1 + np.exp(-(logit + noise))),
        "good": p,
        "steep": 1 / (1 + np.exp(-3 * logit)),
        "worse": np.random.default_rng(1).uniform(size=N),
    }
    trained = {"size_only": 0.6, "good": 0.7, "steep": 1.0, "worse": 0.5}
    run_ = run(arms, y_true, trained=trained)
    (gap,) = starting(run_, "Train-test gap")
    assert "steep:f 1.000 and 0.8" in gap
    assert "good:f" not in gap
    assert "worse:f" not in gap
    (off,) = starting(run_, "Calibration is off")
    assert "steep:f slope 0.3" in off
    assert "good:f" not in off
    (low,) = starting(run_, "Worse than size alone")
    assert "worse:f -0." in low
    assert "good:f" not in low
    assert "steep:f" not in low


def test_a_gap_is_of_the_mean_over_splits() -> None:
    p, y_true = calibrated(N, 0)
    run_ = run({"m": p}, y_true, trained={"m": 1.0})
    second = run_.training.assign(fold=1, auc=0.8)
    both = run_.replaced(training=pd.concat([run_.training, second]))
    # The mean, .9, is .03 above what is tested; the first split alone is .13 above.
    assert starting(run_, "Train-test gap")
    assert starting(both, "Train-test gap") == []


def chosen(run_: RunFolder, arm: str, setting: str, ends: list[tuple[str, str]]) -> RunFolder:
    """The run with what an arm chose, a value and its edge a fit, beside what is there."""
    rows = CHOICE_TABLE.frame(
        {**Arm(arm, "f").columns, "repeat": 0, "fold": fold, "setting": setting,
         "value": value, "edge": edge}
        for fold, (value, edge) in enumerate(ends)
    )  # fmt: skip
    known = [] if run_.choices is None else [run_.choices]
    return run_.replaced(choices=pd.concat([*known, rows]))


def test_settings_at_the_end_of_their_grid() -> None:
    p, y_true = calibrated(N, 0)
    run_ = run({"m": p, "n": p}, y_true)
    assert starting(run_, "Settings at the end") == []  # a run without choices
    inside = [("1", "")] * 3
    once = chosen(run_, "m", "C", [("0.1", "lowest"), *inside, ("1", "")])
    assert starting(once, "Settings at the end") == []  # one fit in five may be chance
    often = chosen(
        once, "n", "C", [("10", "highest"), ("0.1", "lowest"), *inside, ("10", "highest")]
    )
    often = chosen(often, "n", "depth", [("4", "")] * 6)
    (said,) = starting(often, "Settings at the end")
    assert "n:f C = 10 (highest) in 2 of 6 fits" in said
    assert "lowest" not in said
    assert "m:f" not in said
    assert "depth" not in said
