"""Arms with names, settings and supervision of their own, from the command line to the report."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from benchmark.run.folder import read_run
from tests.helpers.command_line import invoke, refused
from tests.helpers.volumes import WriteManifest

FEW = ["--jobs", "1", "--set", "bootstrap.samples=100"]
NAMED = (
    'arms=["size_only", "logistic:diameter", {name = "loose, C 30", model = "logistic", '
    'features = "diameter", settings = {C = [30.0]}}]'
)


def test_two_settings_of_one_model_are_two_rows(
    write_manifest: WriteManifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, out = write_manifest(60), tmp_path / "run"
    assert invoke("run", "--dataset", root, "--out", out, "--set", NAMED, *FEW) == 0
    printed = capsys.readouterr().out
    assert "loose, C 30" in printed
    assert "Loose, C 30 is logistic with C = [30.0]." in printed
    run = read_run(out)
    names = ["size_only:diameter", "logistic:diameter", "loose, C 30"]
    assert run.predictions.arm.unique().tolist() == names
    assert run.metrics.arm.unique().tolist() == names
    assert [arm.label for arm in run.arms] == ["size_only", "logistic", "loose, C 30"]
    by_arm = {arm: rows.y_prob.tolist() for arm, rows in run.predictions.groupby("arm")}
    assert by_arm["loose, C 30"] != by_arm["logistic:diameter"]
    pairs = set(zip(run.comparisons.arm_a, run.comparisons.arm_b, strict=True))
    assert pairs == {
        ("logistic:diameter", "loose, C 30"),
        ("logistic:diameter", "size_only:diameter"),
        ("loose, C 30", "size_only:diameter"),
    }
    assert set(run.strata.arm) <= set(names)
    assert (run.timings[run.timings.stage == "extract"].arm == "").all()
    cards = (out / "model_cards.md").read_text()
    assert "Model card: loose, C 30" in cards
    assert "30.0" in cards

    # The same again is recalled, setting by setting; another setting is fitted.
    again = tmp_path / "again"
    assert invoke("run", "--profile", out / "config.toml", "--out", again) == 0
    told = json.loads((again / "environment.json").read_text())["cache"]
    assert told["fits"] == {"recalled": 3, "done": 0}
    pd.testing.assert_frame_equal(read_run(again).predictions, run.predictions, check_exact=True)
    other = tmp_path / "other"
    changed = NAMED.replace("30.0]", "3.0]")
    assert invoke("run", "--dataset", root, "--out", other, "--set", changed, *FEW) == 0
    told = json.loads((other / "environment.json").read_text())["cache"]
    assert told["fits"] == {"recalled": 2, "done": 1}

    assert invoke("drift", again, "--baseline", out) == 0
    found = json.loads((again / "drift.json").read_text())
    assert {v["arm"] for v in found["verdicts"]} == set(names)
    assert invoke("drift", other, "--baseline", out) != 2
    assert invoke("report", out, "--jobs", "1") == 0
    assert "loose, C 30" in (out / "report.html").read_text()
    capsys.readouterr()
    message = refused(
        capsys, "run", "--dataset", root, "--out", out, "--resume", "--set", changed, *FEW
    )
    assert "is a complete run without loose, C 30" in message


def test_a_run_of_before_arms_had_names_is_read(
    write_manifest: WriteManifest, tmp_path: Path
) -> None:
    root, out = write_manifest(40), tmp_path / "run"
    models = ["--models", "size_only,logistic", "--features", "diameter"]
    arms = ["--set", 'arms=["size_only", "logistic:diameter"]']
    assert invoke("run", "--dataset", root, "--out", out, *models, *arms, *FEW) == 0
    before = read_run(out)
    metrics, comparisons = before.metrics, before.comparisons
    for name in ("metrics", "comparisons", "timings", "training", "strata"):
        table = pd.read_csv(out / f"{name}.csv", keep_default_na=False)
        drop = [c for c in ("arm", "arm_a", "arm_b", "supervision", "n_cached") if c in table]
        table.drop(columns=drop).to_csv(out / f"{name}.csv", index=False)
    predictions = pd.read_parquet(out / "predictions.parquet").drop(columns=["arm", "supervision"])
    predictions.to_parquet(out / "predictions.parquet", index=False)
    after = read_run(out)
    pd.testing.assert_frame_equal(after.metrics, metrics)
    pd.testing.assert_frame_equal(after.comparisons, comparisons)
    assert (after.timings.n_cached == 0).all()
    pd.testing.assert_frame_equal(after.predictions, before.predictions)
    assert invoke("report", out, "--no-gallery", "--jobs", "1") == 0
    assert invoke("drift", out, "--baseline", out) == 0


def test_ratings_are_learnt_from_in_a_run_and_in_its_audit(
    write_manifest: WriteManifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    undecided = {
        i: {"malignancy_ratings": "3 3 3", "patient_id": f"p{i - 1}"} for i in range(5, 60, 7)
    }
    root = write_manifest(60, labels=False, change=undecided)
    out = tmp_path / "run"
    arms = ["--set", 'arms=["size_only", "soft_svr:diameter"]', "--set", "splits.scheme=kfold"]
    arms += ["--set", "splits.folds=3"]
    assert invoke("run", "--dataset", root, "--out", out, *arms, *FEW) == 0
    assert "ratings+left_out" in capsys.readouterr().out
    run = read_run(out)
    told = run.metrics.drop_duplicates("arm").set_index("arm").supervision
    assert told.to_dict() == {
        "size_only:diameter": "labels", "soft_svr:diameter": "ratings+left_out",
    }  # fmt: skip
    fitted = run.timings[run.timings.stage == "fit"].groupby("arm").n_rois.sum()
    assert fitted["soft_svr:diameter"] > fitted["size_only:diameter"]
    assert not set(undecided) & {int(roi[1:]) for roi in run.predictions.roi_id}
    assert invoke("audit", out, "--out", tmp_path / "audit", "--jobs", "1") == 0
    table = pd.read_csv(tmp_path / "audit" / "leakage.csv")
    assert set(table.arm) == {"size_only:diameter", "soft_svr:diameter"}

    labelled = write_manifest(40, folder="labelled")
    capsys.readouterr()
    skipped = tmp_path / "skipped"
    assert invoke("run", "--dataset", labelled, "--out", skipped, *arms, *FEW) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "skipped: soft_svr learns from readers' ratings" in said
    assert read_run(skipped).predictions.arm.unique().tolist() == ["size_only:diameter"]
