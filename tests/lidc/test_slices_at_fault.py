"""One slice of a scan is at fault: what uses it is left out by name, and the rest is what it was.

The scan has four nodules; the fault is put on the first outlined slice of one of them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from tests.helpers.lidc_dicom import (
    FOUR,
    ORIGIN_MM,
    SHORT,
    SIZE,
    build,
    compress_by_itk,
    flat,
    left_out,
    nodules_of,
    outlined_slices,
    rows_of,
    voxels,
    write_series,
)

SCAN = nodules_of(FOUR)
AT = outlined_slices(SCAN[0])[0]
LOST = {nodule.nodule_id for nodule in SCAN if AT in outlined_slices(nodule)}
KEPT = {nodule.nodule_id for nodule in SCAN} - LOST


def put(**values):
    """A change of slice ``AT``: tags set to values, or removed."""

    def change(header: Dataset, index: int) -> None:
        if index == AT:
            for keyword, value in values.items():
                if value is None:
                    delattr(header, keyword)
                else:
                    setattr(header, keyword, value)

    return change


def cut(header: Dataset, index: int) -> None:
    if index == AT:
        header.PixelData = header.PixelData[:-2]


def lossy(header: Dataset, index: int) -> None:
    if index == AT:
        compress_by_itk(header, "JPEG2000")
        header.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.91"


def undecodable(header: Dataset, index: int) -> None:
    """Known only when its pixels are read."""
    if index == AT:
        header.compress("1.2.840.10008.1.2.5")
        header.PixelData = header.PixelData[:200] + bytes(len(header.PixelData) - 200)


def too_bright(header: Dataset, index: int) -> None:
    if index == AT:
        header.PixelData = np.full(SIZE * SIZE, 65535, "<u2").tobytes()


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> list[Path]:
    return write_series(tmp_path_factory.mktemp("plain"), SCAN[0], flat)


@pytest.fixture
def dicom_with(plain, tmp_path):
    """Makes the scan with slice ``AT``, or another, changed; other slices are links."""

    def make(change, at: int = AT) -> Path:
        others = set(range(len(plain))) - {at}
        (path,) = write_series(
            tmp_path / "dicom", SCAN[0], flat, without=others,
            change=lambda header, _: change(header, AT),
        )  # fmt: skip
        for index in others:
            (path.parent / plain[index].name).symlink_to(plain[index])
        return path

    return make


def check_rest(out: Path) -> None:
    """Crops of the nodules that stay hold their slices' values, and not the slice at fault."""
    rows = rows_of(out)
    assert {row["roi_id"] for row in rows} == KEPT
    for row in rows:
        image = voxels(out, row["image"])
        first = int(row["crop_slice0"])
        assert AT not in range(first, first + len(image))
        np.testing.assert_array_equal(image[:, 0, 0], -900 + first + np.arange(len(image)))


FAULTS = {
    "no intercept": (put(RescaleIntercept=None), "not HU", "no RescaleIntercept"),
    "slope zero": (put(RescaleSlope=0), "not HU", "RescaleSlope is 0"),
    "high bit": (put(HighBit=11), "not HU", "HighBit is 11; with BitsStored 16 it must be 15"),
    "inverted": (put(PhotometricInterpretation="MONOCHROME1"), "not HU", "'MONOCHROME1'"),
    "turned": (
        put(ImageOrientationPatient=[-1, 0, 0, 0, -1, 0]),
        "wrong geometry",
        "most slices of the scan have (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)",
    ),
    "moved": (
        put(ImagePositionPatient=[ORIGIN_MM[0] + 0.3, ORIGIN_MM[1], SCAN[0].slice_zs_mm[AT]]),
        "wrong geometry",
        f"first pixel at ({ORIGIN_MM[0] + 0.3}, {ORIGIN_MM[1]}) mm in the plane",
    ),
    "cut off": (cut, "unreadable file", "bytes of pixels; 512 x 512 pixels need 524288"),
    "lossy": (lossy, "unreadable file", "JPEG 2000 Image Compression"),
    "undecodable": (undecodable, "unreadable file", "its pixels cannot be decoded"),
}


@pytest.mark.parametrize(("change", "reason", "says"), FAULTS.values(), ids=list(FAULTS))
def test_a_slice_costs_the_nodules_that_lie_on_it(change, reason, says, dicom_with, tmp_path):
    path = dicom_with(change)
    built = build(tmp_path / "dicom", tmp_path / "out", FOUR)
    assert built.failed
    check_rest(tmp_path / "out")
    rows = rows_of(tmp_path / "out", "left_out.csv")
    assert {row["reason"] for row in rows} == {reason}
    assert {row["roi_id"]: row["n_nodules"] for row in rows} == {"": "0"} | dict.fromkeys(LOST, "1")
    for row in rows:
        assert says in row["detail"]
        assert path.name in row["detail"]
        assert row["status"] == ("failed" if row["roi_id"] else "left out")


def test_a_slice_of_no_nodule_costs_none_and_is_named(dicom_with, tmp_path):
    unused = next(
        index
        for index in range(len(SCAN[0].slice_zs_mm))
        if not any(index in outlined_slices(nodule) for nodule in SCAN)
    )
    dicom_with(put(RescaleSlope=None), unused)
    built = build(tmp_path / "dicom", tmp_path / "out", FOUR)
    assert not built.failed
    assert built.n_rois == len(SCAN)
    (row,) = left_out(tmp_path / "out", "not HU")
    assert (row["roi_id"], row["n_nodules"]) == ("", "0")


def test_hu_that_16_bits_cannot_hold(dicom_with, tmp_path):
    dicom_with(too_bright)
    assert build(tmp_path / "dicom", tmp_path / "out", FOUR).failed
    rows = left_out(tmp_path / "out", "not HU")
    assert {row["roi_id"] for row in rows} >= LOST
    assert all("they must fit 16 bits" in row["detail"] for row in rows)


@pytest.mark.parametrize("keyword", ["RescaleIntercept", "RescaleSlope"])
def test_a_ct_without_rescaling_has_no_hu(keyword, tmp_path):
    write_series(
        tmp_path / "dicom", SCAN[0], flat, change=lambda header, _: delattr(header, keyword)
    )
    built = build(tmp_path / "dicom", tmp_path / "out", FOUR)
    assert built.failed
    assert built.describe()[1] == "  FAILED, not HU: 4 nodules in 1 series"
    assert not rows_of(tmp_path / "out")
    rows = left_out(tmp_path / "out", "not HU")
    assert {row["roi_id"] for row in rows} == {"", *(nodule.nodule_id for nodule in SCAN)}
    assert all(f"no {keyword}" in row["detail"] for row in rows)


def test_a_usable_copy_stands_for_one_that_is_not(plain, dicom_with, tmp_path):
    path = dicom_with(put(RescaleSlope=None))
    (path.parent / "usable copy.dcm").symlink_to(plain[AT])
    built = build(tmp_path / "dicom", tmp_path / "out", FOUR)
    assert not built.failed
    assert built.n_rois == len(SCAN)
    (row,) = left_out(tmp_path / "out", "duplicate slices")
    assert row["n_nodules"] == "0"


def test_no_majority_is_needed_where_slices_say_the_same_in_other_digits(tmp_path):
    """Places differ by the rounding of each slice, and that is no move."""

    def change(header: Dataset, index: int) -> None:
        x = f"{ORIGIN_MM[0] + index * 1e-4:.4f}"
        header.ImagePositionPatient = [x, ORIGIN_MM[1], header.ImagePositionPatient[2]]

    write_series(tmp_path / "dicom", SCAN[0], flat, change=change)
    assert not build(tmp_path / "dicom", tmp_path / "out", FOUR).left_out


PADDING_STORED = -2000  # -3024 HU


def pad_tag(header: Dataset, index: int) -> None:
    header.add_new("PixelPaddingValue", "SS", PADDING_STORED)


def test_padding_around_a_nodule_is_air(plain, tmp_path):
    """Padding lies in a corner of each crop; masks lie further in."""

    def padded(index: int) -> np.ndarray:
        hu = flat(index)
        hu[around] = PADDING_STORED - 1024
        return hu

    build(plain[0].parents[3], tmp_path / "expected", FOUR)
    around = np.zeros((SIZE, SIZE), dtype=bool)
    for row in rows_of(tmp_path / "expected"):
        line, column = int(row["crop_row0"]), int(row["crop_col0"])
        around[line : line + 3, column : column + 5] = True

    write_series(tmp_path / "dicom", SCAN[0], padded, signed=True, change=pad_tag)
    built = build(tmp_path / "dicom", tmp_path / "out", FOUR)
    assert not built.left_out
    for row in rows_of(tmp_path / "out"):
        image = voxels(tmp_path / "out", row["image"])
        expected = voxels(tmp_path / "expected", row["image"])
        assert (image[:, :3, :5] == -1024).all()
        changed = image != expected
        assert (image[changed] == -1024).all()
        assert not changed[voxels(tmp_path / "out", row["mask"]) > 0].any()


def test_padding_inside_a_mask_costs_that_nodule(plain, tmp_path):
    build(plain[0].parents[3], tmp_path / "expected", FOUR)
    rows = {row["roi_id"]: row for row in rows_of(tmp_path / "expected")}
    hit = rows[SCAN[0].nodule_id]
    inside = np.argwhere(voxels(tmp_path / "expected", hit["mask"]) > 0)[0]
    index, line, column = inside + [int(hit[f"crop_{axis}0"]) for axis in ("slice", "row", "col")]

    def padded(at: int) -> np.ndarray:
        hu = flat(at)
        if at == index:
            hu[line, column] = PADDING_STORED - 1024
        return hu

    for name, change in (("named", pad_tag), ("unnamed", None)):
        write_series(tmp_path / name, SCAN[0], padded, signed=True, change=change)
        built = build(tmp_path / name, tmp_path / f"{name} out", FOUR)
        assert not built.failed
        (row,) = left_out(tmp_path / f"{name} out", "padding")
        assert row["roi_id"] == SCAN[0].nodule_id
        assert "1 voxels inside a reader's mask are padding" in row["detail"]
        kept = {row["roi_id"] for row in rows_of(tmp_path / f"{name} out")}
        assert kept == rows.keys() - {SCAN[0].nodule_id}


def test_padding_that_may_be_tissue_costs_the_nodules_whose_crops_hold_it(tmp_path):
    scan = nodules_of(SHORT)

    def change(header: Dataset, index: int) -> None:
        header.add_new("PixelPaddingValue", "US", 124 + outlined_slices(scan[0])[0])

    write_series(tmp_path / "dicom", scan[0], flat, change=change)
    assert not build(tmp_path / "dicom", tmp_path / "out", SHORT).failed
    rows = left_out(tmp_path / "out", "padding")
    assert scan[0].nodule_id in {row["roi_id"] for row in rows}
    assert all("as high as tissue; padding must be at -1024 HU" in row["detail"] for row in rows)


def test_a_copy_that_cannot_be_decoded_makes_the_slice_ambiguous(dicom_with, tmp_path):
    dicom_with(lambda header, index: None)
    write_series(
        tmp_path / "dicom", SCAN[0], flat, without=set(range(1000)) - {AT}, change=undecodable,
        layout="{patient}/{study}/{series}/copy.dcm",
    )  # fmt: skip
    build(tmp_path / "dicom", tmp_path / "out", FOUR)
    assert {row["roi_id"] for row in left_out(tmp_path / "out", "duplicate slices")} == LOST | {""}
    check_rest(tmp_path / "out")
