"""Radiomics equals pyradiomics' ``execute``: odd masks, odd images, real nodules."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmark.datasets import manifest
from benchmark.plugins import registry
from benchmark.roi import Roi, RoiRecord
from features import _shape
from tests.helpers.pyradiomics_reference import RELATIVE, SETS, compare, execute
from tests.helpers.volumes import ball

THIN = (2.5, 0.7, 0.7)
CUBE = (1.0, 1.0, 1.0)


def roi(image: np.ndarray, mask: np.ndarray, spacing_mm: tuple[float, float, float] = THIN) -> Roi:
    return Roi(RoiRecord("r", "p", label=0), image.astype(np.float32), mask, spacing_mm)


def noise(shape: tuple[int, ...], low: float = -600, deviation: float = 150) -> np.ndarray:
    return np.random.default_rng(0).normal(low, deviation, shape).round()


def line(*values: float) -> Roi:
    """Voxels in a row, the rest of the image air."""
    image = np.full((3, 5, 4 + len(values)), -1000.0)
    mask = np.zeros(image.shape, bool)
    image[1, 2, 2:-2], mask[1, 2, 2:-2] = values, True
    return roi(image, mask, CUBE)


def scattered() -> Roi:
    mask = np.random.default_rng(1).random((6, 9, 10)) < 0.15
    mask[2, 4, 4:6] = True  # at least one pair, in the plane too
    mask[2, 5:8, 4] = True
    return roi(noise(mask.shape), mask)


def corner() -> np.ndarray:
    """Three voxels of four, in a plane."""
    mask = np.zeros((5, 5, 5), bool)
    mask[2, 2, 2] = mask[2, 2, 3] = mask[2, 3, 2] = True
    return mask


CASES = {
    "a ball in thin voxels": roi(noise((9, 24, 26)), ball((9, 24, 26), 3.5)),
    "a ball in thick slices": roi(noise((5, 30, 30)), ball((5, 30, 30), 9), (5.0, 0.6, 0.8)),
    "more voxels than grey levels": roi(noise((20, 20, 20)), ball((20, 20, 20), 9), CUBE),
    "one slice": roi(noise((1, 20, 20)), ball((1, 20, 20), 5)),
    # From 1,000 vertices on, the mesh is measured otherwise; here in voxels that are not cubes.
    "one large slice": roi(noise((1, 50, 50)), ball((1, 50, 50), 23), (2.5, 0.9, 0.9)),
    "one slice, thin": roi(noise((1, 20, 20)), ball((1, 20, 20), 5), (0.5, 0.7, 0.7)),
    "a mask that fills the image": roi(noise((3, 12, 10)), np.ones((3, 12, 10), bool)),
    "a mask of one slice in many": roi(
        noise((7, 9, 9)), ball((7, 9, 9), 3) & (np.arange(7) == 3)[:, None, None]
    ),
    "flat": roi(np.full((5, 12, 12), 40.0), ball((5, 12, 12), 4)),
    "flat, at the edge of a bin": roi(np.full((5, 12, 12), 50.0), ball((5, 12, 12), 4)),
    "two grey levels": roi(np.where(noise((6, 9, 9)) > -600, 30, 0), ball((6, 9, 9), 3), CUBE),
    "levels far apart": roi(np.where(noise((6, 9, 9)) > -600, 600, -400), ball((6, 9, 9), 3)),
    "a gradient, symmetric": roi(
        np.broadcast_to(np.arange(11) * 25.0, (5, 11, 11)), ball((5, 11, 11), 4), CUBE
    ),
    "three voxels": line(-300, 40, 70),
    # Its GLCM has four equal entries: neighbours are independent, and all is rounding.
    "independent neighbours": line(0, 0, 30, 30, 0),
    "scattered voxels": scattered(),
    # Along one of its diagonals no two voxels lie, which GLRLM leaves out.
    "a corner": roi(noise((5, 5, 5)), corner(), CUBE),
}


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("case", CASES)
def test_equal_in_odd_cases(name: str, case: str) -> None:
    deviation = compare(name, CASES[case])
    assert deviation.relative <= RELATIVE, deviation


@pytest.mark.parametrize(("name", "n"), [("radiomics", 30), ("radiomics2d", 30)])
def test_equal_on_real_nodules(name: str, n: int, lidc_crops: Path) -> None:
    """``scripts/time_radiomics.py`` compares all of them."""
    dataset = manifest.open_dataset(lidc_crops)
    for record in dataset.records[:: len(dataset.records) // n]:
        deviation = compare(name, dataset.read(record))
        assert deviation.relative <= RELATIVE, (record.roi_id, deviation)


def test_filtered_equal_on_real_nodules(lidc_crops: Path) -> None:
    """A few small ones: the reference takes seconds a nodule."""
    dataset = manifest.open_dataset(lidc_crops)
    small = [r for r in map(dataset.read, dataset.records[:60]) if r.mask.sum() < 120]
    assert len(small) > 5
    for subject in small[::4]:
        deviation = compare("radiomics_filtered", subject)
        assert deviation.relative <= RELATIVE, (subject.record.roi_id, deviation)


def test_filtered_begins_with_the_same_original_features() -> None:
    subject = CASES["a ball in thin voxels"]
    original = registry.load_feature_set("radiomics").extract(subject)
    filtered = registry.load_feature_set("radiomics_filtered").extract(subject)
    assert list(filtered.items())[:107] == list(original.items())


def test_filtered_has_every_image_by_its_documented_size() -> None:
    sizes: dict[str, int] = {}
    for name in registry.load_feature_set("radiomics_filtered").extract(line(0, 60, 90)):
        image = name.partition("_")[0]
        sizes[image] = sizes.get(image, 0) + 1
    assert sizes.pop("original") == 107
    bands = [f"wavelet-{a}{b}{c}" for a in "LH" for b in "LH" for c in "LH"]
    sigmas = [f"log-sigma-{mm}-0-mm-3D" for mm in (1, 2, 3)]
    assert sizes == dict.fromkeys([*bands, *sigmas], 93)


def test_voxels_without_neighbours_are_refused() -> None:
    mask = np.zeros((3, 9, 9), bool)
    mask[1, 2, 2] = mask[1, 6, 6] = True
    with pytest.raises(ValueError, match="no two voxels of the mask are neighbours"):
        registry.load_feature_set("radiomics").extract(roi(noise(mask.shape), mask, CUBE))


def test_a_single_column_has_no_2d_shape_in_pyradiomics() -> None:
    mask = np.zeros((1, 9, 9), bool)
    mask[0, 2:7, 4] = True
    subject = roi(noise(mask.shape), mask, CUBE)
    assert not [name for name in execute("radiomics2d", subject) if "shape" in name]
    with pytest.raises(ValueError, match="93 of 102 features"):
        registry.load_feature_set("radiomics2d").extract(subject)


def test_two_voxels_have_none_between_their_percentiles() -> None:
    subject = line(-300, 40)
    undefined = "original_firstorder_RobustMeanAbsoluteDeviation"
    assert np.isnan(execute("radiomics", subject)[undefined])
    with pytest.raises(ValueError, match=f"not finite: {undefined}$"):
        registry.load_feature_set("radiomics").extract(subject)


def test_a_value_that_is_not_finite_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_shape, "_eigenvalues", lambda *_: np.array([np.nan, 1.0, 1.0]))
    with pytest.raises(ValueError, match="not finite: original_shape_Flatness"):
        registry.load_feature_set("radiomics").extract(CASES["one slice"])
