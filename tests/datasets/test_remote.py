"""Datasets on fsspec's file systems: the same ROIs, errors that name the row, no traceback."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import NoReturn

import pandas as pd
import pytest
from fsspec import AbstractFileSystem, register_implementation
from upath import UPath

from benchmark.datasets import manifest
from tests.helpers.command_line import invoke, refused
from tests.helpers.volumes import WriteManifest

SMALL = ["--models", "size_only", "--features", "diameter", "--set", "bootstrap.samples=100"]


def zipped(root: Path) -> str:
    archive = root.with_suffix(".zip")
    with zipfile.ZipFile(archive, "w") as file:
        for path in root.rglob("*"):
            file.write(path, path.relative_to(root.parent))
    return f"zip://{root.name}::file://{archive}"


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".mha"])
def test_rois_are_the_same_wherever_they_lie(write_manifest: WriteManifest, suffix: str) -> None:
    root = write_manifest(4, suffix=suffix)
    local, remote = manifest.open_dataset(root), manifest.open_at(zipped(root))
    assert remote.name == local.name == "rois"
    assert remote.records == local.records
    for record in local.records:
        assert remote.read(record).content_hash() == local.read(record).content_hash()


def test_a_run_whose_workers_read_from_an_archive(
    write_manifest: WriteManifest, tmp_path: Path
) -> None:
    root = write_manifest()
    for out, dataset in (("local", root), ("remote", zipped(root))):
        arguments = ["--dataset", dataset, "--out", tmp_path / out, "--jobs", "2", "--no-cache"]
        assert invoke("run", *arguments, *SMALL) == 0
    tables = [
        pd.read_parquet(tmp_path / out / "predictions.parquet") for out in ("local", "remote")
    ]
    pd.testing.assert_frame_equal(*tables, check_exact=True)


def test_a_manifest_may_be_named_itself_and_in_memory(write_manifest: WriteManifest) -> None:
    root, target = write_manifest(4), UPath("memory://here/rois")
    for path in root.rglob("*"):
        if path.is_file():
            copy = target / path.relative_to(root).as_posix()
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    dataset = manifest.open_at("memory://here/rois/manifest.csv")
    assert dataset.name == "rois"
    assert dataset.read(dataset.records[2]).has_mask
    (target / "masks" / "r2.nii.gz").unlink()
    message = r"manifest.csv row 4 \(roi_id 'r2'\): mask 'masks/r2.nii.gz' does not exist"
    with pytest.raises(ValueError, match=message):
        dataset.read(dataset.records[2])


class Guarded(AbstractFileSystem):  # type: ignore[misc]
    """Refuses with an exception of its own, as the clients of object stores do."""

    protocol = "guarded"

    class RefusedError(Exception):
        pass

    def info(self, path: str, **_kwargs: object) -> NoReturn:
        raise self.RefusedError(f"no credentials for {path}")


register_implementation("guarded", Guarded)


@pytest.mark.filterwarnings("ignore:UPath 'guarded'")
@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("memory://nowhere/rois", "no such file or folder"),
        ("guarded://bucket/rois", "dataset 'guarded://bucket/rois': no credentials"),
        ("odd://bucket/rois", "'odd'"),
        ("zip://rois::file:///no/such.zip", "No such file"),
        ("hdfs://host/rois", "dataset 'hdfs://host/rois':"),
    ],
)
def test_what_cannot_be_read_is_refused_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], address: str, message: str
) -> None:
    out = tmp_path / "run"
    assert message in refused(capsys, "run", "--dataset", address, "--out", out, *SMALL)
    assert not out.exists()


def test_a_file_far_larger_than_its_header_says_is_refused(write_manifest: WriteManifest) -> None:
    root, target = write_manifest(2, suffix=".nii"), UPath("memory://large/rois")
    for path in root.rglob("*"):
        if path.is_file():
            copy = target / path.relative_to(root).as_posix()
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes() + bytes(2 << 20) * (path.name == "r1.nii"))
    dataset = manifest.open_at("memory://large/rois")
    dataset.read(dataset.records[0])
    with pytest.raises(
        ValueError, match=r"roi_id 'r1'.*has [0-9]+ bytes, and its kind or its head"
    ):
        dataset.read(dataset.records[1])
