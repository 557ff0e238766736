"""Regression on ratings: what it learns from, and what sigmoid and threshold rest on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from benchmark.plugins.arms import NO_LABEL
from benchmark.plugins.contracts import Readings
from models import soft_svr


def cohort(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, Readings]:
    """Nodules of two a patient whose ratings follow one column; those rated 3 have no label."""
    rng = np.random.default_rng(seed)
    grade = rng.integers(1, 6, n)
    X = rng.normal(size=(n, 5))
    X[:, 0] += 1.5 * grade
    y = np.where(grade == 3, NO_LABEL, grade > 3).astype(np.int64)
    groups = np.array([f"p{i // 2}" for i in range(n)])
    ratings = tuple((int(g),) * int(rng.integers(1, 5)) for g in grade)
    return X, y, groups, Readings(ratings, ({},) * n)


def fitted(X: Any, y: Any, groups: Any, readings: Readings) -> Any:
    model = soft_svr.build(0)
    model.fit(X, y, groups, readings=readings)
    return model


def some(readings: Readings, rows: np.ndarray) -> Readings:
    return Readings(tuple(readings.ratings[i] for i in rows), ({},) * len(rows))


def test_ratings_and_nodules_without_a_label_are_learnt_from() -> None:
    X, y, groups, readings = cohort(120, 0)
    X_new, y_new, _, _ = cohort(200, 1)
    known = y_new != NO_LABEL
    p = fitted(X, y, groups, readings).predict_proba(X_new)[:, 1]
    assert roc_auc_score(y_new[known], p[known]) > 0.95
    labelled = np.flatnonzero(y != NO_LABEL)
    without = fitted(X[labelled], y[labelled], groups[labelled], some(readings, labelled))
    assert not np.allclose(without.predict_proba(X_new)[:, 1], p)
    other = Readings(tuple((5,) if 2 in each else each for each in readings.ratings), ({},) * 120)
    assert not np.allclose(fitted(X, y, groups, other).predict_proba(X_new)[:, 1], p)


def test_inner_folds_hold_patients_out_whole_with_their_nodules_without_a_label() -> None:
    _, y, groups, _ = cohort(120, 0)
    folds = soft_svr._folds(y, groups, 5, 0)
    assert (
        sorted(np.concatenate([tested for _, tested in folds]))
        == np.flatnonzero(y != NO_LABEL).tolist()
    )
    for rows, tested in folds:
        assert not set(groups[rows]) & set(groups[tested])
        assert (y[tested] != NO_LABEL).all()
        assert (y[rows] == NO_LABEL).any()
    sides = [set(groups[y == NO_LABEL]) & set(groups[tested]) for _, tested in folds]
    assert any(sides), "no patient has both kinds, so nothing was shown"


def test_sigmoid_and_threshold_rest_on_scores_of_rows_that_were_not_fitted() -> None:
    """On noise, fitted rows look separable and held-out ones do not: the slope tells which."""
    rng = np.random.default_rng(3)
    X, y = rng.normal(size=(80, 300)), np.arange(80) % 2
    groups = np.array([f"p{i}" for i in range(80)])
    readings = Readings(tuple((5,) if label else (1,) for label in y), ({},) * 80)
    p = fitted(X, y, groups, readings).predict_proba(X)[:, 1]
    assert np.ptp(p) < 0.9  # from fitted scores it is .96
    assert p[y == 1].mean() < 0.8


def test_a_row_weighs_by_the_root_of_its_readers() -> None:
    _, weight = soft_svr._targets([(4,), (4, 5, 3, 4)], 2)
    assert weight.tolist() == [1.0, 2.0]
    means, _ = soft_svr._targets([(4,), (2, 5)], 2)
    assert means.tolist() == [4.0, 3.5]


def test_rows_without_ratings_are_refused() -> None:
    X, y, groups, readings = cohort(60, 0)
    with pytest.raises(ValueError, match="training row 7 has no rating"):
        silent = tuple(() if i == 7 else each for i, each in enumerate(readings.ratings))
        fitted(X, y, groups, Readings(silent, readings.attributes))
    with pytest.raises(ValueError, match="readings has 59 rows; X has 60"):
        fitted(X, y, groups, some(readings, np.arange(59)))
