from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.special import expit, logit

from benchmark.statistics import calibration
from benchmark.statistics.cases import Scores, ratio
from benchmark.statistics.metrics import IDEAL, METRICS, PROPORTIONS, goodness
from tests.helpers.reference_metrics import discrimination, recalibration


def scores(
    y_true: list[int] | np.ndarray,
    y_prob: list[float] | np.ndarray,
    *,
    threshold: float = 0.5,
    fold: list[int] | np.ndarray | None = None,
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


def overlapping(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels and probabilities with a moderate AUC."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    return y, expit(rng.normal(1.2 * y - 0.8, 1.3))


def test_by_hand() -> None:
    y, p = [1, 1, 1, 0, 0, 0, 0], [0.9, 0.6, 0.2, 0.5, 0.4, 0.1, 0.2]
    # At .5: TP 2, FP 1, FN 1, TN 3.
    assert value("accuracy", y, p) == pytest.approx(5 / 7)
    assert value("sensitivity", y, p) == pytest.approx(2 / 3)
    assert value("specificity", y, p) == pytest.approx(3 / 4)
    assert value("precision", y, p) == pytest.approx(2 / 3)
    assert value("npv", y, p) == pytest.approx(3 / 4)
    assert value("f1", y, p) == pytest.approx(4 / 6)
    assert value("balanced_accuracy", y, p) == pytest.approx((2 / 3 + 3 / 4) / 2)
    assert value("mcc", y, p) == pytest.approx((2 * 3 - 1 * 1) / np.sqrt(3 * 3 * 4 * 4))
    # Of 12 pairs: .9 and .6 beat all four; .2 beats .1 and ties with .2.
    assert value("auc", y, p) == pytest.approx((4 + 4 + 1.5) / 12)
    # Precision at .9, .6 and .2 (three of six called, the tie included).
    assert value("average_precision", y, p) == pytest.approx((1 + 1 + 3 / 6) / 3)
    # Four benign: specificity .90 allows no false positive, so the threshold is .6.
    assert value("sensitivity_at_specificity_90", y, p) == pytest.approx(2 / 3)
    # Three malignant: sensitivity .90 takes all, down to .2; of the benign .1 is spared.
    assert value("specificity_at_sensitivity_90", y, p) == pytest.approx(1 / 4)
    squares = [0.01, 0.16, 0.64, 0.25, 0.16, 0.01, 0.04]
    assert value("brier", y, p) == pytest.approx(sum(squares) / 7)
    likelihoods = [0.9, 0.6, 0.2, 0.5, 0.6, 0.9, 0.8]
    assert value("log_loss", y, p) == pytest.approx(-sum(map(np.log, likelihoods)) / 7)
    # Bins .9, .6, .5, .4, .1 hold one ROI each, .2 one of each class: |1 - .4|.
    assert value("ece", y, p) == pytest.approx((0.1 + 0.4 + 0.5 + 0.4 + 0.1 + 0.6) / 7)
    # At .2: TP 3, FP 3. At .3: TP 2, FP 2.
    assert value("net_benefit_at_20", y, p) == pytest.approx((3 - 3 * 0.25) / 7)
    assert value("net_benefit_at_30", y, p) == pytest.approx((2 - 2 * 3 / 7) / 7)


@pytest.mark.parametrize("ties", [False, True])
def test_agrees_with_scikit_learn_under_weights(ties: bool) -> None:
    y, p = overlapping(120, 0)
    p = p.round(1).clip(0.05, 0.95) if ties else p
    weights = np.random.default_rng(1).integers(0, 4, (25, 120)).astype(float)
    got = {name: METRICS[name](scores(y, p, weights=weights)) for name in METRICS}
    for row, w in enumerate(weights):
        expected = discrimination(y, p, p >= 0.5, w)
        assert expected.keys() | {"calibration_slope", "calibration_intercept"} == METRICS.keys()
        for name, number in expected.items():
            # Both are sums of fewer than 1e4 terms of order 1: only rounding differs.
            assert got[name][row] == pytest.approx(number, rel=1e-12, abs=1e-13), name
        for name, number in recalibration(y, p, w).items():
            # scikit-learn stops at a gradient of 1e-9 a case; the curvature is of order .1.
            assert got[name][row] == pytest.approx(number, abs=1e-7), name


def test_calibration_agrees_with_statsmodels_under_weights() -> None:
    y, p = overlapping(150, 2)
    weights = np.random.default_rng(3).integers(0, 4, (10, 150)).astype(float)
    s = scores(y, p, weights=weights)
    slope, intercept = METRICS["calibration_slope"](s), METRICS["calibration_intercept"](s)
    for row, w in enumerate(weights):
        family = sm.families.Binomial()
        free = sm.GLM(y, sm.add_constant(logit(p)), family, freq_weights=w).fit(tol=1e-14)
        fixed = sm.GLM(y, np.ones(150), family, offset=logit(p), freq_weights=w).fit(tol=1e-14)
        # Both are Newton iterations; ours leaves an error of order 1e-5 squared.
        assert slope[row] == pytest.approx(free.params[1], abs=1e-8)
        assert intercept[row] == pytest.approx(fixed.params[0], abs=1e-8)


def test_calibration_of_a_resample_does_not_depend_on_its_company() -> None:
    """Resamples that are nearly separated take many steps, for which the others do not wait."""
    y, p = overlapping(14, 6)
    weights = np.random.default_rng(7).integers(0, 3, (200, 14)).astype(float)
    for name in ("calibration_slope", "calibration_intercept"):
        together = METRICS[name](scores(y, p, weights=weights))
        alone = [METRICS[name](scores(y, p, weights=w[None]))[0] for w in weights]
        assert np.isfinite(together).sum() > 150
        np.testing.assert_allclose(together, alone, rtol=1e-7)


def test_calibration_recovers_what_was_distorted() -> None:
    y, p = overlapping(300, 4)
    x = logit(p)
    base = value("calibration_slope", y, p)
    assert value("calibration_slope", y, expit(0.7 + 2 * x)) == pytest.approx(base / 2, rel=1e-9)
    calibrated = expit(x + value("calibration_intercept", y, p))
    assert value("calibration_intercept", y, calibrated) == pytest.approx(0, abs=1e-9)
    # Calibration in the large makes the mean prediction the prevalence.
    assert calibrated.mean() == pytest.approx(y.mean(), abs=1e-9)


def test_calibration_of_separated_classes_is_undefined() -> None:
    y = [0, 0, 0, 1, 1, 1]
    assert np.isnan(value("calibration_slope", y, [0.1, 0.2, 0.3, 0.6, 0.7, 0.8]))
    assert np.isnan(value("calibration_slope", y, [0.9, 0.8, 0.7, 0.3, 0.2, 0.1]))
    # Touching at one value is separation too: the likelihood has no maximum.
    assert np.isnan(value("calibration_slope", y, [0.1, 0.2, 0.3, 0.3, 0.7, 0.8]))
    assert np.isnan(value("calibration_slope", y, [0.4] * 6))
    assert np.isfinite(value("calibration_slope", y, [0.1, 0.2, 0.4, 0.3, 0.7, 0.8]))
    assert np.isfinite(value("calibration_intercept", y, [0.4] * 6))


def test_calibration_of_certain_predictions_is_that_of_the_clip() -> None:
    y, p = [0, 0, 0, 1, 1, 1, 0, 1], [0.0, 0.0, 0.3, 0.2, 1.0, 1.0, 1.0, 0.0]
    clipped = np.clip(p, calibration.CLIP, 1 - calibration.CLIP)
    for name in ("calibration_slope", "calibration_intercept"):
        # A solution far from the start: eight cases, logits of +-14.
        assert value(name, y, p) == pytest.approx(value(name, y, clipped), abs=1e-9)
    fitted = sm.GLM(y, sm.add_constant(logit(clipped)), sm.families.Binomial()).fit(tol=1e-14)
    assert value("calibration_slope", y, p) == pytest.approx(fitted.params[1], abs=1e-8)


def test_whole_weights_are_copies() -> None:
    y, p = overlapping(60, 5)
    rng = np.random.default_rng(6)
    copies, fold = rng.integers(0, 4, 60), rng.integers(0, 2, 60)
    for name in METRICS:
        weighted = value(name, y, p, fold=fold, weights=copies[None].astype(float))
        copied = value(name, y.repeat(copies), p.repeat(copies), fold=fold.repeat(copies))
        assert weighted == pytest.approx(copied), name


@pytest.mark.parametrize("name", METRICS)
def test_the_order_of_rows_and_resamples_is_irrelevant(name: str) -> None:
    y, p = overlapping(80, 7)
    rng = np.random.default_rng(8)
    weights, fold = rng.integers(0, 3, (6, 80)).astype(float), rng.integers(0, 2, 80)
    rows, columns = rng.permutation(6), rng.permutation(80)
    plain = METRICS[name](scores(y, p, fold=fold, weights=weights))
    turned = METRICS[name](
        scores(y[columns], p[columns], fold=fold[columns], weights=weights[rows][:, columns])
    )
    # Sums in another order; for the calibration fits, another row to start from.
    np.testing.assert_allclose(turned, plain[rows], rtol=1e-8)


def test_flipping_labels_and_scores() -> None:
    rng = np.random.default_rng(2)
    y, p = rng.integers(0, 2, 50), rng.random(50)
    assert value("auc", 1 - y, p) == pytest.approx(1 - value("auc", y, p))
    assert value("auc", 1 - y, 1 - p) == pytest.approx(value("auc", y, p))
    assert value("auc", y, p**3) == pytest.approx(value("auc", y, p))
    for name, mirrored in {
        "sensitivity": "specificity",
        "precision": "npv",
        "mcc": "mcc",
        "sensitivity_at_specificity_90": "specificity_at_sensitivity_90",
        "sensitivity_at_specificity_95": "specificity_at_sensitivity_95",
        "brier": "brier",
        "log_loss": "log_loss",
        "calibration_slope": "calibration_slope",
    }.items():
        assert value(name, 1 - y, 1 - p) == pytest.approx(value(mirrored, y, p)), name
    assert value("calibration_intercept", 1 - y, 1 - p) == pytest.approx(
        -value("calibration_intercept", y, p)
    )


RANKING = ("auc", "average_precision", "sensitivity_at_specificity_90",
           "specificity_at_sensitivity_90")  # fmt: skip


def test_scores_of_different_folds_are_never_compared() -> None:
    # Right within each fold, wrong across them, as for models on different scales.
    y, p, fold = [0, 1, 0, 1], [0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1]
    for name in RANKING:
        assert value(name, y, p, fold=fold) == 1, name
        assert value(name, y, p) < 1, name
    y, p = overlapping(90, 9)
    fold = np.arange(90) % 3
    rescaled = np.where(fold == 1, p**3, p)
    for name in METRICS:
        same = np.isclose(value(name, y, p, fold=fold), value(name, y, rescaled, fold=fold))
        ranks_only = name in {*RANKING, "sensitivity_at_specificity_95",
                              "specificity_at_sensitivity_95"}  # fmt: skip
        assert same == ranks_only, name


def test_folds_count_by_the_cases_that_they_speak_for() -> None:
    y, p = overlapping(90, 10)
    fold = np.repeat([0, 1], [30, 60])
    parts = [(y[fold == f], p[fold == f]) for f in (0, 1)]
    malignant = np.array([part.sum() for part, _ in parts])
    benign = np.array([len(part) for part, _ in parts]) - malignant
    for name, weight in {
        "auc": malignant * benign,
        "average_precision": malignant,
        "sensitivity_at_specificity_90": malignant,
        "specificity_at_sensitivity_90": benign,
    }.items():
        alone = np.array([value(name, *part) for part in parts])
        expected = np.average(alone, weights=weight)
        assert value(name, y, p, fold=fold) == pytest.approx(expected), name


def test_a_fold_with_one_class_is_left_out_of_the_ranking() -> None:
    y, p, fold = [0, 1, 0, 1, 1, 1], [0.1, 0.9, 0.6, 0.4, 0.3, 0.2], [0, 0, 0, 0, 1, 1]
    for name in RANKING:
        assert value(name, y, p, fold=fold) == value(name, y[:4], p[:4]), name


def test_constant_predictor_over_unequal_folds_is_one_half() -> None:
    y, fold = [0, 0, 1, 0, 1, 1], [0, 0, 0, 1, 1, 1]
    p = [2 / 3] * 3 + [1 / 3] * 3  # each fold gets the prevalence of the other
    assert value("auc", y, p, fold=fold) == 0.5
    assert value("auc", y, p) < 0.5


def test_fixed_specificity_is_exact_at_the_boundary() -> None:
    # One of ten benign ROIs above the malignant one: specificity is exactly .90.
    y, p = [1] + [0] * 10, [0.5, 0.9] + [0.1] * 9
    assert value("sensitivity_at_specificity_90", y, p) == 1
    assert value("sensitivity_at_specificity_95", y, p) == 0
    y, p = [0] + [1] * 10, [0.5, 0.1] + [0.9] * 9
    assert value("specificity_at_sensitivity_90", y, p) == 1
    assert value("specificity_at_sensitivity_95", y, p) == 0


ONE_CLASS = {
    "sensitivity": 0, "specificity": 1, "balanced_accuracy": 0, "mcc": 0, "auc": 0,
    "average_precision": 0, "sensitivity_at_specificity_90": 0, "sensitivity_at_specificity_95": 0,
    "specificity_at_sensitivity_90": 0, "specificity_at_sensitivity_95": 0,
    "calibration_slope": 0, "calibration_intercept": 0,
}  # fmt: skip


@pytest.mark.parametrize(("name", "label"), ONE_CLASS.items())
def test_undefined_is_nan(name: str, label: int) -> None:
    assert np.isnan(value(name, [label, label], [0.1, 0.9]))
    # In one resample only, the others are as they are.
    weights = np.array([[1.0, 1.0, 1.0, 1.0], [label, 1 - label, label, 1 - label]])[
        :, [0, 1, 2, 3]
    ]
    y, p = [1, 0, 1, 0], [0.7, 0.2, 0.3, 0.6]
    both = METRICS[name](scores(y, p, weights=weights))
    assert np.isfinite(both[0])
    assert np.isnan(both[1])


def test_precision_without_calls_is_nan() -> None:
    assert np.isnan(value("precision", [0, 1], [0.1, 0.2]))
    assert np.isnan(value("mcc", [0, 1], [0.1, 0.2]))
    assert np.isnan(value("npv", [0, 1], [0.8, 0.9]))


def test_threshold_is_called_malignant_at_equality() -> None:
    assert value("sensitivity", [1, 0], [0.5, 0.4], threshold=0.5) == 1
    assert value("net_benefit_at_50", [1, 0], [0.5, 0.4]) == 0.5


def test_net_benefit_of_treating_all() -> None:
    y = np.r_[np.ones(30), np.zeros(70)].astype(int)
    # Vickers & Elkin 2006: prevalence - (1 - prevalence) pt / (1 - pt).
    assert value("net_benefit_at_10", y, np.full(100, 0.9)) == pytest.approx(0.3 - 0.7 / 9)
    assert value("net_benefit_at_10", y, np.full(100, 0.05)) == 0


def test_the_last_bin_of_the_calibration_error_holds_one() -> None:
    assert value("ece", [1, 1, 0], [1.0, 0.9, 0.0]) == pytest.approx(0.1 / 3)


def test_proportions_are_the_metrics_of_their_names() -> None:
    s = scores(*overlapping(50, 11))
    for name, counted in PROPORTIONS.items():
        np.testing.assert_array_equal(METRICS[name](s), ratio(*counted(s)))


def test_goodness_turns_every_metric_the_same_way() -> None:
    assert IDEAL.keys() < METRICS.keys()
    np.testing.assert_array_equal(goodness("auc", np.array([0.6, 0.7])), [0.6, 0.7])
    np.testing.assert_allclose(goodness("calibration_slope", np.array([0.8, 1.1])), [-0.2, -0.1])
    np.testing.assert_allclose(
        goodness("calibration_intercept", np.array([0.1, -0.3])), [-0.1, -0.3]
    )
    # A useful model beats noise by every metric but the mean, which noise may have right too.
    y, p = overlapping(400, 12)
    useless = expit(3 * np.random.default_rng(13).normal(size=400))
    for name in METRICS.keys() - {"calibration_intercept"}:
        better, worse = (goodness(name, METRICS[name](scores(y, q)))[0] for q in (p, useless))
        assert better > worse, name


def test_every_metric_is_described() -> None:
    for name, metric in METRICS.items():
        assert metric.__name__ == name
        assert (metric.__doc__ or "").partition("\n")[0].endswith((".", "better.")), name
