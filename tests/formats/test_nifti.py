"""NIfTI bytes, as nibabel and ITK read them."""

from __future__ import annotations

import gzip
import io
import struct

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from benchmark.formats import nifti
from benchmark.formats.nifti import Grid, encode, read

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


GRID = Grid(SPACING, ORIGIN, ASKEW)
VOXELS = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
CONTENT = gzip.decompress(encode(VOXELS, GRID, ""))


def changed(*changes: tuple[int, str, tuple[float | bytes, ...]]) -> bytes:
    """A small file with other values in its header."""
    content = bytearray(CONTENT)
    for at, kind, values in changes:
        struct.pack_into(kind, content, at, *values)
    return bytes(content)


def written(voxels: np.ndarray, kind: type = nib.Nifti1Image, **header: object) -> bytes:
    """A file by nibabel, on the grid of ``CONTENT``."""
    image = kind(voxels, np.vstack([GRID.affine(), [0, 0, 0, 1]]))
    for name, value in header.items():
        image.header[name] = value
    return image.to_bytes()


@pytest.mark.parametrize("by_nibabel", [False, True])
def test_voxels_and_place_come_back(by_nibabel, monkeypatch):
    if by_nibabel:
        monkeypatch.setattr(nifti, "_plain", lambda content: None)
    stored = read(CONTENT)
    np.testing.assert_array_equal(stored.voxels, VOXELS)
    assert stored.spacing_mm == pytest.approx(SPACING)
    assert stored.origin_mm == pytest.approx(ORIGIN)
    assert stored.axes == pytest.approx(np.array([[0, 0, 1], ASKEW[3:], ASKEW[:3]]))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.float32, np.float64, np.uint16])
@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_files_of_others_are_read(dtype, kind):
    stored = read(written(VOXELS.astype(dtype).T, kind))
    np.testing.assert_array_equal(stored.voxels, VOXELS)
    assert stored.voxels.dtype == dtype
    assert stored.spacing_mm == pytest.approx(SPACING)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(changed((112, "<2f", (2, -7))), id="scaled"),
        pytest.param(written(VOXELS.T.byteswap().view(">i2")), id="big-endian"),
        pytest.param(written(VOXELS.T[..., None]), id="a fourth axis of one"),
        pytest.param(written(VOXELS.T[..., None, None]), id="a fifth axis of one"),
        pytest.param(changed((108, "<f", (368,))) + bytes(16), id="voxels elsewhere"),
    ],
)
def test_unusual_files_are_read_as_nibabel_does(content):
    image = nib.Nifti1Image.from_bytes(content)
    expected = np.asanyarray(image.dataobj).T.reshape(2, 3, 4)
    np.testing.assert_array_equal(read(content).voxels, expected)
    assert read(content).spacing_mm == pytest.approx(SPACING)


def test_a_pair_is_read():
    image = nib.Nifti1Pair(VOXELS.T, np.vstack([GRID.affine(), [0, 0, 0, 1]]))
    files = {name: nib.fileholders.FileHolder(fileobj=io.BytesIO()) for name in ("header", "image")}
    image.to_file_map(files)
    header, voxels = (files[name].fileobj.getvalue() for name in ("header", "image"))
    np.testing.assert_array_equal(read(header, voxels).voxels, VOXELS)


def test_the_qform_counts_where_there_is_no_sform():
    by_qform = nib.Nifti1Image(VOXELS.T, None)
    by_qform.set_qform(np.vstack([GRID.affine(), [0, 0, 0, 1]]), code=1)
    stored = read(by_qform.to_bytes())
    assert stored.axes == pytest.approx(read(CONTENT).axes, abs=1e-6)
    assert stored.origin_mm == pytest.approx(ORIGIN, abs=1e-5)


def test_left_handed_qforms_are_read_as_nibabel_does():
    image = nib.Nifti1Image(VOXELS.T, None)
    affine = np.vstack([GRID.affine(), [0, 0, 0, 1]]) @ np.diag([-1, 1, 1, 1])
    image.set_qform(affine, code=1)
    stored = read(image.to_bytes())
    turned = np.column_stack([stored.axes[::-1].T * stored.spacing_mm[::-1], stored.origin_mm])
    assert turned * [[-1], [-1], [1]] == pytest.approx(affine[:3], abs=1e-5)


@pytest.mark.parametrize(("unit", "factor"), [(0, 1), (1, 1e3), (2, 1), (3, 1e-3)])
def test_units_of_length_become_mm(unit, factor):
    stored = read(changed((123, "<B", (unit | 8,))))  # 8: seconds
    assert stored.spacing_mm == pytest.approx(np.array(SPACING) * factor)
    assert stored.origin_mm == pytest.approx(np.array(ORIGIN) * factor)


AFFINE = struct.unpack_from("<12f", CONTENT, 280)
BOTH = nib.Nifti1Image(VOXELS.T, np.vstack([GRID.affine(), [0, 0, 0, 1]]))
BOTH.set_qform(BOTH.affine, code=1)
MOVED = BOTH.affine.copy()
MOVED[0, 3] += 0.4


def with_qform(affine: np.ndarray) -> bytes:
    image = nib.Nifti1Image(VOXELS.T, BOTH.affine)
    image.set_qform(affine, code=1)
    return image.to_bytes()


def test_forms_that_agree_are_read():
    assert read(with_qform(BOTH.affine)).spacing_mm == pytest.approx(SPACING)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not NIfTI"),
        (b"no image", "is not NIfTI"),
        (CONTENT[:-1], "Expected 48 bytes"),
        (changed((80, "<f", (0.61,))), "0.7 x 0.61 by pixdim and of 2.5 x 0.7 x 0.6 by its sform"),
        (changed((80, "<f", (1,)), (84, "<f", (1,)), (88, "<f", (1,))), "1 x 1 x 1 by pixdim"),
        (changed((80, "<f", (0,))), r"2.5 x 0.7 x 0 \(pixdim"),
        (changed((80, "<f", (-0.6,))), r"2.5 x 0.7 x -0.6 \(pixdim"),
        (changed((80, "<f", (np.nan,))), r"2.5 x 0.7 x nan \(pixdim"),
        (changed((254, "<h", (0,))), "neither sform nor qform"),
        (changed((123, "<B", (5,))), "the unit of length 5"),
        (with_qform(MOVED), "whose origins lie 0.4 apart"),
        (with_qform(BOTH.affine @ np.diag([-1, -1, 1, 1])), "whose axes differ by"),
        (changed((252, "<2h", (1, 0)), (256, "<3f", (0.8, 0.8, 0.1))), "longer than 1"),
        (written(np.zeros((4, 3, 2, 2), np.int16)), "has 4 dimensions"),
        (written(VOXELS.T.astype(np.complex64)), "of type complex64"),
        (written(np.zeros((4, 3, 2), [(c, "u1") for c in "RGB"])), "of type RGB"),
        (changed((344, "4s", (b"ni1",))), "the magic ni1, which is not that of its suffix"),
        (changed((344, "4s", (b"\0\0\0",))), "is not NIfTI"),
    ],
)
def test_doubtful_files_are_refused(content, message):
    with pytest.raises(Exception, match=message):
        read(content)


@pytest.mark.parametrize("size", [0.605, 0.595])
def test_sizes_may_differ_by_rounding(size):
    assert read(changed((80, "<f", (size,)))).spacing_mm == pytest.approx((2.5, 0.7, size))
