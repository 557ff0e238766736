"""Perturbed masks in millimetres, the choice of a reader, and masks as a channel."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.plugins import registry
from benchmark.roi import Roi, RoiRecord, UnavailableError
from features import diameter, radiomics, voxels2d_box
from features._masks import (
    MIN_AREA_MM2,
    MIN_SHARE,
    MODIFIERS,
    auto,
    dilated,
    eroded,
    one_reader,
    shifted,
)
from features._plane import largest_slice

Change = Callable[[Roi], Roi]
Spacing = tuple[float, float, float]


def subject(mask: np.ndarray, spacing_mm: Spacing, roi_id: str = "r", label: int = 0) -> Roi:
    image = np.random.default_rng(0).normal(-300, 90, mask.shape).astype(np.float32)
    return Roi(RoiRecord(roi_id, "p", label=label), image, mask, spacing_mm)


def rectangle(spacing_mm: Spacing, roi_id: str = "r") -> Roi:
    """10 x 8 mm, or as near as pixels allow, in the middle of three slices of 30 x 30 mm."""
    rows, columns = (round(30 / mm) for mm in spacing_mm[1:])
    height, width = round(10 / spacing_mm[1]), round(8 / spacing_mm[2])
    mask = np.zeros((3, rows, columns), bool)
    top, left = (rows - height) // 2, (columns - width) // 2
    mask[1, top : top + height, left : left + width] = True
    return subject(mask, spacing_mm, roi_id)


def extent_mm(roi: Roi) -> np.ndarray:
    """First and last edge of the mask along rows and columns, from the image's corner."""
    corners = np.argwhere(roi.mask)[:, 1:]
    edges = np.array([corners.min(axis=0), corners.max(axis=0) + 1])
    return edges * np.array(roi.spacing_mm[1:])


SPACINGS = [
    (1.0, 0.5, 0.5),
    (1.25, 0.6, 0.6),
    (2.5, 0.7, 0.7),
    (0.6, 0.5, 0.8),
    (5.0, 0.9, 0.6),
    (1.0, 0.33, 0.33),
]


@pytest.mark.parametrize("spacing_mm", SPACINGS)
@pytest.mark.parametrize(("change", "sign"), [(dilated, 1), (eroded, -1)])
def test_every_edge_moves_by_a_millimetre(change: Change, sign: int, spacing_mm: Spacing) -> None:
    before = rectangle(spacing_mm)
    after = change(before)
    outwards = (extent_mm(after) - extent_mm(before)) * [[-1], [1]]
    # The nearest whole pixel; where spacing differs along rows and columns, half their mean.
    half_mm = max(spacing_mm[1:]) / 2
    assert (np.abs(outwards * sign - 1) <= half_mm + 1e-9).all()
    assert not after.mask[[0, 2]].any()  # nothing happens along z
    np.testing.assert_array_equal(after.image, before.image)


@pytest.mark.parametrize("pixel_mm", [0.5, 0.6, 0.7, 0.8, 0.9])
@pytest.mark.parametrize(("change", "sign"), [(dilated, 1), (eroded, -1)])
def test_discs_on_any_grid_change_by_a_millimetre_on_average(
    change: Change, sign: int, pixel_mm: float
) -> None:
    """Radius of the disc of equal area, over discs of 6 to 12 mm anywhere on the grid."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[: round(20 / pixel_mm), : round(20 / pixel_mm)] * pixel_mm
    changes_mm = []
    for _ in range(20):
        row, column = 10 + rng.uniform(-0.5, 0.5, 2)
        mask = np.hypot(rows - row, columns - column) <= rng.uniform(3, 6)
        before = subject(mask[np.newaxis], (1.0, pixel_mm, pixel_mm))
        areas_mm2 = (roi.mask.sum() * pixel_mm**2 for roi in (change(before), before))
        after_mm, before_mm = (np.sqrt(area / np.pi) for area in areas_mm2)
        changes_mm.append(after_mm - before_mm)
    # Whole pixels: half a pixel's error on straight edges, less on round ones. Distances
    # counted from pixel centres rather than edges would give 0.75 mm at 0.6.
    assert sign * np.mean(changes_mm) == pytest.approx(1.0, abs=0.2)


@pytest.mark.parametrize("change", [dilated, shifted])
def test_coarse_pixels_change_by_one(change: Change) -> None:
    mask = np.zeros((1, 9, 9), bool)
    mask[0, 3:6, 3:6] = True
    after = change(subject(mask, (1.0, 3.0, 3.0)))
    grown = (extent_mm(after) - extent_mm(subject(mask, (1.0, 3.0, 3.0)))) / 3
    moved = np.abs(grown).sum()
    assert moved == (4 if change is dilated else 2)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.02, 0.98), st.floats(0.4, 2.5), st.floats(0.4, 2.5))
def test_erosion_never_empties(seed: int, share: float, row_mm: float, column_mm: float) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random((3, 7, 6)) < share
    mask[1, 3, 3] = True
    before = subject(mask, (2.0, row_mm, column_mm))
    after = eroded(before)
    assert not (after.mask & ~mask).any()
    z = mask.sum(axis=(1, 2)).argmax()
    wanted = max(MIN_SHARE * mask[z].sum(), MIN_AREA_MM2 / (row_mm * column_mm))
    assert after.mask[z].sum() >= min(np.floor(wanted), mask[z].sum())


def test_erosion_spares_the_deepest_pixels_of_a_small_nodule() -> None:
    """A 3.6 mm disc has hardly a core; its middle stays, not an arbitrary corner."""
    rows, columns = np.mgrid[-8:9, -8:9] * 0.4
    mask = (np.hypot(rows, columns) <= 1.8)[np.newaxis]
    after = eroded(subject(mask, (1.0, 0.4, 0.4)))
    assert 0 < after.mask.sum() < mask.sum()
    assert after.mask[0, 8, 8]
    np.testing.assert_array_equal(after.mask, after.mask[:, ::-1, ::-1])


@pytest.mark.parametrize("spacing_mm", SPACINGS)
def test_shift_is_a_millimetre_in_a_direction_of_the_rois_own(spacing_mm: Spacing) -> None:
    directions = []
    for number in range(40):
        before = rectangle(spacing_mm, f"nodule {number}")
        after = shifted(before)
        moves = extent_mm(after) - extent_mm(before)
        np.testing.assert_allclose(moves[0], moves[1])  # shape and size stay
        assert after.mask.sum() == before.mask.sum()
        # Each axis rounds to the nearest pixel.
        assert abs(np.hypot(*moves[0]) - 1) <= np.hypot(*spacing_mm[1:]) / 2 + 1e-9
        directions.append(moves[0])
    signs = np.sign(np.round(directions, 6))
    assert (signs.min(axis=0) == -1).all()
    assert (signs.max(axis=0) == 1).all()
    assert np.abs(np.mean(directions, axis=0)).max() < 0.5  # no side is preferred


@pytest.mark.parametrize("change", [dilated, shifted, eroded])
def test_a_mask_at_the_border(change: Change) -> None:
    """The image goes on with its edge values, and only where a mask can need it."""
    mask = np.zeros((1, 12, 20), bool)
    mask[0, 0:6, 8:12] = True
    for number in range(8):  # several directions of the shift
        before = subject(mask, (1.0, 0.7, 0.7), f"r{number}")
        after = change(before)
        assert after.image.shape == ((1, 12, 20) if change is eroded else (1, 14, 20))
        added = after.image.shape[1] - 12
        np.testing.assert_array_equal(after.image[:, added:], before.image)
        for row in range(added):
            np.testing.assert_array_equal(after.image[:, row], before.image[:, 0])
        if change is shifted:
            assert after.mask.sum() == before.mask.sum()
        if change is dilated:
            assert after.mask[0, added - 1].any()


@pytest.mark.parametrize("change", [auto, dilated, eroded, shifted, one_reader])
def test_neither_label_nor_others_change_it(change: Change) -> None:
    mask = rectangle((1.0, 0.7, 0.7)).mask
    readers = tuple(np.roll(mask, n, axis=2) for n in range(4))
    for number in range(6):
        roi_id = f"LIDC-{number}"
        benign, malignant = (
            replace(subject(mask, (1.0, 0.7, 0.7), roi_id, label), reader_outlines=readers)
            for label in (0, 1)
        )
        np.testing.assert_array_equal(change(benign).mask, change(malignant).mask)


def test_readers_are_drawn_evenly_and_for_good() -> None:
    mask = rectangle((1.0, 0.7, 0.7)).mask
    readers = tuple(np.roll(mask, n, axis=2) for n in range(4))

    def drawn(roi_id: str) -> int:
        roi = replace(subject(mask, (1.0, 0.7, 0.7), roi_id), reader_outlines=readers)
        return [np.array_equal(one_reader(roi).mask, m) for m in readers].index(True)

    ids = [f"LIDC-IDRI-{n:04}_{n}" for n in range(200)]
    forwards = {roi_id: drawn(roi_id) for roi_id in ids}
    backwards = {roi_id: drawn(roi_id) for roi_id in reversed(ids)}
    assert forwards == backwards
    # 50 of 200 expected each; 3.3 standard deviations are 20.
    assert all(30 <= n <= 70 for n in Counter(forwards.values()).values())
    # A baseline: other draws for the same ids would change stored results.
    assert [forwards[roi_id] for roi_id in ids[:8]] == [0, 0, 3, 2, 3, 3, 1, 0]


def test_no_readers_no_features() -> None:
    for name in ("radiomics@reader", "radiomics2d@reader", "voxels2d_box@reader"):
        with pytest.raises(UnavailableError, match="no readers' masks"):
            registry.load_feature_set(name).extract(rectangle((1.0, 0.7, 0.7)))


@pytest.mark.parametrize("base", ["radiomics", "radiomics2d"])
def test_radiomics_are_computed_from_the_changed_mask(base: str) -> None:
    """At 1 mm nothing is resampled, so volumes and areas count the changed mask's voxels.

    Areas do so in the slice that has most of them.
    """
    before = rectangle((1.0, 1.0, 1.0))
    before = replace(before, reader_outlines=(before.mask & (np.arange(30) < 15),))
    name = {"radiomics": "shape_VoxelVolume", "radiomics2d": "shape2D_PixelSurface"}[base]
    for suffix, change in MODIFIERS.items():
        got = registry.load_feature_set(f"{base}@{suffix}").extract(before)
        after = change(before)
        seen = after.mask.copy()
        if base == "radiomics2d":
            seen[np.arange(len(seen)) != largest_slice(after)] = False
        assert got[f"original_{name}"] == seen.sum()
        assert got["original_firstorder_Mean"] == pytest.approx(after.image[seen].mean())
        assert suffix == "shifted" or after.mask.sum() != before.mask.sum()


@pytest.mark.parametrize("name", MODIFIERS)
def test_a_modifier_is_the_feature_set_of_the_changed_roi(name: str) -> None:
    """To the bit: nothing but the ROI differs."""
    before = rectangle((1.25, 0.7, 0.6))
    before = replace(before, reader_outlines=(before.mask & (np.arange(50) < 25),))
    after = {
        "reader": one_reader,
        "auto": auto,
        "dilated": dilated,
        "eroded": eroded,
        "shifted": shifted,
    }[name](before)
    for base in (radiomics, diameter):
        base_name = base.__name__.removeprefix("features.")
        got = registry.load_feature_set(f"{base_name}@{name}").extract(before)
        assert got == base.extract(after)
        assert list(got) == list(base.extract(before))
    box = registry.load_feature_set(f"voxels2d_box@{name}").extract(before)
    np.testing.assert_array_equal(box, voxels2d_box.extract(after))


def test_mask_channel_of_the_box() -> None:
    """An L fills its box but for a corner, in the mask as in the image."""
    mask = np.zeros((3, 30, 40), bool)
    mask[1, 10:18, 5:25] = True
    mask[1, 10:14, 15:25] = False
    mask[0, 20:22, 20:22] = True
    roi = subject(mask, (2.0, 0.7, 0.7))
    both = registry.load_feature_set("voxels2d_box_mask").extract(roi)
    assert both.shape == (124, 124, 2)
    alone = registry.load_feature_set("voxels2d_box").extract(roi)
    np.testing.assert_array_equal(both[..., :1], alone)
    channel = both[..., 1]
    # Half way from pixel to pixel the mask fades, over 124 / 8 rows and 124 / 20 columns.
    assert (channel[:52, 70:] == 0).all()
    assert (channel[72:] == 1).all()
    assert (channel[:, :56] == 1).all()


@pytest.mark.parametrize("name", ["voxels2d_box", "voxels2d_fixed"])
def test_mask_channel_lies_on_the_image(name: str) -> None:
    """Where the image is bright exactly in the mask, both channels are the same picture."""
    mask = np.zeros((2, 60, 70), bool)
    mask[1, 20:31, 33:50] = True
    mask[1, 20:24, 33:40] = False
    image = np.where(mask, 400, -1000).astype(np.float32)
    roi = Roi(RoiRecord("r", "p", label=0), image, mask, (1.0, 0.6, 0.7))
    both = registry.load_feature_set(f"{name}_mask").extract(roi)
    np.testing.assert_array_equal(both[..., 0], both[..., 1])
    assert 0.02 < both[..., 1].mean() < 0.98


def test_mask_channel_of_the_fixed_view_keeps_size() -> None:
    mask = np.zeros((1, 100, 100), bool)
    mask[0, 40:60, 45:55] = True
    roi = subject(mask, (1.0, 0.5, 0.8))
    channel = registry.load_feature_set("voxels2d_fixed_mask").extract(roi)[..., 1]
    # 10 x 8 mm of a 40 x 40 mm view; edges fade over a pixel.
    assert channel.mean() == pytest.approx(10 * 8 / 40**2, rel=0.02)


def test_mask_channel_needs_a_mask() -> None:
    bare = replace(rectangle((1.0, 0.7, 0.7)), outline=None)
    with pytest.raises(UnavailableError, match="no masks"):
        registry.load_feature_set("voxels2d_fixed_mask").extract(bare)
