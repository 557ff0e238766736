"""Work that is done once: what a second run recalls, and what makes it do something again."""

from __future__ import annotations

import csv
import json
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

from benchmark.report.tables.main import main_table
from benchmark.run.cache import _pack_features, _unpack_features
from benchmark.run.extraction import Extracted
from benchmark.run.folder import read_run
from benchmark.runtime import provenance, store
from benchmark.runtime.paths import ROOT
from tests.helpers.command_line import invoke, refused
from tests.helpers.volumes import WriteManifest

MODELS = ["size_only", "logistic", "prior"]
FOLDS = 2
ARMS = [
    "--models", ",".join(MODELS), "--jobs", "1", "--set", "bootstrap.samples=100",
    "--set", "splits.scheme=kfold", "--set", f"splits.folds={FOLDS}",
    "--set", 'arms=["size_only", "logistic:diameter", "prior:diameter"]',
]  # fmt: skip


def run(root: Path, out: Path, *arguments: str) -> dict[str, Any]:
    """Run; returns what was recalled and done."""
    assert invoke("run", "--dataset", root, "--out", out, *ARMS, *arguments) == 0
    told = json.loads((out / "environment.json").read_text())["cache"]
    assert told["problem"] == ""
    return {
        "features": (told["features"]["recalled"], told["features"]["done"]),
        "fits": (told["fits"]["recalled"], told["fits"]["done"]),
        "damaged": told["damaged"],
    }


def predictions(out: Path) -> pd.DataFrame:
    return pd.read_parquet(out / "predictions.parquet")


def same(one: Path, other: Path) -> None:
    pd.testing.assert_frame_equal(predictions(one), predictions(other), check_exact=True)


N_FITS = len(MODELS) * FOLDS


def test_an_unchanged_run_does_nothing_twice(write_manifest: WriteManifest, tmp_path: Path) -> None:
    root, n = write_manifest(), 24
    assert run(root, tmp_path / "one") == {"features": (0, n), "fits": (0, N_FITS), "damaged": 0}
    again = run(root, tmp_path / "two")
    assert again == {"features": (n, 0), "fits": (N_FITS, 0), "damaged": 0}
    same(tmp_path / "one", tmp_path / "two")
    told = json.loads((tmp_path / "two" / "environment.json").read_text())["cache"]
    assert told["statistics"] == {"recalled": 1, "done": 0}
    tables = ("metrics", "comparisons", "ranks", "strata", "split_metrics", "rois", "training")
    for table in tables:
        texts = [(tmp_path / out / f"{table}.csv").read_text() for out in ("one", "two")]
        assert texts[0] == texts[1]
    for model in (tmp_path / "one" / "models").iterdir():
        assert model.read_bytes() == (tmp_path / "two" / "models" / model.name).read_bytes()


def test_recalled_times_are_not_passed_off_as_measured(
    write_manifest: WriteManifest, tmp_path: Path
) -> None:
    root = write_manifest()
    run(root, tmp_path / "one")
    run(root, tmp_path / "two", "--set", "models.logistic.inner_folds=4")
    one, two = (read_run(tmp_path / out) for out in ("one", "two"))
    assert (one.timings.n_cached == 0).all()
    recalled = two.timings[two.timings.model != "logistic"]
    assert (recalled.n_cached == recalled.n_rois).all()
    assert (two.timings[two.timings.model == "logistic"].n_cached == 0).all()
    first, second = (
        each.timings[each.timings.model == "size_only"].seconds.tolist() for each in (one, two)
    )
    assert first == second
    assert not any("in the cache" in note for note in main_table(one).notes)
    (note,) = [note for note in main_table(two).notes if "in the cache" in note]
    assert "size_only, prior" in note
    history = pd.read_parquet(tmp_path / "history.parquet").set_index(["run", "model"]).fit_s
    assert history["one"].notna().all()
    assert history["two"].notna().to_dict() == {
        "size_only": False, "logistic": True, "prior": False
    }  # fmt: skip


def test_a_models_setting_trains_that_model_only(
    write_manifest: WriteManifest, tmp_path: Path
) -> None:
    root = write_manifest()
    run(root, tmp_path / "one")
    changed = run(root, tmp_path / "two", "--set", "models.logistic.inner_folds=4")
    assert changed == {"features": (24, 0), "fits": (N_FITS - FOLDS, FOLDS), "damaged": 0}
    seed = run(root, tmp_path / "three", "--set", "seed=1")
    assert seed["fits"] == (0, N_FITS)
    wanted = run(root, tmp_path / "four", "--set", "threshold=0.5")
    assert wanted["fits"] == (N_FITS, 0)  # thresholds are applied to what is recalled
    assert set(predictions(tmp_path / "four").threshold) == {0.5}


def test_a_changed_nodule_is_extracted_again_and_its_models_trained(
    write_manifest: WriteManifest, tmp_path: Path
) -> None:
    root = write_manifest()
    run(root, tmp_path / "one")
    mask = root / "masks" / "r3.nii.gz"
    array = sitk.GetArrayFromImage(sitk.ReadImage(str(mask)))
    array[0, 0, 0] = 1
    image = sitk.GetImageFromArray(array)
    image.CopyInformation(sitk.ReadImage(str(mask)))
    sitk.WriteImage(image, str(mask))
    changed = run(root, tmp_path / "two")
    assert changed == {"features": (23, 1), "fits": (0, N_FITS), "damaged": 0}


def test_other_rows_and_paths_recall_the_same_nodules(
    write_manifest: WriteManifest, tmp_path: Path
) -> None:
    root = write_manifest()
    run(root, tmp_path / "one")
    rows = list(csv.DictReader((root / "manifest.csv").open()))
    (root / "masks").rename(root / "outlines")
    for row in rows:
        row["mask"] = row["mask"].replace("masks", "outlines")
    with (root / "manifest.csv").open("w", newline="") as handle:
        writer = csv.DictWriter(handle, list(rows[0]))
        writer.writeheader()
        writer.writerows(reversed(rows))
    assert run(root, tmp_path / "two")["features"] == (24, 0)


def test_models_that_were_not_kept_are_fitted_when_they_are_wanted(
    write_manifest: WriteManifest, tmp_path: Path
) -> None:
    root = write_manifest()
    run(root, tmp_path / "one", "--set", "keep_models=false")
    assert run(root, tmp_path / "two")["fits"] == (0, N_FITS)
    assert run(root, tmp_path / "three", "--set", "keep_models=false")["fits"] == (N_FITS, 0)
    assert not (tmp_path / "three" / "models").exists()


def test_damaged_entries_are_made_again(write_manifest: WriteManifest, tmp_path: Path) -> None:
    root = write_manifest()
    run(root, tmp_path / "one")
    with sqlite3.connect(store.location()) as connection:
        connection.execute("UPDATE entries SET value = substr(value, 1, size - 1) || 'x'")
    again = run(root, tmp_path / "two")
    assert again == {"features": (0, 24), "fits": (0, N_FITS), "damaged": 24 + N_FITS + 1}
    same(tmp_path / "one", tmp_path / "two")
    assert run(root, tmp_path / "three")["fits"] == (N_FITS, 0)


def test_no_cache_recalls_and_keeps_nothing(write_manifest: WriteManifest, tmp_path: Path) -> None:
    root = write_manifest()
    fresh = {"features": (0, 24), "fits": (0, N_FITS), "damaged": 0}
    assert run(root, tmp_path / "one", "--no-cache") == fresh
    assert run(root, tmp_path / "two") == fresh
    assert run(root, tmp_path / "three", "--no-cache") == fresh
    assert not list(tmp_path.glob(".*.resume"))


def test_a_digest_covers_what_the_file_imports() -> None:
    reached = {path.name for path in provenance._closure(ROOT / "features" / "radiomics.py")}
    assert {"_pyradiomics.py", "_shape.py", "roi.py"} <= reached
    assert not {"voxels2d_box.py", "_masks.py"} & reached
    reached = {path.name for path in provenance._closure(ROOT / "models" / "paper_cnn.py")}
    assert "_keras.py" in reached
    assert "svm.py" not in reached


def test_after_an_edit_nothing_is_kept(
    write_manifest: WriteManifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, n = write_manifest(), 24
    with monkeypatch.context() as edited:
        edited.setattr(provenance, "unchanged", lambda path: path.name != "diameter.py")
        assert run(root, tmp_path / "one")["features"] == (0, n)
    assert run(root, tmp_path / "two") == {"features": (0, n), "fits": (N_FITS, 0), "damaged": 0}
    with monkeypatch.context() as edited:
        edited.setattr(provenance, "unchanged", lambda path: path.name != "prior.py")
        run(root, tmp_path / "three", "--set", "seed=1")
    assert run(root, tmp_path / "four", "--set", "seed=1")["fits"] == (N_FITS - FOLDS, FOLDS)


def test_a_modifier_and_its_file_are_part_of_what_is_recalled(
    write_manifest: WriteManifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, n = write_manifest(), 24

    def features(out: str, name: str) -> tuple[int, int]:
        arms = ["--models", "prior", "--set", f'arms=["prior:{name}"]']
        recalled: tuple[int, int] = run(root, tmp_path / out, *arms)["features"]
        return recalled

    for file in ("_masks.py", "diameter.py"):
        with monkeypatch.context() as edited:
            edited.setattr(provenance, "unchanged", lambda path, file=file: path.name != file)
            assert features(f"edited {file}", "diameter@eroded") == (0, n)
    assert features("plain", "diameter") == (0, n)
    assert features("eroded", "diameter@eroded") == (0, n)
    assert features("dilated", "diameter@dilated") == (0, n)
    assert features("eroded again", "diameter@eroded") == (n, 0)
    digest = provenance.digest
    with monkeypatch.context() as edited:
        other = {ROOT / "features" / "_masks.py": "another"}
        edited.setattr(provenance, "digest", lambda path: other.get(path) or digest(path))
        assert features("changed masks", "diameter@eroded") == (0, n)
        assert features("changed masks, plain", "diameter") == (n, 0)


def forget() -> None:
    provenance.digest.cache_clear()
    provenance.snapshot.cache_clear()
    provenance.all_code.cache_clear()
    provenance._closure.cache_clear()


def test_a_changed_file_changes_the_digest_of_those_that_import_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    folder = tmp_path / "features"
    folder.mkdir()
    (folder / "_shared.py").write_text("X = 1\n")
    (folder / "one.py").write_text("from features import _shared\n")
    (folder / "two.py").write_text("import numpy\n")

    def digests() -> list[str]:
        forget()
        each = [provenance.digest(folder / f"{name}.py") for name in ("one", "two")]
        return [*each, provenance.all_code()]

    before = digests()
    assert provenance.all_unchanged()
    (folder / "_shared.py").write_text("X = 2\n")
    assert not provenance.all_unchanged()
    assert provenance.digest(folder / "one.py") == before[0]
    assert [provenance.unchanged(folder / f"{name}.py") for name in ("one", "two")] == [False, True]
    after = digests()
    forget()
    assert before[0] != after[0]
    assert before[1] == after[1]
    assert before[2] != after[2]


KILLS = 3


@pytest.mark.parametrize("options", [(), ("--no-cache",)], ids=["cache", "no cache"])
def test_a_killed_run_goes_on_to_the_same_predictions(
    write_manifest: WriteManifest, tmp_path: Path, options: tuple[str, ...]
) -> None:
    root, out = write_manifest(), tmp_path / "out"

    # All in processes of their own: what Keras sets in this one's environment is part of a key.
    def command(folder: Path, *more: str) -> list[str]:
        start = [sys.executable, "-m", "benchmark", "run", "--dataset", str(root)]
        return [*start, "--out", str(folder), *ARMS, *options, *more]

    subprocess.run(command(tmp_path / "whole", "--no-cache"), cwd=ROOT, check=True, timeout=120)
    draw, kills = random.Random(len(options)), 0
    for _ in range(KILLS):
        before = n_kept(out, options)
        process = subprocess.Popen(command(out, "--resume"), cwd=ROOT)
        # Once it has kept something new; where nothing is left to keep, soon after its start.
        started = time.monotonic()
        while n_kept(out, options) <= before < N_FITS + 24 and process.poll() is None:
            assert time.monotonic() - started < 120
            time.sleep(0.01)
        time.sleep(draw.uniform(0, 0.3) if kills else 0)
        process.send_signal(signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL and not out.exists()
    assert kills
    subprocess.run(command(out, "--resume"), cwd=ROOT, check=True, timeout=120)
    same(out, tmp_path / "whole")
    told = json.loads((out / "environment.json").read_text())["cache"]
    assert told["features"]["recalled"] > 0
    assert not list(tmp_path.glob(".*out*"))


def n_kept(out: Path, options: tuple[str, ...]) -> int:
    path = out.with_name(f".{out.name}.resume") if options else store.location()
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            (count,) = connection.execute("SELECT COUNT(*) FROM entries").fetchone()
    except sqlite3.OperationalError:  # not there yet, or being written
        return 0
    return int(count)


def test_resume_of_a_complete_run(
    write_manifest: WriteManifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, out = write_manifest(), tmp_path / "one"
    run(root, out)
    written = (out / "environment.json").read_text()
    assert not (out / "report.html").exists()  # as if the run had been killed before its page
    capsys.readouterr()
    assert invoke("run", "--dataset", root, "--out", out, *ARMS, "--resume", page=True) == 0
    assert "complete already" in capsys.readouterr().out
    assert (out / "report.html").is_file()
    assert (out / "environment.json").read_text() == written
    more = ["run", "--dataset", root, "--out", out, *ARMS, "--resume"]
    assert "is a complete run without multiverse" in refused(capsys, *more, "--multiverse")
    xgb = [*more, "--models", "xgb", "--set", 'arms=["xgb:diameter"]']
    assert "is a complete run without xgb" in refused(capsys, *xgb)
    other = [*more, "--set", "seed=3"]
    assert "is a complete run with seed = 0, not 3" in refused(capsys, *other)
    assert "--resume needs the --out" in refused(capsys, "run", "--dataset", root, "--resume")
    assert invoke(*more, "--allow-outside", "--set", "limits.roi_voxels=99") == 0


def test_resume_of_a_complete_run_repeats_its_failures(
    write_manifest: WriteManifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["run", "--dataset", write_manifest(), "--out", tmp_path / "one", *ARMS]
    arguments += ["--set", "limits.fit_s=0.001"]
    assert invoke(*arguments) == 1
    first = capsys.readouterr().err
    assert "failed fit logistic" in first
    assert invoke(*arguments, "--resume") == 1
    assert "failed fit logistic" in capsys.readouterr().err


def test_numpys_numbers_are_kept() -> None:
    values = {"n": np.int64(3), "mean": np.float32(0.5), "flat": np.bool_(True)}
    kept = _unpack_features("r", _pack_features(Extracted("r", 0.1, values)))
    assert kept.value == {"n": 3.0, "mean": 0.5, "flat": 1.0}


def test_gpus_and_their_packages_are_part_of_the_surroundings(tmp_path: Path) -> None:
    for place, name in (("0", "NVIDIA H100"), ("1", "Other")):
        (tmp_path / place).mkdir()
        (tmp_path / place / "information").write_text(f"Model: \t {name}\nIRQ: 1\n")
    assert provenance.gpus(tmp_path) == ["NVIDIA H100", "Other"]
    assert provenance.gpus(tmp_path / "none") == []
    assert set(provenance.gpus()) <= set(provenance.surroundings())


def test_universes_are_recalled_too(write_manifest: WriteManifest, tmp_path: Path) -> None:
    root = write_manifest(labels=False)
    first = run(root, tmp_path / "one", "--multiverse")
    second = run(root, tmp_path / "two", "--multiverse")
    assert first["fits"][1] > N_FITS
    assert second["fits"] == (sum(first["fits"]), 0)
    tables = [pd.read_csv(tmp_path / out / "multiverse.csv") for out in ("one", "two")]
    pd.testing.assert_frame_equal(*tables, check_exact=True)
    assert np.isfinite(tables[0].auc).any()
