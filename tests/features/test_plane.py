"""Geometry within slices: pixels that are not square, images that are not, nodules off centre."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmark.plugins import registry
from benchmark.roi import Roi, RoiRecord
from features._plane import SIZE, in_plane_box, largest_slice, sample
from features._pyradiomics import canonical, settings
from features._resample import resample
from tests.helpers.volumes import ball

ROW_MM, COLUMN_MM = 0.5, 0.8
FIELD_OF_VIEW_MM = 40.0
PIXEL_MM = FIELD_OF_VIEW_MM / SIZE


def rectangle(*, mask: bool = True) -> Roi:
    """Rows 30 to 50 and columns 20 to 40 of 120 x 90 are bright: 10 by 16 mm, off centre."""
    image = np.full((3, 120, 90), -1000, np.float32)
    image[1, 30:50, 20:40] = 400
    outline = image == 400
    record = RoiRecord("r", "p", label=0)
    return Roi(record, image, outline if mask else None, (2.0, ROW_MM, COLUMN_MM))


def extent(view: np.ndarray) -> tuple[float, float, float, float]:
    """Of what is bright in a view: first row, rows, first column, columns."""
    top, bottom, left, right = in_plane_box(view[..., 0] > 0.5)
    return top, bottom - top, left, right - left


def test_the_fixed_view_is_40_mm_along_rows_and_along_columns() -> None:
    top, height, left, width = extent(
        registry.load_feature_set("voxels2d_fixed").extract(rectangle())
    )
    # To the two edges, each of which may fall on either of two pixels.
    assert height * PIXEL_MM == pytest.approx(20 * ROW_MM, abs=2 * PIXEL_MM)
    assert width * PIXEL_MM == pytest.approx(20 * COLUMN_MM, abs=2 * PIXEL_MM)
    assert top + height / 2 == pytest.approx(SIZE / 2, abs=1)
    assert left + width / 2 == pytest.approx(SIZE / 2, abs=1)


def test_the_fixed_view_without_a_mask_is_around_the_middle_of_the_image() -> None:
    """Rows 30 to 50 of 120 are 15 to 25 mm of 60; the view begins at 10 mm. Columns: 16 mm on of
    72, and the view begins there."""
    view = registry.load_feature_set("voxels2d_fixed").extract(rectangle(mask=False))
    top, height, left, width = extent(view)
    assert top * PIXEL_MM == pytest.approx(15 - 10, abs=PIXEL_MM)
    assert height * PIXEL_MM == pytest.approx(10, abs=2 * PIXEL_MM)
    assert left == 0
    assert width * PIXEL_MM == pytest.approx(16, abs=PIXEL_MM)


@pytest.mark.parametrize("name", ["voxels2d_fixed_mask", "voxels2d_box_mask"])
def test_the_mask_channel_lies_on_the_image_channel(name: str) -> None:
    view = registry.load_feature_set(name).extract(rectangle())
    assert view.shape == (SIZE, SIZE, 2)
    alone = registry.load_feature_set(name.removesuffix("_mask")).extract(rectangle())
    np.testing.assert_array_equal(view[..., :1], alone)
    np.testing.assert_array_equal(view[..., 0], view[..., 1])
    other = replace(rectangle(), image=np.zeros((3, 120, 90), np.float32))
    np.testing.assert_array_equal(
        registry.load_feature_set(name).extract(other)[..., 1], view[..., 1]
    )


def test_the_box_is_the_tight_one_whatever_the_spacing() -> None:
    """Brightness rises along rows in one ROI and along columns in the other."""
    ramp = np.linspace(-900, 300, 20, dtype=np.float32)
    extract = registry.load_feature_set("voxels2d_box").extract
    for axis in (0, 1):
        roi = rectangle()
        roi.image[1, 30:50, 20:40] = ramp[:, None] if axis == 0 else ramp[None]
        box = extract(roi)[..., 0]
        assert box.shape == (SIZE, SIZE)
        assert (np.ptp(box, axis=1 - axis) < 1e-6).all()
        assert (np.diff(box.mean(axis=1 - axis)) >= 0).all()
        assert box.min() == pytest.approx(100 / 1400, abs=1e-6)
        assert box.max() == pytest.approx(1300 / 1400, abs=1e-6)
        square = replace(roi, spacing_mm=(1.0, 1.0, 1.0))
        np.testing.assert_array_equal(extract(square)[..., 0], box)


def test_three_planes_are_the_largest_of_their_direction_each_in_its_own_box() -> None:
    """One voxel of another brightness in each of the planes that must be found."""
    image = np.full((4, 30, 40), -300, np.float32)
    mask = np.zeros(image.shape, bool)
    mask[1:3, 10:14, 20:28] = True
    mask[2, 14, 20:28] = True  # slice 2 is the largest
    mask[3, 12, 20:28] = True  # row 12 and, for it, no column stands out: the first, 20
    image[2, 10, 27], image[1, 12, 22], image[3, 12, 20] = 400, 260, 120
    roi = Roi(RoiRecord("r", "p", label=0), image, mask, (2.0, 0.5, 0.8))
    views = registry.load_feature_set("voxels25d_box").extract(roi)
    assert views.shape == (SIZE, SIZE, 3)
    np.testing.assert_array_equal(
        views[..., :1], registry.load_feature_set("voxels2d_box").extract(roi)
    )
    # Axial: 5 rows and 8 columns. Coronal: 3 slices and 8 columns. Sagittal: 3 slices, 5 rows.
    for channel, (rows, columns, row, column, hu) in enumerate(
        [(5, 8, 0, 7, 400), (3, 8, 0, 2, 260), (3, 5, 2, 2, 120)]
    ):
        view = views[..., channel] * 1400 - 1000
        middle = int((row + 0.5) * SIZE / rows), int((column + 0.5) * SIZE / columns)
        # The middle of a pixel lies between two of the 124, up to half of them off.
        assert view[middle] == pytest.approx(hu, abs=0.6 * (hu + 300) * rows / SIZE * 2)


def test_a_sample_is_of_the_rectangle_that_is_named() -> None:
    """Rows 2 to 6 and columns 10 to 11: a pixel of the plane is 31 x 124 of the sample."""
    plane = np.add.outer(100 * np.arange(8), np.arange(14)).astype(np.float32) - 400
    taken = sample(plane, 2, 10, 4, 1)[..., 0]
    rows = taken[15::31].mean(axis=1) * 1400 - 1000  # at the middles of the four pixels
    np.testing.assert_allclose(rows, 100 * np.arange(2, 6) - 400 + 10, atol=0.1)  # float32
    outside = sample(plane, -8, 0, 8, 14)
    assert not outside.any()  # air
    assert sample(plane, 8, 0, 8, 14).max() == 0


def test_the_largest_slice_is_the_first_of_equals() -> None:
    mask = np.zeros((5, 6, 7), bool)
    mask[1, :2, :3] = mask[3, 1:4, 2:4] = True
    mask[2, 0, :5] = True
    roi = Roi(RoiRecord("r", "p", label=0), np.zeros(mask.shape, np.float32), mask, (1, 1, 1))
    assert largest_slice(roi) == 1


def test_planar_counterparts_are_the_ones_of_the_same_kind() -> None:
    for name in ("diameter", "radiomics"):
        counterpart = registry.load_feature_set(name).planar
        assert counterpart == f"{name}2d"
    for name in ("ratings", "radiomics_filtered", "voxels2d_box", "voxels2d_fixed"):
        assert not registry.load_feature_set(name).planar


@pytest.mark.parametrize("name", ["radiomics", "radiomics2d", "radiomics_filtered"])
def test_exchanging_rows_and_columns_exchanges_nothing_but_directions(name: str) -> None:
    """What sizes and grey levels say does not depend on which axis is called rows."""
    shape = (4, 17, 21)
    mask = ball(shape, 8) & (np.arange(17) > 5)[:, None]
    image = np.where(mask, 30, -850) + np.random.default_rng(0).normal(0, 40, shape).round()
    record = RoiRecord("r", "p", label=0)
    one = Roi(record, image.astype(np.float32), mask, (2.0, 0.5, 0.8))
    turned = Roi(
        record,
        np.ascontiguousarray(one.image.swapaxes(1, 2)),
        np.ascontiguousarray(mask.swapaxes(1, 2)),
        (2.0, 0.8, 0.5),
    )
    extract = registry.load_feature_set(name).extract
    here, there = extract(one), extract(turned)
    directed = ("Maximum2DDiameterRow", "Maximum2DDiameterColumn", "wavelet")
    for feature, value in here.items():
        if not any(word in feature for word in directed):
            # GLCM's eigenvalues and sums in another order: rounding.
            assert there[feature] == pytest.approx(value, rel=1e-6, abs=1e-9), feature
    if name == "radiomics":
        row, column = (f"original_shape_Maximum2DDiameter{axis}" for axis in ("Row", "Column"))
        assert here[row] != pytest.approx(here[column], rel=0.02)
        assert there[row] == pytest.approx(here[column], rel=1e-9)


def test_radiomics_see_the_mask_with_3_mm_around_it() -> None:
    """As many voxels as reach 3 mm: 2 of 2 mm, 6 of 0.5, 4 of 0.8."""
    image = np.random.default_rng(0).normal(-600, 100, (9, 20, 20)).astype(np.float32)
    mask = np.zeros(image.shape, bool)
    mask[3:6, 8:11, 7:9] = True
    part, inside = canonical(image, mask, (2.0, 0.5, 0.8))
    np.testing.assert_array_equal(part, image[1:8, 2:17, 3:13])
    np.testing.assert_array_equal(inside, mask[1:8, 2:17, 3:13])
    assert part.dtype == np.float64
    part, _ = canonical(image[3:4], mask[3:4], (1.0, 0.5, 0.8), planar=True)
    assert part.shape == (1, 15, 10)
    # LoG of 3 mm wants 4 voxels of 5 mm: one more on either side than 3 mm ask for.
    part, _ = canonical(image[:, 8:11], mask[:, 8:11], (5.0, 0.5, 0.8), filtered=True)
    assert part.shape == (3 + 2, 3 + 2 * 6, 2 + 2 * 4)
    mask[4:] = False
    part, _ = canonical(image, mask, (5.0, 0.5, 0.8), filtered=True)
    assert part.shape[0] == 1 + 2 * 2


def test_radiomics_resample_a_grid_in_line_with_the_mask() -> None:
    """Three pixels of 0.7 mm are 2.1 mm long, two of 1 mm: their middle belongs on a whole mm.

    Behind five pixels it lies at 4.55 mm, behind six at 5.25, behind seven at 5.95.
    """
    image = np.random.default_rng(0).normal(-600, 100, (5, 30, 30)).astype(np.float32)
    mask = np.zeros(image.shape, bool)
    mask[1:4, 12:15, 10:14] = True
    part, inside = canonical(image, mask, (1.0, 0.7, 1.0))
    near = image[:, 7:20, 7:17]
    np.testing.assert_array_equal(part, np.pad(near, [(2, 2), (2, 0), (0, 0)], "edge"))
    assert np.argwhere(inside).min(axis=0).tolist() == [3, 7, 3]
    # Of a slice alone, which keeps its thickness, nothing moves.
    part, _ = canonical(image[2:3], mask[2:3], (0.7, 1.0, 1.0))
    assert part.shape == (11, 9, 10)


@pytest.mark.parametrize("step_mm", [0.55, 0.62, 0.7, 0.8, 1.25, 1.8, 2.5])
@pytest.mark.parametrize("n", range(2, 12))
def test_a_resampled_mask_is_as_long_as_the_mask(n: int, step_mm: float) -> None:
    image = np.zeros((n, 3, 3), np.float32)
    part, inside = canonical(image, np.ones(image.shape, bool), (step_mm, 1.0, 1.0))
    _, box, _ = resample(part, inside, (step_mm, 1.0, 1.0), (1.0, 1.0, 1.0), 25)
    assert abs(box.shape[0] - n * step_mm) <= 0.5 + 1e-9 or box.shape[0] == 1


def test_radiomics_take_the_border_to_go_on_where_the_image_ends() -> None:
    image = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    mask = np.ones(image.shape, bool)
    mask[0, 0, :2] = False
    part, inside = canonical(image, mask, (2.0, 3.0, 1.5))
    np.testing.assert_array_equal(part, np.pad(image, [(2, 2), (1, 1), (2, 2)], "edge"))
    np.testing.assert_array_equal(inside, np.pad(mask, [(2, 2), (1, 1), (2, 2)]))


def test_radiomics_settings_are_the_documented_ones() -> None:
    assert settings(planar=False) == {
        "binWidth": 25, "resampledPixelSpacing": [1.0, 1.0, 1.0], "minimumROIDimensions": 1,
    }  # fmt: skip
    assert settings(planar=True) == {
        "binWidth": 25, "resampledPixelSpacing": [1.0, 1.0, 0], "minimumROIDimensions": 1,
        "force2D": True, "force2Ddimension": 0,
    }  # fmt: skip
