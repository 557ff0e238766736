"""Headers and pixels of DICOM files, against pydicom."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, RLELossless

from benchmark.formats import dicom_header
from benchmark.formats.dicom_folder import SeriesKey, find_series
from benchmark.formats.dicom_header import read_fields
from benchmark.formats.dicom_series import read_slice, read_stored, to_hu
from benchmark.lidc.annotations import nodules
from tests.helpers.lidc_dicom import SIZE, Quiet, write_series

SCAN = min(nodules(), key=lambda nodule: len(nodule.slice_zs_mm))
INDEX = 7


def write(folder: Path, change=None, **options) -> Path:
    """One slice of noise."""
    voxels = np.random.default_rng(0).integers(-1000, 1000, (SIZE, SIZE))
    others = set(range(len(SCAN.slice_zs_mm))) - {INDEX}
    (path,) = write_series(
        folder, SCAN, lambda index: voxels, without=others,
        change=None if change is None else lambda header, index: change(header), **options,
    )  # fmt: skip
    return path


def nest(header: Dataset) -> None:
    """Sequences of undefined length, one in another, with items of defined and of undefined."""
    inner, outer, plain = Dataset(), Dataset(), Dataset()
    inner.CodeValue = plain.CodeValue = "1"
    inner.is_undefined_length_sequence_item = True
    outer.PurposeOfReferenceCodeSequence = pydicom.Sequence([inner])
    outer["PurposeOfReferenceCodeSequence"].is_undefined_length = True
    outer.is_undefined_length_sequence_item = True
    header.ReferencedImageSequence = pydicom.Sequence([plain, outer])
    header["ReferencedImageSequence"].is_undefined_length = True


def add_private(header: Dataset) -> None:
    block = header.private_block(0x0019, "MAKER", create=True)
    block.add_new(0x10, "UN", b"1.2.3.4 ")
    block.add_new(0x11, "OB", bytes(1000))


def add_much(header: Dataset) -> None:
    block = header.private_block(0x0019, "MAKER", create=True)
    block.add_new(0x10, "OB", bytes(200_000))


def compress(header: Dataset) -> None:
    header.compress(RLELossless)


def turn_big(header: Dataset) -> None:
    header.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    header.PixelData = np.frombuffer(header.PixelData, "<u2").astype(">u2").tobytes()


PLAIN = [None, nest, add_private]
OTHER = [add_much, compress, turn_big]


@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize("change", [*PLAIN, *OTHER])
def test_header_and_pixels_are_pydicoms(change, implicit, tmp_path, monkeypatch):
    if implicit and change in (compress, turn_big):
        implicit = False  # they are explicit by definition
    path = write(tmp_path, change, implicit=implicit, intercept=-1024, slope=0.5)
    if change in PLAIN:  # read without pydicom
        monkeypatch.setattr(dicom_header, "_fields_by_pydicom", None)
    found = read_slice(path, SCAN.series_instance_uid)
    header = pydicom.dcmread(path)
    assert found.position_mm == tuple(map(float, header.ImagePositionPatient))
    assert found.z_mm == pytest.approx(SCAN.slice_zs_mm[INDEX])
    assert found.orientation == tuple(map(float, header.ImageOrientationPatient))
    assert found.pixel_spacing_mm == tuple(map(float, header.PixelSpacing))
    assert (found.rows, found.columns) == (header.Rows, header.Columns)
    assert (found.slope, found.intercept) == (header.RescaleSlope, header.RescaleIntercept)
    assert found.instance_number == header.InstanceNumber
    assert (found.pixels_at >= 0) == (change in PLAIN)
    for rows in (range(SIZE), range(100, 230)):
        stored = read_stored(found, rows)
        np.testing.assert_array_equal(stored, header.pixel_array[rows.start : rows.stop])


@pytest.mark.parametrize("change", [None, compress])
def test_images_and_pixels_that_are_not_square(change, tmp_path):
    """More columns than rows, rows further apart than columns, a patient who lies askew."""
    orientation = [0.96, 0.28, 0, -0.28, 0.96, 0]

    def make(header: Dataset) -> None:
        stored = np.frombuffer(header.PixelData, "<u2").reshape(SIZE, SIZE)
        header.Rows, header.Columns = 200, 300
        header.PixelData = stored[:200, :300].tobytes()
        header.PixelSpacing = [0.75, 0.5]
        header.ImageOrientationPatient = orientation
        if change:
            change(header)

    path = write(tmp_path, make)
    found = read_slice(path, SCAN.series_instance_uid)
    assert (found.rows, found.columns) == (200, 300)
    assert found.pixel_spacing_mm == (0.75, 0.5)
    assert found.orientation == tuple(orientation)
    assert (found.pixels_at >= 0) is (change is None)
    pixels = pydicom.dcmread(path).pixel_array
    for rows in (range(200), range(37, 38), range(150, 200)):
        stored = read_stored(found, rows)
        assert stored.shape == (len(rows), 300)
        np.testing.assert_array_equal(stored, pixels[rows.start : rows.stop])


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", [12, 13, 16])
def test_unused_bits_and_sign(signed, bits, tmp_path):
    def soil(header: Dataset) -> None:
        stored = np.frombuffer(header.PixelData, "<u2").copy()
        stored[::3] ^= np.uint16(0xFFFF << bits & 0xFFFF)
        header.PixelData = stored.tobytes()

    path = write(tmp_path, soil, signed=signed, bits=bits, intercept=0 if signed else -1024)
    found = read_slice(path, SCAN.series_instance_uid)
    stored = read_stored(found, range(SIZE))
    np.testing.assert_array_equal(stored, pydicom.dcmread(path).pixel_array)
    assert to_hu(stored, found.slope, found.intercept).min() == -1000


def test_hu_are_rounded_not_cut():
    stored = np.array([[-3, -1, 0, 1, 3]], dtype=np.int16)
    np.testing.assert_array_equal(to_hu(stored, 0.6, 0.0), [[-2, -1, 0, 1, 2]])
    with pytest.raises(ValueError, match="they must fit 16 bits"):
        to_hu(np.array([[65535]], dtype=np.uint16), 1.0, -1024.0)


@pytest.mark.parametrize(
    ("keyword", "value", "says"),
    [
        ("Rows", None, "no Rows"),
        ("ImagePositionPatient", None, "no ImagePositionPatient"),
        ("ImageOrientationPatient", [1, 0, 0], "must be 6 numbers"),
        ("Rows", 600, "600 x 512 pixels need"),
        ("SeriesInstanceUID", None, "names no series"),
    ],
)
def test_what_is_missing_is_named(keyword, value, says, tmp_path):
    def change(header: Dataset) -> None:
        if value is None:
            delattr(header, keyword)
        else:
            setattr(header, keyword, value)

    path = write(tmp_path, change)
    with pytest.raises(ValueError, match=says):
        read_slice(path, SCAN.series_instance_uid)


def test_damaged_files(tmp_path):
    whole = write(tmp_path).read_bytes()
    for content, says in (
        (whole[:-1], "cut off within its pixels"),
        (whole[:700], "cannot be read|names no series"),
        (whole[:100], "named as DICOM and is none"),
        (b"", "named as DICOM and is none"),
    ):
        (tmp_path / "damaged.dcm").write_bytes(content)
        with pytest.raises(ValueError, match=says):
            read_fields(tmp_path / "damaged.dcm")
    (tmp_path / "LICENSE").write_text("CC BY 3.0")
    assert read_fields(tmp_path / "LICENSE") is None


def test_another_series_is_passed_over(tmp_path):
    assert read_slice(write(tmp_path), "1.2.3") is None


def test_the_layout_by_ids_is_recognised_without_reading(tmp_path, monkeypatch):
    path = write(tmp_path)
    monkeypatch.setattr("benchmark.formats.dicom_folder.read_fields", None)
    key = SeriesKey(SCAN.patient_id, SCAN.study_instance_uid, SCAN.series_instance_uid)
    (path.parent / ".hidden.dcm").touch()
    (path.parent / "068.xml").touch()
    (path.parent / f"{path.name}12345").touch()  # what a killed s5cmd leaves
    assert find_series(tmp_path, [key], Quiet()) == {SCAN.series_instance_uid: (path,)}
