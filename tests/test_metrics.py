from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as reference

from benchmark.metrics import METRICS, Scores


def scores(
    y_true: list[int] | np.ndarray,
    y_prob: list[float] | np.ndarray,
    *,
    threshold: float = 0.5,
    fold: list[int] | None = None,
    weights: np.ndarray | None = None,
) -> Scores:
    n = len(y_true)
    return Scores(
        np.asarray(y_true),
        np.asarray(y_prob, dtype=float),
        np.full(n, threshold),
        np.zeros(n, np.int64) if fold is None else np.asarray(fold),
        np.ones((1, n)) if weights is None else weights,
    )


def value(name: str, *args: object, **kwargs: object) -> float:
    return float(METRICS[name](scores(*args, **kwargs))[0])


def test_by_hand() -> None:
    y, p = [1, 1, 1, 0, 0, 0, 0], [0.9, 0.6, 0.2, 0.5, 0.4, 0.1, 0.2]
    assert value("accuracy", y, p) == pytest.approx(5 / 7)
    assert value("sensitivity", y, p) == pytest.approx(2 / 3)
    assert value("specificity", y, p) == pytest.approx(3 / 4)
    # Of 12 pairs: .9 and .6 beat all four; .2 beats .1 and ties with .2.
    assert value("auc", y, p) == pytest.approx((4 + 4 + 1.5) / 12)


@pytest.mark.parametrize("ties", [False, True])
def test_agrees_with_scikit_learn_under_weights(ties: bool) -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 80)
    p = np.clip(rng.normal(0.4 + 0.2 * y, 0.2), 0, 1)
    p = p.round(1) if ties else p
    weights = rng.integers(0, 4, (25, 80)).astype(float)
    got = {name: METRICS[name](scores(y, p, weights=weights)) for name in METRICS}
    called = p >= 0.5
    for row, w in enumerate(weights):
        expected = {
            "accuracy": reference.accuracy_score(y, called, sample_weight=w),
            "sensitivity": reference.recall_score(y, called, sample_weight=w),
            "specificity": reference.recall_score(y, called, sample_weight=w, pos_label=0),
            "auc": reference.roc_auc_score(y, p, sample_weight=w),
        }
        assert expected.keys() == METRICS.keys()
        for name, number in expected.items():
            # Both are ratios of sums of fewer than 1e4 terms: only rounding differs.
            assert got[name][row] == pytest.approx(number, rel=1e-12), name


def test_whole_weights_are_copies() -> None:
    rng = np.random.default_rng(1)
    y, p, copies = rng.integers(0, 2, 40), rng.random(40), rng.integers(0, 4, 40)
    for name in METRICS:
        weighted = value(name, y, p, weights=copies[None].astype(float))
        assert weighted == pytest.approx(value(name, y.repeat(copies), p.repeat(copies)))


def test_flipping_labels_and_scores() -> None:
    rng = np.random.default_rng(2)
    y, p = rng.integers(0, 2, 50), rng.random(50)
    assert value("auc", 1 - y, p) == pytest.approx(1 - value("auc", y, p))
    assert value("auc", 1 - y, 1 - p) == pytest.approx(value("auc", y, p))
    assert value("sensitivity", 1 - y, 1 - p) == pytest.approx(value("specificity", y, p))
    assert value("auc", y, p**3) == pytest.approx(value("auc", y, p))


def test_scores_of_different_folds_are_never_compared() -> None:
    # Right within each fold, wrong across them, as for models on different scales.
    y, p, fold = [0, 1, 0, 1], [0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1]
    assert value("auc", y, p, fold=fold) == 1
    assert value("auc", y, p) == pytest.approx(0.75)


def test_constant_predictor_over_unequal_folds_is_one_half() -> None:
    y, fold = [0, 0, 1, 0, 1, 1], [0, 0, 0, 1, 1, 1]
    p = [2 / 3] * 3 + [1 / 3] * 3  # each fold gets the prevalence of the other
    assert value("auc", y, p, fold=fold) == 0.5
    assert value("auc", y, p) < 0.5


def test_undefined_is_nan() -> None:
    assert np.isnan(value("sensitivity", [0, 0], [0.1, 0.9]))
    assert np.isnan(value("specificity", [1, 1], [0.1, 0.9]))
    assert np.isnan(value("auc", [1, 1], [0.1, 0.9]))


def test_threshold_is_called_malignant_at_equality() -> None:
    assert value("sensitivity", [1, 0], [0.5, 0.4], threshold=0.5) == 1
