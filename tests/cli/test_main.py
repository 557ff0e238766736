"""The command line end to end, on real files."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

from benchmark.cli.arguments import default_folder, show_failures, show_page
from benchmark.columns import METRIC_TABLE, PREDICTION_TABLE, TIMING_TABLE
from benchmark.plugins import scaffold
from benchmark.run import folder
from benchmark.runtime.failures import Failure
from benchmark.runtime.paths import ROOT, RUNS
from benchmark.statistics import scoring
from tests.helpers.command_line import SMALL, invoke, refused
from tests.helpers.made_run import make_run
from tests.helpers.volumes import WriteManifest, write_volume


def test_a_run_from_a_manifest(
    write_manifest: WriteManifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, out = write_manifest(40), tmp_path / "run"
    assert invoke("run", "--dataset", root, "--out", out, *SMALL, page=True) == 0
    printed = capsys.readouterr().out
    for expected in ("prior", "size_only", "logistic", "AUC", "sensitivity", "fit s"):
        assert expected in printed
    assert "the label rule is ignored" in printed
    assert "synthetic" not in printed.lower()

    names = {path.name for path in out.iterdir()}
    assert names == {
        "config.toml", "environment.json", "splits.json", "failures.json", "predictions.parquet",
        "metrics.csv", "comparisons.csv", "ranks.csv", "strata.csv", "rois.csv", "timings.csv",
        "training.csv", "choices.csv", "near_duplicates.csv", "report.md", "report.tex",
        "checklists.md", "checklists.tex", "model_cards.md", "model_cards.tex", "models",
        "features", "figures", "report.html",
    }  # fmt: skip
    assert printed.splitlines()[-1] == str(out / "report.html")
    assert {path.suffix for path in (out / "figures").iterdir()} == {".svg"}
    page = (out / "report.html").read_text("utf-8")
    assert 'id="figure-forest"' in page
    assert 'id="gallery"' not in page
    run = folder.read_run(out)
    assert list(run.predictions.columns) == [*PREDICTION_TABLE.columns, "intensities"]
    assert list(run.timings.columns) == [*TIMING_TABLE.columns, "intensities"]
    assert list(run.metrics.columns) == [*METRIC_TABLE.columns, "intensities"]
    assert set(run.predictions.intensities) == {"acquired"}
    assert run.environment["packages"]["scikit-learn"]
    auc = run.metrics[run.metrics.metric == "auc"].set_index("model").value
    assert auc["prior"] == 0.5
    assert auc["size_only"] == 1  # the manifest's malignant balls are all larger

    # Everything in the table can be made again from the stored predictions.
    again = scoring.score(
        run.predictions, scoring.Bootstrap(**run.config["bootstrap"]), run.config["seed"]
    )
    pd.testing.assert_frame_equal(again, run.metrics.drop(columns="intensities"), rtol=1e-15)


def test_the_same_command_gives_identical_predictions(
    write_manifest: WriteManifest, tmp_path: Path
) -> None:
    root = write_manifest(40)
    tables = []
    for name in ("a", "b"):
        assert invoke("run", "--dataset", root, "--out", tmp_path / name, *SMALL) == 0
        tables.append(folder.read_run(tmp_path / name).predictions)
    pd.testing.assert_frame_equal(*tables, check_exact=True)


def test_ids_may_look_like_numbers_or_like_nothing(
    write_manifest: WriteManifest, tmp_path: Path
) -> None:
    change = {i: {"roi_id": f"{i:03}", "patient_id": f"{i // 2:02}"} for i in range(24)}
    change[4]["roi_id"], change[6]["patient_id"], change[7]["patient_id"] = "NA", "null", "null"
    root, out = write_manifest(24, change=change), tmp_path / "out"
    arguments = ["--models", "size_only", "--jobs", "1", "--set", "bootstrap.samples=100"]
    assert invoke("run", "--dataset", root, "--out", out, *arguments) == 0
    run = folder.read_run(out)
    assert run.rois.roi_id.tolist() == sorted(row["roi_id"] for row in change.values())
    assert {"00", "null"} <= set(run.rois.patient_id)
    header = (out / "near_duplicates.csv").read_text().partition("\n")[0]
    (out / "near_duplicates.csv").write_text(f"{header}\n003,NA,1.0,acquired\n")
    (pair,) = folder.read_run(out).near_duplicates
    assert (pair.roi_a, pair.roi_b) == ("003", "NA")
    assert invoke("report", out, "--anonymise", "--jobs", "1") == 0
    assert invoke("drift", out, "--baseline", out) == 0
    shared = folder.read_run(out / "anonymised")
    (pair,) = shared.near_duplicates
    assert {pair.roi_a, pair.roi_b} < set(shared.rois.roi_id)
    assert all(roi_id.startswith("roi-") for roi_id in shared.rois.roi_id)


def test_a_written_configuration_repeats_the_run(
    write_manifest: WriteManifest, tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    root = write_manifest(40)
    changed = ["--set", "seed=5", "--set", "splits.scheme=kfold"]
    assert invoke("run", "--dataset", root, "--out", first, *SMALL, *changed) == 0
    assert invoke("run", "--profile", first / "config.toml", "--out", second, "--jobs", "1") == 0
    a, b = folder.read_run(first), folder.read_run(second)
    assert a.config == b.config
    pd.testing.assert_frame_equal(a.predictions, b.predictions, check_exact=True)
    assert (first / "splits.json").read_text() == (second / "splits.json").read_text()


def test_reports_are_made_again(
    write_manifest: WriteManifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    invoke("run", "--dataset", write_manifest(40), "--out", out, *SMALL)
    before = (out / "report.md").read_text()
    (out / "report.md").unlink()
    assert invoke("report", out, "--format", "md,csv", "--no-gallery") == 0
    assert (out / "report.md").read_text() == before
    assert (out / "report.csv").read_text().startswith("model,features,supervision,n,accuracy")
    capsys.readouterr()
    assert "unknown format 'doc'" in refused(capsys, "report", out, "--format", "doc")
    assert "is not a run folder: no config.toml" in refused(capsys, "report", tmp_path)


def test_failures_are_listed_and_change_the_exit_status(
    write_manifest: WriteManifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A one-voxel nodule has no radiomics: that ROI is recorded and the rest goes on."""
    root, out = write_manifest(40), tmp_path / "run"
    mask = np.zeros((7, 16, 16), np.uint8)
    mask[3, 8, 8] = 1
    write_volume(root / "masks/r9.nii.gz", mask)
    assert invoke("run", "--dataset", root, "--out", out, *SMALL) == 1
    assert (
        "failed extract radiomics r9: ValueError: the resampled mask only contains 1"
        in capsys.readouterr().err
    )
    failures = json.loads((out / "failures.json").read_text())
    failed = [(f["roi_id"], f["features"]) for f in failures if f["status"] == "failed"]
    assert failed == [("r9", "radiomics")]
    run = folder.read_run(out)
    tested = {model: set(rows.roi_id) for model, rows in run.predictions.groupby("model")}
    assert tested["logistic"] == tested["size_only"] - {"r9"}
    trained = {roi for split in run.splits for roi in split.train}
    assert "r9" in trained | tested["size_only"]
    fits = run.timings[run.timings.stage == "fit"].set_index("model").n_rois
    assert fits["size_only"] - fits["logistic"] == ("r9" in trained)


def flatten(root: Path, keep: int = 0) -> None:
    """Cut every ROI but the first ``keep`` down to its middle slice."""
    for path in sorted(root.glob("*/r*.nii.gz")):
        if int(path.name[1:].partition(".")[0]) >= keep:
            array = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
            write_volume(path, array[3:4])


@pytest.mark.parametrize("volumes", [0, 1])
def test_single_slices_have_feature_sets_of_their_own(
    write_manifest: WriteManifest,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    volumes: int,
) -> None:
    """One ROI of several slices is enough for all to count as volumes: columns must agree."""
    root, out = write_manifest(40), tmp_path / "run"
    flatten(root, keep=volumes)
    assert invoke("run", "--dataset", root, "--out", out, *SMALL) == 0
    run = folder.read_run(out)
    suffix = "" if volumes else "2d"
    assert set(run.predictions.features) == {f"diameter{suffix}", f"radiomics{suffix}"}
    said = "Every ROI is a single slice: diameter2d, radiomics2d in place of diameter, radiomics"
    assert (said in " ".join(capsys.readouterr().out.split())) is not bool(volumes)


def test_mask_modifiers_stay_on_the_planar_feature_sets(
    write_manifest: WriteManifest, tmp_path: Path
) -> None:
    root, out = write_manifest(40), tmp_path / "run"
    flatten(root)
    arms = 'arms=["size_only", "prior:diameter@eroded"]'
    given = ("run", "--dataset", root, "--jobs", "1", "--set", "bootstrap.samples=100")
    assert invoke(*given, "--out", out, "--set", arms) == 0
    run = folder.read_run(out)
    assert set(run.predictions.features) == {"diameter2d", "diameter2d@eroded"}
    stored = folder.read_run(out).features
    area = {name: stored[name].area_mm2.sum() for name in stored}
    assert 0 < area["diameter2d@eroded"] < area["diameter2d"]


def test_missing_ratings_are_a_skip_not_a_failure(
    write_manifest: WriteManifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arms = 'arms=["prior", "size_only", "logistic:ratings"]'
    out = tmp_path / "run"
    arguments = ["run", "--dataset", write_manifest(40), "--out", out, "--set", arms]
    assert invoke(*arguments, "--jobs", "1") == 0
    captured = capsys.readouterr()
    said = " ".join((captured.out + captured.err).split())
    assert said.count("Ratings skipped: the dataset has no readers' ratings") == 1
    assert said.count("skipped") == 1


def test_a_table_without_the_size_baseline_says_so(
    write_manifest: WriteManifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--dataset", write_manifest(40), "--out", tmp_path / "run", "--models", "prior"]
    assert invoke("run", *arguments, "--jobs", "1") == 0
    assert "No size-only row" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--models", "xbg"], "unknown model 'xbg'; did you mean 'xgb'?"),
        (["--features", "voxel"], "unknown feature 'voxel'"),
        (["--set", "label.reader=2"], "unknown key 'label.reader'"),
        (["--profile", "fast"], "unknown profile 'fast'"),
        (["--dataset", "nowhere"], "dataset 'nowhere': no such file or folder"),
        (["--jobs", "0"], "0 is not in the range"),
        (["--coffee"], "No such option"),
        (["--require-gpu", "--models", "svm"], "none of the models to run can use a GPU"),
    ],
)
def test_bad_arguments(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: list[str], message: str
) -> None:
    assert message in refused(capsys, "run", "--out", tmp_path / "run", *arguments)
    assert not any(tmp_path.iterdir())


def test_a_run_folder_is_never_overwritten(
    write_manifest: WriteManifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    out.mkdir()
    (out / "mine.txt").write_text("precious")
    message = refused(capsys, "run", "--dataset", write_manifest(24), "--out", out, *SMALL)
    assert "exists already" in message
    assert [path.name for path in out.iterdir()] == ["mine.txt"]


BAD_VOLUMES = {
    "missing": lambda root: (root / "images/r5.nii.gz").unlink(),
    "empty mask": lambda root: write_volume(
        root / "masks/r5.nii.gz", np.zeros((7, 16, 16), np.uint8)
    ),
    "other size": lambda root: write_volume(
        root / "masks/r5.nii.gz", np.ones((7, 16, 17), np.uint8)
    ),
    "NaN": lambda root: write_volume(
        root / "images/r5.nii.gz", np.full((7, 16, 16), np.nan, np.float32)
    ),
}
RULES = {
    "missing": "image 'images/r5.nii.gz' does not exist",
    "empty mask": "mask is empty; every ROI needs at least one voxel",
    "other size": "112 of its voxels lie beyond the image",
    "NaN": "image has 1792 NaN or infinite voxels; HU must be finite",
}


@pytest.mark.parametrize("case", BAD_VOLUMES)
def test_bad_voxels(
    write_manifest: WriteManifest, tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    root, out = write_manifest(24), tmp_path / "run"
    BAD_VOLUMES[case](root)
    message = refused(capsys, "run", "--dataset", root, "--out", out, *SMALL)
    assert message.startswith(f"error: {root / 'manifest.csv'} row 7 (roi_id 'r5'): ")
    assert RULES[case] in message
    assert {path.name for path in tmp_path.iterdir()} == {"rois"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({3: {"roi_id": "r1"}}, "manifest.csv row 5 (roi_id 'r1'): row 3 has the same roi_id"),
        ({3: {"label": "yes"}}, "manifest.csv row 5 (roi_id 'r3'): label is 'yes'; it must be 0"),
        ({i: {"label": "0"} for i in range(24)}, "24 usable ROIs, only benign ones"),
    ],
)
def test_bad_tables(
    write_manifest: WriteManifest,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: dict[int, dict[str, str]],
    message: str,
) -> None:
    root, out = write_manifest(24, change=change), tmp_path / "run"
    assert message in refused(capsys, "run", "--dataset", root, "--out", out, *SMALL)
    assert {path.name for path in tmp_path.iterdir()} == {"rois"}


def test_as_a_process() -> None:
    """Exit status and streams as a shell sees them."""
    command = [sys.executable, "-m", "benchmark"]
    listed = subprocess.run(
        [*command, "list"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert listed.returncode == 0
    for name in ("phantom", "radiomics", "paper_cnn", "auc", "quick"):
        assert f"  {name} " in listed.stdout
    wrong = subprocess.run(
        [*command, "run", "--profile", "nope"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("error: unknown profile 'nope'")
    assert wrong.stderr.count("\n") == 1


@pytest.mark.parametrize("kind", ["datasets", "features", "models", "profiles"])
def test_listing_imports_nothing_heavy(kind: str) -> None:
    code = (
        f"import sys; sys.argv = ['benchmark', 'list', {kind!r}]\n"
        "from benchmark.cli.main import cli\n"
        "cli.main(standalone_mode=False)\n"
        "heavy = {'tensorflow', 'keras', 'xgboost', 'radiomics', 'pylidc', 'sklearn', 'pandas'}\n"
        "print('loaded', sorted(heavy & sys.modules.keys()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "loaded []"


def test_ctrl_c_and_defects_have_a_status_of_their_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def raises(error: BaseException) -> None:
        def write_new(what: str, name: str) -> None:
            raise error

        monkeypatch.setattr(scaffold, "write_new", write_new)

    raises(KeyboardInterrupt())
    assert invoke("new", "model", "mine") == 130
    assert capsys.readouterr().err.strip() == "interrupted"
    raises(RuntimeError("a defect"))
    assert invoke("new", "model", "mine") == 70
    said = capsys.readouterr().err
    assert said.startswith("Traceback")
    assert said.endswith("RuntimeError: a defect\n")


def test_without_a_command_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke() == 2
    shown = capsys.readouterr()
    assert "Usage: python -m benchmark" in shown.out
    assert not shown.err


def test_a_new_folder_is_named_by_time_profile_and_dataset() -> None:
    folder = default_folder("quick", "/data/my_nodules/lung.csv")
    assert folder.parent == RUNS
    assert re.fullmatch(r"[0-9]{8}-[0-9]{6}-quick-lung", folder.name)


def test_a_failure_names_its_fit(capsys: pytest.CaptureFixture[str]) -> None:
    of_a_fit = Failure("failed", "fit", "ValueError: no\nway", "svm", "radiomics", repeat=1, fold=2)
    assert show_failures([Failure("skipped", "extract", "no ratings", features="ratings")]) is False
    assert show_failures([of_a_fit]) is True
    assert capsys.readouterr().err.splitlines() == [
        "skipped extract ratings: no ratings",
        "failed fit svm radiomics repeat 1 fold 2: ValueError: no way",
    ]


def test_a_page_that_is_there_is_not_drawn_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = make_run(tmp_path / "run", n=40)
    (made.path / "report.html").write_text("as it was")
    show_page(made)
    assert capsys.readouterr().out == f"{made.path / 'report.html'}\n"
    assert (made.path / "report.html").read_text() == "as it was"


def test_resuming_needs_a_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--resume needs the --out of the run" in refused(capsys, "run", "--resume")


def test_what_cannot_be_noted_beside_a_run_is_a_failure_and_the_run_stands(
    write_manifest: WriteManifest,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cache = tmp_path / "cache"
    cache.write_text("a file where a folder should be")
    monkeypatch.setenv("LUNG_NODULE_CACHE", str(cache))
    out = tmp_path / "runs/one"
    (tmp_path / "runs/history.parquet").mkdir(parents=True)
    arguments = ["--models", "prior,size_only", "--jobs", "1", "--set", "bootstrap.samples=100"]
    assert invoke("run", "--dataset", write_manifest(24), "--out", out, *arguments) == 1
    said = capsys.readouterr().err
    assert "nothing was kept for later runs: " in said
    assert "failed: " in said
    assert "history.parquet" in said
    assert folder.read_run(out).metrics.model.nunique() == 2
