"""Processor time of a peer that computes the same over this project's, in one process.

A ratio is the same on a slow machine and on a busy one, or nearly so; ``tests/perf_ratios.toml``
has what it was, and how far it moved by itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np

from benchmark.plugins import registry
from benchmark.roi import Roi, RoiRecord
from benchmark.statistics.cases import cases
from benchmark.statistics.inference import draw_patients
from benchmark.statistics.scoring import evaluate
from tests.helpers.pyradiomics_reference import SETS, execute
from tests.helpers.reference_metrics import discrimination, recalibration, simulated_predictions

STORED = Path(__file__).parents[1] / "perf_ratios.toml"

LEAST_S = 0.1
"""Processor seconds that a side's turn takes at least; shorter work is repeated."""


class Pair(NamedTuple):
    """Ours and a peer's way to the same values."""

    ours: Callable[[], object]
    peer: Callable[[], object]


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


def radiomics(name: str) -> Pair:
    """A feature set of a nodule, beside pyradiomics' ``execute`` on the same padded ROI."""
    roi = nodule()
    return Pair(partial(registry.load_feature_set(name).extract, roi), partial(execute, name, roi))


def bootstrap() -> Pair:
    """All metrics of 25 resamples of patients, beside scikit-learn's functions in a loop."""
    arm = cases(simulated_predictions(1, 1000, 600, np.random.default_rng(0)))
    draws = draw_patients(arm.n_patients, 25, 0)

    def loop() -> None:
        for counts in draws:
            weights = counts[arm.patient]
            discrimination(arm.y_true, arm.y_prob, arm.y_prob >= arm.threshold, weights)
            recalibration(arm.y_true, arm.y_prob, weights)

    return Pair(partial(evaluate, arm, draws), loop)


PAIRS: dict[str, Callable[[], Pair]] = {
    **{name: partial(radiomics, name) for name in SETS},
    "bootstrap": bootstrap,
}


def ratio(pair: Pair, turns: int = 7) -> float:
    """Median over turns of the peer's processor time over ours; each side goes once first."""
    times = [_times(side) for side in pair]
    found = []
    for _ in range(turns):
        ours, peer = (_seconds(side, n) for side, n in zip(pair, times, strict=True))
        found.append(peer / ours)
    return median(found)


def _times(side: Callable[[], object]) -> int:
    """How often a side is called in a turn."""
    _seconds(side, 1)
    return max(1, round(LEAST_S / max(_seconds(side, 1), 1e-6)))


def _seconds(side: Callable[[], object], times: int) -> float:
    start = time.process_time()
    for _ in range(times):
        side()
    return (time.process_time() - start) / times
