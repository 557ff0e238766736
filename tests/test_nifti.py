"""NIfTI bytes, as nibabel and ITK read them."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from benchmark.nifti import Grid, encode

ORIGIN = (-12.5, 30.25, -100.0)
SPACING = (2.5, 0.7, 0.6)
SUPINE, PRONE = (1.0, 0, 0, 0, 1.0, 0), (-1.0, 0, 0, 0, -1.0, 0)


@pytest.mark.parametrize("orientation", [SUPINE, PRONE])
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
