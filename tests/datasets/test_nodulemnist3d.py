"""NoduleMNIST3D from files of the published format, with known voxels."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmark.datasets import manifest, nodulemnist3d
from benchmark.plugins import registry
from benchmark.roi import Roi, UnavailableError
from benchmark.run import folder
from tests.helpers.command_line import invoke, refused

SIZES = {"train": 20, "val": 6, "test": 12}

Write = Callable[..., Path]


class Silent:
    def update(self, task: str, done: float, total: float) -> None: ...


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write a file as MedMNIST does; its checksum counts as published."""

    def write(
        name: str = "nodulemnist3d.npz",
        side: int = 28,
        published: bool = True,
        **arrays: np.ndarray,
    ) -> Path:
        rng = np.random.default_rng(0)
        content: dict[str, np.ndarray] = {}
        for split, n in SIZES.items():
            labels = np.arange(n) % 2
            noise = rng.integers(0, 60, (n, side, side, side))
            middle = slice(side // 2 - 4, side // 2 + 4)
            noise[:, middle, middle, middle] += (80 + 90 * labels)[:, None, None, None]
            content[f"{split}_images"] = noise.astype(np.uint8)
            content[f"{split}_labels"] = labels[:, None].astype(np.uint8)
        path = tmp_path / "medmnist" / name
        path.parent.mkdir(exist_ok=True)
        kept = {key: value for key, value in (content | arrays).items() if value is not None}
        np.savez_compressed(path, **kept)
        monkeypatch.setenv("MEDMNIST_ROOT", str(path.parent))
        if published:
            checksum = hashlib.md5(path.read_bytes()).hexdigest()
            monkeypatch.setitem(nodulemnist3d.MD5, checksum, path.stem)
        return path

    return write


def test_checksums_are_those_that_medmnist_publishes() -> None:
    """Of medmnist 3.0.2, info.py, MD5 and MD5_64 of nodulemnist3d."""
    assert nodulemnist3d.MD5 == {
        "8755a7e9e05a4d9ce80a24c3e7a256f3": "nodulemnist3d",
        "c47c5b7d457bf6332200d2ea6d64ecd8": "nodulemnist3d_64",
    }


@pytest.mark.parametrize(("name", "side"), [("nodulemnist3d", 28), ("nodulemnist3d_64", 64)])
def test_records_voxels_and_split(write: Write, name: str, side: int) -> None:
    path = write(f"{name}.npz", side)
    dataset = registry.load_dataset(name).open_dataset(1, Silent())
    assert dataset.name == name
    assert [r.given_split for r in dataset.records].count("val") == SIZES["val"]
    assert len({r.patient_id for r in dataset.records}) == sum(SIZES.values())
    with np.load(path) as arrays:
        stored, labels = arrays["val_images"][3], arrays["val_labels"]
    (record,) = [r for r in dataset.records if r.roi_id == f"{name}-val-0003"]
    assert record.label == int(labels[3, 0])
    roi = dataset.read(record)
    assert roi.image.shape == (side, side, side)
    assert roi.spacing_mm == (1, 1, 1)
    # 0 is -1024 HU and 255 is 400 HU.
    expected = -1024 + stored.astype(float) * 1424 / 255
    np.testing.assert_allclose(roi.image, expected, atol=1e-3)  # float32 at 1000 HU


def test_masks_are_asked_for_in_vain(write: Write) -> None:
    write()
    dataset = registry.load_dataset("nodulemnist3d").open_dataset(1, Silent())
    roi = dataset.read(dataset.records[0])
    assert not roi.has_mask
    for name in ("diameter", "diameter2d", "radiomics", "radiomics2d", "voxels2d_box"):
        with pytest.raises(UnavailableError, match="the dataset has no masks"):
            registry.load_feature_set(name).extract(roi)


def test_the_fixed_view_of_an_image_without_a_mask_is_its_middle() -> None:
    """30 mm wide, the image fills the middle three quarters of the 40 mm view."""
    record = manifest.RoiRecord("r", "p", label=0)
    image = np.full((5, 30, 30), -1000, np.float32)
    image[2] = 400
    view = registry.load_feature_set("voxels2d_fixed").extract(Roi(record, image, None, (1, 1, 1)))
    assert view.shape == (124, 124, 1)
    assert view.mean() == pytest.approx((30 / 40) ** 2, abs=0.0125)  # a pixel on each axis
    np.testing.assert_allclose(view, view[::-1, ::-1], atol=1e-6)  # centred


def test_content_without_a_mask_differs_from_content_with_one() -> None:
    record = manifest.RoiRecord("r", "p", label=0)
    image, mask = np.zeros((2, 3, 4), np.float32), np.ones((2, 3, 4), bool)
    bare, masked = Roi(record, image, None, (1, 1, 1)), Roi(record, image, mask, (1, 1, 1))
    assert bare.content_hash() != masked.content_hash()


def test_a_run_takes_the_official_split_and_says_what_is_lacking(
    write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write()
    out = tmp_path / "run"
    arms = 'arms=["prior:voxels2d_fixed", "size_only", "logistic"]'
    settings = ["--set", arms, "--set", "bootstrap.samples=100", "--jobs", "1"]
    assert invoke("run", "--dataset", "nodulemnist3d", "--out", out, *settings) == 0
    captured = capsys.readouterr()
    run = folder.read_run(out)
    assert run.config["profile"] == "nodulemnist3d"
    assert set(run.predictions.model) == {"prior"}
    assert set(run.predictions.scheme) == {"given"}
    assert sorted(run.predictions.roi_id) == [f"nodulemnist3d-test-{i:04}" for i in range(12)]
    (split,) = json.loads((out / "splits.json").read_text())
    assert len(split["train"]) == SIZES["train"] + SIZES["val"]
    said = " ".join(captured.out.split())
    assert "Patient ids are not published" in said
    assert "the dataset's own, train and val against test, patients unknown, perhaps on b" in said
    assert "grouped by patient, 1 repeat" not in said
    assert "Diameter skipped: the dataset has no masks" in (out / "report.md").read_text()
    assert "; radiomics skipped: the dataset has no masks" in said


def test_another_split_is_allowed_and_said(
    write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write()
    settings = ["--set", 'arms=["prior:voxels2d_fixed"]', "--set", "bootstrap.samples=100"]
    arguments = ["--dataset", path, "--profile", "quick", "--out", tmp_path / "run", "--jobs", "1"]
    assert invoke("run", *arguments, *settings) == 0
    assert "the dataset's own split goes unused" in capsys.readouterr().out


def test_nothing_that_can_run(
    write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write()
    arguments = ["--dataset", "nodulemnist3d", "--models", "size_only", "--jobs", "1"]
    message = refused(capsys, "run", *arguments, "--out", tmp_path / "run")
    assert "no arm can run on dataset 'nodulemnist3d' (diameter: the dataset has no m" in message
    assert not (tmp_path / "run").exists()


def test_an_absent_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MEDMNIST_ROOT", str(tmp_path))
    for name in ("nodulemnist3d", "nodulemnist3d_64"):
        message = refused(capsys, "run", "--dataset", name, "--out", tmp_path / "run")
        for part in (f"no file '{tmp_path / name}.npz'", "CC BY 4.0", "zenodo", "MEDMNIST_ROOT"):
            assert part in message
    message = refused(capsys, "run", "--dataset", tmp_path / "no.npz", "--out", tmp_path / "run")
    assert "no such file" in message
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"published": False}, "which is none of 8755a7e9e05a4d9ce80a24c3e7a256f3, c47c5b"),
        ({"val_labels": None}, "is not NoduleMNIST3D"),
        ({"test_labels": np.zeros((5, 1), np.uint8)}, "test images are uint8 .* with 5 labels"),
        ({"train_labels": np.full((20, 1), 3, np.uint8)}, "train labels are not all 0"),
        ({"val_images": np.zeros((6, 28, 28, 28), np.int16)}, "val images are int16"),
        ({"val_images": np.zeros((6, 28, 28), np.uint8)}, "val images are uint8 of shape"),
    ],
)
def test_other_files_are_refused(write: Write, change: dict, message: str) -> None:
    path = write(**change)
    with pytest.raises(ValueError, match=message):
        nodulemnist3d.open_file(path)


def test_a_file_larger_than_all_published_ones_is_not_read(write: Write) -> None:
    path = write()
    os.truncate(path, (1 << 30) + 1)
    with pytest.raises(ValueError, match="larger than every published NoduleMNIST3D file"):
        nodulemnist3d.open_file(path)


def test_worker_processes_read_the_same(write: Write) -> None:
    """The reader holds all voxels and must reach workers whole."""
    from benchmark.cohort.contents import check_voxels
    from benchmark.cohort.labels import LabelRule, assemble
    from benchmark.runtime.workers import LocalWorkers

    dataset = nodulemnist3d.open_file(write())
    cohort = assemble(dataset, LabelRule())
    one, two = (check_voxels(dataset, cohort, LocalWorkers(jobs), Silent()) for jobs in (1, 2))
    assert (one.fingerprint, one.single_slice) == (two.fingerprint, two.single_slice)
    np.testing.assert_array_equal(one.thumbnails, two.thumbnails)
    assert not one.single_slice
