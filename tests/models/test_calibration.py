"""Platt's sigmoid, and when it is taken."""

from __future__ import annotations

import numpy as np
import pytest

from models._calibration import IDENTITY, apply_platt, choose_sigmoid, fit_platt
from models._training import Indices, inner_splits


def test_platt_recovers_a_known_sigmoid() -> None:
    rng = np.random.default_rng(0)
    decision = rng.normal(0, 2, 20_000)
    y = (rng.random(20_000) < 1 / (1 + np.exp(-(1.5 * decision - 0.5)))).astype(int)
    slope, intercept = fit_platt(decision, y)
    assert slope == pytest.approx(1.5, abs=0.08)  # 3 standard errors at 20,000 cases
    assert intercept == pytest.approx(-0.5, abs=0.08)
    assert np.isfinite(apply_platt(np.array([-1e4, 1e4]), (slope, intercept))).all()


def test_platt_stays_finite_where_the_classes_separate() -> None:
    slope, intercept = fit_platt(np.array([-2.0, -1.0, 1.0, 2.0]), np.array([0, 0, 1, 1]))
    p = apply_platt(np.array([-2.0, 2.0]), (slope, intercept))
    assert 0.05 < p[0] < 0.5 < p[1] < 0.95  # softened labels are 1/4 and 3/4


def test_platt_by_hand_where_decisions_say_nothing() -> None:
    """One malignant of four: labels are softened to 2/3 and 1/5, and p is their mean."""
    sigmoid = fit_platt(np.full(4, 2.0), np.array([1, 0, 0, 0]))
    p = apply_platt(np.array([2.0]), sigmoid)
    assert p[0] == pytest.approx((2 / 3 + 3 / 5) / 4, abs=1e-6)  # the optimiser's tolerance


def scored(
    n: int, slope: float, rois: int = 1
) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[tuple[Indices, Indices]]]:
    """Log-odds whose calibration slope is known, labels, patients of some ROIs, inner folds."""
    rng = np.random.default_rng(0)
    true = rng.normal(0, 2, n)
    y = (rng.random(n) < 1 / (1 + np.exp(-true))).astype(int)
    groups = np.array([f"p{i}" for i in range(n)])
    x, y, groups = (np.repeat(each, rois) for each in (true / slope, y, groups))
    return x, y, groups, inner_splits(y, groups, 5, 0)


@pytest.mark.parametrize("slope", [0.4, 2.5])
def test_scores_of_a_wrong_scale_get_a_sigmoid(slope: float) -> None:
    x, y, groups, splits = scored(400, slope)
    assert choose_sigmoid(x, y, groups, splits) == fit_platt(x, y)


def test_calibrated_scores_stay_as_they_are() -> None:
    assert choose_sigmoid(*scored(400, 1.0)) == IDENTITY


def test_patients_count_and_not_their_rois() -> None:
    """The same gain of ten ROIs a patient is sure enough only if each were a patient."""
    x, y, groups, splits = scored(40, 0.6, rois=10)
    assert choose_sigmoid(x, y, groups, splits) == IDENTITY
    assert choose_sigmoid(x, y, np.arange(400).astype(str), splits) != IDENTITY


def test_a_sigmoid_is_judged_on_rows_that_it_was_not_fitted_on() -> None:
    """Of folds of 90 and 30 % malignant, a sigmoid of both gains; neither's helps the other."""
    row = np.arange(400)
    y = np.concatenate([row % 10 != 0, row % 10 < 3]).astype(int)
    x = np.where((y == 1) & (np.arange(800) % 4 == 0), 0.02, 0.01)
    groups = np.arange(800).astype(str)
    every, first = np.arange(800), np.arange(800) < 400
    halves = [(np.flatnonzero(side), np.flatnonzero(~side)) for side in (first, ~first)]
    assert choose_sigmoid(x, y, groups, [(every, every)]) != IDENTITY
    assert choose_sigmoid(x, y, groups, halves) == IDENTITY


def test_a_sigmoid_that_falls_is_not_taken() -> None:
    """It would turn the order of the scores round."""
    x, y, groups, splits = scored(400, 1.0)
    assert fit_platt(-x, y)[0] < 0
    assert choose_sigmoid(-x, y, groups, splits) == IDENTITY
