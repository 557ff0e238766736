"""Geometry in space: voxels that are no cubes, nodules off centre and at the image's end."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmark.plugins import registry
from benchmark.roi import Roi, RoiRecord, UnavailableError

SPACING_MM = (2.0, 0.5, 0.8)
LOW, HIGH = -1000.0, 400.0


def cube(roi: Roi, name: str = "voxels3d") -> np.ndarray:
    found = registry.load_feature_set(name).extract(roi)
    assert isinstance(found, np.ndarray)
    return found


def block(*, mask: bool = True) -> Roi:
    """Off centre, bright: 4 slices, 16 rows and 15 columns: 8 by 8 by 12 mm."""
    image = np.full((30, 120, 90), LOW, np.float32)
    image[5:9, 60:76, 50:65] = HIGH
    outline = image == HIGH
    record = RoiRecord("r", "p", label=0)
    return Roi(record, image, outline if mask else None, SPACING_MM)


def extents(bright: np.ndarray) -> list[tuple[int, int]]:
    """First and last voxel + 1 of what is bright, along each axis."""
    where = np.argwhere(bright)
    return list(zip(where.min(axis=0).tolist(), (where.max(axis=0) + 1).tolist(), strict=True))


def test_sizes_are_millimetres_along_every_axis_and_the_box_is_in_the_middle() -> None:
    view = cube(block())
    assert (view.shape, view.dtype) == ((32, 32, 32, 1), np.float32)
    # Edges lie on the borders of 1 mm voxels, 4 and 6 mm from the middle.
    assert extents(view[..., 0] > 0.5) == [(12, 20), (12, 20), (10, 22)]


def test_axes_keep_their_order_and_direction() -> None:
    """HU rise by 10 a mm along z, by 3 along y and by 1 along x; linear interpolation is exact."""
    roi = block()
    z, y, x = np.indices(roi.image.shape) * np.array(SPACING_MM)[:, None, None, None]
    ramp = (10 * z + 3 * y + x - 600).astype(np.float32)
    view = cube(replace(roi, image=ramp))[..., 0] * (HIGH - LOW) + LOW
    middle_mm = (7 * 2.0 - 1.0, 68 * 0.5 - 0.25, 57.5 * 0.8 - 0.4)  # of the box, from a centre
    at = [m + np.arange(32) - 15.5 for m in middle_mm]
    expected = 10 * at[0][:, None, None] + 3 * at[1][:, None] + at[2] - 600
    inside = expected[3:, 1:]  # the image begins 14 mm before the box's middle along z
    np.testing.assert_allclose(view[3:, 1:], inside, atol=0.01)  # float32 of 1,400 HU


def test_beyond_the_image_is_air_and_the_outer_half_voxel_is_not() -> None:
    """The mask touches the file's first slice: before it 12 mm of air, behind it the image."""
    image = np.full((30, 120, 90), HIGH, np.float32)
    mask = np.zeros(image.shape, bool)
    mask[:4, 60:76, 50:65] = True
    view = cube(Roi(RoiRecord("r", "p", label=0), image, mask, SPACING_MM))[..., 0]
    # The box's middle is 4 mm from the image's border, that of the cube 16 mm from its own.
    assert not view[:12].any()
    np.testing.assert_array_equal(view[12:], 1.0)


def test_a_single_slice_is_as_thick_as_its_spacing() -> None:
    roi = block()
    alone = replace(roi, image=roi.image[6:7], outline=roi.mask[6:7])
    assert extents(cube(alone)[..., 0] > 0.5) == [(15, 17), (12, 20), (10, 22)]


def test_without_a_mask_the_middle_of_the_image_is_taken() -> None:
    """60 by 60 by 72 mm: the cube begins 14 mm on along z and y, and 20 mm along x."""
    view = cube(block(mask=False))[..., 0]
    bright = extents(view > 0.5)
    assert bright == [(0, 4), (16, 24), (20, 32)]
    with pytest.raises(UnavailableError, match="no masks"):
        cube(block(mask=False), "voxels3d_mask")


def test_what_does_not_fit_is_cut() -> None:
    image = np.full((50, 50, 50), HIGH, np.float32)
    roi = Roi(RoiRecord("r", "p", label=0), image, np.ones(image.shape, bool), (1.0, 1.0, 1.0))
    np.testing.assert_array_equal(cube(roi), 1.0)


def test_the_mask_channel_lies_on_the_image_channel_and_follows_the_mask_alone() -> None:
    roi = block()
    roi.mask[5, 60:64, 50:60] = False
    roi.image[~roi.mask] = LOW
    view = cube(roi, "voxels3d_mask")
    assert view.shape == (32, 32, 32, 2)
    np.testing.assert_array_equal(view[..., :1], cube(roi))
    np.testing.assert_array_equal(view[..., 0], view[..., 1])
    other = replace(roi, image=np.zeros_like(roi.image))
    np.testing.assert_array_equal(cube(other, "voxels3d_mask")[..., 1], view[..., 1])
