"""Drawn curves agree with the metrics in the table."""

from __future__ import annotations

from dataclasses import replace

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


def test_treating_all_is_the_benefit_of_a_model_that_calls_everything() -> None:
    of = arm(4)
    called = replace(of, y_prob=np.ones(len(of.y_true)))
    everything = curves.decision(called, draws(called)).y
    np.testing.assert_allclose(curves.treat_all(of), everything, atol=1e-12)
    assert everything[9] > everything[49] > everything[79]  # the harm grows with the threshold


@pytest.mark.parametrize(
    ("trace", "metric", "lacking"),
    [(curves.roc, "auc", 0), (curves.roc, "auc", 1),
     (curves.precision_recall, "average_precision", 0),
     (curves.precision_recall, "average_precision", 1)],
)  # fmt: skip
def test_a_fold_without_a_class_takes_no_part_in_a_curve(trace, metric: str, lacking: int) -> None:
    """Fold 0 keeps one class: the curve is that of the other folds, as the metric is."""
    of = arm(4)
    kept = (of.fold != 0) | (of.y_true != lacking)
    arrays = {f: getattr(of, f)[kept] for f in ("y_true", "y_prob", "threshold", "fold")}
    with_half = Cases(**arrays, roi=of.roi[kept], patient=of.patient[kept])
    curve = trace(with_half, draws(with_half))
    area = np.trapezoid(curve.y, curve.x)
    # A thousand grid points against a few dozen steps.
    assert area == pytest.approx(value(with_half, metric), abs=1e-3)
    rest = with_half.fold != 0
    without = Cases(
        **{f: getattr(with_half, f)[rest] for f in ("y_true", "y_prob", "threshold", "fold")},
        roi=with_half.roi[rest], patient=with_half.patient[rest],
    )  # fmt: skip
    np.testing.assert_allclose(curve.y, trace(without, draws(without)).y, atol=1e-12)


def test_bands_are_quantiles_over_resampled_patients() -> None:
    of = arm(1)
    drawn = draws(of)
    assert not np.array_equal(drawn[0], drawn[1])
    samples = np.array([
        evaluate(of, row[None], ["net_benefit_at_20"])["net_benefit_at_20"][0] for row in drawn
    ])  # fmt: skip
    curve = curves.decision(of, drawn)
    low, high = np.quantile(samples, [0.025, 0.975])
    # Sums in another order.
    assert (curve.low[19], curve.high[19]) == pytest.approx((low, high), abs=1e-12)
    band = curves.reliability(of, drawn)
    in_bin = np.minimum((of.y_prob * 10).astype(int), 9) == 4
    weights = drawn[:, of.patient][:, in_bin]
    observed = (weights * of.y_true[in_bin]).sum(axis=1) / weights.sum(axis=1)
    ends = np.quantile(observed, [0.025, 0.975])
    assert (band.low[4], band.high[4]) == pytest.approx(tuple(ends), abs=1e-12)


def test_calibration_bins_are_those_of_the_calibration_error() -> None:
    of = arm(4)
    found = curves.reliability(of, draws(of))
    error = found.counts @ np.abs(found.observed - found.predicted) / found.counts.sum()
    assert error == pytest.approx(value(of, "ece"))
    assert found.counts.sum() == len(of.y_true)
