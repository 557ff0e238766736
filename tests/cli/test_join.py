"""Joining from outside: splits written, and predictions and features read that others made."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmark.report.document import write_report
from benchmark.run.folder import read_run
from benchmark.tracking import history
from tests.helpers.command_line import invoke, refused
from tests.helpers.volumes import WriteManifest

FEW = ["--jobs", "1", "--set", "bootstrap.samples=100"]
SIZE = ["--set", 'arms=["size_only"]']
FOLDS = ["--set", "splits.scheme=kfold", "--set", "splits.folds=2", "--set", "seed=4"]


def predictions(splits: Path, file: Path, shift: float = 0.0) -> pd.DataFrame:
    """Predictions of the test sides of a splits.csv, better than chance."""
    table = pd.read_csv(splits)
    table = table[table["side"] == "test"].copy()
    noise = np.random.default_rng(0).uniform(0, 0.6, len(table))
    table["y_prob"] = (0.4 * table["label"] + noise - shift).clip(0, 1)
    table.drop(columns=["side", "patient_id"]).to_csv(file, index=False)
    return table


def features(splits: Path, file: Path, seed: int = 0) -> None:
    rois = pd.read_csv(splits).drop_duplicates("roi_id")
    rng = np.random.default_rng(seed)
    one, two = rng.normal(0, 1, (2, len(rois)))
    table = pd.DataFrame({"roi_id": rois["roi_id"], "one": one + rois["label"], "two": two})
    table.to_csv(file, index=False)


def test_an_arm_and_features_of_others_stand_in_every_table(
    write_manifest: WriteManifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, out, splits = write_manifest(60), tmp_path / "run", tmp_path / "splits.csv"
    made, embedded = tmp_path / "made.csv", tmp_path / "embedded.csv"
    assert invoke("splits", "--dataset", root, *FOLDS, "--out", splits) == 0
    assert "2 splits of 60 ROIs" in capsys.readouterr().out
    given = predictions(splits, made)
    features(splits, embedded)
    command = [
        "run", "--dataset", root, *FOLDS, *SIZE, *FEW, "--out", out,
        "--predictions", f"deep net={made}", "--feature-table", f"embedded={embedded}",
    ]  # fmt: skip
    assert invoke(*command) == 0
    printed = capsys.readouterr().out
    assert "- Made elsewhere" in printed
    written = (out / "report.md").read_text()
    assert "Made elsewhere: predictions of deep net; features embedded. That no" in written
    assert "of external arms as their files state, else 0.5" in " ".join(printed.split())

    run = read_run(out)
    arms = ["size_only:diameter", "logistic:embedded", "deep net"]
    for table in (run.predictions, run.metrics, run.strata):
        assert table["arm"].unique().tolist() == arms
    for table in (run.predictions, run.metrics):
        assert table.groupby("arm")["supervision"].first()["deep net"] == "external"
    assert set(run.comparisons["arm_a"]) | set(run.comparisons["arm_b"]) == set(arms)
    own = run.predictions[run.predictions["arm"] == "deep net"].sort_values("roi_id")
    assert own["y_prob"].tolist() == given.sort_values("roi_id")["y_prob"].tolist()
    assert set(own["threshold"]) == {0.5}
    assert {(row.roi_id, row.fold, row.side) for row in pd.read_csv(splits).itertuples()} == {
        (roi_id, split.fold, side)
        for split in run.splits
        for side, members in (("train", split.train), ("test", split.test))
        for roi_id in members
    }
    assert "deep net" not in set(run.timings["arm"]) | set(run.training["arm"])
    assert set(run.timings[run.timings["stage"] == "extract"]["features"]) == {"diameter"}
    assert run.features["embedded"].columns.tolist() == ["one", "two"]

    # Report, history and drift take the arm as any other.
    write_report(run, ("md", "html", "tex", "svg"))
    cards = (out / "model_cards.md").read_text()
    card = cards[cards.index("Model card: deep net") :]
    assert "cannot be seen in its predictions" in card
    assert "Trained on" not in card
    assert "embedded: made elsewhere, and read from a table." in cards
    assert "Of external arms (deep net) their makers alone can say so." in card
    told = {row["arm"]: row for row in history.rows(run).to_dict("records")}
    assert math.isnan(told["deep net"]["fit_s"])
    assert invoke("drift", out, "--baseline", out, "--out", tmp_path / "drift") == 0

    # The same again is complete; a file that has changed is not the same.
    capsys.readouterr()
    assert invoke(*command, "--resume") == 0
    assert "complete already" in capsys.readouterr().out
    predictions(splits, made, shift=0.3)
    assert f"'{made}' has another content than it read" in refused(capsys, *command, "--resume")

    # Drift of the arm is found, and only of that arm; features are taken anew where they differ.
    other = tmp_path / "other"
    features(splits, embedded, seed=1)
    assert invoke(*command[:-6], "--out", other, *command[-4:]) == 0
    cache = json.loads((other / "environment.json").read_text())["cache"]
    assert cache["fits"] == {"recalled": 2, "done": 2}
    capsys.readouterr()
    assert invoke("drift", other, "--baseline", out, "--out", tmp_path / "drift") in (1, 3)
    verdicts = json.loads((tmp_path / "drift" / "drift.json").read_text())["verdicts"]
    changed = {each["arm"] for each in verdicts if each["verdict"] != "same"}
    assert changed == {"deep net", "logistic:embedded"}


def test_the_copy_without_ids_names_no_arm_and_no_file(
    write_manifest: WriteManifest, tmp_path: Path
) -> None:
    root, splits, made = write_manifest(40), tmp_path / "splits.csv", tmp_path / "made.csv"
    assert invoke("splits", "--dataset", root, "--out", splits) == 0
    predictions(splits, made)
    out = tmp_path / "run"
    arguments = ["--dataset", root, *SIZE, *FEW, "--predictions", f"of Smith={made}"]
    assert invoke("run", *arguments, "--out", out) == 0
    assert invoke("report", out, "--anonymise", "--no-gallery", "--format", "md,csv") == 0
    copied = "".join(
        path.read_text(errors="replace") for path in (out / "anonymised").rglob("*.*")
        if path.is_file()
    )  # fmt: skip
    assert "Smith" not in copied
    assert "made.csv" not in copied
    copy = read_run(out / "anonymised")
    assert [arm.name for arm in copy.arms] == ["size_only:diameter", "external, variant 1"]


def test_two_datasets_have_splits_and_predictions_too(
    write_manifest: WriteManifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """ROI ids are in both, so that those of the test dataset get its name."""
    other = {i: {"patient_id": f"q{i}"} for i in range(24)}
    both = [
        "--dataset", write_manifest(24), "--test-dataset",
        write_manifest(24, folder="elsewhere", change=other), "--set", "limits.fit_s=0",
    ]  # fmt: skip
    splits, made, out = tmp_path / "splits.csv", tmp_path / "made.csv", tmp_path / "run"
    assert invoke("splits", *both, "--out", splits) == 0
    sides = pd.read_csv(splits).groupby("side")["roi_id"].apply(list)
    assert sides["train"][0] == "r0"
    assert sides["test"][0] == "elsewhere/r0"
    predictions(splits, made)
    arguments = [*both, *SIZE, *FEW, "--predictions", f"deep={made}"]
    assert invoke("run", *arguments, "--out", out) == 0
    run = read_run(out)
    assert set(run.predictions[run.predictions.arm == "deep"].roi_id) == set(sides["test"])
    assert set(run.predictions.scheme) == {"external"}


def test_the_multiverse_leaves_out_what_it_cannot_train(
    write_manifest: WriteManifest, tmp_path: Path
) -> None:
    root, splits, made = write_manifest(40), tmp_path / "splits.csv", tmp_path / "made.csv"
    assert invoke("splits", "--dataset", root, "--out", splits) == 0
    predictions(splits, made)
    out = tmp_path / "run"
    arguments = ["--dataset", root, *SIZE, *FEW, "--predictions", f"deep={made}", "--multiverse"]
    assert invoke("run", *arguments, "--out", out) == 0
    run = read_run(out)
    assert run.multiverse is not None
    assert set(run.multiverse["arm"]) == {"size_only:diameter"}
    assert "deep" in set(run.metrics["arm"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--predictions", "deep"], "--predictions 'deep': write it as NAME=FILE.csv"),
        (["--predictions", "a=x.csv", "--predictions", "a=y.csv"], "two files are called 'a'"),
        (["--predictions", "a=nowhere.csv"], "predictions 'a': nowhere.csv: cannot be read (No"),
        (["--predictions", "xgb=x.csv"], "name is 'xgb', as a model of this suite is called"),
        (["--predictions", "external=x.csv"], "name is 'external', as a model of this suite"),
        (["--predictions", "a/b=x.csv"], "predictions: name is 'a/b'; use 1 to 60"),
        (["--predictions", "size_only:diameter=x.csv"], "'size_only:diameter' is an arm of the"),
        (["--feature-table", "deep"], "--feature-table 'deep': write it as NAME=FILE.csv"),
        (["--feature-table", "radiomics=x.csv"], "as a feature set of this suite is called"),
        (["--feature-table", "Radiomics=x.csv"], "as a feature set of this suite is called"),
        (["--feature-table", "../a=x.csv"], "feature_tables: name is '../a'; use 1 to 60"),
        (["--feature-table", "a@eroded=x.csv"], "feature_tables: name is 'a@eroded'"),
        (["--feature-table", "a=nowhere.csv"], "feature table 'a': nowhere.csv: cannot be read"),
        (["--feature-table", "a=x.csv", "--models", "svm"], "feature table 'a' feeds none of the"),
        (["--models", "svm:a"], "unknown feature 'a'"),
    ],
)
def test_what_cannot_join_is_refused(
    write_manifest: WriteManifest, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    arguments: list[str], message: str,
) -> None:  # fmt: skip
    out = tmp_path / "run"
    said = refused(
        capsys, "run", "--dataset", write_manifest(24), *SIZE, *FEW, "--out", out, *arguments
    )
    assert message in said
    assert not out.exists()


def test_a_feature_table_feeds_logistic_or_what_names_it(tmp_path: Path) -> None:
    from benchmark.config import load_config, select_arms

    settings = ['arms=["size_only", "svm:radiomics"]', "feature_tables.mine=mine.csv"]
    config = load_config("quick", settings)

    def names(*models: str, features: list[str] | None = None) -> list[str]:
        return [arm.name for arm in select_arms(config, models or None, features)]

    assert names() == ["size_only:diameter", "svm:radiomics", "logistic:mine"]
    assert names(features=["mine"]) == ["logistic:mine"]
    assert names("size_only", "xgb:mine") == ["size_only:diameter", "xgb:mine"]
    both = load_config("quick", ['arms=["svm:radiomics+mine"]', "feature_tables.mine=mine.csv"])
    assert [arm.name for arm in select_arms(both)] == ["svm:radiomics+mine"]


def test_splits_are_written_once_and_only_of_what_a_run_takes(
    write_manifest: WriteManifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, out = write_manifest(24), tmp_path / "splits.csv"
    assert "is 1; it must be at least 2" in refused(
        capsys, "splits", "--dataset", root, "--set", "splits.folds=1", "--out", out
    )
    leaky = ["--set", "splits.group=none", "--set", "splits.repeats=3"]
    assert invoke("splits", "--dataset", root, *leaky, "--out", out) == 0
    table = pd.read_csv(out)
    assert table.columns.tolist() == ["roi_id", "patient_id", "repeat", "fold", "side", "label"]
    assert table.groupby(["repeat", "fold"]).size().tolist() == [24] * 3
    capsys.readouterr()
    assert "exists" in refused(capsys, "splits", "--dataset", root, "--out", out)
    slices = tmp_path / "slices.csv"
    assert invoke("splits", "--dataset", root, "--set", "slices=2", "--out", slices) == 0
    assert set(pd.read_csv(slices)["roi_id"].str.rpartition("@")[0]) == {f"r{i}" for i in range(24)}
