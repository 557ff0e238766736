"""Drawn curves agree with the metrics in the table."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from benchmark.config import Bootstrap
from benchmark.statistics import curves
from benchmark.statistics.cases import Cases, cases
from benchmark.statistics.scoring import evaluate


def arm(folds: int, *, ties: bool = False, n: int = 240) -> Cases:
    rng = np.random.default_rng(1)
    y = rng.integers(0, 2, n)
    p = 1 / (1 + np.exp(-(rng.normal(0, 1, n) + 1.2 * y)))
    return cases(
        pd.DataFrame(
            {
                "roi_id": [f"r{i:03}" for i in range(n)],
                "patient_id": [f"p{i // 2:03}" for i in range(n)],
                "repeat": 0, "fold": rng.integers(0, folds, n), "y_true": y,
                "y_prob": p.round(1) if ties else p, "threshold": 0.6,
            }
        )
    )  # fmt: skip


def value(of: Cases, metric: str) -> float:
    return float(evaluate(of, np.ones((1, of.n_patients)), [metric])[metric][0])


def draws(of: Cases) -> np.ndarray:
    return curves.patient_draws(of, Bootstrap(samples=100), 0)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("folds", [1, 4])
@pytest.mark.parametrize(
    ("trace", "metric"),
    [(curves.roc, "auc"), (curves.precision_recall, "average_precision")],
)
def test_the_area_is_the_metric(trace, metric: str, folds: int, ties: bool) -> None:
    of = arm(folds, ties=ties)
    curve = trace(of, draws(of))
    # Exact for one fold; for several, a thousand grid points against a few dozen steps.
    tolerance = 1e-12 if folds == 1 else 1e-3
    assert np.trapezoid(curve.y, curve.x) == pytest.approx(value(of, metric), abs=tolerance)


def test_the_roc_curve_runs_through_the_decisions() -> None:
    of = arm(1)
    curve = curves.roc(of, draws(of))
    point = [1 - value(of, "specificity"), value(of, "sensitivity")]
    corners = np.stack([curve.x, curve.y], axis=1)
    assert np.abs(corners - point).sum(axis=1).min() < 1e-12


def test_the_band_holds_the_curve_and_shrinks_with_patients() -> None:
    wide, narrow = (curves.roc(of, draws(of)) for of in (arm(1, n=120), arm(1, n=1200)))
    for curve in (wide, narrow):
        at = np.interp(curve.band_x, curve.x, curve.y)
        inside = (curve.low - 1e-9 <= at) & (at <= curve.high + 1e-9)
        assert inside.mean() > 0.9
    assert (narrow.high - narrow.low).mean() < (wide.high - wide.low).mean() / 2


def test_net_benefit_is_that_of_the_metrics() -> None:
    of = arm(4)
    curve = curves.decision(of, draws(of))
    for percent in (10, 20, 30, 50):
        (position,) = np.flatnonzero(np.isclose(curve.x, percent / 100))
        assert curve.y[position] == pytest.approx(value(of, f"net_benefit_at_{percent}"))
    prevalence = of.y_true.mean()
    assert curves.treat_all(of)[49] == pytest.approx(2 * prevalence - 1)


def test_calibration_bins_are_those_of_the_calibration_error() -> None:
    of = arm(4)
    found = curves.reliability(of, draws(of))
    error = found.counts @ np.abs(found.observed - found.predicted) / found.counts.sum()
    assert error == pytest.approx(value(of, "ece"))
    assert found.counts.sum() == len(of.y_true)
