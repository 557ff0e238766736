"""Contracts over every feature set, and known answers of each."""

from __future__ import annotations

import inspect
import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmark.datasets import manifest
from benchmark.plugins import modifiers, registry
from benchmark.roi import Roi, RoiRecord, UnavailableError
from features._lite0 import weights_file
from features._region import c_code
from features.ratings import CHARACTERISTICS
from tests.helpers.volumes import ball

PLAIN = registry.names("features")
MODIFIED = [
    modifiers.join(name, modifier)
    for name in PLAIN
    if registry.load_feature_set(name).mask_modifiers
    for modifier in modifiers.known()
]
RATED = dict.fromkeys(CHARACTERISTICS, "1 2 4")


@pytest.fixture(autouse=True)
def _weights(request: pytest.FixtureRequest) -> None:
    """Frozen networks are tested where their weights are installed."""
    name = getattr(request.node, "callspec", None) and request.node.callspec.params.get("name", "")
    if name and str(name).startswith("imagenet"):
        try:
            weights_file()
        except UnavailableError as error:
            pytest.skip(str(error))


def roi(
    shape: tuple[int, int, int] = (9, 24, 26),
    radius: float = 3.5,
    spacing_mm: tuple[float, float, float] = (1.25, 0.7, 0.7),
    label: int = 0,
) -> Roi:
    mask = ball(shape, radius)
    noise = np.random.default_rng(0).normal(0, 40, shape)
    image = (np.where(mask, 20, -850) + noise).round().astype(np.float32)
    readers = (np.roll(mask, 1, axis=1), np.roll(mask, -1, axis=2), mask)
    record = RoiRecord("r", "p", label=label, attributes=RATED)
    return Roi(record, image, mask, spacing_mm, readers)


def as_array(value: object) -> np.ndarray:
    return np.array(list(value.values())) if isinstance(value, dict) else np.asarray(value)


@pytest.mark.parametrize("name", [*PLAIN, *MODIFIED])
class TestContract:
    def test_finite_repeatable_and_leaves_its_input_alone(self, name: str) -> None:
        extract = registry.load_feature_set(name).extract
        subject = roi()
        image, mask = subject.image.copy(), subject.mask.copy()
        first, second = extract(subject), extract(subject)
        np.testing.assert_array_equal(as_array(first), as_array(second))
        assert np.isfinite(as_array(first)).all()
        np.testing.assert_array_equal(subject.image, image)
        np.testing.assert_array_equal(subject.mask, mask)

    def test_a_vector_with_names_or_an_image(self, name: str) -> None:
        value = registry.load_feature_set(name).extract(roi())
        if isinstance(value, dict):
            assert all(isinstance(k, str) and isinstance(v, float) for k, v in value.items())
        else:
            assert value.dtype == np.float32
            assert value.ndim in (3, 4)  # a plane or a volume, and its channels
            assert value.min() >= 0
            assert value.max() <= 1

    def test_never_sees_the_label(self, name: str) -> None:
        extract = registry.load_feature_set(name).extract
        rated = RoiRecord("r", "p", malignancy_ratings=(5, 5, 5), attributes=RATED)
        other = replace(roi(), record=rated)
        np.testing.assert_array_equal(as_array(extract(roi(label=0))), as_array(extract(other)))

    @pytest.mark.parametrize(
        ("shape", "radius"),
        [((1, 6, 6), 2.0), ((1, 4, 3), 1.2), ((5, 4, 4), 9.0), ((2, 40, 40), 19)],
    )
    def test_one_slice_few_voxels_or_a_mask_that_fills_the_image(
        self, name: str, shape: tuple[int, int, int], radius: float
    ) -> None:
        subject = roi(shape, radius)
        assert np.isfinite(as_array(registry.load_feature_set(name).extract(subject))).all()

    def test_documented(self, name: str) -> None:
        assert registry.describe("features", name).endswith(".")
        if name in PLAIN:
            assert inspect.getdoc(registry.load_feature_set(name).extract)
        else:
            assert f" @{modifiers.split(name)[1]}: " in registry.describe("features", name)

    def test_worker_processes_get_the_same(self, name: str) -> None:
        extract = registry.load_feature_set(name).extract
        arrived = pickle.loads(pickle.dumps(extract))
        assert arrived == extract == registry.load_feature_set(name).extract
        assert len({arrived, extract}) == 1


def test_diameter_of_a_ball() -> None:
    extract = registry.load_feature_set("diameter").extract
    got = extract(roi((41, 41, 41), 15.0, (0.5, 0.5, 0.5)))
    # Counting voxel centres errs on a ball's volume by well under 1 % at this size.
    assert got["volume_mm3"] == pytest.approx(4 / 3 * np.pi * 7.5**3, rel=0.01)
    assert got["equivalent_diameter_mm"] == pytest.approx(15.0, rel=0.004)


def test_diameter_in_anisotropic_voxels() -> None:
    extract = registry.load_feature_set("diameter").extract
    mask = np.zeros((3, 4, 5), bool)
    mask[1, 1:3, 1:4] = True
    subject = Roi(
        RoiRecord("r", "p", label=0), np.zeros((3, 4, 5), np.float32), mask, (2.5, 0.5, 0.8)
    )
    assert extract(subject)["volume_mm3"] == pytest.approx(6 * 2.5 * 0.5 * 0.8)


def test_box_is_tight_in_the_largest_slice_and_stretched() -> None:
    image = np.full((3, 30, 30), -1000, np.float32)
    mask = np.zeros(image.shape, bool)
    mask[0, 3:5, 3:5] = True
    mask[1, 10:18, 5:25] = True
    image[1, 10:18, 5:15], image[1, 10:18, 15:25] = 400, -300
    subject = Roi(RoiRecord("r", "p", label=0), image, mask, (1.0, 1.0, 1.0))
    box = registry.load_feature_set("voxels2d_box").extract(subject)
    assert box.shape == (124, 124, 1)
    assert (box[:, :55, 0] == 1).all()
    np.testing.assert_allclose(box[:, -55:, 0], 0.5)


@pytest.mark.parametrize("spacing", [0.5, 0.8])
def test_fixed_field_of_view_keeps_size(spacing: float) -> None:
    side = int(60 / spacing)
    image = np.full((1, side, side), -1000, np.float32)
    mask = np.zeros(image.shape, bool)
    half = round(5 / spacing)
    middle = slice(side // 2 - half, side // 2 + half)
    mask[0, middle, middle] = True
    image[mask] = 400
    subject = Roi(RoiRecord("r", "p", label=0), image, mask, (2.0, spacing, spacing))
    view = registry.load_feature_set("voxels2d_fixed").extract(subject)
    covered_mm = np.sqrt((view > 0.5).mean()) * 40
    # Half a pixel at either edge.
    assert covered_mm == pytest.approx(2 * half * spacing, abs=spacing)
    assert view[62, 62, 0] == 1
    assert view[0, 0, 0] == 0


def test_fixed_field_of_view_beyond_the_image_is_air() -> None:
    view = registry.load_feature_set("voxels2d_fixed").extract(roi((3, 12, 12), 3.0))
    assert (view[0] == 0).all()
    assert view[62, 62, 0] > 0.6


def test_ratings_are_means_over_readers() -> None:
    got = registry.load_feature_set("ratings").extract(roi())
    assert list(got) == [*CHARACTERISTICS, "equivalent_diameter_mm"]
    assert got["equivalent_diameter_mm"] == (6 * roi().volume_mm3 / np.pi) ** (1 / 3)
    assert got["texture"] == pytest.approx(7 / 3)


def test_ratings_say_when_there_are_none() -> None:
    bare = replace(roi(), record=RoiRecord("r", "p", label=0))
    with pytest.raises(UnavailableError, match="no readers' ratings of subtlety"):
        registry.load_feature_set("ratings").extract(bare)


GOLDEN = json.loads((Path(__file__).parent / "radiomics_golden.json").read_text())
"""Of roi(): every feature, by pyradiomics 3.0.1; a new version must not move them unseen."""


def test_radiomics_golden_values() -> None:
    got = registry.load_feature_set("radiomics").extract(roi())
    # Only rounding may differ between processors; the B-spline's recursion amplifies it.
    assert got == pytest.approx(GOLDEN, rel=1e-6, abs=1e-9)


def test_radiomics_first_order_by_hand() -> None:
    """At 1 mm nothing is resampled, so numpy on the mask's voxels is an independent answer."""
    subject = roi((9, 20, 20), 4.0, (1.0, 1.0, 1.0))
    got = registry.load_feature_set("radiomics").extract(subject)
    inside = subject.image[subject.mask].astype(float)
    deviation = inside - inside.mean()
    # Bins are multiples of 25 HU (IBSI: fixed bin size).
    _, counts = np.unique(np.floor(inside / 25), return_counts=True)
    share = counts / counts.sum()
    expected = {
        "Mean": inside.mean(),
        "Median": np.median(inside),
        "Energy": (inside**2).sum(),
        "Variance": (deviation**2).mean(),
        "Kurtosis": (deviation**4).mean() / (deviation**2).mean() ** 2,
        "90Percentile": np.percentile(inside, 90),
        "Entropy": -(share * np.log2(share)).sum(),
        "Uniformity": (share**2).sum(),
    }
    for name, value in expected.items():
        # pyradiomics adds 2e-16 inside the logarithm; the rest is rounding.
        assert got[f"original_firstorder_{name}"] == pytest.approx(value, rel=1e-9), name
    assert got["original_shape_VoxelVolume"] == subject.mask.sum()


def test_radiomics_has_every_class_by_its_documented_size() -> None:
    got = registry.load_feature_set("radiomics").extract(roi())
    sizes: dict[str, int] = {}
    for name in got:
        family = name.split("_")[1]
        sizes[family] = sizes.get(family, 0) + 1
    assert sizes == {
        "shape": 14, "firstorder": 18, "glcm": 24, "glrlm": 16, "glszm": 16, "gldm": 14,
        "ngtdm": 5,
    }  # fmt: skip


def plane(size: int, spacing_mm: tuple[float, float, float]) -> Roi:
    """A square of known pixels in the middle of three slices; the others hold fewer."""
    rng = np.random.default_rng(0)
    image = rng.normal(-300, 120, (3, 20, 20)).round().astype(np.float32)
    mask = np.zeros(image.shape, bool)
    mask[1, 5 : 5 + size, 6 : 6 + size] = True
    mask[0, 5:7, 6:8] = True
    return Roi(RoiRecord("r", "p", label=0), image, mask, spacing_mm)


def test_diameter2d_is_of_the_largest_slice_whatever_its_thickness() -> None:
    extract = registry.load_feature_set("diameter2d").extract
    thin, thick = (extract(plane(8, (z, 0.5, 0.8))) for z in (0.6, 5.0))
    assert thin == thick
    assert thin["area_mm2"] == pytest.approx(64 * 0.5 * 0.8)
    assert thin["equivalent_diameter_mm"] == pytest.approx(2 * np.sqrt(64 * 0.4 / np.pi))


def test_radiomics2d_by_hand() -> None:
    """At 1 mm nothing is resampled: numpy and geometry are independent answers."""
    subject = plane(8, (2.5, 1.0, 1.0))
    got = registry.load_feature_set("radiomics2d").extract(subject)
    inside = subject.image[1][subject.mask[1]].astype(float)
    # The mesh runs through the centres of edge pixels' outer neighbours' midpoints: an 8 x 8
    # square with its four corners cut by half a pixel's diagonal, 1/8 mm^2 each.
    expected = {
        "firstorder_Mean": inside.mean(),
        "firstorder_Energy": (inside**2).sum(),
        "shape2D_PixelSurface": 64.0,
        "shape2D_MeshSurface": 64 - 4 / 8,
        "shape2D_Perimeter": 4 * 7 + 4 * np.sqrt(0.5),
    }
    for name, value in expected.items():
        assert got[f"original_{name}"] == pytest.approx(value, rel=1e-9), name


def test_radiomics2d_ignores_thickness_and_other_slices() -> None:
    extract = registry.load_feature_set("radiomics2d").extract
    subject = plane(8, (0.6, 0.7, 0.7))
    alone = replace(subject, image=subject.image[1:2], outline=subject.mask[1:2])
    thick = replace(subject, spacing_mm=(5.0, 0.7, 0.7))
    assert extract(alone) == pytest.approx(extract(subject), rel=1e-9)
    assert extract(thick) == pytest.approx(extract(subject), rel=1e-9)


def test_radiomics2d_has_every_class_by_its_documented_size() -> None:
    sizes: dict[str, int] = {}
    for name in registry.load_feature_set("radiomics2d").extract(roi()):
        family = name.split("_")[1]
        sizes[family] = sizes.get(family, 0) + 1
    assert sizes == {
        "shape2D": 9, "firstorder": 18, "glcm": 24, "glrlm": 16, "glszm": 16, "gldm": 14,
        "ngtdm": 5,
    }  # fmt: skip


@pytest.mark.parametrize("name", [*PLAIN, *MODIFIED])
def test_a_feature_set_that_has_a_planar_one_names_it(name: str) -> None:
    planar = registry.load_feature_set(name).planar
    if planar:
        assert modifiers.split(planar)[1] == modifiers.split(name)[1]
        # The planar set is the end of it: no chain, no circle.
        assert registry.load_feature_set(planar).planar == ""


def test_planar_sets_are_those_of_size_and_radiomics() -> None:
    planar = {name: registry.load_feature_set(name).planar for name in [*PLAIN, *MODIFIED]}
    assert {name: each for name, each in planar.items() if each} == {
        name + suffix: f"{name}2d{suffix}"
        for name in ("diameter", "radiomics")
        for suffix in ("", "@reader", "@auto", "@dilated", "@eroded", "@shifted")
    }


@pytest.mark.parametrize("name", PLAIN)
def test_who_takes_modifiers_depends_on_the_mask(name: str) -> None:
    """Another mask, moved and larger, changes the features of those that say so."""
    subject = roi()
    outline = np.roll(subject.mask, 3, axis=1) | np.roll(subject.mask, 1, axis=2)
    extract = registry.load_feature_set(name).extract
    before, after = (
        as_array(extract(each)) for each in (subject, replace(subject, outline=outline))
    )
    if registry.load_feature_set(name).mask_modifiers:
        assert not np.array_equal(before, after)
    else:
        assert name == "ratings"  # of the nodule, not of a mask; its size alone follows


def test_radiomics_says_why_a_single_voxel_has_none() -> None:
    with pytest.raises(ValueError, match="only contains 1 segmented voxel"):
        registry.load_feature_set("radiomics").extract(roi((3, 5, 5), 0.8))


@pytest.mark.parametrize("name", ["radiomics", "radiomics2d", "radiomics_filtered"])
@pytest.mark.parametrize("family", ["glcm", "gldm", "glrlm", "glszm", "ngtdm"])
def test_radiomics_refuses_what_pyradiomics_leaves_out(
    family: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pyradiomics logs a class that fails, and goes on with fewer features."""

    def fail(*arguments: object) -> None:
        raise IndexError("Calculation Failed.")

    monkeypatch.setattr(c_code("_cmatrices"), f"calculate_{family}", fail)
    says = f"^pyradiomics gives no {family} features: Calculation Failed.$"
    with pytest.raises(ValueError, match=says):
        registry.load_feature_set(name).extract(roi())


def test_real_crops_lose_no_radiomics_class(lidc_crops: Path) -> None:
    """Thin nodules whose mask touches the border: pyradiomics' own command loses GLCM there."""
    dataset = manifest.open_dataset(lidc_crops)
    extract = registry.load_feature_set("radiomics").extract
    thin = []
    for record in dataset.records[:300]:
        subject = dataset.read(record)
        if subject.image.shape[0] <= 2:
            thin.append(subject)
    assert len(thin) > 10
    for subject in thin[:12]:
        assert len(extract(subject)) == 107
