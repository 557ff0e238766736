"""Values that are HU, hardly are, or cannot be."""

from __future__ import annotations

import re

import numpy as np
import pytest

from benchmark.cohort.hounsfield import doubt, refuse_impossible

SHAPE = (6, 10, 10)
MASK = np.zeros(SHAPE, bool)
MASK[2:4, 4:7, 4:7] = True


def ct(inside: float = 40, outside: float = -850, deviation: float = 20) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, deviation, SHAPE).round()
    return (np.where(MASK, inside, outside) + noise).astype(np.float32)


def with_voxel(value: float, *, in_mask: bool) -> np.ndarray:
    image = ct()
    image[(2, 4, 4) if in_mask else (0, 0, 0)] = value
    return image


USUAL = {
    "a nodule": ct(),
    "a nodule without noise beyond half a unit": ct(deviation=0.5),
    "air in the mask": with_voxel(-1024, in_mask=True),
    "the top of the scale": with_voxel(3071, in_mask=True),
    "padding beside the nodule": with_voxel(-3024, in_mask=False),
    "metal beside the nodule": with_voxel(20000, in_mask=False),
    "a slope of 2": 2 * ct(20, -425),
    "between whole numbers": ct() + np.float32(0.3),
}


@pytest.mark.parametrize("image", USUAL.values(), ids=USUAL)
def test_what_scanners_give_passes(image):
    refuse_impossible(image, MASK)
    assert doubt(image, MASK) == ""


@pytest.mark.parametrize("mask", [MASK, None])
@pytest.mark.parametrize(
    ("image", "message"),
    [
        ((ct() + 1024) / 4096, "from 0.0[0-9]+ to 0.2[0-9]+, a normalised image"),
        (np.zeros(SHAPE, np.float32), "from 0 to 0, a normalised image"),
        (ct() % 65536, "from [0-9.]+ to 64[0-9]{3}; HU end at 32767"),
        (with_voxel(63536, in_mask=False), "to 63536; HU end at 32767"),
        (with_voxel(-40000, in_mask=False), "from -40000 to"),
    ],
)
def test_what_cannot_be_hu_is_refused(image, message, mask):
    with pytest.raises(ValueError, match=message):
        refuse_impossible(image, mask)


@pytest.mark.parametrize("padding", [-1500, -2000, -3024, -32768])
def test_padding_inside_the_mask_is_refused(padding):
    with pytest.raises(ValueError, match=f"mask has 1 voxels of -1500 or less, down to {padding}"):
        refuse_impossible(with_voxel(padding, in_mask=True), MASK)
    refuse_impossible(with_voxel(padding, in_mask=True), None)


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (ct() + 1024, "no negative value"),
        (np.clip(ct() + 900, 0, 255), "no negative value .0 to 255."),
        (with_voxel(-1025, in_mask=True), "mask has -1025 to .* beyond the -1024 to 3071"),
        (with_voxel(3072, in_mask=True), "mask has .* to 3072 HU"),
        (np.round(ct() / 5.5) * 5.5, "grey levels, 5.5 HU apart"),
        (np.where(MASK, 0, -850), "2 grey levels, 850 HU apart"),
        (np.full(SHAPE, -850), "1 grey levels"),
    ],
)
def test_what_is_hardly_hu_is_named(image, reason):
    image = image.astype(np.float32)
    refuse_impossible(image, MASK)
    assert re.search(reason, doubt(image, MASK)), doubt(image, MASK)


def test_few_voxels_say_nothing_of_steps():
    assert doubt(np.array([[[-800, -700, 40]]], np.float32), None) == ""
