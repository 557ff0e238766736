"""Headers and pixels of DICOM files, against pydicom."""

from __future__ import annotations

import re

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    JPEG2000,
    ExplicitVRBigEndian,
    JPEGBaseline8Bit,
    JPEGLSNearLossless,
    RLELossless,
)

from benchmark.formats import dicom_header
from benchmark.formats.dicom_header import read_fields
from benchmark.formats.dicom_pixels import read_words
from benchmark.formats.dicom_series import (
    NOT_HU,
    UNREADABLE,
    WRONG_GEOMETRY,
    Unusable,
    read_slice,
)
from tests.helpers.lidc_dicom import INDEX, SHORTEST, SIZE, write_slice


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
    path = write_slice(tmp_path, change, implicit=implicit, intercept=-1024, slope=0.5)
    if change in PLAIN:  # read without pydicom
        monkeypatch.setattr(dicom_header, "_fields_by_pydicom", None)
    found = read_slice(path, SHORTEST.series_instance_uid)
    header = pydicom.dcmread(path)
    assert found.position_mm == tuple(map(float, header.ImagePositionPatient))
    assert found.z_mm == pytest.approx(SHORTEST.slice_zs_mm[INDEX])
    assert found.orientation == tuple(map(float, header.ImageOrientationPatient))
    assert found.pixel_spacing_mm == tuple(map(float, header.PixelSpacing))
    assert (found.rows, found.columns) == (header.Rows, header.Columns)
    assert (found.slope, found.intercept) == (header.RescaleSlope, header.RescaleIntercept)
    assert (found.pixels_at >= 0) == (change in PLAIN)
    for rows in (range(SIZE), range(100, 230)):
        stored = read_words(found, rows)
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

    path = write_slice(tmp_path, make)
    found = read_slice(path, SHORTEST.series_instance_uid)
    assert (found.rows, found.columns) == (200, 300)
    assert found.pixel_spacing_mm == (0.75, 0.5)
    assert found.orientation == tuple(orientation)
    assert (found.pixels_at >= 0) is (change is None)
    pixels = pydicom.dcmread(path).pixel_array
    for rows in (range(200), range(37, 38), range(150, 200)):
        stored = read_words(found, rows)
        assert stored.shape == (len(rows), 300)
        np.testing.assert_array_equal(stored, pixels[rows.start : rows.stop])


@pytest.mark.parametrize(
    ("keyword", "value", "says"),
    [
        ("ImagePositionPatient", None, "no ImagePositionPatient"),
        ("ImagePositionPatient", [0, 0], "must be 3 numbers"),
        ("SeriesInstanceUID", None, "names no series"),
    ],
)
def test_a_file_without_series_or_place_is_refused(keyword, value, says, tmp_path):
    def change(header: Dataset) -> None:
        if value is None:
            delattr(header, keyword)
        else:
            setattr(header, keyword, value)

    path = write_slice(tmp_path, change)
    with pytest.raises(ValueError, match=says):
        read_slice(path, SHORTEST.series_instance_uid)


def test_damaged_files(tmp_path):
    whole = write_slice(tmp_path).read_bytes()
    for content, says in (
        (whole[:700], "cannot be read|names no series"),
        (whole[:100], "named as DICOM and is none"),
        (b"", "named as DICOM and is none"),
    ):
        (tmp_path / "damaged.dcm").write_bytes(content)
        with pytest.raises(ValueError, match=says):
            read_fields(tmp_path / "damaged.dcm")
    (tmp_path / "LICENSE").write_text("CC BY 3.0")
    assert read_fields(tmp_path / "LICENSE") is None


ITEM, CODE = b"\xfe\xff\x00\xe0", b"\x08\x00\x00\x01SH"


@pytest.mark.parametrize(
    ("at", "there", "instead"),
    [
        (0, ITEM, b"\x08\x00\x00\x01"),
        (2, ITEM, b"\x08\x00\x00\x01"),
        (1, CODE, CODE[:4] + b"ZZ"),
    ],
    ids=["no item", "no item of an item's sequence", "no value representation"],
)
def test_a_nested_sequence_that_is_not_understood_is_left_to_pydicom(
    at, there, instead, tmp_path, monkeypatch
):
    path = write_slice(tmp_path, nest)
    whole, content = read_fields(path), path.read_bytes()
    place = [found.start() for found in re.finditer(re.escape(there), content)][at]
    path.write_bytes(content[:place] + instead + content[place + len(instead) :])
    found = read_fields(path)
    assert found == {name: whole[name] for name in whole if name not in ("PixelsAt", "PixelBytes")}
    monkeypatch.setattr(dicom_header, "_fields_by_pydicom", lambda path: {"asked": "pydicom"})
    assert read_fields(path)["asked"] == "pydicom"


def test_another_series_is_passed_over(tmp_path):
    assert read_slice(write_slice(tmp_path), "1.2.3") is None


FAULTS = [
    (NOT_HU, "RescaleIntercept", None, "no RescaleIntercept; HU need both"),
    (NOT_HU, "RescaleSlope", None, "no RescaleSlope"),
    (NOT_HU, "RescaleSlope", "", "no RescaleSlope"),
    (NOT_HU, "RescaleSlope", "0", "RescaleSlope is 0; it must be above zero"),
    (NOT_HU, "RescaleSlope", "-1", "RescaleSlope is -1; it must be above zero"),
    (NOT_HU, "RescaleSlope", "nan", "RescaleSlope is 'nan'; it must be a number"),
    (NOT_HU, "RescaleIntercept", "0", "no value is below 0 HU, and lung is at -900 HU or below"),
    (NOT_HU, "RescaleIntercept", "inf", "RescaleIntercept is 'inf'"),
    (NOT_HU, "RescaleIntercept", "-1024,0", "RescaleIntercept is '-1024,0'"),
    (NOT_HU, "RescaleIntercept", "-1_024", "RescaleIntercept is '-1_024'"),
    (NOT_HU, "RescaleIntercept", ["-1024", "0"], r"RescaleIntercept is '-1024\\0'"),
    (NOT_HU, "RescaleType", "OD", "RescaleType is 'OD'; it must be HU or US"),
    (NOT_HU, "Modality", "MR", "Modality is 'MR'; it must be CT"),
    (NOT_HU, "Modality", None, "no Modality"),
    (NOT_HU, "PhotometricInterpretation", "MONOCHROME1", "it must be MONOCHROME2"),
    (NOT_HU, "SamplesPerPixel", 3, "SamplesPerPixel is '3'; it must be 1"),
    (NOT_HU, "NumberOfFrames", 2, "NumberOfFrames is '2'; it must be 1"),
    (NOT_HU, "LossyImageCompression", "01", "LossyImageCompression is '01'; it must be 00"),
    (NOT_HU, "BitsAllocated", 8, "BitsAllocated is '8'; it must be 16"),
    (NOT_HU, "BitsStored", 0, "BitsStored is 0; it must be a whole number above zero"),
    (NOT_HU, "BitsStored", 17, "BitsStored is 17; it must be at most BitsAllocated, 16"),
    (NOT_HU, "BitsStored", 12, "HighBit is 15; with BitsStored 12 it must be 11"),
    (NOT_HU, "BitsStored", [16, 12], r"BitsStored is '16\\12'; it must be a number"),
    (NOT_HU, "PixelRepresentation", 2, "PixelRepresentation is '2'; it must be 0 or 1"),
    (NOT_HU, "PixelRepresentation", None, "no PixelRepresentation"),
    (NOT_HU, "PixelPaddingRangeLimit", 5, "PixelPaddingValue must be there"),
    (NOT_HU, "PixelPaddingValue", 1 << 16, "is 65536; it must be a whole number of 16 bits"),
    (NOT_HU, "PixelPaddingValue", -(1 << 15) - 1, "is -32769; it must be a whole number"),
    (WRONG_GEOMETRY, "ImageOrientationPatient", [1, 0, 0], "must be 6 numbers"),
    (WRONG_GEOMETRY, "ImageOrientationPatient", [1, 0, 0, 0, 2, 0], "two directions of length 1"),
    (WRONG_GEOMETRY, "ImageOrientationPatient", [1, 0, 0, 0.6, 0.8, 0], "at right angles"),
    (WRONG_GEOMETRY, "PixelSpacing", ["0.7"], "PixelSpacing is '0.7'; it must be 2 numbers"),
    (WRONG_GEOMETRY, "Rows", None, "no Rows"),
    (UNREADABLE, "Rows", 600, "524288 bytes of pixels; 600 x 512 pixels need 614400"),
    (UNREADABLE, "Rows", 500, "524288 bytes of pixels; 500 x 512 pixels need 512000"),
]


@pytest.mark.parametrize(("reason", "keyword", "value", "says"), FAULTS)
def test_a_slice_whose_values_would_be_a_guess_is_unusable(
    reason, keyword, value, says, tmp_path, monkeypatch
):
    """So it is by either reader of headers."""

    def change(header: Dataset) -> None:
        with pydicom.config.disable_value_validation():
            if value is None:
                delattr(header, keyword)
            elif keyword == "PixelPaddingRangeLimit":
                header.add_new(keyword, "US", value)
            elif keyword == "PixelPaddingValue":
                header.add_new(keyword, "SL", value)
            elif isinstance(value, str) and keyword.startswith("Rescale"):
                element = pydicom.dataelem.RawDataElement(
                    pydicom.tag.Tag(keyword), "DS", len(value), value.encode(), 0, False, True
                )
                header._dict[pydicom.tag.Tag(keyword)] = element
            else:
                setattr(header, keyword, value)

    path = write_slice(tmp_path, change)
    for _ in range(2):
        found = read_slice(path, SHORTEST.series_instance_uid)
        assert isinstance(found, Unusable)
        assert (found.reason, found.path) == (reason, path)
        assert found.z_mm == pytest.approx(SHORTEST.slice_zs_mm[INDEX])
        assert re.search(says, found.detail) or says in found.detail
        if reason == UNREADABLE:
            return  # pydicom looks at the pixels when it decodes them
        monkeypatch.setattr(dicom_header, "_scan", lambda data: None)


def test_a_look_up_table_in_place_of_rescaling(tmp_path, monkeypatch):
    def change(header: Dataset) -> None:
        header.ModalityLUTSequence = pydicom.Sequence([Dataset()])

    path = write_slice(tmp_path, change)
    for _ in range(2):
        found = read_slice(path, SHORTEST.series_instance_uid)
        assert isinstance(found, Unusable)
        assert "ModalityLUTSequence" in found.detail
        monkeypatch.setattr(dicom_header, "_scan", lambda data: None)


@pytest.mark.parametrize(
    "change",
    [
        lambda header: setattr(header, "RescaleType", "HU"),
        lambda header: setattr(header, "RescaleType", "US"),
        lambda header: setattr(header, "LossyImageCompression", "00"),
        lambda header: setattr(header, "NumberOfFrames", 1),
        lambda header: delattr(header, "HighBit"),
    ],
)
def test_what_a_plain_ct_may_also_say(change, tmp_path):
    found = read_slice(write_slice(tmp_path, change), SHORTEST.series_instance_uid)
    assert not isinstance(found, Unusable)


@pytest.mark.parametrize(
    ("uid", "name"),
    [
        (JPEGBaseline8Bit, "JPEG Baseline"),
        (JPEG2000, "JPEG 2000 Image Compression"),
        (JPEGLSNearLossless, "JPEG-LS Lossy"),
    ],
)
def test_a_compression_that_may_lose_is_named(uid, name, tmp_path):
    def change(header: Dataset) -> None:
        header.PixelData = pydicom.encaps.encapsulate([header.PixelData])
        header["PixelData"].is_undefined_length = True
        header.file_meta.TransferSyntaxUID = uid

    found = read_slice(write_slice(tmp_path, change), SHORTEST.series_instance_uid)
    assert found.reason == UNREADABLE
    assert uid in found.detail
    assert name in found.detail


def test_a_file_that_is_cut_off_still_says_where_it_lies(tmp_path):
    path = write_slice(tmp_path)
    path.write_bytes(path.read_bytes()[:-1])
    found = read_slice(path, SHORTEST.series_instance_uid)
    assert (found.reason, found.detail) == (UNREADABLE, "it is cut off within its pixels")
