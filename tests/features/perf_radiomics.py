"""Time of a nodule's radiomics, beside pyradiomics' ``execute`` on the same padded ROI.

``tox -e perf`` runs this; the default test run does not collect it. The race with the batch
command over real files is ``scripts/time_radiomics.py``.
"""

from __future__ import annotations

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmark.plugins import registry
from benchmark.roi import Roi, RoiRecord
from tests.helpers.pyradiomics_reference import SETS, execute


@pytest.fixture(scope="module")
def nodule() -> Roi:
    """10 mm across in 0.7 x 0.7 x 2 mm voxels, about LIDC-IDRI's typical nodule and crop."""
    shape = (9, 34, 34)
    z, y, x = (
        np.square((np.arange(n) - (n - 1) / 2) * mm)
        for n, mm in zip(shape, (2.0, 0.7, 0.7), strict=True)
    )
    mask = z[:, None, None] + y[:, None] + x <= 5**2
    image = np.where(mask, 20, -850) + np.random.default_rng(0).normal(0, 60, shape).round()
    return Roi(RoiRecord("r", "p", label=0), image.astype(np.float32), mask, (2.0, 0.7, 0.7))


@pytest.mark.parametrize("name", SETS)
def test_this_project(name: str, nodule: Roi, benchmark: BenchmarkFixture) -> None:
    benchmark.group = name
    benchmark(registry.load_feature_set(name).extract, nodule)


@pytest.mark.parametrize("name", SETS)
def test_execute(name: str, nodule: Roi, benchmark: BenchmarkFixture) -> None:
    benchmark.group = name
    benchmark(execute, name, nodule)
