"""Pixels of DICOM files against pydicom, and the HU that they stand for."""

from __future__ import annotations

import os
import time
from dataclasses import replace

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless

from benchmark.formats.dicom_pixels import PADDING_HU, hounsfield, read_words, stored_values
from benchmark.formats.dicom_series import read_slice
from tests.helpers.lidc_dicom import SHORTEST, SIZE, compress_by_itk, write_slice

UID = SHORTEST.series_instance_uid


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A slice with signed words of 16 bits, and HU that are its stored values."""
    path = write_slice(tmp_path_factory.mktemp("plain"), signed=True, intercept=0)
    return read_slice(path, UID)


def words_of(*values: int, signed: bool = True) -> np.ndarray:
    return np.array([values], dtype=np.int16 if signed else np.uint16)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", [12, 13, 16])
def test_unused_bits_and_sign(signed, bits, tmp_path):
    def soil(header: Dataset) -> None:
        stored = np.frombuffer(header.PixelData, "<u2").copy()
        stored[::3] ^= np.uint16(0xFFFF << bits & 0xFFFF)
        header.PixelData = stored.tobytes()

    path = write_slice(tmp_path, soil, signed=signed, bits=bits, intercept=0 if signed else -1024)
    found = read_slice(path, UID)
    words = read_words(found, range(SIZE))
    np.testing.assert_array_equal(stored_values(found, words), pydicom.dcmread(path).pixel_array)
    assert hounsfield(found, words).hu.min() == -1000


def test_hu_are_rounded_not_cut(plain):
    halves = replace(plain, slope=0.6)
    np.testing.assert_array_equal(
        hounsfield(halves, words_of(-3, -1, 0, 1, 3)).hu, [[-2, -1, 0, 1, 2]]
    )
    with pytest.raises(ValueError, match=r"HU from -5 to 32768, .* must fit 16 bits"):
        hounsfield(replace(plain, intercept=1.0), words_of(32767, -6))


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(
    ("vr", "value"), [("SS", -2000), ("US", 63536)], ids=["with the sign", "without"]
)
def test_padding_is_a_stored_value(signed, vr, value, tmp_path):
    """Its tag may be written with the sign or without; the pixels' sign counts."""

    def pad(header: Dataset) -> None:
        header.add_new("PixelPaddingValue", vr, value)

    path = write_slice(tmp_path, pad, signed=signed, intercept=-24 if signed else -1024)
    found = read_slice(path, UID)
    assert found.padding == ((-2000, -2000) if signed else (63536, 63536))
    if signed:
        result = hounsfield(found, words_of(-2000, -1976, -1000, 0))
        np.testing.assert_array_equal(result.hu, [[PADDING_HU, -2000, -1024, -24]])
        np.testing.assert_array_equal(result.padded, [[True, False, False, False]])
        assert not result.dubious.any()
    else:  # no tissue, and it may be: padding that high cannot be told from metal
        result = hounsfield(found, words_of(63536, 1, signed=False))
        np.testing.assert_array_equal(result.dubious, [[True, False]])


def test_a_range_of_padding(tmp_path):
    def pad(header: Dataset) -> None:
        header.add_new("PixelPaddingValue", "SS", -1100)
        header.add_new("PixelPaddingRangeLimit", "SS", -1200)

    found = read_slice(write_slice(tmp_path, pad, signed=True, intercept=0), UID)
    result = hounsfield(found, words_of(-1201, -1200, -1150, -1100, -1099))
    np.testing.assert_array_equal(result.padded, [[False, True, True, True, False]])
    np.testing.assert_array_equal(result.hu, [[-1201, *[PADDING_HU] * 3, -1099]])


def test_padding_that_the_stored_bits_cannot_hold(tmp_path):
    """It is told by the whole word; a value of the same lower bits is tissue."""

    def pad(header: Dataset) -> None:
        header.add_new("PixelPaddingValue", "US", 63536)

    found = read_slice(write_slice(tmp_path, pad, bits=12), UID)
    assert 63536 & 0xFFF == 2096
    result = hounsfield(found, words_of(63536, 2096, signed=False))
    np.testing.assert_array_equal(result.hu, [[PADDING_HU, 2096 - 1024]])
    np.testing.assert_array_equal(result.padded, [[True, False]])
    assert not result.dubious.any()


def test_padding_as_high_as_tissue_is_reported(plain):
    result = hounsfield(replace(plain, padding=(0, 0)), words_of(-1, 0, 1))
    np.testing.assert_array_equal(result.dubious, [[False, True, False]])


def test_padding_that_is_air_already_is_no_loss(plain):
    """Scanners of 12 bits cut the noise of air off there, inside of masks too."""
    result = hounsfield(replace(plain, padding=(-1024, -1024)), words_of(-1024, -1023))
    np.testing.assert_array_equal(result.hu, [[-1024, -1023]])
    assert not result.padded.any()
    assert not result.dubious.any()


def test_what_no_scanner_measures_is_padding_whether_named_or_not(plain):
    result = hounsfield(plain, words_of(-32768, -2001, -2000, 0))
    np.testing.assert_array_equal(result.hu, [[PADDING_HU, PADDING_HU, -2000, 0]])
    np.testing.assert_array_equal(result.padded, [[True, True, False, False]])


def rle(header: Dataset) -> None:
    header.compress(RLELossless)


def big_endian(header: Dataset) -> None:
    header.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    header.PixelData = np.frombuffer(header.PixelData, "<u2").astype(">u2").tobytes()


def jpeg(header: Dataset) -> None:
    compress_by_itk(header, "JPEG")


def jpeg_2000(header: Dataset) -> None:
    compress_by_itk(header, "JPEG2000")


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("change", [rle, big_endian, jpeg, jpeg_2000])
def test_compressed_pixels_are_the_plain_ones(change, signed, tmp_path):
    """With a rescaling that ITK must not apply."""
    options = {"signed": signed, "slope": 2, "intercept": -1024}
    plain = read_slice(write_slice(tmp_path / "plain", **options), UID)
    found = read_slice(write_slice(tmp_path / "changed", change, **options), UID)
    assert found.pixels_at < 0
    for rows in (range(SIZE), range(100, 230)):
        expected, words = read_words(plain, rows), read_words(found, rows)
        assert words.dtype == expected.dtype
        np.testing.assert_array_equal(words, expected)


def test_jpeg_with_a_segment_before_its_size(tmp_path):
    """The size stands behind whatever a maker puts first; the bits' place need not be told."""

    def change(header: Dataset) -> None:
        jpeg(header)
        (frame,) = generate_frames(header.PixelData, number_of_frames=1)
        comment = b"\xff\xfe\x00\x08\xff\xc3by m"
        header.PixelData = encapsulate([frame[:2] + comment + frame[2:]])
        del header.HighBit

    plain = read_slice(write_slice(tmp_path / "plain"), UID)
    found = read_slice(write_slice(tmp_path / "changed", change), UID)
    np.testing.assert_array_equal(read_words(found, range(SIZE)), read_words(plain, range(SIZE)))


def test_jpeg_ls(tmp_path):
    """Nothing that is installed writes it; pydicom's own example is read."""
    example = pydicom.dcmread(get_testdata_file("MR_small_jpeg_ls_lossless.dcm", download=False))
    expected = pydicom.dcmread(get_testdata_file("MR_small.dcm", download=False)).pixel_array
    assert expected.shape == (64, 64)

    def change(header: Dataset) -> None:
        header.Rows = header.Columns = 64
        header.file_meta.TransferSyntaxUID = example.file_meta.TransferSyntaxUID
        header.PixelData = example.PixelData
        header["PixelData"].is_undefined_length = True

    found = read_slice(write_slice(tmp_path, change, signed=True), UID)
    np.testing.assert_array_equal(read_words(found, range(10, 64)), expected[10:])


@pytest.mark.parametrize("change", [rle, jpeg, jpeg_2000])
@pytest.mark.parametrize("lost", [0.01, 0.5, 0.9])
def test_compressed_pixels_that_are_cut_off(change, lost, tmp_path):
    path = write_slice(tmp_path, change)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * (1 - lost))])
    found = read_slice(path, UID)
    with pytest.raises(ValueError, match="its pixels cannot be decoded"):
        read_words(found, range(SIZE))


@pytest.mark.parametrize("change", [rle, jpeg, jpeg_2000])
def test_another_size_than_the_header_says(change, tmp_path):
    def shrink(header: Dataset) -> None:
        change(header)
        header.Rows = 256

    found = read_slice(write_slice(tmp_path, shrink), UID)
    with pytest.raises(ValueError, match=r"cannot be decoded|when decoded"):
        read_words(found, range(256))


def test_a_deflated_file_is_inflated_no_further_than_a_slice_may_be_long(tmp_path):
    def deflate(header: Dataset) -> None:
        header.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian

    def swell(header: Dataset) -> None:
        deflate(header)
        header.PixelData += bytes(100 << 20)

    assert read_words(read_slice(write_slice(tmp_path, deflate), UID), range(SIZE)).any()
    path = write_slice(tmp_path, swell)
    before = time.process_time()
    with pytest.raises(ValueError, match="inflates to more than 67108864 bytes"):
        read_slice(path, UID)
    os.truncate(path, (1 << 26) + 1)
    with pytest.raises(ValueError, match="has more than 67108864 bytes, deflated"):
        read_slice(path, UID)
    assert time.process_time() - before < 5


@pytest.mark.parametrize(
    ("compressor", "size_at"),
    [("JPEG", b"\xff\xc3"), ("JPEG2000", b"\xff\x4f\xff\x51")],
)
def test_compressed_pixels_have_the_size_that_the_header_says(tmp_path, compressor, size_at):
    def enlarge(header: Dataset) -> None:
        compress_by_itk(header, compressor)
        start = header.PixelData.index(size_at)
        place = start + (8 if compressor == "JPEG2000" else 5)
        size = b"\0\0\xff\xff" if compressor == "JPEG2000" else b"\xff\xff"
        pixels = header.PixelData
        header.PixelData = pixels[:place] + size + pixels[place + len(size) :]

    found = read_slice(write_slice(tmp_path, enlarge), UID)
    with pytest.raises(ValueError, match=r"coded as .*65535.*, not 512 x 512"):
        read_words(found, range(SIZE))


def test_a_small_slice_in_a_large_file_is_not_decoded(tmp_path):
    path = write_slice(tmp_path, compress_by_itk)
    os.truncate(path, 1 << 34)
    with pytest.raises(ValueError, match="17179869184 bytes"):
        read_words(read_slice(path, UID), range(SIZE))


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_a_pipe_or_a_device_is_no_slice(tmp_path, make):
    make(tmp_path / "a.dcm")
    with pytest.raises(ValueError, match="no plain file"):
        read_slice(tmp_path / "a.dcm", UID)
