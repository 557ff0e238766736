"""Leakage: measured where it is planted, refused where it is undeclared."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmark.audit import leakage
from benchmark.cohort import slices
from benchmark.cohort.splits import Split, SplitRule, leaked
from benchmark.columns import PREDICTION_TABLE
from benchmark.config import Bootstrap
from benchmark.roi import Roi, RoiDataset, RoiRecord
from benchmark.runtime.workers import LocalWorkers
from benchmark.statistics.cases import cases
from benchmark.statistics.metrics import METRICS
from benchmark.statistics.scoring import evaluate
from tests.helpers.command_line import invoke, refused
from tests.helpers.volumes import WriteManifest, ball, write_volume


class Silent:
    def update(self, task: str, done: float, total: float) -> None:
        pass


def side(y: np.ndarray, p: np.ndarray, fold: np.ndarray) -> pd.DataFrame:
    n = len(y)
    frame = pd.DataFrame(
        {
            "roi_id": [f"r{i:03}" for i in range(n)],
            "patient_id": [f"p{i // 3:03}" for i in range(n)],
            "model": "m", "features": "f", "scheme": "kfold", "repeat": 0, "fold": fold,
            "y_true": y, "y_prob": p, "threshold": 0.5,
        }
    )  # fmt: skip
    return PREDICTION_TABLE.completed(frame)


def test_inflation_is_the_paired_difference_on_the_same_patients() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 180)
    grouped = side(y, np.clip(0.2 * y + rng.uniform(0, 0.8, 180), 0, 1), np.arange(180) % 3)
    leaky = side(y, np.clip(0.6 * y + rng.uniform(0, 0.4, 180), 0, 1), rng.permutation(180) % 3)
    table = leakage.inflation(leaky.sample(frac=1, random_state=1), grouped, Bootstrap(500), 0)
    row = table[table.metric == "auc"].iloc[0]

    # By hand: the same patients drawn for both sides, one resample at a time.
    one, other = cases(leaky), cases(grouped)
    draws = np.random.default_rng(1)
    differences = []
    for _ in range(500):
        counts = np.bincount(draws.integers(60, size=60), minlength=60)[None, :].astype(float)
        differences.append(
            evaluate(one, counts, ["auc"])["auc"][0] - evaluate(other, counts, ["auc"])["auc"][0]
        )
    weights = np.ones((1, 180))
    expected = METRICS["auc"](one.scores(weights))[0] - METRICS["auc"](other.scores(weights))[0]
    assert row.inflation == pytest.approx(expected, abs=1e-12)  # the same sums in another order
    # Other draws of 500: quantiles of a standard error of .04 agree to about a tenth of it.
    assert row.ci_low == pytest.approx(np.quantile(differences, 0.025), abs=0.01)
    assert row.ci_high == pytest.approx(np.quantile(differences, 0.975), abs=0.01)


def test_no_difference_no_inflation() -> None:
    rng = np.random.default_rng(0)
    y, p = rng.integers(0, 2, 90), rng.uniform(size=90)
    same = side(y, p, np.arange(90) % 3)
    table = leakage.inflation(same, same, Bootstrap(200), 0)
    assert (table.inflation == 0).all()
    assert (table.p == 1).all()


@pytest.mark.parametrize(
    ("own", "folds"),
    [
        (SplitRule("kfold", "none", folds=4, repeats=2), 4),
        (SplitRule("holdout", "none", test_size=0.3), 3),
        (SplitRule("holdout", "patient", test_size=0.8), 2),
    ],
)
def test_schemes_test_as_large_a_share_as_the_run(own: SplitRule, folds: int) -> None:
    schemes = leakage.rules(own)
    assert {rule.folds for rule in schemes.values()} == {folds}
    assert {rule.repeats for rule in schemes.values()} == {own.repeats}
    assert {side: rule.group for side, rule in schemes.items()} == {
        "leaky": "none", "grouped": "patient",
    }  # fmt: skip


def test_leaked_counts_tested_rois_of_trained_patients() -> None:
    patient_of = {"a1": "a", "a2": "a", "b1": "b", "c1": "c"}
    splits = [
        Split("kfold", 0, 0, ("a1", "b1"), ("a2", "c1")),
        Split("kfold", 0, 1, ("a2", "c1"), ("a1", "b1")),
    ]
    assert leaked(splits, patient_of) == (4, 2)


SMALL = ["--models", "size_only,logistic", "--jobs", "1", "--set", "bootstrap.samples=200"]


def write_signed(root: Path) -> None:
    """Nodules of one patient share a density that says nothing of the label.

    Labels follow the patient, so whoever has seen the patient's density knows the answer, and
    whoever has not knows nothing.
    """
    rng = np.random.default_rng(3)
    rows = ["roi_id,patient_id,image,mask,label"]
    for patient in range(20):
        density, label = rng.uniform(-600, 100), patient % 2
        for nodule in range(5):
            name = f"p{patient:02}n{nodule}"
            mask = ball((7, 16, 16), 3 + rng.uniform(0, 0.8))
            image = np.where(mask, density, -850) + rng.normal(0, 5, mask.shape)
            write_volume(root / f"{name}.nii.gz", image.round().astype(np.int16))
            write_volume(root / f"{name}m.nii.gz", mask.astype(np.uint8))
            rows.append(f"{name},p{patient:02},{name}.nii.gz,{name}m.nii.gz,{label}")
    (root / "manifest.csv").write_text("\n".join(rows) + "\n")


def test_planted_leakage_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A forest that remembers densities ranks well only where patients are on both sides."""
    root, run, out = tmp_path / "rois", tmp_path / "run", tmp_path / "audit"
    root.mkdir()
    write_signed(root)
    arms = ["--models", "size_only,random_forest", *SMALL[2:], "--set", "splits.scheme=kfold",
            "--set", "models.random_forest.trees=50", "--set", "splits.folds=3",
            "--set", "models.random_forest.min_samples_leaf=[1]"]  # fmt: skip
    assert invoke("run", "--dataset", root, "--out", run, *arms, "--set", "splits.group=none") == 0
    assert "Leaky split" in capsys.readouterr().out
    assert invoke("audit", run, "--out", out, "--jobs", "1") == 0
    printed = capsys.readouterr().out
    assert "Leakage audit" in printed
    table = pd.read_csv(out / "leakage.csv").query("metric == 'auc'").set_index("model")
    assert table.loc["random_forest", "inflation"] > 0.2
    assert table.loc["random_forest", "ci_low"] > 0
    assert table.loc["random_forest", "leaky"] > 0.75
    assert table.loc["size_only", "inflation"] < 0.1  # sizes remember nobody
    about = json.loads((out / "leakage.json").read_text())
    assert about["taken_from_the_run"] == "leaky"
    # The side that the run had is the run's, to the last bit.
    both = pd.read_parquet(out / "leakage.parquet")
    own = pd.read_parquet(run / "predictions.parquet").drop(columns="intensities")
    taken = both[both.side == "leaky"].drop(columns="side").reset_index(drop=True)
    pd.testing.assert_frame_equal(taken, own, check_exact=True)
    grouped = both[(both.side == "grouped") & (both.model == "size_only")]
    assert sorted(grouped.roi_id) == sorted(own[own.model == "size_only"].roi_id)


def test_another_dataset_is_refused(
    write_manifest: WriteManifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, run = write_manifest(40), tmp_path / "run"
    assert invoke("run", "--dataset", root, "--out", run, *SMALL) == 0
    manifest = (root / "manifest.csv").read_text()
    (root / "manifest.csv").write_text(manifest.replace("\nr0,p0,", "\nr0,p7,"))
    capsys.readouterr()
    message = refused(capsys, "audit", run, "--out", tmp_path / "audit", "--jobs", "1")
    assert "has fingerprint" in message
    assert not (tmp_path / "audit").exists()


def test_slices_are_cases_of_their_nodules_patient(write_manifest: WriteManifest) -> None:
    records = (
        RoiRecord("a", "p", label=1),
        RoiRecord("b", "q", label=0),
        RoiRecord("c", "q", label=0),
    )

    def read(record: RoiRecord) -> Roi:
        mask = np.zeros((9, 5, 5), bool)
        mask[{"a": slice(2, 7), "b": slice(4, 5), "c": slice(0, 9)}[record.roi_id], 2, 2] = True
        image = np.arange(9, dtype=np.float32)[:, None, None] * np.ones((1, 5, 5), np.float32)
        outline = None if record.roi_id == "c" else mask
        readers = (mask, np.roll(mask, 4, axis=0)) if record.roi_id == "a" else ()
        return Roi(record, image, outline, (2.5, 1.0, 1.0), readers)

    cut = slices.cut(RoiDataset("d", records, read), 3, LocalWorkers(1), Silent())
    assert [r.roi_id for r in cut.records] == [
        "a@002", "a@004", "a@006", "b@004", "c@001", "c@004", "c@007",
    ]  # fmt: skip
    assert [r.patient_id for r in cut.records] == ["p"] * 3 + ["q"] * 4
    one = cut.read(cut.records[1])
    assert one.image.shape == (1, 5, 5)
    assert one.image[0, 0, 0] == 4
    assert one.mask.sum() == 1
    assert one.spacing_mm == (2.5, 1.0, 1.0)
    assert len(one.reader_outlines) == 1  # the other reader drew nothing there
    assert (
        slices.cut(RoiDataset("d", records, read), 1, LocalWorkers(1), Silent()).records[0].roi_id
        == "a@004"
    )


def test_a_run_on_slices(
    write_manifest: WriteManifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Slices take the planar feature sets, and a random split of them is declared leaky."""
    out = tmp_path / "run"
    leaky = ["--set", "slices=3", "--set", "splits.group=none"]
    assert invoke("run", "--dataset", write_manifest(30), "--out", out, *SMALL, *leaky) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "up to 3 slices of a nodule" in printed
    assert "LEAKY" in printed
    assert "Leaky split" in printed
    rows = pd.read_parquet(out / "predictions.parquet")
    assert set(rows.features) == {"diameter2d", "radiomics2d"}
    assert rows.roi_id.str.contains("@").all()


def test_a_holdout_run_stands_for_neither_side(
    write_manifest: WriteManifest, tmp_path: Path
) -> None:
    """Its predictions are of one split: both k-folds are trained, and test every ROI."""
    root, run, out = write_manifest(40), tmp_path / "run", tmp_path / "audit"
    only = ["--models", "size_only", *SMALL[2:], "--set", "splits.scheme=holdout"]
    assert invoke("run", "--dataset", root, "--out", run, *only) == 0
    assert invoke("audit", run, "--out", out, "--jobs", "1") == 0
    assert json.loads((out / "leakage.json").read_text())["taken_from_the_run"] == ""
    both = pd.read_parquet(out / "leakage.parquet")
    everything = sorted(f"r{i}" for i in range(40))
    for _, own in both.groupby("side"):
        assert sorted(own.roi_id) == everything
    assert set(pd.read_csv(out / "leakage.csv").n_rois) == {40}
