"""An outline found without a reader: made nodules in lung, at walls, with vessels, on odd grids."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmark.plugins import registry
from benchmark.roi import Roi, RoiRecord, UnavailableError
from features._auto_outline import BALL_MM, REACH_MM, find, middle
from features._masks import auto

Spacing = tuple[float, float, float]

ISOTROPIC: Spacing = (0.7, 0.7, 0.7)
SIDE_MM = 50.0


def axes_mm(spacing_mm: Spacing, side_mm: float = SIDE_MM) -> list[np.ndarray]:
    """Coordinates from the middle of a cube, ready to broadcast."""
    counts = [round(side_mm / step) | 1 for step in spacing_mm]
    grids = np.ogrid[tuple(slice(0, n) for n in counts)]
    return [(grid - n // 2) * step for grid, n, step in zip(grids, counts, spacing_mm, strict=True)]


def filled(depth_mm: np.ndarray) -> np.ndarray:
    """Share of a voxel that tissue fills, over an edge of 1 mm."""
    return np.clip(depth_mm + 0.5, 0, 1)


def nodule_roi(
    radius_mm: float,
    spacing_mm: Spacing = ISOTROPIC,
    *,
    beside: str = "",
    nodule_hu: float = 20.0,
    off_mm: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Roi:
    """A ball in noisy lung, alone, on a chest wall or with a vessel through it."""
    z, y, x = axes_mm(spacing_mm)
    oz, oy, ox = off_mm
    from_centre_mm = np.sqrt((z - oz) ** 2 + (y - oy) ** 2 + (x - ox) ** 2)
    share = filled(radius_mm - from_centre_mm)
    if beside == "wall":
        # A chord of the ball lies in the wall, which goes on behind it.
        share = np.maximum(share, filled(y - oy - 0.85 * radius_mm + 0 * from_centre_mm))
    if beside == "vessel":
        share = np.maximum(share, filled(1.2 - np.hypot(z - oz, y - oy) + 0 * x))
    hu = -860 + share * (nodule_hu + 860)
    hu = hu + np.random.default_rng(0).normal(0, 30, hu.shape)
    mask = from_centre_mm <= radius_mm
    return Roi(RoiRecord("r", "p", label=0), hu.astype(np.float32), mask, spacing_mm)


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


def with_box_of(roi: Roi, low: np.ndarray, high: np.ndarray) -> Roi:
    """The ROI with nothing of its mask but two opposite corners of a box."""
    outline = np.zeros_like(roi.mask)
    outline[tuple(low)] = outline[tuple(high)] = True
    return replace(roi, outline=outline)


@pytest.mark.parametrize(
    "spacing_mm", [ISOTROPIC, (1.25, 0.6, 0.6), (2.5, 0.7, 0.7), (0.6, 0.5, 0.8)]
)
@pytest.mark.parametrize("radius_mm", [4.0, 7.0, 12.0])
def test_a_ball_in_lung_is_found_on_any_grid(radius_mm: float, spacing_mm: Spacing) -> None:
    roi = nodule_roi(radius_mm, spacing_mm)
    outline, found = find(roi)
    assert found
    assert dice(outline, roi.mask) > 0.9


@pytest.mark.parametrize("nodule_hu", [-600.0, -300.0, 200.0])
def test_the_threshold_follows_the_density(nodule_hu: float) -> None:
    """A fixed threshold of -400 HU would miss ground glass."""
    roi = nodule_roi(6.0, nodule_hu=nodule_hu)
    assert dice(find(roi)[0], roi.mask) > 0.9


@pytest.mark.parametrize("spacing_mm", [ISOTROPIC, (1.25, 0.6, 0.6)])
@pytest.mark.parametrize("beside", ["wall", "vessel"])
def test_walls_and_vessels_are_parted_at_the_neck(beside: str, spacing_mm: Spacing) -> None:
    roi = nodule_roi(6.0, spacing_mm, beside=beside)
    outline, found = find(roi)
    assert found
    assert dice(outline, roi.mask) > 0.9
    # All tissue that hangs together, within reach, would be more than twice the nodule.
    y = axes_mm(spacing_mm)[1].ravel()
    assert not outline[:, y > 10].any()


def test_nothing_of_the_mask_is_read_but_the_middle_of_its_box() -> None:
    """Other outlines in the same box, and other boxes around the same middle."""
    roi = nodule_roi(6.0, beside="vessel", off_mm=(1.4, -2.1, 0.7))
    expected = find(roi)[0]
    where = np.argwhere(roi.mask)
    low, high = where.min(axis=0), where.max(axis=0)
    inwards, aside = np.array([0, 3, 1]), np.array([0, 0, 25])
    others = [with_box_of(roi, low, high)]
    others += [with_box_of(roi, low - n, high + n) for n in (-4, 6)]
    others.append(with_box_of(roi, low + inwards, high - inwards))
    for other in others:
        np.testing.assert_array_equal(middle(other.mask), middle(roi.mask))
        np.testing.assert_array_equal(find(other)[0], expected)
    lopsided = with_box_of(roi, low, high)
    lopsided.mask[tuple(low + 1)] = lopsided.mask[tuple(low + 2)] = True
    np.testing.assert_array_equal(find(lopsided)[0], expected)
    moved = with_box_of(roi, low + aside, high + aside)
    assert not np.array_equal(find(moved)[0], expected)


def test_neither_readers_nor_label_are_read() -> None:
    roi = nodule_roi(5.0)
    expected = find(roi)[0]
    other = replace(
        roi, record=RoiRecord("other", "q", label=1), reader_outlines=(roi.mask, ~roi.mask)
    )
    np.testing.assert_array_equal(find(other)[0], expected)


def test_the_point_may_lie_beside_the_nodule() -> None:
    """2 mm of lung from it: what is tissue there is the nodule."""
    roi = nodule_roi(5.0, off_mm=(0.0, 0.0, 2.8))
    centre = np.array(roi.image.shape) // 2
    outline, found = find(with_box_of(roi, centre, centre))
    assert found
    assert dice(outline, roi.mask) > 0.8


@pytest.mark.parametrize("spacing_mm", [ISOTROPIC, (5.0, 0.7, 0.7)])
def test_a_ball_stands_where_nothing_is_found(spacing_mm: Spacing) -> None:
    """So that no ROI is lost; of the size that the module states."""
    shape = tuple(len(axis.ravel()) for axis in axes_mm(spacing_mm))
    air = np.full(shape, -870, np.float32)
    mask = np.zeros(shape, bool)
    mask[shape[0] // 2, shape[1] // 2, shape[2] // 2] = True
    roi = Roi(RoiRecord("r", "p", label=0), air, mask, spacing_mm)
    outline, found = find(roi)
    assert not found
    away_mm = np.sqrt(sum(axis**2 for axis in axes_mm(spacing_mm)))
    np.testing.assert_array_equal(outline, away_mm <= max(BALL_MM, spacing_mm[0]) + 1e-6)
    assert len(registry.load_feature_set("radiomics@auto").extract(roi)) == 107


def test_tissue_without_end_is_bounded() -> None:
    shape = tuple(len(axis.ravel()) for axis in axes_mm(ISOTROPIC))
    mask = np.zeros(shape, bool)
    mask[tuple(n // 2 for n in shape)] = True
    roi = Roi(RoiRecord("r", "p", label=0), np.full(shape, 40, np.float32), mask, ISOTROPIC)
    outline, found = find(roi)
    away_mm = np.sqrt(sum(axis**2 for axis in axes_mm(ISOTROPIC)))
    assert found
    assert away_mm[outline].max() <= REACH_MM


@pytest.mark.parametrize("order", [(0, 2, 1), (1, 0, 2), (2, 1, 0)])
@pytest.mark.parametrize("beside", ["", "wall", "vessel"])
def test_orientation_does_not_matter(beside: str, order: tuple[int, int, int]) -> None:
    """Axes in another order, one reversed; where floods meet at equal depth, order may decide."""
    roi = nodule_roi(6.0, (1.0, 0.6, 0.8), beside=beside, off_mm=(0.0, 1.2, 0.8))
    turned = replace(
        roi,
        image=roi.image.transpose(order)[::-1],
        outline=roi.mask.transpose(order)[::-1],
        spacing_mm=tuple(roi.spacing_mm[axis] for axis in order),
    )
    back = find(turned)[0][::-1].transpose(np.argsort(order))
    assert dice(back, find(roi)[0]) > 0.98


def test_the_image_beyond_the_reach_does_not_matter() -> None:
    """Nor how far a crop goes, as long as it holds what is within reach."""
    roi = nodule_roi(5.0, beside="wall")
    margin = 5  # of 36 voxels from the middle, REACH_MM being 29 of them
    part = (slice(margin, -margin),) * 3
    smaller = replace(roi, image=roi.image[part], outline=roi.mask[part])
    np.testing.assert_array_equal(find(smaller)[0], find(roi)[0][part])


def test_where_the_image_ends_it_goes_on() -> None:
    """One slice through a ball: a slab that goes on, not a sheet without depth."""
    roi = nodule_roi(6.0, (1.25, 0.7, 0.7), beside="vessel")
    middle_slice = slice(len(roi.image) // 2, len(roi.image) // 2 + 1)
    slab = replace(roi, image=roi.image[middle_slice], outline=roi.mask[middle_slice])
    assert dice(find(slab)[0], slab.mask) > 0.9


def test_the_modifier_is_the_roi_with_the_outline_found() -> None:
    roi = nodule_roi(5.0)
    changed = auto(roi)
    np.testing.assert_array_equal(changed.mask, find(roi)[0])
    assert changed.image is roi.image
    size = registry.load_feature_set("diameter@auto").extract(roi)
    assert size["equivalent_diameter_mm"] == changed.equivalent_diameter_mm
    with pytest.raises(UnavailableError, match="no masks"):
        auto(replace(roi, outline=None))
