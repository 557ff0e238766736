"""Cases left out of a build of LIDC-IDRI and why, other layouts, bad files and arguments."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from benchmark.cli import main
from benchmark.datasets.lidc import open_dataset
from benchmark.lidc import write
from benchmark.lidc.annotations import over_merged, read_outlines
from benchmark.lidc.build import build_dataset
from benchmark.lidc.crops import read_crops
from benchmark.lidc.write import Options
from benchmark.runtime import folders
from tests.helpers.lidc_dicom import (
    FOUR,
    SHORT,
    Quiet,
    build,
    chest_x_ray,
    files_of,
    flat,
    left_out,
    nodules_of,
    outlined_slices,
    rows_of,
    voxels,
    write_series,
)


class Told(Quiet):
    def __init__(self) -> None:
        self.said: list[tuple[str, float, float]] = []

    def update(self, task: str, done: float, total: float) -> None:
        self.said.append((task, done, total))


LAYOUTS = {
    "collection": "LIDC-IDRI/{patient}/{study}/{series}/{number:04d}.dcm",
    "tcia": "{patient}/01-01-2000-NA-NA-30178/3000566.000000-NA-03192/1-{number:03d}.dcm",
    "flat": "all/{patient}_{number:04d}.dcm",
    "uids": "export/{series}.{number}",
    "bare": "x/IM{number:05d}",
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=list(LAYOUTS))
def test_other_layouts(layout, tmp_path):
    scan = nodules_of(SHORT)[0]
    write_series(tmp_path / "dicom", scan, flat, layout=layout)
    chest_x_ray(tmp_path / "dicom" / Path(layout).parts[0] / "dx" / "1-1.dcm", scan)
    (tmp_path / "dicom" / "LICENSE").write_text("CC BY 3.0")
    (tmp_path / "dicom" / "broken.dcm").write_text("no DICOM")
    told = Told()
    built = build_dataset(tmp_path / "dicom", tmp_path / "out", told, patients=SHORT)
    assert built.n_rois == len(nodules_of(SHORT))
    assert not built.left_out
    assert ("Finding series" in {task for task, *_ in told.said}) == (
        layout != LAYOUTS["collection"]
    )
    assert told.said[-1] == ("Building scans", 1, 1)


def test_two_scans_and_a_chest_x_ray_in_one_folder(tmp_path):
    for patient in (SHORT, FOUR):
        write_series(
            tmp_path / "dicom", nodules_of(patient)[0], flat, layout="{number:04d}_{patient}"
        )
    chest_x_ray(tmp_path / "dicom" / "0040_X.dcm", nodules_of(SHORT)[0])
    built = build(tmp_path / "dicom", tmp_path / "out", f"{SHORT},{FOUR}")
    assert built.n_rois == len(nodules_of(SHORT)) + 4
    assert not built.left_out


def test_another_series_among_the_files_is_passed_over(tmp_path):
    scan = nodules_of(SHORT)[0]
    paths = write_series(tmp_path / "dicom", scan, flat)
    chest_x_ray(paths[0].parent / "9999.dcm", scan)
    (paths[0].parent / "068.xml").write_text("<LidcReadMessage/>")
    built = build(tmp_path / "dicom", tmp_path / "out", SHORT)
    assert built.n_rois == len(nodules_of(SHORT))
    assert not built.left_out


def test_missing_slices_cost_the_nodules_that_lie_there(tmp_path):
    scan = nodules_of(FOUR)
    hit = scan[0]
    gone = outlined_slices(hit)[0]
    lost = {nodule.nodule_id for nodule in scan if gone in outlined_slices(nodule)}
    write_series(tmp_path / "dicom", hit, flat, without={gone})
    built = build(tmp_path / "dicom", tmp_path / "out", FOUR)
    kept = {row["roi_id"]: row for row in rows_of(tmp_path / "out")}
    assert kept.keys() == {nodule.nodule_id for nodule in scan} - lost
    assert kept
    reported = left_out(tmp_path / "out", "missing slices")
    assert {row["roi_id"] for row in reported} == lost | {""}
    assert sum(int(row["n_nodules"]) for row in reported) == len(lost)
    assert not built.failed
    for row in kept.values():  # margins end at the gap: crops have no hole
        first = int(row["crop_slice0"])
        image = voxels(tmp_path / "out", row["image"])
        assert gone not in range(first, first + len(image))
        np.testing.assert_array_equal(image[:, 0, 0], -900 + first + np.arange(len(image)))


@pytest.mark.parametrize("same", [True, False])
def test_duplicate_slices(same, tmp_path):
    scan = nodules_of(FOUR)
    doubled = outlined_slices(scan[0])[0]
    lost = {nodule.nodule_id for nodule in scan if doubled in outlined_slices(nodule)}
    paths = write_series(tmp_path / "dicom", scan[0], flat)
    # A later instance number at the same z, as pylidc's readers would drop it.
    other = flat if same else (lambda index: flat(index) + 7)
    everything_else = set(range(len(paths))) - {doubled}

    def later(header: Dataset, index: int) -> None:
        header.InstanceNumber = 1000

    write_series(
        tmp_path / "dicom", scan[0], other, without=everything_else, change=later,
        layout="{patient}/{study}/{series}/copy{number}.dcm",
    )  # fmt: skip
    built = build(tmp_path / "dicom", tmp_path / "out", FOUR)
    reported = left_out(tmp_path / "out", "duplicate slices")
    assert {row["roi_id"] for row in reported} == ({""} if same else lost | {""})
    kept = {row["roi_id"] for row in rows_of(tmp_path / "out")}
    assert kept == {nodule.nodule_id for nodule in scan} - (set() if same else lost)
    assert not built.failed
    for row in rows_of(tmp_path / "out"):
        first = int(row["crop_slice0"])
        image = voxels(tmp_path / "out", row["image"])
        np.testing.assert_array_equal(image[:, 0, 0], -900 + first + np.arange(len(image)))


def test_uneven_spacing(tmp_path):
    """The database has few such scans, all long: here a gap is put into a short one."""
    scan = nodules_of(FOUR)
    gap = outlined_slices(scan[0])[0]
    zs = tuple(z + (1.5 if index > gap else 0) for index, z in enumerate(scan[0].slice_zs_mm))
    uneven = [replace(nodule, slice_zs_mm=zs) for nodule in scan]
    paths = write_series(tmp_path / "dicom", uneven[0], flat)
    crops, lost = read_crops(paths, uneven, read_outlines(scan), 0.5)
    assert {item.roi_id for item in lost} == {
        nodule.nodule_id for nodule in scan if {gap, gap + 1} <= set(outlined_slices(nodule))
    }
    assert {item.reason for item in lost} == {"uneven spacing"}
    assert crops
    for crop in crops:
        covered = range(crop.corner[0], crop.corner[0] + len(crop.hu))
        assert not {gap, gap + 1} <= set(covered)
        assert crop.grid.spacing_mm[0] == pytest.approx(scan[0].slice_spacing_mm)


def test_over_merged_clusters_are_named(tmp_path):
    cluster = over_merged()[0]
    write_series(tmp_path / "dicom", cluster, flat, without=range(1, 1000))
    build(tmp_path / "dicom", tmp_path / "out", cluster.patient_id)
    (row,) = left_out(tmp_path / "out", "over-merged cluster")
    assert row["roi_id"] == cluster.nodule_id
    assert row["detail"].startswith(f"{len(cluster.annotation_ids)} annotations")


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def garble(path: Path) -> None:
    path.write_bytes(bytes(128) + b"DICM" + b"garbage" * 100)


DAMAGES: dict[str, Callable[[Path], None]] = {f.__name__: f for f in (truncate, empty, garble)}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=list(DAMAGES))
def test_a_bad_file_costs_the_nodules_that_lie_there(damage, tmp_path, capsys, monkeypatch):
    """Its header may still say where it lies, or not; it is named, and tried again."""
    good = write_series(tmp_path / "dicom", nodules_of(SHORT)[0], flat)
    scan = nodules_of(FOUR)
    bad = write_series(tmp_path / "dicom", scan[0], flat)
    at = outlined_slices(scan[0])[0]
    lost = {nodule.nodule_id for nodule in scan if at in outlined_slices(nodule)}
    content = bad[at].read_bytes()
    damage(bad[at])
    command = [
        "benchmark", "build", "lidc", "--dicom", str(tmp_path / "dicom"),
        "--out", str(tmp_path / "out"), "--patients", f"{SHORT},{FOUR}",
    ]  # fmt: skip
    monkeypatch.setattr(sys, "argv", command)
    assert run_cli() == 1
    assert "FAILED, unreadable file" in capsys.readouterr().out
    rows = [row for row in rows_of(tmp_path / "out", "left_out.csv") if row["roi_id"]]
    assert {row["roi_id"] for row in rows} == lost
    unreadable = left_out(tmp_path / "out", "unreadable file")
    assert all(row["patient_id"] == FOUR and bad[at].name in row["detail"] for row in unreadable)
    assert "failed" in {row["status"] for row in unreadable}
    kept = {nodule.nodule_id for nodule in scan} - lost
    assert kept
    assert {row["roi_id"] for row in rows_of(tmp_path / "out") if row["patient_id"] == FOUR} == kept

    bad[at].write_bytes(content)  # fetched again: the same command completes
    for path in good:
        path.unlink()  # and what is built needs its files no more
    assert run_cli() == 0
    assert {row["patient_id"] for row in rows_of(tmp_path / "out")} == {SHORT, FOUR}
    assert not rows_of(tmp_path / "out", "left_out.csv")


def run_cli() -> int:
    with pytest.raises(SystemExit) as ended:
        main.main()
    return ended.value.code


@pytest.mark.parametrize(
    ("keyword", "value", "says"),
    [
        ("Columns", 256, "512 x 256 pixels"),
        ("PixelSpacing", [0.5, 0.5], "pixels of 0.5 mm"),
        ("ImageOrientationPatient", [1, 0, 0, 0, 0, 1], "slices must be axial"),
        ("ImageOrientationPatient", [1, 0, 0, 0, 0.98, 0.199], "slices must be axial"),
        ("ImageOrientationPatient", [1, 0, 0, 0, 2, 0], "two directions of length 1"),
        ("ImageOrientationPatient", None, "no ImageOrientationPatient"),
    ],
)
def test_geometry_is_checked(keyword, value, says, tmp_path):
    scan = nodules_of(SHORT)

    def change(header: Dataset, index: int) -> None:
        if value is None:
            delattr(header, keyword)
        else:
            setattr(header, keyword, value)
        if keyword == "Columns":
            header.PixelData = header.PixelData[: len(header.PixelData) // 2]

    paths = write_series(tmp_path, scan[0], flat, change=change)
    crops, lost = read_crops(paths, scan, read_outlines(scan), 0.5)
    assert not crops
    of_series, *of_nodules = lost
    assert (of_series.reason, of_series.roi_id, of_series.n_nodules) == ("wrong geometry", "", 0)
    assert {item.roi_id for item in of_nodules} == {nodule.nodule_id for nodule in scan}
    for item in lost:
        assert item.reason == "wrong geometry"
        assert says in item.detail
    assert all(item.failed for item in of_nodules)


def test_a_series_whose_files_do_not_say_where_they_lie(tmp_path):
    scan = nodules_of(SHORT)

    def change(header: Dataset, index: int) -> None:
        del header.ImagePositionPatient

    write_series(tmp_path / "dicom", scan[0], flat, change=change)
    assert build(tmp_path / "dicom", tmp_path / "out", SHORT).failed
    assert not rows_of(tmp_path / "out")
    (row,) = left_out(tmp_path / "out", "unreadable file")
    assert "no ImagePositionPatient" in row["detail"]
    lost = {row["roi_id"] for row in left_out(tmp_path / "out", "missing slices")}
    assert lost == {"", *(nodule.nodule_id for nodule in scan)}


def test_a_series_that_is_absent_is_no_failure(tmp_path):
    write_series(tmp_path / "dicom", nodules_of(SHORT)[0], flat)
    built = build(tmp_path / "dicom", tmp_path / "out", f"{SHORT},{FOUR}")
    assert not built.failed
    (row,) = left_out(tmp_path / "out", "missing series")
    assert (row["patient_id"], row["n_nodules"], row["status"]) == (FOUR, "4", "left out")
    # It comes later; the folder grows, and is what one build would have made.
    write_series(tmp_path / "dicom", nodules_of(FOUR)[0], flat)
    build(tmp_path / "dicom", tmp_path / "out", f"{SHORT},{FOUR}")
    build(tmp_path / "dicom", tmp_path / "at once", f"{SHORT},{FOUR}")
    assert files_of(tmp_path / "out") == files_of(tmp_path / "at once")


def test_a_scan_is_built_again_where_its_files_changed(tmp_path):
    scan = nodules_of(SHORT)
    gone = {outlined_slices(nodule)[0] for nodule in scan}
    write_series(tmp_path / "dicom", scan[0], flat, without=gone)
    assert build(tmp_path / "dicom", tmp_path / "out", SHORT).n_rois == 0
    write_series(tmp_path / "dicom", scan[0], flat)
    assert build(tmp_path / "dicom", tmp_path / "out", SHORT).n_rois == len(scan)
    assert not rows_of(tmp_path / "out", "left_out.csv")


def test_options_of_a_begun_folder_are_kept(tmp_path, capsys, monkeypatch):
    write_series(tmp_path / "dicom", nodules_of(SHORT)[0], flat)
    build(tmp_path / "dicom", tmp_path / "out", SHORT)
    before = files_of(tmp_path / "out")
    for options, says in (
        ({"consensus": 0.75}, "begun with consensus = 0.5 and cannot go on with 0.75"),
        ({"single_readers": True}, "begun with single_readers = False"),
    ):
        with pytest.raises(ValueError, match=says):
            build(tmp_path / "dicom", tmp_path / "out", SHORT, **options)
    assert files_of(tmp_path / "out") == before


def test_what_cannot_be_built_is_refused_before_anything_is_written(tmp_path):
    write_series(tmp_path / "dicom", nodules_of(SHORT)[0], flat)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "kept.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "empty").mkdir()
    cases = [
        ("dicom", "mine", SHORT, "exists already"),
        ("dicom", "file", SHORT, "file"),
        ("dicom", "out", FOUR, "has none of the 1 CT series"),
        ("empty", "out", SHORT, "has none of the 1 CT series"),
        ("absent", "out", SHORT, "is not a folder"),
        ("dicom", "out", "LIDC-IDRI-9999", "unknown patient 'LIDC-IDRI-9999'"),
        ("dicom", "out", "0", "1 to 1010 patients"),
    ]
    for dicom, out, patients, says in cases:
        with pytest.raises(ValueError, match=says):
            build(tmp_path / dicom, tmp_path / out, patients)
    assert not (tmp_path / "out").exists()
    assert files_of(tmp_path / "mine") == {"kept.txt": b"mine"}
    for level in (0.0, 1.5, float("nan")):
        with pytest.raises(ValueError, match="--consensus is"):
            Options(level)
    with pytest.raises(ValueError, match="build lidc --dicom DIR"):
        open_dataset(1, Quiet())


def test_a_folder_of_another_series_is_a_missing_series(tmp_path):
    scan = nodules_of(SHORT)[0]
    (path, *others) = write_series(tmp_path / "dicom", scan, flat)
    chest_x_ray(path, scan)
    for other in others:
        other.unlink()
    built = build(tmp_path / "dicom", tmp_path / "out", SHORT)
    assert not built.failed
    (row,) = left_out(tmp_path / "out", "missing series")
    assert row["detail"] == "none of 1 files in its folder is of it"
    assert row["n_nodules"] == str(len(nodules_of(SHORT)))


def test_whatever_is_wrong_with_one_scan_costs_that_scan(tmp_path, monkeypatch):
    for patient in (SHORT, FOUR):
        write_series(tmp_path / "dicom", nodules_of(patient)[0], flat)

    def stumble(paths, nodules, *rest):
        if nodules[0].patient_id == FOUR:
            raise RuntimeError("of a kind\nthat nobody thought of")
        return read_crops(paths, nodules, *rest)

    monkeypatch.setattr(write, "read_crops", stumble)
    assert build(tmp_path / "dicom", tmp_path / "out", f"{SHORT},{FOUR}").failed
    (row,) = left_out(tmp_path / "out", "unexpected error")
    assert (row["patient_id"], row["status"], row["n_nodules"]) == (FOUR, "failed", "4")
    assert row["detail"] == "RuntimeError: of a kind that nobody thought of"
    assert {row["patient_id"] for row in rows_of(tmp_path / "out")} == {SHORT}


def test_a_full_disk_is_told_in_one_line(tmp_path, monkeypatch):
    write_series(tmp_path / "dicom", nodules_of(SHORT)[0], flat)

    def fill(path, text):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(folders, "write_text", fill)
    with pytest.raises(ValueError, match=r"--out '.*out' cannot be written .*No space left"):
        build(tmp_path / "dicom", tmp_path / "out", SHORT)


def test_outlines_that_enclose_no_voxel(tmp_path):
    scan = nodules_of(FOUR)
    paths = write_series(tmp_path, scan[0], flat)
    first, *others = read_outlines(scan)
    filled = first[0][0]
    hollow = (filled, replace(filled, included=False))
    crops, lost = read_crops(paths, scan, [[hollow, hollow], *others], 0.5)
    (problem,) = lost
    assert (problem.reason, problem.roi_id) == ("no readers left", scan[0].nodule_id)
    assert problem.detail == "the outlines of 2 readers enclose no voxel"
    assert [crop.nodule for crop in crops] == scan[1:]


def test_a_slice_that_the_database_does_not_know_is_named(tmp_path):
    scan = nodules_of(SHORT)[0]

    def change(header: Dataset, index: int) -> None:
        if index == 0:
            x, y, z = header.ImagePositionPatient
            header.ImagePositionPatient = [x, y, z - 100]

    write_series(tmp_path / "dicom", scan, flat, change=change)
    assert build(tmp_path / "dicom", tmp_path / "out", SHORT).n_rois == len(nodules_of(SHORT))
    (row,) = left_out(tmp_path / "out", "slices unknown to the database")
    assert f"{scan.slice_zs_mm[0] - 100:g}" in row["detail"]
    assert row["roi_id"] == ""
