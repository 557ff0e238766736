"""The IBSI digital phantom: ``docs/features.md`` against the published reference values.

Phantom, values and tolerances are those of the IBSI reference manual (arXiv:1612.07003), as MIRP's
tests have them (github.com/oncoray/mirp, ``test/data/ibsi_1_reference_values``): morphology and
intensities, GLCM and GLRLM averaged over directions in space, the other matrices of the volume.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from scipy import stats

from benchmark.plugins import registry
from benchmark.roi import Roi, RoiRecord
from benchmark.runtime.paths import ROOT
from features import _pyradiomics
from tests.helpers.pyradiomics_reference import parameters

OUT = -1000
SLICES = [
    [[1, 4, 4, 1, 1], [1, 4, 6, 1, 1], [4, 1, 6, 4, 1], [4, 4, 6, 4, 1]],
    [[1, 4, 4, 1, 1], [1, 1, 6, 1, 1], [OUT, 1, 3, 1, 1], [4, 4, 6, 1, 1]],
    [[1, 4, 4, OUT, OUT], [1, 1, 1, 1, 1], [1, 1, OUT, 1, 1], [1, 1, 6, 1, 1]],
    [[1, 4, 4, OUT, OUT], [1, 1, 1, 1, 1], [1, 1, 1, 1, 1], [1, 1, 6, 1, 1]],
]
IMAGE = np.pad(np.array(SLICES, np.float32), 1, constant_values=OUT)
MASK = IMAGE != OUT
VOXEL_MM = 2.0
N = int(MASK.sum())

_AXIS = "IBSI's length is sqrt(N / (N - 1)) times as long"
DEVIATIONS: dict[str, tuple[str, Callable[[float], float]]] = {
    "original_firstorder_Kurtosis": (
        "IBSI's value is 3 lower (excess kurtosis)", lambda value: value - 3,
    ),
    **{
        f"original_shape_{axis}AxisLength": (_AXIS, lambda value: value * math.sqrt(N / (N - 1)))
        for axis in ("Major", "Minor", "Least")
    },
}  # fmt: skip
"""The formula as documented, and from pyradiomics' value to IBSI's."""


class Row(NamedTuple):
    """A feature in the documentation; without a code it is not in IBSI."""

    code: str
    deviation: str


class Reference(NamedTuple):
    """A published value, to three digits, and its tolerance."""

    value: float
    tolerance: float

    def holds(self, value: float) -> bool:
        return abs(float(f"{value:.3g}") - self.value) <= self.tolerance


def documented() -> dict[str, Row]:
    lines = (ROOT / "docs" / "features.md").read_text(encoding="utf-8").splitlines()
    cells = [line.strip("| ").split(" | ") for line in lines if line.startswith("| `original_")]
    rows = {name.strip("`"): Row(code.strip("-"), why) for name, _, code, why in cells}
    assert len(rows) == len(cells)
    return rows


def references() -> dict[str, Reference]:
    with Path(__file__).with_name("ibsi_digital_phantom.csv").open(newline="") as handle:
        return {
            row["code"]: Reference(float(row["value"]), float(row["tolerance"]))
            for row in csv.DictReader(handle)
        }


def ours() -> dict[str, float]:
    record = RoiRecord("phantom", "phantom", label=0)
    phantom = Roi(record, IMAGE, MASK, (VOXEL_MM, VOXEL_MM, VOXEL_MM))
    return registry.load_feature_set("radiomics").extract(phantom)


def of_pyradiomics() -> dict[str, float]:
    from radiomics.featureextractor import RadiomicsFeatureExtractor

    volumes = _pyradiomics.for_itk(IMAGE.astype(float), MASK, (VOXEL_MM, VOXEL_MM, VOXEL_MM))
    values = RadiomicsFeatureExtractor(parameters("radiomics")).execute(*volumes)
    return {name: float(value) for name, value in values.items() if name.startswith("original_")}


@pytest.fixture(params=[ours, of_pyradiomics])
def values(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Features of the phantom as it is: its own voxels, and its intensities 1 to 6 as levels."""
    monkeypatch.setattr(_pyradiomics, "SPACING_MM", VOXEL_MM)
    monkeypatch.setattr(_pyradiomics, "BIN_WIDTH_HU", 1)
    found: dict[str, float] = request.param()
    return found


def test_the_phantom_is_ibsis() -> None:
    """74 voxels, of which one that is left out lies inside."""
    assert (N, IMAGE[MASK].sum()) == (74, 159)
    assert sorted(set(IMAGE[MASK])) == [1, 3, 4, 6]


def test_every_feature_is_documented_in_its_order(values: dict[str, float]) -> None:
    assert list(values) == list(documented())


def test_every_code_has_one_feature_and_a_published_value() -> None:
    codes = [row.code for row in documented().values() if row.code]
    assert sorted(codes) == sorted(references())


def test_values_are_within_the_published_tolerances(values: dict[str, float]) -> None:
    published = references()
    outside = {}
    for name, row in documented().items():
        if row.code:
            _, to_ibsi = DEVIATIONS.get(name, ("", float))
            if not published[row.code].holds(to_ibsi(values[name])):
                outside[name] = to_ibsi(values[name]), published[row.code]
    assert not outside


def test_three_are_outside_as_they_are(values: dict[str, float]) -> None:
    published = references()
    outside = {
        name
        for name, row in documented().items()
        if row.code and not published[row.code].holds(values[name])
    }
    assert outside == DEVIATIONS.keys() - {"original_shape_MajorAxisLength"}


def test_deviations_are_exactly_the_documented_ones(values: dict[str, float]) -> None:
    where = np.argwhere(MASK) * VOXEL_MM
    axes = 4 * np.sqrt(np.linalg.eigvalsh(np.cov(where.T)))  # divided by N - 1
    expected = dict(
        zip([f"original_shape_{axis}AxisLength" for axis in ("Least", "Minor", "Major")], axes,
            strict=True)
    )  # fmt: skip
    expected["original_firstorder_Kurtosis"] = stats.kurtosis(IMAGE[MASK].astype(float))
    assert expected.keys() == DEVIATIONS.keys()
    for name, (_, to_ibsi) in DEVIATIONS.items():
        # The same sums in another order: a few of the last bits.
        assert to_ibsi(values[name]) == pytest.approx(expected[name], rel=1e-12)


def test_deviations_and_features_without_a_code_are_explained() -> None:
    rows = documented()
    for name, row in rows.items():
        if not row.code:
            assert row.deviation.startswith("not in IBSI: "), name
        else:
            assert row.deviation == DEVIATIONS.get(name, ("none",))[0], name
    assert rows.keys() >= DEVIATIONS.keys()
