"""NIfTI bytes, as nibabel and ITK read them."""

from __future__ import annotations

import gzip
import struct

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from benchmark.formats.nifti import Grid, decode, encode

ORIGIN = (-12.5, 30.25, -100.0)
SPACING = (2.5, 0.7, 0.6)
SUPINE, PRONE = (1.0, 0, 0, 0, 1.0, 0), (-1.0, 0, 0, 0, -1.0, 0)
ASKEW = (0.96, 0.28, 0, -0.28, 0.96, 0)


@pytest.mark.parametrize("orientation", [SUPINE, PRONE, ASKEW])
@pytest.mark.parametrize("dtype", [np.int16, np.uint8])
def test_readers_find_what_was_written(dtype, orientation, tmp_path):
    limits = np.iinfo(dtype)
    shape = (3, 4, 5)
    voxels = np.random.default_rng(0).integers(limits.min, limits.max, shape, dtype, True)
    path = tmp_path / "image.nii.gz"
    path.write_bytes(encode(voxels, Grid(SPACING, ORIGIN, orientation), "what it is"))

    image = nib.load(path)
    assert image.get_data_dtype() == dtype
    np.testing.assert_array_equal(np.asanyarray(image.dataobj).T, voxels)
    assert image.header.get_zooms() == pytest.approx(SPACING[::-1])
    assert image.header.get_xyzt_units()[0] == "mm"
    assert image.header["descrip"].item() == b"what it is"

    by_itk = sitk.ReadImage(path)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(by_itk), voxels)
    assert by_itk.GetSpacing() == pytest.approx(SPACING[::-1])
    # Both readers agree with DICOM's rule on where voxel (z, y, x) = (2, 3, 4) lies.
    place = np.array(ORIGIN) + np.array(orientation[:3]) * 4 * 0.6
    place += np.array(orientation[3:]) * 3 * 0.7 + [0, 0, 2 * 2.5]
    assert by_itk.TransformIndexToPhysicalPoint((4, 3, 2)) == pytest.approx(place, abs=1e-4)
    turned = (image.affine @ [4, 3, 2, 1])[:3] * [-1, -1, 1]
    assert turned == pytest.approx(place, abs=1e-4)


def test_same_voxels_same_bytes():
    voxels = np.zeros((2, 3, 4), dtype=np.uint8)
    grid = Grid(SPACING, ORIGIN, SUPINE)
    assert encode(voxels, grid, "") == encode(voxels.copy(), grid, "")


@pytest.mark.parametrize("name", ["image.nii", "image.nii.gz"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.float32])
def test_plain_files_of_others_are_decoded(dtype, name, tmp_path):
    voxels = np.random.default_rng(0).integers(0, 200, (3, 4, 5)).astype(dtype)
    image = nib.Nifti1Image(voxels.T, np.diag([*SPACING[::-1], 1]))
    nib.save(image, tmp_path / name)
    decoded = decode((tmp_path / name).read_bytes())
    assert decoded is not None
    assert decoded[0].dtype == dtype
    np.testing.assert_array_equal(decoded[0], voxels)
    assert decoded[1][::-1] == tuple(map(float, image.header.get_zooms()))


def changed(at: int, kind: str, *values: float | bytes) -> bytes:
    """A small plain file with other values in its header."""
    content = bytearray(gzip.decompress(encode(np.ones((2, 3, 4), np.int16), GRID, "")))
    struct.pack_into(kind, content, at, *values)
    return bytes(content)


GRID = Grid(SPACING, ORIGIN, SUPINE)
PLAIN = encode(np.ones((2, 3, 4), np.int16), GRID, "")


def test_what_is_changed_below_is_plain_before():
    assert decode(changed(40, "<h", 3)) is not None


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"no image", id="text"),
        pytest.param(PLAIN[:-20], id="cut off, compressed"),
        pytest.param(gzip.decompress(PLAIN)[:-1], id="cut off"),
        pytest.param(PLAIN[:-6] + b"\0\0" + PLAIN[-4:], id="another checksum"),
        pytest.param(gzip.compress(b"no image"), id="text, compressed"),
        pytest.param(changed(40, "<h", 4), id="four axes"),
        pytest.param(changed(42, "<h", 0), id="no columns"),
        pytest.param(changed(70, "<h", 512), id="another type"),
        pytest.param(changed(72, "<h", 8), id="bits of another type"),
        pytest.param(changed(80, "<f", -0.7), id="negative spacing"),
        pytest.param(changed(80, "<f", np.nan), id="spacing that is no number"),
        pytest.param(changed(108, "<f", 368), id="voxels elsewhere"),
        pytest.param(changed(112, "<f", 2), id="scaled"),
        pytest.param(changed(112, "<2f", 1, -1024), id="shifted"),
        pytest.param(changed(344, "4s", b"ni1"), id="voxels in another file"),
        pytest.param(changed(0, ">i", 348), id="big-endian"),
    ],
)
def test_what_is_not_plain_is_left_to_nibabel(content):
    assert decode(content) is None
