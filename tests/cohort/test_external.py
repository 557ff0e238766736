"""Training on one dataset and testing on another."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmark.cohort import external
from benchmark.cohort.labels import Cohort, LabelRule, assemble
from benchmark.cohort.splits import check_splits
from benchmark.datasets import manifest
from benchmark.roi import Roi, RoiDataset, RoiRecord
from benchmark.run import folder
from tests.helpers.command_line import SMALL, invoke, refused
from tests.helpers.volumes import WriteManifest

Rename = Callable[[str], str]


def other(
    write_manifest: WriteManifest, n: int = 20, folder: str = "other", **kwargs: bool
) -> Path:
    """A second dataset: the same ROI ids, other patients."""
    change = {i: {"patient_id": f"q{i // 2}"} for i in range(n)}
    return write_manifest(n, folder=folder, change=change, **kwargs)


def side(name: str, patients: list[str], unnamed: str = "") -> tuple[RoiDataset, Cohort]:
    def read(record: RoiRecord) -> Roi:
        image = np.full((1, 2, 2), len(name), np.float32)
        return Roi(record, image, np.ones((1, 2, 2), bool), (1.0, 1.0, 1.0))

    rows = enumerate(patients)
    rois = tuple(RoiRecord(f"{name[0]}{i}", p, label=i % 2) for i, p in rows)
    dataset = RoiDataset(name, rois, read, unnamed_patients_of=unnamed)
    return dataset, assemble(dataset, LabelRule())


def test_joined_datasets_keep_rows_and_readers_apart() -> None:
    training, test = side("here", ["a", "b", "c"]), side("there", ["x", "y"])
    joined = external.join(training, test)
    assert joined.split.scheme == "external"
    assert joined.split.train == ("h0", "h1", "h2")
    assert joined.split.test == ("t0", "t1")
    assert joined.cohort.labels.tolist() == [0, 1, 0, 0, 1]
    assert joined.cohort.patients.tolist() == ["a", "b", "c", "x", "y"]
    check_splits([joined.split], joined.cohort, leaky=False)
    read = [joined.dataset.read(record) for record in joined.cohort.records]
    assert [roi.image[0, 0, 0] for roi in read] == [4, 4, 4, 5, 5]


def test_equal_ids_are_told_apart(write_manifest: WriteManifest) -> None:
    sets = [manifest.open_dataset(p) for p in (write_manifest(6), other(write_manifest, 4))]
    training, test = ((d, assemble(d, LabelRule())) for d in sets)
    joined = external.join(training, test)
    assert joined.split.test == ("other/r0", "other/r1", "other/r2", "other/r3")
    last = joined.cohort.records[-1]
    assert joined.dataset.read(last).record.roi_id == "other/r3"
    # Errors name the row as the manifest has it.
    (sets[1].read.manifest.parent / "masks/r3.nii.gz").unlink()
    with pytest.raises(ValueError, match=r"row 5 \(roi_id 'r3'\): mask 'masks/r3.nii.gz'"):
        joined.dataset.read(last)


def test_shared_patients_are_refused() -> None:
    with pytest.raises(ValueError, match="patient 'b' and 1 others are in both 'here' and 'there'"):
        external.join(side("here", ["a", "b", "c"]), side("there", ["c", "b"]))
    with pytest.raises(ValueError, match="patient 'c' is in both 'here' and 'there'"):
        external.join(side("here", ["a", "b", "c"]), side("there", ["c", "x"]))


def test_patients_who_may_be_one_person_are_refused() -> None:
    ours = side("here", ["a", "P07", "12"])
    for theirs in ("p07", "P 07", "0012", "12.0"):
        with pytest.raises(
            ValueError, match=r"^'here' and 'there': patient ids .* \(training\) and"
        ):
            external.join(ours, side("there", ["x", theirs]))
    external.join(ours, side("there", ["P7", "120"]))


def test_overlap_that_cannot_be_ruled_out_is_refused() -> None:
    unnamed = side("mnist", ["m1", "m2"], "LIDC-IDRI")
    named = side("lidc", ["LIDC-IDRI-0001", "LIDC-IDRI-0002"])
    for pair in ((unnamed, named), (named, unnamed), (unnamed, side("z", ["x", "y"], "LIDC-IDRI"))):
        with pytest.raises(ValueError, match="cannot be ruled out"):
            external.join(*pair)
    external.join(unnamed, side("elsewhere", ["x", "y"]))


def test_a_run_on_two_datasets(
    write_manifest: WriteManifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    training, test, out = write_manifest(30), other(write_manifest, labels=False), tmp_path / "run"
    arguments = ["--dataset", training, "--test-dataset", test, "--out", out]
    assert invoke("run", *arguments, *SMALL) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "Lung nodule benchmark: rois, tested on other" in printed
    assert "training on rois, 30 ROIs of 28 patients" in printed
    assert "Testing on other, 20 ROIs of 10 patients" in printed
    assert "trained on all of rois and tested on all of other, no patient in both" in printed
    # One dataset carries labels, the other ratings: both rules are told.
    assert "as given by the dataset (the label rule is ignored) (rois)" in printed
    assert "at least 3 readers, exactly 3 dropped (other)" in printed

    run = folder.read_run(out)
    assert set(run.predictions.scheme) == {"external"}
    assert set(run.predictions.patient_id) == {f"q{i}" for i in range(10)}
    assert (run.predictions.groupby("model").size() == 20).all()
    timings = run.timings.set_index("stage").n_rois
    assert set(timings["fit"]) == {30}
    assert set(timings["predict"]) == {20}
    prints = {
        run.environment[key]["fingerprint"]
        for key in ("dataset", "training_dataset", "test_dataset")
    }
    assert len(prints) == 3
    assert run.environment["test_dataset"]["n_rois"] == 20
    assert run.environment["protocol"]["leaky"] is False

    # The configuration alone repeats it.
    again = tmp_path / "again"
    assert invoke("run", "--profile", out / "config.toml", "--out", again, "--jobs", "1") == 0
    assert folder.read_run(again).predictions.equals(run.predictions)


@pytest.mark.parametrize("synthetic", ["training", "test"])
def test_synthetic_voxels_on_either_side_are_flagged(
    write_manifest: WriteManifest,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    synthetic: str,
) -> None:
    sides = {"training": write_manifest(30), "test": other(write_manifest)}
    path = sides[synthetic] / "manifest.csv"
    with path.open() as handle:
        rows = list(csv.DictReader(handle))
    with path.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, [*rows[0], "intensities"])
        writer.writeheader()
        writer.writerows(row | {"intensities": "synthetic"} for row in rows)
    arguments = ["--dataset", sides["training"], "--test-dataset", sides["test"]]
    out = tmp_path / "run"
    few = ["--models", "prior", "--set", "bootstrap.samples=100", "--jobs", "1"]
    assert invoke("run", *arguments, "--out", out, *few) == 0
    assert "[SYNTHETIC INTENSITIES]" in capsys.readouterr().out
    assert set(folder.read_run(out).predictions.intensities) == {"synthetic"}


def test_shared_patients_end_the_run_before_anything_is_written(
    write_manifest: WriteManifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    training, test = write_manifest(24), write_manifest(8, folder="more")
    arguments = ["--dataset", training, "--test-dataset", test, "--out", tmp_path / "run"]
    message = refused(capsys, "run", *arguments, *SMALL)
    assert "patient 'p0' and 5 others are in both 'rois' and 'more'" in message
    assert not (tmp_path / "run").exists()


def test_a_test_dataset_of_one_class_is_refused(
    write_manifest: WriteManifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change = {i: {"label": "1", "patient_id": f"q{i}"} for i in range(6)}
    test = write_manifest(6, folder="ill", change=change)
    arguments = ["--dataset", write_manifest(24), "--test-dataset", test]
    message = refused(capsys, "run", *arguments, "--out", tmp_path / "run", *SMALL)
    assert "dataset 'ill' has 6 usable ROIs, only malignant ones" in message


def test_splits_are_stored_with_the_ids_of_both(
    write_manifest: WriteManifest, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    arguments = ["--dataset", write_manifest(24), "--test-dataset", other(write_manifest, 8)]
    few = ["--models", "prior", "--set", "bootstrap.samples=100", "--jobs", "1"]
    assert invoke("run", *arguments, "--out", out, *few) == 0
    (split,) = json.loads((out / "splits.json").read_text())
    assert len(split["train"]) == 24
    assert split["test"] == [f"other/r{i}" for i in range(8)]


def test_a_reader_that_changes_nothing_else() -> None:
    """Renaming a record must not lose its label or attributes."""
    training, test = side("here", ["a", "b"]), side("hither", ["x", "y"])
    joined = external.join(training, test)
    renamed = joined.cohort.records[2]
    assert renamed == replace(test[1].records[0], roi_id="hither/h0")


def test_what_is_said_of_two_datasets_in_one() -> None:
    training, test = side("here", ["a", "b"]), side("there", ["x", "y", "z"])
    training = (replace(training[0], notes=("one", "both")), training[1])
    test = (replace(test[0], notes=("both", "other")), test[1])
    joined = external.join(training, test)
    assert joined.dataset.name == "here, tested on there"
    assert joined.dataset.notes == ("one", "both", "other")
    assert joined.cohort.protocol == training[1].protocol  # one rule is said once
    assert external.describe(training[0], test[0]) == (
        "split: external validation, trained on all of here and tested on all of there, "
        "no patient in both"
    )
    assert (joined.split.repeat, joined.split.fold) == (0, 0)


def test_two_datasets_of_one_name_are_told_apart() -> None:
    training, test = side("set", ["a", "b"]), side("set", ["x", "y"])
    joined = external.join(training, test)
    assert joined.dataset.name == "set, tested on set (test)"
    assert joined.split.train == ("s0", "s1")
    assert joined.split.test == ("set (test)/s0", "set (test)/s1")


def test_one_equal_id_renames_the_whole_test_side_and_reads_its_own_voxels() -> None:
    training, test = side("here", ["a", "b"]), side("hoard", ["x", "y", "z"])
    joined = external.join(training, test)
    assert joined.split.test == ("hoard/h0", "hoard/h1", "hoard/h2")
    widths = [joined.dataset.read(r).image[0, 0, 0] for r in joined.cohort.records]
    assert widths == [4, 4, 5, 5, 5]
    assert joined.cohort.labels.tolist() == [0, 1, 0, 1, 0]
