"""Geometry: the same places, whatever the order in which voxels are stored."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from benchmark.formats.geometry import TOLERANCE_MM, Geometry, Volume

SPACING = (2.5, 0.7, 0.6)
ORIGIN = np.array([12.5, -30.25, 100.0])
UPRIGHT = np.array([[0, 0, 1.0], [0, 1, 0], [1, 0, 0]])
"""Directions of z, y and x in canonical order: head, back, left."""

ORDERS = [
    (axes, signs)
    for axes in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]


def turn(degrees: float) -> np.ndarray:
    """Canonical directions, turned about the patient's long axis and a little about another."""
    a, b = math.radians(degrees), math.radians(degrees / 3)
    about_z = [[math.cos(a), -math.sin(a), 0], [math.sin(a), math.cos(a), 0], [0, 0, 1]]
    about_x = [[1, 0, 0], [0, math.cos(b), -math.sin(b)], [0, math.sin(b), math.cos(b)]]
    return UPRIGHT @ np.array(about_z) @ np.array(about_x)


def volume(axes: np.ndarray = UPRIGHT) -> Volume:
    voxels = np.random.default_rng(0).integers(0, 9, (3, 4, 5))
    return Volume(voxels, Geometry((3, 4, 5), SPACING, ORIGIN, axes))


def stored(one: Volume, order: tuple[int, ...], signs: tuple[int, ...]) -> Volume:
    """The same voxels at the same places in another order, worked out voxel by voxel."""
    shape = tuple(one.voxels.shape[axis] for axis in order)
    corner = [0 if sign > 0 else n - 1 for sign, n in zip(signs, shape, strict=True)]
    first = np.zeros(3)
    for place, axis in enumerate(order):
        first[axis] = corner[place]
    origin = ORIGIN + (first * SPACING) @ one.geometry.axes
    voxels = one.voxels.transpose(order)[tuple(slice(None, None, sign) for sign in signs)]
    axes = np.array([one.geometry.axes[a] * s for a, s in zip(order, signs, strict=True)])
    spacing = tuple(SPACING[axis] for axis in order)
    return Volume(voxels, Geometry(shape, spacing, origin, axes))


@pytest.mark.parametrize("degrees", [0, 10, -30])
@pytest.mark.parametrize(("order", "signs"), ORDERS)
def test_every_order_becomes_one(order, signs, degrees):
    one = volume(turn(degrees))
    back = stored(one, order, signs).canonical()
    np.testing.assert_array_equal(back.voxels, one.voxels)
    assert back.geometry.shape == (3, 4, 5)
    assert back.geometry.spacing_mm == SPACING
    assert back.geometry.origin_mm == pytest.approx(ORIGIN)
    assert back.geometry.axes == pytest.approx(one.geometry.axes)


def test_obliquity_is_the_angle_to_the_patients_axes():
    assert volume().geometry.obliquity_deg == 0
    assert volume(turn(10)).geometry.obliquity_deg == pytest.approx(10, abs=0.6)
    assert stored(volume(), (2, 0, 1), (-1, 1, -1)).geometry.obliquity_deg == 0


def mask(*at: tuple[int, int, int], start=(0, 0, 0), shape=(3, 4, 5), moved=(0, 0, 0)) -> Volume:
    """A mask with a few voxels, on a box that begins at a voxel of the image."""
    voxels = np.zeros(shape, np.uint8)
    for place in at:
        voxels[place] = 1
    origin = ORIGIN + (np.array(start) * SPACING + moved) @ UPRIGHT
    return Volume(voxels, Geometry(shape, SPACING, origin, UPRIGHT))


GRID = volume().geometry


@pytest.mark.parametrize(
    ("start", "shape", "inner"),
    [
        ((0, 0, 0), (3, 4, 5), (1, 2, 3)),
        ((1, 1, 2), (2, 2, 2), (0, 1, 1)),
        ((-1, -2, -3), (5, 8, 11), (2, 4, 6)),
        ((1, 2, 3), (1, 1, 1), (0, 0, 0)),
        ((-4, 1, 0), (6, 2, 9), (5, 1, 3)),
    ],
)
def test_a_mask_of_another_box_is_placed(start, shape, inner):
    placed = mask(inner, start=start, shape=shape).on(GRID)
    assert placed.shape == (3, 4, 5)
    assert np.argwhere(placed).tolist() == [[1, 2, 3]]


@pytest.mark.parametrize("start", [(0, 0, 3), (3, 0, 0), (0, -2, 0), (40, 0, 0)])
def test_a_mask_that_leaves_the_image_is_refused(start):
    with pytest.raises(ValueError, match="of its voxels lie beyond the image"):
        mask((0, 0, 0), (2, 3, 4), start=start).on(GRID)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_places_are_compared_in_mm(axis):
    moved = np.zeros(3)
    for distance_mm in (1e-5, 0.9 * TOLERANCE_MM):
        moved[axis] = distance_mm
        assert np.argwhere(mask((1, 2, 3), moved=moved).on(GRID)).tolist() == [[1, 2, 3]]
    for distance_mm in (1.1 * TOLERANCE_MM, SPACING[axis] / 2, 0.1):
        moved[axis] = distance_mm
        with pytest.raises(ValueError, match="must lie on one grid"):
            mask((1, 2, 3), moved=moved).on(GRID)


@pytest.mark.parametrize("factor", [1.01, 2, 0.5])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_voxels_of_another_size_are_refused(axis, factor):
    spacing = list(SPACING)
    spacing[axis] *= factor
    other = Geometry((3, 4, 5), tuple(spacing), ORIGIN, UPRIGHT)
    with pytest.raises(ValueError, match="must lie on one grid"):
        Volume(np.ones((3, 4, 5)), other).on(GRID)


def test_a_grid_of_every_second_voxel_is_refused():
    """Its voxels all lie on voxels of the image, and each stands for two."""
    coarse = Geometry((3, 2, 5), (2.5, 1.4, 0.6), ORIGIN, UPRIGHT)
    with pytest.raises(ValueError, match="must lie on one grid"):
        Volume(np.ones((3, 2, 5)), coarse).on(GRID)


def test_turned_axes_are_refused():
    turned = Geometry((3, 4, 5), SPACING, ORIGIN, turn(1))
    with pytest.raises(ValueError, match="must lie on one grid"):
        Volume(np.ones((3, 4, 5)), turned).on(GRID)


@pytest.mark.parametrize("spacing", [(0.01, 1, 1), (1, 30, 1), (1, 1, math.nan), (1, 0, 1)])
def test_sizes_that_no_ct_has_are_refused(spacing):
    with pytest.raises(ValueError, match="those of a CT have sides"):
        Geometry((3, 4, 5), spacing, ORIGIN, UPRIGHT)


def test_sheared_axes_are_refused():
    sheared = UPRIGHT.copy()
    sheared[0] = [0, math.sin(0.2), math.cos(0.2)]
    with pytest.raises(ValueError, match="not at right angles"):
        Geometry((3, 4, 5), SPACING, ORIGIN, sheared)


def test_an_origin_must_be_finite():
    with pytest.raises(ValueError, match="it must be finite"):
        Geometry((3, 4, 5), SPACING, np.array([0, math.inf, 0]), UPRIGHT)


def test_a_geometry_reads_as_one_line():
    assert stored(volume(), (0, 2, 1), (1, -1, 1)).geometry.describe() == (
        "3 x 5 x 4 voxels of 2.5 x 0.6 x 0.7 mm (z, y, x) from (14.9, -30.25, 100) mm (LPS) "
        "along SRP"
    )
