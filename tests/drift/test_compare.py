"""The drift gate: its rule, and what it says of each planted change, through the command line."""

from __future__ import annotations

import csv
import json
import math
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from benchmark import pipeline
from benchmark.drift import baseline, margins, verdicts
from benchmark.plugins.arms import Arm
from benchmark.run.folder import read_baseline
from benchmark.runtime.paths import BASELINE, ROOT
from benchmark.statistics.cases import Floats
from features import _pyradiomics
from tests.helpers import drift_study
from tests.helpers.command_line import invoke, refused
from tests.helpers.volumes import ball, write_volume

N = 40
ARMS = 'arms=["size_only", "logistic:radiomics", "prior"]'
COMMON = ["--jobs", "1", "--set", ARMS, "--set", "bootstrap.samples=100",
          "--set", "splits.scheme=kfold", "--set", "splits.folds=3"]  # fmt: skip


def rows() -> list[dict[str, str]]:
    return [
        {
            "roi_id": f"r{i:02}", "patient_id": f"p{i // 2:02}", "image": f"images/r{i:02}.nii.gz",
            "mask": f"masks/r{i:02}.nii.gz", "label": str(i // 2 % 2),
        }
        for i in range(N)
    ]  # fmt: skip


def write_rois(root: Path, table: list[dict[str, str]], *, brighter_hu: int = 0) -> Path:
    """Noisy balls of overlapping sizes; the first is brighter where asked."""
    for i, row in enumerate(rows()):
        rng = np.random.default_rng(i)
        mask = ball((7, 14, 14), 2.2 + 0.6 * (i // 2 % 2) + rng.uniform(0, 1.2))
        image = np.where(mask, 30, -850) + rng.normal(0, 40, mask.shape)
        image += brighter_hu * (i == 0)
        write_volume(root / row["image"], image.round().astype(np.int16))
        write_volume(root / row["mask"], mask.astype(np.uint8))
    with (root / "manifest.csv").open("w", newline="") as handle:
        writer = csv.DictWriter(handle, list(table[0]))
        writer.writeheader()
        writer.writerows(table)
    return root


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that serves as the baseline."""
    folder = tmp_path_factory.mktemp("base")
    rois = write_rois(folder / "rois", rows())
    assert invoke("run", "--dataset", rois, "--out", folder / "run", *COMMON) == 0
    return folder / "run"


@pytest.fixture
def copy(base: Path, tmp_path: Path) -> Path:
    """The same run, for a test to change."""
    return Path(shutil.copytree(base, tmp_path / "copy"))


@pytest.fixture
def committed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Margins as committed, whatever the developer at work has done to them."""
    monkeypatch.setattr(baseline, "uncommitted", lambda path: False)


def gate(run: Path, against: Path, *options: str) -> tuple[int, dict[str, Any]]:
    """Exit status of ``drift`` and what drift.json holds."""
    status = invoke("drift", run, "--baseline", against, *options)
    return status, json.loads((run / "drift.json").read_text())


def line(found: dict[str, Any], check: str) -> tuple[str, str]:
    (finding,) = [f for f in found["findings"] if f["check"] == check]
    return finding["status"], finding["message"]


def named(found: dict[str, Any]) -> set[str]:
    """Checks that found something."""
    return {f["check"] for f in found["findings"] if f["status"] != "same"}


def words(found: dict[str, Any], model: str) -> set[str]:
    return {v["verdict"] for v in found["verdicts"] if v["model"] == model}


def edit_json(path: Path, change: Callable[[Any], None]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def edit_predictions(run: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    path = run / "predictions.parquet"
    change(pd.read_parquet(path)).to_parquet(path)
    # Metrics are of the same arms; these tests look at none.
    metrics = pd.read_csv(run / "metrics.csv", dtype={"arm": str})
    arms = pd.read_parquet(run / "predictions.parquet").drop_duplicates("arm")
    of_one = metrics[metrics["arm"] == metrics["arm"].iloc[0]]
    names = ["arm", "model", "features", "supervision"]
    made = [of_one.assign(**{n: arm[n] for n in names}) for arm in arms.to_dict("records")]
    pd.concat([metrics[:0], *made]).to_csv(run / "metrics.csv", index=False)


def test_the_same_run_is_the_same(
    base: Path, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, found = gate(copy, base)
    assert status == 0
    assert {v["verdict"] for v in found["verdicts"]} == {"same"}
    assert named(found) == set()
    printed = capsys.readouterr().out
    assert "No drift" in printed
    suite = ET.parse(copy / "drift.xml").getroot()
    assert (suite.get("failures"), suite.get("errors")) == ("0", "0")
    assert int(suite.get("tests", "")) == len(found["findings"]) + 3 * len(
        margins.read_margins().gated
    )
    assert (copy / "drift.md").read_text().startswith("# Drift against the baseline: no drift")


@pytest.mark.parametrize("flipped", [[3], range(N)])
def test_a_flipped_label_column(base: Path, tmp_path: Path, flipped: list[int]) -> None:
    table = rows()
    for i in flipped:
        table[i]["label"] = str(1 - int(table[i]["label"]))
    rois = write_rois(tmp_path / "rois", table)
    assert invoke("run", "--dataset", rois, "--out", tmp_path / "run", *COMMON) == 0
    status, found = gate(tmp_path / "run", base)
    assert status == 3
    state, message = line(found, "labels")
    assert state == "not comparable"
    assert f"labels flipped for {len(flipped)} of {N} ROIs (r0" in message
    assert ("the label column is inverted" in message) is (len(flipped) == N)
    assert line(found, "features")[0] == line(found, "rois")[0] == "same"
    assert words(found, "size_only") == {"not comparable"}


def test_a_dropped_roi(base: Path, tmp_path: Path) -> None:
    rois = write_rois(tmp_path / "rois", rows()[:-1])
    assert invoke("run", "--dataset", rois, "--out", tmp_path / "run", *COMMON) == 0
    status, found = gate(tmp_path / "run", base)
    assert status == 3
    assert line(found, "rois") == (
        "not comparable", f"1 of the baseline's {N} ROIs dropped (r{N - 1})",
    )  # fmt: skip
    assert line(found, "labels")[0] == line(found, "features")[0] == "same"


def test_features_that_are_gone_are_not_the_same(base: Path, copy: Path) -> None:
    path = copy / "features" / "diameter.parquet"
    pd.read_parquet(path).iloc[:0].to_parquet(path)
    for run, before, said in (
        (base, copy, f"{N} with them that had none"),
        (copy, base, f"{N} ROIs without features that had them"),
    ):
        status, found = gate(run, before)
        assert status == 1
        assert line(found, "features")[0] == "drift"
        assert said in line(found, "features")[1]


def test_changed_voxels(base: Path, tmp_path: Path) -> None:
    rois = write_rois(tmp_path / "rois", rows(), brighter_hu=60)
    assert invoke("run", "--dataset", rois, "--out", tmp_path / "run", *COMMON) == 0
    status, found = gate(tmp_path / "run", base)
    assert status == 3
    assert "so voxel values or masks differ" in line(found, "dataset")[1]
    assert "features differ, and so do the data" in line(found, "features")[1]
    assert f"in up to 1 of {N} ROIs" in line(found, "features")[1]
    assert named(found) == {"dataset", "features"}


def test_a_changed_bin_width_is_the_extractor_not_the_model(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_pyradiomics, "BIN_WIDTH_HU", 10)
    rois = base.parent / "rois"
    assert invoke("run", "--dataset", rois, "--out", tmp_path / "run", *COMMON) == 0
    status, found = gate(tmp_path / "run", base)
    assert status == 1
    assert line(found, "dataset")[0] == "same"
    state, message = line(found, "features")
    assert state == "drift"
    assert (
        "feature extraction changed (images and masks are the baseline's): radiomics: " in message
    )
    assert f"of 107 features differ in up to {N} of {N} ROIs" in message
    assert words(found, "size_only") == {"same"}
    reasons = {v["reason"] for v in found["verdicts"] if v["model"] == "logistic"}
    assert all("its inputs changed (radiomics), not the model alone" in r for r in reasons)
    moved = {row["feature"] for row in found["shift"] if row["n_changed"]}
    assert not any("_shape_" in name for name in moved)  # shape knows no bins
    assert any("_glcm_" in name for name in moved)


def swap_folds(splits: list[dict[str, Any]]) -> None:
    splits[0]["fold"], splits[1]["fold"] = 1, 0


def swap_sides(splits: list[dict[str, Any]]) -> None:
    splits[2]["train"], splits[2]["test"] = splits[2]["test"], splits[2]["train"]


def move_one(splits: list[dict[str, Any]]) -> None:
    roi_id = splits[0]["test"].pop()
    splits[0]["train"].append(roi_id)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (swap_folds, "repeat 0 fold 1 is the baseline's repeat 0 fold 0 (folds swapped)"),
        (swap_sides, "repeat 0 fold 2: training and test side are swapped"),
        (move_one, "repeat 0 fold 0: 0 ROIs newly tested, 1 no longer (r"),
        (lambda splits: splits.pop(), "kfold of 2 splits, the baseline's kfold of 3"),
    ],
)
def test_other_splits(
    base: Path, copy: Path, change: Callable[[list[dict[str, Any]]], None], message: str
) -> None:
    edit_json(copy / "splits.json", change)
    edit_predictions(copy, lambda table: table[:0])  # they would contradict the splits
    status, found = gate(copy, base)
    assert status == 3
    assert line(found, "splits")[0] == "not comparable"
    assert message in line(found, "splits")[1]
    assert named(found) == {"splits"}


def test_another_seed_draws_other_splits(base: Path, tmp_path: Path) -> None:
    arguments = ["--dataset", base.parent / "rois", "--out", tmp_path / "run", *COMMON]
    assert invoke("run", *arguments, "--set", "seed=1", "--models", "size_only") == 0
    status, found = gate(tmp_path / "run", base)
    assert status == 3
    assert named(found) == {"splits"}


def test_another_label_rule_and_threshold(base: Path, copy: Path) -> None:
    def relabel(environment: dict[str, Any]) -> None:
        environment["protocol"]["label"] = "label: mean of the ratings > 3"

    edit_json(copy / "environment.json", relabel)
    text = (copy / "config.toml").read_text()
    (copy / "config.toml").write_text(text.replace('threshold = "train"', "threshold = 0.5"))
    status, found = gate(copy, base)
    assert status == 3
    assert named(found) == {"label rule", "threshold"}
    assert "mean of the ratings" in line(found, "label rule")[1]
    assert all("label rule, threshold" in v["reason"] for v in found["verdicts"])


def test_another_patient_id(base: Path, copy: Path) -> None:
    table = pd.read_csv(copy / "rois.csv")
    table.loc[0, "patient_id"] = "somebody"
    table.to_csv(copy / "rois.csv", index=False)
    edit_predictions(copy, lambda table: table[:0])  # they would contradict the ROIs
    status, found = gate(copy, base)
    assert status == 3
    assert line(found, "patients")[1] == f"patient_id differs for 1 of {N} ROIs (r00)"


def test_missing_and_new_arms(base: Path, copy: Path, tmp_path: Path) -> None:
    edit_predictions(copy, lambda table: table[table.model != "logistic"])
    failure = {"status": "failed", "stage": "fit", "reason": "ValueError: no", "model": "logistic",
               "features": "radiomics", "roi_id": "", "repeat": 0, "fold": 0}  # fmt: skip
    edit_json(copy / "failures.json", lambda failures: failures.append(failure))
    status, found = gate(copy, base)
    assert status == 1
    (verdict,) = [v for v in found["verdicts"] if v["model"] == "logistic"]
    assert verdict["verdict"] == "missing"
    assert "failed fit: ValueError: no" in verdict["reason"]
    status = invoke("drift", base, "--baseline", copy, "--out", tmp_path / "out")
    found = json.loads((tmp_path / "out" / "drift.json").read_text())
    assert status == 0
    assert words(found, "logistic") == {"new"}


def test_a_roi_that_one_arm_lost(base: Path, copy: Path) -> None:
    edit_predictions(
        copy, lambda t: t[(t.model != "logistic") | (t.roi_id != "r09")]
    )  # fmt: skip
    assert gate(copy, base, "--strict")[0] == 3
    status, found = gate(copy, base)
    assert status == 3
    (verdict,) = [v for v in found["verdicts"] if v["model"] == "logistic"]
    assert verdict["verdict"] == "not comparable"
    assert f"1 of {N} tested rows are missing, first roi_id 'r09'" in verdict["reason"]
    assert words(found, "size_only") == {"same"}


def test_rows_are_paired_by_roi_whatever_their_order(base: Path, copy: Path) -> None:
    edit_predictions(copy, lambda table: table.sample(frac=1, random_state=0))
    status, found = gate(copy, base)
    assert status == 0
    assert {v["verdict"] for v in found["verdicts"]} == {"same"}
    assert named(found) == set()


def test_predictions_of_the_wrong_rois_are_not_the_same(base: Path, copy: Path) -> None:
    """Scores handed on to the next ROI, rows in order: paired by place they are the baseline's."""

    def hand_on(table: pd.DataFrame) -> pd.DataFrame:
        rows = table.copy()
        own = rows[(rows.model == "logistic") & (rows.fold == 0)].index
        rows.loc[own, "roi_id"] = np.roll(rows.loc[own, "roi_id"].to_numpy(), 1)
        truth = table[table.model == "logistic"].set_index("roi_id")
        for column in ("y_true", "patient_id"):
            rows.loc[own, column] = truth[column].loc[rows.loc[own, "roi_id"]].to_numpy()
        return rows

    edit_predictions(copy, hand_on)
    _, found = gate(copy, base)
    assert "same" not in words(found, "logistic")
    assert words(found, "size_only") == words(found, "prior") == {"same"}


def spoil(table: pd.DataFrame) -> pd.DataFrame:
    """A model whose probabilities are turned round."""
    wrong = table.model == "logistic"
    return table.assign(y_prob=table.y_prob.where(~wrong, 1 - table.y_prob))


def test_a_regression_fails_and_names_versions(
    base: Path, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit_predictions(copy, spoil)

    def older(environment: dict[str, Any]) -> None:
        environment["packages"]["scikit-learn"] = "0.1"

    edit_json(copy / "environment.json", older)
    status, found = gate(copy, base)
    assert status == 1
    auc = next(v for v in found["verdicts"] if (v["model"], v["metric"]) == ("logistic", "auc"))
    assert auc["verdict"] == "regression"
    assert auc["run"] == pytest.approx(1 - auc["baseline"])
    assert auc["gain"] == pytest.approx(auc["run"] - auc["baseline"])
    assert found["versions"]["scikit-learn"]["run"] == "0.1"
    comment = (copy / "drift.md").read_text()
    assert "regression: logistic:radiomics auc" in comment
    assert "scikit-learn" in next(x for x in comment.splitlines() if x.startswith("| logistic"))
    suite = ET.parse(copy / "drift.xml").getroot()
    failed = {(c.get("classname"), c.get("name")) for c in suite if c.find("failure") is not None}
    assert ("drift.logistic.radiomics", "auc") in failed
    assert suite.get("failures") == str(len(failed))
    assert "DRIFT" in capsys.readouterr().out
    swapped = invoke("drift", base, "--baseline", copy, "--out", copy / "swapped")
    found = json.loads((copy / "swapped" / "drift.json").read_text())
    assert swapped == 0
    assert "improvement" in words(found, "logistic")


def test_time_gates_only_when_asked(base: Path, copy: Path, tmp_path: Path) -> None:
    base = Path(shutil.copytree(base, tmp_path / "base"))
    for run, factor in ((base, 1.0), (copy, 5.0)):
        timings = pd.read_csv(run / "timings.csv", keep_default_na=False)
        timings["seconds"] = factor
        timings.to_csv(run / "timings.csv", index=False)
        edit_json(run / "environment.json", lambda e: e.update(reference_s=[0.1, 0.2, 9.0]))
    assert gate(copy, base)[0] == 0
    assert gate(copy, base, "--max-slowdown", "6")[0] == 0
    status, found = gate(copy, base, "--max-slowdown", "4")
    assert status == 1
    slow = [t for t in found["timings"] if t["stage"] == "fit"]
    assert all(t["slower"] and t["slowdown"] == pytest.approx(5) for t in slow)
    # A machine whose reference takes five times as long is not a slower model.
    edit_json(copy / "environment.json", lambda e: e.update(reference_s=[1.0]))
    assert gate(copy, base, "--max-slowdown", "4")[0] == 0


def test_recalled_times_are_not_compared(base: Path, copy: Path) -> None:
    """Of a stage that the run recalled there is no time of its own."""
    timings = pd.read_csv(copy / "timings.csv", keep_default_na=False)
    recalled = (timings.model == "logistic") & (timings.stage == "fit")
    timings.loc[recalled, "n_cached"] = timings.loc[recalled, "n_rois"]
    timings.to_csv(copy / "timings.csv", index=False)
    _, found = gate(copy, base)
    compared = {(t["model"], t["stage"]) for t in found["timings"]}
    assert ("logistic", "fit") not in compared
    assert {("logistic", "predict"), ("size_only", "fit")} <= compared


def test_what_is_no_run_is_refused(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = refused(capsys, "drift", tmp_path, "--baseline", base)
    assert "neither a run folder nor a baseline: no config.toml" in message
    assert "no config.toml" in refused(capsys, "drift", base, "--baseline", tmp_path)


@pytest.mark.usefixtures("committed")
def test_refreshing(base: Path, copy: Path, tmp_path: Path) -> None:
    folder = tmp_path / "baseline"
    command = ["drift", base, "--baseline", folder, "--refresh", "--reason"]
    assert invoke(*command, "the first") == 0
    assert gate(copy, folder)[0] == 0
    assert "command" not in json.loads((folder / "environment.json").read_text())
    changed = pd.read_csv(copy / "metrics.csv", keep_default_na=False)
    changed.loc[(changed.model == "logistic") & (changed.metric == "auc"), "value"] = 0.1234
    changed.to_csv(copy / "metrics.csv", index=False)
    command[1] = copy
    assert invoke(*command, "a better network") == 0
    text = (folder / "CHANGES.md").read_text()
    assert text.index("a better network") < text.index("the first")
    (row,) = [x for x in text.splitlines() if "0.123 |" in x]
    former = pd.read_csv(base / "metrics.csv", keep_default_na=False)
    auc = former[(former.model == "logistic") & (former.metric == "auc")]["value"].item()
    assert row.endswith(f"{auc:.3f} | 0.123 |")
    assert "Revision" in text
    assert "auc old | auc new" in text


def test_refreshing_is_refused(
    copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["drift", copy, "--baseline", tmp_path / "baseline", "--refresh"]
    monkeypatch.setattr(baseline, "uncommitted", lambda path: False)
    assert "--refresh needs --reason" in refused(capsys, *command)
    monkeypatch.setattr(baseline, "uncommitted", lambda path: True)
    message = refused(capsys, *command, "--reason", "better")
    assert "a margin and the baseline never change together" in message
    monkeypatch.setattr(baseline, "uncommitted", lambda path: False)
    failure = {"status": "failed", "stage": "fit", "reason": "no"}
    edit_json(copy / "failures.json", lambda failures: failures.append(failure))
    assert "has 1 recorded failures" in refused(capsys, *command, "--reason", "better")
    assert not (tmp_path / "baseline").exists()


def test_uncommitted_margins_are_seen(tmp_path: Path) -> None:
    import subprocess

    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        subprocess.run(
            ["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True
        )

    path = tmp_path / "margins.toml"
    path.write_text("a = 1\n")
    assert not baseline.uncommitted(path)  # no checkout
    git("init")
    assert baseline.uncommitted(path)
    git("add", ".")
    git("commit", "-m", "one")
    assert not baseline.uncommitted(path)
    path.write_text("a = 2\n")
    assert baseline.uncommitted(path)


RULE = [
    # gain, low, high, margin -> verdict, conclusive
    (0.00, -0.01, 0.01, 0.03, "noise", True),
    (-0.01, -0.02, -0.005, 0.03, "noise", True),  # shown, and smaller than what is tolerated
    (-0.05, -0.08, -0.02, 0.03, "regression", True),
    (-0.02, -0.035, -0.005, 0.03, "noise", False),  # shown, but not to be beyond the margin
    (-0.05, -0.12, 0.02, 0.03, "noise", False),  # beyond the margin, and not shown
    (0.05, 0.02, 0.08, 0.03, "improvement", True),
    (-0.02, -0.08, 0.04, 0.03, "noise", False),  # too few cases to tell
    (math.nan, math.nan, math.nan, 0.03, "not comparable", False),
]


@pytest.mark.parametrize(("gain", "low", "high", "margin", "verdict", "conclusive"), RULE)
def test_the_rule(
    gain: float, low: float, high: float, margin: float, verdict: str, conclusive: bool
) -> None:
    assert verdicts.judge(gain, low, high, margin) == (verdict, conclusive)


_real = st.floats(-1, 1)


@given(_real, st.floats(0, 1), st.floats(0, 1), st.floats(1e-3, 0.5), st.floats(0, 1))
def test_a_better_run_never_gets_a_worse_verdict(
    gain: float, below: float, above: float, margin: float, more: float
) -> None:
    order = ["regression", "noise", "improvement"]
    one, _ = verdicts.judge(gain, gain - below, gain + above, margin)
    better, _ = verdicts.judge(gain + more, gain + more - below, gain + more + above, margin)
    assert order.index(better) >= order.index(one)


def sides(n: int, noise: float, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    score: Floats = 1.5 * y + rng.normal(size=n)
    frame = pd.DataFrame({"roi_id": range(n), "patient_id": np.arange(n) // 2, "repeat": 0,
                          "fold": 0, "y_true": y, "threshold": 0.5})  # fmt: skip
    other = score + noise * rng.normal(size=n)
    return tuple(frame.assign(y_prob=1 / (1 + np.exp(0.75 - s))) for s in (score, other))  # type: ignore[return-value]


@pytest.mark.parametrize("skewed", [-1, 1])
def test_each_bound_is_the_outer_of_percentile_and_normal(skewed: int) -> None:
    rng = np.random.default_rng(0)
    gains = skewed * rng.exponential(0.01, 4000)
    gain, error = float(gains.mean()), 0.01
    low, high = verdicts._bounds(gains, gain, error)
    percentile = np.quantile(gains, [error, 1 - error])
    reach = stats.norm.isf(error) * gains.std()
    normal = np.array([gain - reach, gain + reach])
    # The long tail is the percentile's, the short one the normal bound's, so both are seen.
    assert bool(percentile[0] < normal[0]) is (skewed < 0)
    assert bool(percentile[1] > normal[1]) is (skewed > 0)
    # The same quantities in another order of operations.
    assert low == pytest.approx(min(percentile[0], normal[0]), abs=1e-12)
    assert high == pytest.approx(max(percentile[1], normal[1]), abs=1e-12)


def test_exchanging_the_sides_turns_gains_round() -> None:
    old, new = sides(120, 1.0, 0)
    rules = margins.read_margins()
    metrics = ["auc", "brier", "calibration_slope"]
    forth = verdicts.judge_arms({Arm("m", "f"): (old, new)}, rules, metrics, 400)
    back = verdicts.judge_arms({Arm("m", "f"): (new, old)}, rules, metrics, 400)
    for one, other in zip(forth, back, strict=True):
        assert other.gain == -one.gain
        # Quantiles of the mirrored resamples: interpolation leaves the last bits.
        assert other.low == pytest.approx(-one.high, abs=1e-12)
        assert (other.baseline, other.run) == (one.run, one.baseline)


def test_resamples_are_paired() -> None:
    """Nearly the same scores differ by nearly nothing, however uncertain each side is."""
    found = verdicts.judge_arms(
        {Arm("m", "f"): sides(120, 0.01, 0)}, margins.read_margins(), ["auc"]
    )
    assert found[0].high - found[0].low < 0.02


def test_more_changed_arms_share_one_error() -> None:
    """Bounds widen with the number of arms that changed; unchanged ones cost nothing."""
    rules = margins.read_margins()
    pair = sides(120, 1.0, 0)
    alone = verdicts.judge_arms({Arm("m", "f"): pair}, rules, ["auc"])[0]
    beside_same = verdicts.judge_arms(
        {Arm("m", "f"): pair, Arm("s", "f"): (pair[0],) * 2}, rules, ["auc"]
    )
    crowd = verdicts.judge_arms({Arm(f"m{i}", "f"): pair for i in range(8)}, rules, ["auc"])[0]
    assert beside_same[0] == alone
    assert beside_same[1].verdict == "same"
    assert crowd.low < alone.low < alone.high < crowd.high


def test_another_machines_last_bits_are_the_same_and_a_changed_decision_is_not() -> None:
    old, _ = sides(60, 0.0, 0)
    rules = margins.read_margins()
    tolerance = rules.tolerance.probability
    near = old.assign(y_prob=old.y_prob + tolerance / 2)
    far = old.assign(y_prob=old.y_prob + 4 * tolerance)
    called = old.assign(threshold=np.sort(old.y_prob)[len(old) // 2])  # one of the scores
    calling = called.assign(threshold=np.nextafter(called.threshold, 1))
    decided = [(side.y_prob >= side.threshold).sum() for side in (called, calling)]
    assert decided[0] - decided[1] == 1
    for pair, same in (
        ((old, near), True),
        ((old, far), False),
        ((called, calling), False),
    ):
        found = verdicts.judge_arms({Arm("m", "f"): pair}, rules, ["auc", "sensitivity"], 200)
        assert ({v.verdict for v in found} == {"same"}) is same


def shuffle_a_little(table: pd.DataFrame) -> pd.DataFrame:
    noise = np.random.default_rng(1).normal(0, 0.15, len(table))
    moved = (table.y_prob + noise).clip(0.01, 0.99)
    return table.assign(y_prob=table.y_prob.where(table.model != "logistic", moved))


def test_margins_of_ones_own(
    base: Path, copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit_predictions(copy, shuffle_a_little)
    wide = re.sub(r"(?m)^margin = .*$", "margin = 0.9", margins.PATH.read_text())
    (tmp_path / "wide.toml").write_text(wide)
    for options, conclusive in ((), False), (("--margins", str(tmp_path / "wide.toml")), True):
        _, found = gate(copy, base, *options)
        gated = [v for v in found["verdicts"] if v["gated"] and v["model"] == "logistic"]
        assert gated
        assert all(v["conclusive"] for v in gated) is conclusive
    capsys.readouterr()
    missing = ["drift", copy, "--baseline", base, "--margins", tmp_path / "no.toml"]
    assert "no such file" in refused(capsys, *missing)


def open_verdicts(found: dict[str, Any]) -> list[dict[str, Any]]:
    return [v for v in found["verdicts"] if v["gated"] and not v["conclusive"]]


def test_what_is_open_is_said_and_passes(base: Path, copy: Path) -> None:
    """Forty ROIs cannot exclude a loss of .03 where predictions moved in earnest."""
    edit_predictions(copy, shuffle_a_little)
    status, found = gate(copy, base)
    assert status == 0
    assert open_verdicts(found)
    assert all(v["verdict"] == "noise" for v in open_verdicts(found))
    assert "though the cases are too few" in (copy / "drift.md").read_text()


def test_strict_fails_where_twice_the_margin_is_not_excluded(
    base: Path, copy: Path, tmp_path: Path
) -> None:
    """Between its two limits a margin leaves differences open that strict lets pass."""
    edit_predictions(copy, shuffle_a_little)
    verdicts_ = open_verdicts(gate(copy, base)[1])
    worst = max(-v["strict_low"] for v in verdicts_) / 2
    assert worst < max(-v["low"] for v in verdicts_)
    own = tmp_path / "own.toml"
    for margin, fails in ((worst - 1e-6, True), (worst + 1e-6, False)):
        own.write_text(re.sub(r"(?m)^margin = .*$", f"margin = {margin}", margins.PATH.read_text()))
        assert gate(copy, base, "--margins", str(own))[0] == 0
        status, found = gate(copy, base, "--margins", str(own), "--strict")
        assert (status, found["strict"]) == (int(fails), True)
        assert open_verdicts(found)
        doubtful = [v for v in found["verdicts"] if v["fails_strict"]]
        assert bool(doubtful) is fails
        comment = (copy / "drift.md").read_text()
        assert comment.count("not excluded: ") == len(doubtful)
        assert all(f"not excluded: {v['arm']} {v['metric']} " in comment for v in doubtful)
        assert ("--strict asks to exclude a loss of" in comment) is fails
        suite = ET.parse(copy / "drift.xml").getroot()
        assert suite.get("failures") == str(len(doubtful))
        assert suite.get("skipped") == str(len(open_verdicts(found)) - len(doubtful))


def test_an_unchanged_run_passes_strict_however_few_its_cases(
    base: Path, copy: Path, tmp_path: Path
) -> None:
    """Forty ROIs exclude no loss at all, and need not where nothing changed."""
    own = tmp_path / "own.toml"
    own.write_text(re.sub(r"(?m)^margin = .*$", "margin = 1e-9", margins.PATH.read_text()))
    strict = "--strict", "--margins", str(own)
    assert gate(copy, base, *strict)[0] == 0
    last_bits = margins.read_margins().tolerance.probability / 2
    edit_predictions(copy, lambda table: table.assign(y_prob=table.y_prob + last_bits))
    assert gate(copy, base, *strict)[0] == 0
    edit_predictions(copy, lambda table: table.assign(y_prob=table.y_prob**2))
    assert gate(copy, base, *strict)[0] == 1


@pytest.mark.parametrize(
    ("gated", "strict_low", "fails"),
    [
        (True, -0.061, True),
        (True, -0.059, False),
        (True, 0.01, False),
        (True, math.nan, False),  # undefined: not comparable, which fails in its own right
        (False, -0.5, False),
    ],
)
def test_the_strict_rule(gated: bool, strict_low: float, fails: bool) -> None:
    verdict = verdicts.Verdict(
        Arm("m", "f"), "auc", "noise", gated, strict_low=strict_low, margin=0.03
    )
    assert verdict.fails_strict is fails


def test_the_strict_bound_has_an_error_of_its_own_whatever_the_number_of_arms() -> None:
    rules = margins.read_margins()
    pair = sides(120, 1.0, 0)
    alone = verdicts.judge_arms({Arm("m", "f"): pair}, rules, ["auc"])[0]
    crowd = verdicts.judge_arms({Arm(f"m{i}", "f"): pair for i in range(8)}, rules, ["auc"])[0]
    assert crowd.strict_low == alone.strict_low
    error = verdicts.STRICT_ERROR / rules.metrics["auc"].share
    undivided = replace(rules, family_error=error)
    expected = verdicts.judge_arms({Arm("m", "f"): pair}, undivided, ["auc"])[0].low
    assert alone.strict_low == expected


def test_the_committed_baseline_is_a_run_of_the_quick_profile() -> None:
    from benchmark.config import load_config, select_arms

    committed = read_baseline(BASELINE)
    profile = load_config("quick")
    expected = replace(profile, arms=tuple(map(str, select_arms(profile))))
    assert load_config(str(BASELINE / "config.toml")) == expected
    assert committed.environment["dataset"]["intensities"] == "synthetic"
    assert set(committed.features) == {"diameter", "radiomics", "ratings", "voxels2d_box"}
    assert (BASELINE / baseline.CHANGES).is_file()


def test_no_commit_changes_margins_and_baseline_together() -> None:
    import subprocess

    log = subprocess.run(
        ["git", "log", "--diff-filter=M", "--name-only", "--format=commit %H", "--",
         "benchmark/drift/margins.toml", "results/baseline/predictions.parquet"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if log.returncode:
        pytest.skip("not a git checkout")
    for commit in log.stdout.split("commit ")[1:]:
        assert len(commit.split()) < 3, commit


def test_pipeline_times_the_reference(base: Path) -> None:
    measured = json.loads((base / "environment.json").read_text())["reference_s"]
    assert len(measured) == 2 * pipeline.reference.REPEATS
    assert min(measured) > 0


def test_small_simulation() -> None:
    """Thirty runs each of 400 resamples; results/drift.md has 200 of 4,000.

    At a false alarm rate of 5 % six of thirty come once in 300 times; at a detection rate of
    90 %, fewer than 22 do.
    """
    none = drift_study.tally(30, 400, 0.95, 0.0, 1, 400)
    dropped = drift_study.tally(30, 400, 0.95, 0.05, 1, 400)
    assert sum(bool(found) for found in none) < 6
    assert sum(drift_study.MODELS[0] in found for found in dropped) >= 22


def test_small_strict_simulation() -> None:
    """Twelve runs; results/drift.md has a hundred.

    Where one unchanged run in fifty fails, three of twelve come once in 600 times.
    """
    none, twice = drift_study.strict_tally(12, 500, 0.97, (0, 2), 1, 1000)
    assert sum(outcome.fails_strict for outcome in none) < 3
    assert all(outcome.fails_strict for outcome in twice)


@pytest.mark.simulation
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("correlation", [0.95, 0.9])
def test_full_simulation(correlation: float) -> None:
    none = drift_study.tally(200, 400, correlation, 0.0, 0, verdicts.RESAMPLES)
    dropped = drift_study.tally(200, 400, correlation, 0.05, 0, verdicts.RESAMPLES)
    assert np.mean([bool(found) for found in none]) <= 0.05
    assert np.mean([drift_study.MODELS[0] in found for found in dropped]) >= 0.9
