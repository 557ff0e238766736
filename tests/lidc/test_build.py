"""Real geometry, our voxels: DICOM series of LIDC-IDRI's scans are built and compared."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom.dataset import Dataset

from benchmark.datasets.manifest import open_dataset
from benchmark.lidc.annotations import CHARACTERISTICS, nodules, read_outlines, reader_ratings
from benchmark.lidc.pylidc_compat import load
from benchmark.runtime.paths import ROOT
from tests.helpers.lidc_dicom import (
    FOUR,
    ORIGIN_MM,
    SHORT,
    SIZE,
    Quiet,
    build,
    flat,
    nodules_of,
    noise,
    rows_of,
    voxels,
    write_series,
)

INSIDE_HU = 1000


class Told(Quiet):
    def __init__(self) -> None:
        self.said: list[tuple[str, float, float]] = []

    def update(self, task: str, done: float, total: float) -> None:
        self.said.append((task, done, total))


def box(row: dict[str, str], shape: tuple[int, ...]) -> tuple[slice, ...]:
    starts = (int(row[f"crop_{axis}0"]) for axis in ("slice", "row", "col"))
    return tuple(slice(s, s + n) for s, n in zip(starts, shape, strict=True))


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
    dataset = open_dataset(root / "rois")
    for record in dataset.records:
        drawn = dataset.read(record).reader_masks
        _, readers = masks[record.roi_id]
        assert [mask.sum() for mask in drawn] == [mask.sum() for mask in readers]


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


@pytest.mark.parametrize(
    "orientation", [[-1, 0, 0, 0, -1, 0], [0.96, 0.28, 0, -0.28, 0.96, 0]], ids=["prone", "askew"]
)
def test_crops_lie_in_the_patient_however_the_patient_lies(orientation, tmp_path):
    """The origin is as many columns along rows, and as many rows along columns, as were cut off."""
    import SimpleITK as sitk

    scan = nodules_of(SHORT)[0]

    def turn(header: Dataset, index: int) -> None:
        header.ImageOrientationPatient = orientation

    write_series(tmp_path / "dicom", scan, flat, change=turn)
    assert not build(tmp_path / "dicom", tmp_path / "rois", SHORT).left_out
    across, down = np.array(orientation[:3]), np.array(orientation[3:])
    for row in rows_of(tmp_path / "rois"):
        column, line, index = (int(row[f"crop_{axis}0"]) for axis in ("col", "row", "slice"))
        assert column != line
        first = np.array([*ORIGIN_MM, scan.slice_zs_mm[index]])
        place = first + (across * column + down * line) * scan.pixel_spacing_mm
        for kind in ("image", "mask"):
            image = sitk.ReadImage(tmp_path / "rois" / row[kind])
            assert image.GetOrigin() == pytest.approx(place, abs=1e-3)
            direction = np.array(image.GetDirection()).reshape(3, 3)
            np.testing.assert_allclose(direction[:, :2].T, [across, down], atol=1e-5)


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
    from benchmark.lidc.outlines import fill

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
    build(tmp_path / "dicom", tmp_path / "out", SHORT)
    said = {row["reason"]: row["detail"] for row in rows_of(tmp_path / "out", "left_out.csv")}
    differs = encoding.get("change") == "rescale every slice differently"
    assert said.keys() == ({"different rescaling"} if differs else set())
    assert not differs or said["different rescaling"].startswith("65 lines from stored values")
    assert len(rows_of(tmp_path / "out")) == len(nodules_of(SHORT))
    for row in rows_of(tmp_path / "out"):
        image = voxels(tmp_path / "out", row["image"])
        first = int(row["crop_slice0"])
        expected = [2 * (first + index) - 900 for index in range(len(image))]
        np.testing.assert_array_equal(
            image, np.broadcast_to(np.c_[expected][..., None], image.shape)
        )
