"""A dataset with planted oddities: each must be found, and nothing else."""

from __future__ import annotations

import csv
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from matplotlib.image import imread

from benchmark.audit import contact_sheet, dataset
from benchmark.datasets import manifest
from benchmark.roi import RoiRecord
from tests.helpers.command_line import invoke, refused
from tests.helpers.volumes import WriteManifest, ball, write_volume

LISTS = (
    "single_slice", "mask_touches_in_plane_border", "mask_touches_first_or_last_slice",
    "same_content", "same_image_other_mask", "same_image_in_several_patients",
    "patients_with_several_scans", "unreadable",
)  # fmt: skip


def findings(root: Path, out: Path, status: int = 0) -> dict:
    assert invoke("audit", root, "--out", out, "--jobs", "1") == status
    return json.loads((out / "audit.json").read_text())


def clear_of_borders(root: Path, n: int) -> None:
    """Smaller masks: those of the fixture reach the first and the last slice at times."""
    for i in range(n):
        write_volume(root / f"masks/r{i}.nii.gz", ball((7, 16, 16), 2.2).astype(np.uint8))


def add_column(root: Path, name: str, values: dict[str, str]) -> None:
    path = root / "manifest.csv"
    with path.open() as handle:
        rows = list(csv.DictReader(handle))
    with path.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, [*rows[0], name])
        writer.writeheader()
        writer.writerows(row | {name: values.get(row["roi_id"], "")} for row in rows)


def test_a_sound_dataset(
    write_manifest: WriteManifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, out = write_manifest(12), tmp_path / "audit"
    clear_of_borders(root, 12)
    before = sorted(root.rglob("*"))
    found = findings(root, out)
    assert {name: len(found[name]) for name in LISTS} == dict.fromkeys(LISTS, 0)
    assert found["n_rois"] == 12
    assert found["n_patients"] == 10  # r0 to r3 are of two patients
    assert found["rois_per_patient"][-1] == 2
    assert (found["labels"]["n_malignant"], found["labels"]["n_benign"]) == (6, 6)
    assert found["distributions"]["n_slices"] == [7] * 7
    assert found["distributions"]["pixel_spacing_mm"] == [0.7] * 7
    assert found["distributions"]["in_plane_mm"] == pytest.approx([16 * 0.7] * 7)
    assert sorted(path.name for path in out.iterdir()) == ["audit.json", "contact_sheet.png"]
    assert sorted(root.rglob("*")) == before
    printed = capsys.readouterr().out
    for expected in ("Audit of rois", "patients with several scans", "equivalent diameter"):
        assert expected in printed


def test_sizes_are_quantiles_over_rois(write_manifest: WriteManifest, tmp_path: Path) -> None:
    root = write_manifest(6)
    volumes = []
    for i in range(6):
        mask = np.zeros((7, 16, 16), np.uint8)
        mask[3, 2 : 3 + i, 2:8] = 1
        write_volume(root / f"masks/r{i}.nii.gz", mask)
        volumes.append(mask.sum() * 1.0 * 0.7 * 0.7)
    found = findings(root, tmp_path / "audit")["distributions"]
    # Spacing is kept to the nanometre.
    assert found["volume_mm3"] == pytest.approx(np.quantile(volumes, dataset.QUANTILES), rel=1e-6)
    largest = (6 * max(volumes) / math.pi) ** (1 / 3)
    assert found["equivalent_diameter_mm"][-1] == pytest.approx(largest, rel=1e-6)


def test_duplicates(write_manifest: WriteManifest, tmp_path: Path) -> None:
    root = write_manifest(12)
    for kind in ("images", "masks"):
        shutil.copy(root / kind / "r0.nii.gz", root / kind / "r1.nii.gz")  # of one patient
        shutil.copy(root / kind / "r4.nii.gz", root / kind / "r9.nii.gz")  # of two
    shutil.copy(root / "images/r6.nii.gz", root / "images/r7.nii.gz")  # another mask
    found = findings(root, tmp_path / "audit")
    assert found["same_content"] == [["r0", "r1"], ["r4", "r9"]]
    assert found["same_image_other_mask"] == [["r6", "r7"]]
    assert found["same_image_in_several_patients"] == [["r4", "r9"], ["r6", "r7"]]


def test_borders_and_single_slices(write_manifest: WriteManifest, tmp_path: Path) -> None:
    root = write_manifest(8)
    clear_of_borders(root, 8)
    for number, place in enumerate([(0, 8, 8), (6, 8, 8), (3, 0, 8), (3, 8, 15)]):
        mask = np.zeros((7, 16, 16), np.uint8)
        mask[place] = mask[3, 8, 8] = 1
        write_volume(root / f"masks/r{number}.nii.gz", mask)
    for kind, dtype, value in (("images", np.int16, -300), ("masks", np.uint8, 1)):
        write_volume(
            root / kind / "r5.nii.gz",
            np.pad(np.full((1, 4, 4), value, dtype), ((0,), (2,), (2,))),
        )
    found = findings(root, tmp_path / "audit")
    # All of a single slice's mask lies in the first slice and in the last.
    assert found["mask_touches_first_or_last_slice"] == ["r0", "r1", "r5"]
    assert found["mask_touches_in_plane_border"] == ["r2", "r3"]
    assert found["single_slice"] == ["r5"]


def test_unusual_images_are_listed(write_manifest: WriteManifest, tmp_path: Path) -> None:
    """Masks of 2.2 voxels in 7 x 16 x 16 are 1 mm from the ends along z; more slices are room."""
    root = write_manifest(6)
    clear_of_borders(root, 6)
    noise = np.random.default_rng(0).normal(-700, 30, (15, 24, 24)).round().astype(np.int16)
    for i in range(4):
        write_volume(root / f"masks/r{i}.nii.gz", ball((15, 24, 24), 2.2).astype(np.uint8))
        write_volume(root / f"images/r{i}.nii.gz", noise + i)
    write_volume(root / "images/r1.nii.gz", noise + 1024)
    for kind in ("images", "masks"):
        path = root / kind / "r2.nii.gz"
        turned = sitk.ReadImage(str(path))
        turned.SetDirection((0.96, -0.28, 0, 0.28, 0.96, 0, 0, 0, 1))
        sitk.WriteImage(turned, str(path))
    found = findings(root, tmp_path / "audit")
    assert found["image_ends_near_mask"] == ["r4", "r5"]
    assert found["oblique"] == ["r2"]
    assert list(found["hardly_hu"]) == ["r1"]
    assert found["hardly_hu"]["r1"].startswith("no negative value")


def test_patients_with_several_scans(write_manifest: WriteManifest, tmp_path: Path) -> None:
    root = write_manifest(8)
    add_column(root, "series_instance_uid", {"r0": "1.2", "r1": "1.3", "r2": "1.4", "r3": "1.4"})
    assert findings(root, tmp_path / "audit")["patients_with_several_scans"] == ["p0"]


def test_readers_and_label_balance(write_manifest: WriteManifest, tmp_path: Path) -> None:
    change = {0: {"malignancy_ratings": "3 3 3"}, 1: {"malignancy_ratings": "5"}}
    root = write_manifest(10, labels=False, change=change)
    found = findings(root, tmp_path / "audit")
    assert found["readers"] == {"1": 1, "3": 9}
    assert found["labels"]["n_malignant"] == 4
    assert found["labels"]["excluded"] == {"indeterminate": 1, "with fewer than 3 readers": 1}


def test_one_class_is_a_finding_not_an_error(write_manifest: WriteManifest, tmp_path: Path) -> None:
    root = write_manifest(4, change={i: {"label": "0"} for i in range(4)})
    assert "only benign ones" in findings(root, tmp_path / "audit")["labels"]["protocol"]


def test_what_cannot_be_read_is_told_and_the_rest_goes_on(
    write_manifest: WriteManifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_manifest(8)
    (root / "images/r3.nii.gz").unlink()
    found = findings(root, tmp_path / "audit", status=1)
    assert list(found["unreadable"]) == ["r3"]
    assert "image 'images/r3.nii.gz' does not exist" in capsys.readouterr().out
    assert len(found["distributions"]["n_slices"]) == len(dataset.QUANTILES)


def test_nothing_readable(write_manifest: WriteManifest, tmp_path: Path) -> None:
    root = write_manifest(4)
    shutil.rmtree(root / "images")
    assert len(findings(root, tmp_path / "audit", status=1)["unreadable"]) == 4


def test_refusals(
    write_manifest: WriteManifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, out = write_manifest(4), tmp_path / "audit"
    assert "no manifest.csv in it" in refused(capsys, "audit", tmp_path, "--out", out)
    run = tmp_path / "run"
    run.mkdir()
    (run / "predictions.parquet").touch()
    assert "is not a run folder: no config.toml" in refused(capsys, "audit", run, "--out", out)
    out.mkdir()
    (out / "mine.txt").touch()
    assert "exists already" in refused(capsys, "audit", root, "--out", out)


def test_the_sheet_shows_the_outline_and_the_window(
    write_manifest: WriteManifest, tmp_path: Path
) -> None:
    """Three tiles: as dark as air, as bright as 400 HU, and each with a red outline."""
    root = write_manifest(3)
    clear_of_borders(root, 3)
    for i, hu in enumerate((-1000, 400, 3000)):
        write_volume(root / f"images/r{i}.nii.gz", np.full((7, 16, 16), hu, np.int16))
    dataset = manifest.open_dataset(root)
    contact_sheet.draw(dataset, dataset.records, tmp_path / "sheet.png")
    pixels = imread(tmp_path / "sheet.png")[..., :3]
    red = (pixels[..., 0] > 0.8) & (pixels[..., 1] < 0.5) & (pixels[..., 2] < 0.5)
    tile = pixels.shape[1] // 10
    for i in range(10):
        assert red[:, i * tile : (i + 1) * tile].any() == (i < 3), i
    # Left of the outlines, half way down the tiles, below the title.
    row = pixels[int(pixels.shape[0] * 0.65)]
    shades = [row[i * tile + tile // 5 : i * tile + tile // 4] for i in range(3)]
    assert (shades[0] == 0).all()
    assert (shades[1] == 1).all()
    assert (shades[2] == 1).all()  # above the window too


def test_the_sheet_takes_evenly_spaced_rois() -> None:
    many = [RoiRecord(f"r{i}", "p", label=0) for i in range(1641)]
    shown = contact_sheet.pick(many)
    assert len(shown) == len(set(map(id, shown))) == 100
    assert (shown[0], shown[-1]) == (many[0], many[-1])
    assert contact_sheet.pick(many[:100]) == many[:100]
    assert contact_sheet.pick([]) == []


def test_real_crops(lidc_crops: Path, tmp_path: Path) -> None:
    """The facts that the crops' own description states."""
    assert invoke("audit", lidc_crops, "--out", tmp_path / "audit") == 0
    found = json.loads((tmp_path / "audit/audit.json").read_text())
    assert (found["n_rois"], found["n_patients"]) == (1641, 569)
    assert found["mask_touches_in_plane_border"] == []  # an in-plane margin of 10 pixels
    assert len(found["mask_touches_first_or_last_slice"]) > 800  # no margin along z
    assert found["labels"]["n_malignant"] + found["labels"]["n_benign"] == 552
    assert found["same_image_in_several_patients"] == []


def with_readers(write_manifest: WriteManifest, n: int, *, drawn: int) -> Path:
    """Balls with three readers' masks each for the first ``drawn``, and one mask beyond."""
    change = {
        i: {"reader_masks": " ".join(f"readers/r{i}_{k}.nii.gz" for k in range(3))}
        if i < drawn
        else {"reader_masks": f"masks/r{i}.nii.gz"}
        for i in range(n)
    }
    root = write_manifest(n, change=change)
    for i in range(drawn):
        for k in range(3):
            mask = ball((7, 16, 16), 2.2 + i % 3 + 0.25 * k)
            write_volume(root / f"readers/r{i}_{k}.nii.gz", mask.astype(np.uint8))
    return root


def test_stability_over_masks(
    write_manifest: WriteManifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, out = with_readers(write_manifest, 5, drawn=4), tmp_path / "audit"
    single = np.zeros((7, 16, 16), np.uint8)
    single[3, 8, 8] = 1
    write_volume(root / "masks/r1.nii.gz", single)  # pyradiomics refuses a single voxel
    arguments = ("audit", root, "--out", out, "--jobs", "1", "--stability")
    assert invoke(*arguments) == 1
    found = json.loads((out / "audit.json").read_text())["stability"]
    assert found["features"] == "radiomics"
    assert found["masks"]["perturbed"] == ["own", "dilated", "eroded", "shifted"]
    assert found["n_rois"] == {"perturbed": 4, "readers": 4}
    assert list(found["failed"]) == ["r1"]
    assert {"own", "eroded"} <= set(found["failed"]["r1"])
    assert found["with_fewer_than_3_readers_masks"] == ["r4"]

    with (out / "stability.csv").open() as handle:
        rows = {(row["comparison"], row["feature"]): row for row in csv.DictReader(handle)}
    assert len(rows) == 2 * 107
    volume = rows["perturbed", "original_shape_VoxelVolume"]
    assert (volume["class"], volume["n_rois"], volume["n_masks"]) == ("shape", "4", "4")
    assert volume["intensities"] == "acquired"
    # Balls in which the readers differ by a quarter voxel but nodules by whole ones.
    assert float(rows["readers", "original_shape_VoxelVolume"]["icc"]) > 0.75
    assert float(volume["icc"]) < float(rows["readers", "original_shape_VoxelVolume"]["icc"])
    for row in rows.values():
        assert float(row["ci_low"]) <= float(row["icc"]) <= float(row["ci_high"])
    printed = capsys.readouterr().out
    for expected in ("Least stable", "glszm", "Failed and left out: 1 ROIs (r1, ", "stability.csv"):
        assert expected in printed


def test_stability_of_single_slices_uses_the_planar_features(
    write_manifest: WriteManifest, tmp_path: Path
) -> None:
    root, out = write_manifest(4), tmp_path / "audit"
    for i in range(4):
        rng = np.random.default_rng(i)
        write_volume(root / f"images/r{i}.nii.gz", rng.normal(0, 9, (1, 16, 16)).astype(np.int16))
        mask = ball((1, 16, 16), 3.0 + i).astype(np.uint8)
        write_volume(root / f"masks/r{i}.nii.gz", mask)
    assert invoke("audit", root, "--out", out, "--jobs", "1", "--stability") == 0
    found = json.loads((out / "audit.json").read_text())["stability"]
    assert found["features"] == "radiomics2d"
    assert list(found["masks"]) == ["perturbed"]  # nobody has readers' masks
    assert len((out / "stability.csv").read_text().splitlines()) == 1 + 102


def test_stability_of_too_few_readers_is_left_out_and_of_too_few_rois_refused(
    write_manifest: WriteManifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, out = with_readers(write_manifest, 2, drawn=1), tmp_path / "audit"
    arguments = ("audit", root, "--out", out, "--jobs", "1", "--stability")
    assert invoke(*arguments) == 0
    assert "1 ROIs, too few to compare" in capsys.readouterr().out
    assert len((out / "stability.csv").read_text().splitlines()) == 1 + 107

    single = np.zeros((7, 16, 16), np.uint8)
    single[3, 8, 8] = 1
    write_volume(root / "masks/r1.nii.gz", single)
    shutil.rmtree(out)
    message = refused(capsys, *arguments)
    assert "1 of 2 ROIs have features from all of own, dilated, eroded, shifted; 2" in message
    assert "(r1: " in message


def test_stability_refusals(
    write_manifest: WriteManifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, out = write_manifest(4), tmp_path / "audit"
    given = ("audit", root, "--out", out, "--features")
    assert "goes with --stability" in refused(capsys, *given, "radiomics")
    message = refused(capsys, *given, "voxels2d_box", "--stability")
    assert "gives an image of shape (124, 124, 1); name another one" in message
    for name, told in (
        ("ratings", "'ratings' takes no mask modifier"),
        ("radiomics_eroded", "is now written 'radiomics@eroded'"),
        ("radiomics@eroded", "name the feature set without its modifier, 'radiomics'"),
        ("radiomics@erode", "without its modifier"),
    ):
        assert told in refused(capsys, *given, name, "--stability"), name
    assert "unknown feature 'radiomic'; did you" in refused(
        capsys, *given, "radiomic", "--stability"
    )
    assert not out.exists()
