"""Resampling without ITK gives ITK's values, to the last bit where rounding decides."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from benchmark.runtime.paths import ROOT
from features._resample import MARGIN_VOXELS, _places, _spline_as_itk, resample
from tests.helpers.volumes import ball

WITHOUT_ITK = """
import sys
import numpy as np
from features.radiomics import extract
from benchmark.roi import Roi, RoiRecord

image = np.random.default_rng(0).normal(-600, 150, (9, 24, 26)).astype(np.float32)
mask = np.zeros(image.shape, bool)
mask[3:6, 8:16, 8:17] = True
extract(Roi(RoiRecord("r", "p", label=0), image, mask, (2.5, 0.7, 0.7)))
print(*{"SimpleITK", "radiomics", "pywt"} & sys.modules.keys())
"""


def with_itk(
    voxels: np.ndarray, interpolator: str, origin: np.ndarray, new: np.ndarray, old: np.ndarray,
    size: np.ndarray,
) -> np.ndarray:  # fmt: skip
    import SimpleITK as sitk

    source = sitk.GetImageFromArray(voxels)
    source.SetSpacing(old[::-1].tolist())
    resampler = sitk.ResampleImageFilter()
    resampler.SetInterpolator(getattr(sitk, interpolator))
    resampler.SetSize(size.astype(int)[::-1].tolist())
    resampler.SetOutputOrigin(origin[::-1].tolist())
    resampler.SetOutputSpacing(new[::-1].tolist())
    return sitk.GetArrayFromImage(resampler.Execute(source))


@pytest.mark.parametrize("seed", range(60))
def test_spline_and_nearest_voxel_are_itks_to_the_last_bit(seed: int) -> None:
    """Spacings of few digits put many places halfway between two voxels, or on one."""
    rng = np.random.default_rng(seed)
    shape = rng.integers(3, 30, 3)
    old = np.round(rng.uniform(0.4, 3, 3), rng.integers(1, 7))
    new = np.ones(3)
    low = np.maximum(np.floor(0.5 * old) - MARGIN_VOXELS, 0)
    size = np.ceil(shape * old) - 1 - low
    origin = 0.5 * (new - old) + low
    places = _places(origin, new, old, size)
    inside = [(at >= -0.5) & (at < n - 0.5) for at, n in zip(places, shape, strict=True)]
    places = [at[here] for at, here in zip(places, inside, strict=True)]
    grid = origin, new, old, size

    image = rng.normal(-500, 200, shape).round() if seed % 5 else np.full(shape, -777.0)
    expected = with_itk(image, "sitkBSpline", *grid)[np.ix_(*inside)]
    assert np.array_equal(_spline_as_itk(image, places), expected)

    mask = (rng.random(shape) < 0.5).astype(np.uint8)
    nearest = [np.floor(at + 0.5).astype(int) for at in places]
    expected = with_itk(mask, "sitkNearestNeighbor", *grid)[np.ix_(*inside)]
    assert np.array_equal(mask[np.ix_(*nearest)], expected)


def test_values_are_the_same_with_and_without_itks_order_of_sums(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image = np.random.default_rng(0).normal(-600, 150, (9, 24, 26))
    arguments = image, ball(image.shape, 3.5), (2.5, 0.7, 0.7), (1.0, 1.0, 1.0), 25
    quick, inside, spacing_mm = resample(*arguments)
    monkeypatch.setattr("features._resample._rounding_shows", lambda *_: True)
    slow, also_inside, _ = resample(*arguments)
    assert spacing_mm == (1, 1, 1)
    assert np.array_equal(inside, also_inside)
    assert not np.array_equal(quick, slow)
    assert np.allclose(quick, slow, rtol=0, atol=1e-9)  # HU; rounding of 1e3 is 1e-13


def test_itk_and_pyradiomics_are_not_imported() -> None:
    """Their import takes as long as thirty nodules, in every worker."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_ITK], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""
