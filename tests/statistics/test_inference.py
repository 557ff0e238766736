from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as reference_mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from benchmark.statistics import inference
from benchmark.statistics.inference import (
    corrected_t,
    degrees_of_freedom,
    draw_patients,
    holm,
    interval,
    leave_one_out,
    mcnemar,
    normal_test,
    patient_draws,
    scaled_t,
    standard_error,
    t_test,
    wilson,
)


def test_draws_are_of_whole_samples() -> None:
    draws = draw_patients(7, 500, 0)
    assert draws.shape == (500, 7)
    assert (draws.sum(axis=1) == 7).all()
    assert (draws >= 0).all()
    np.testing.assert_array_equal(draws, draw_patients(7, 500, 0))
    assert (draws != draw_patients(7, 500, 1)).any()


def test_draws_are_multinomial() -> None:
    draws = draw_patients(20, 20_000, 3)
    # A count is binomial(20, 1/20): over 4e5 counts the mean's standard error is .0016, that
    # of the variance .0035; the counts of two patients correlate by -1/19, give or take .007.
    assert draws.mean() == pytest.approx(1, abs=1e-12)
    assert draws.var() == pytest.approx(0.95, abs=0.015)
    assert np.corrcoef(draws[:, 0], draws[:, 1])[0, 1] == pytest.approx(-1 / 19, abs=0.03)


def test_draws_cannot_be_changed_by_who_gets_them() -> None:
    with pytest.raises(ValueError, match="read-only"):
        draw_patients(7, 500, 0)[0, 0] = 5


def test_blocks_are_the_rows_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    draws, left = draw_patients(11, 40, 3), np.concatenate(list(leave_one_out(11)))
    monkeypatch.setattr(inference, "_HELD", 80)
    monkeypatch.setattr(inference, "_BLOCK", 80)
    blocks = list(patient_draws(11, 40, 3))
    assert [len(block) for block in blocks] == [7, 7, 7, 7, 7, 5]
    np.testing.assert_array_equal(np.concatenate(blocks), draws)
    blocks = list(leave_one_out(11))
    assert [len(block) for block in blocks] == [7, 4]
    np.testing.assert_array_equal(np.concatenate(blocks), left)


def test_jackknife_leaves_out_each_patient_once() -> None:
    (whole,) = leave_one_out(3)
    np.testing.assert_array_equal(whole, [[0, 1, 1], [1, 0, 1], [1, 1, 0]])


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_agrees_with_scipy_for_independent_cases(method: str) -> None:
    data = np.random.default_rng(0).exponential(size=60)
    samples = draw_patients(60, 20_000, 1) @ data / 60
    got = interval(samples, data.mean(), next(leave_one_out(60)) @ data / 59, method)
    expected = stats.bootstrap(
        (data,), np.mean, n_resamples=20_000, method=method, rng=np.random.default_rng(2)
    ).confidence_interval
    # Two independent draws of 20,000: a .025 quantile's standard error is about .003 here.
    assert got.low == pytest.approx(expected.low, abs=0.012)
    assert got.high == pytest.approx(expected.high, abs=0.012)


def test_clustering_widens_the_interval() -> None:
    rng = np.random.default_rng(0)
    patient = np.repeat(np.arange(50), 6)
    data = np.repeat(rng.normal(size=50), 6) + 0.1 * rng.normal(size=300)

    def width(unit: np.ndarray) -> float:
        weights = draw_patients(unit.max() + 1, 2000, 0)[:, unit]
        found = interval(weights @ data / weights.sum(axis=1), data.mean(), None, "percentile")
        return found.high - found.low

    # Six near copies a patient: the naive interval is short by nearly sqrt(6) = 2.4.
    assert width(patient) > 2 * width(np.arange(300))


def test_undefined_statistics_get_no_interval() -> None:
    samples = np.r_[np.full(20, np.nan), np.linspace(0, 1, 80)]
    assert np.isnan(interval(samples, 0.5, None, "percentile").low)
    assert np.isnan(standard_error(samples, 50))
    mostly = np.r_[np.full(5, np.nan), np.linspace(0, 1, 95)]
    assert interval(mostly, 0.5, None, "percentile").low == pytest.approx(0.025)
    assert np.isnan(interval(mostly, np.nan, None, "percentile").high)
    assert standard_error(mostly, 2) == pytest.approx(np.sqrt(2) * mostly[5:].std(ddof=1))


def test_constant_statistic() -> None:
    ends = interval(np.ones(200), 1.0, np.ones(10), "bca")
    assert (ends.low, ends.high) == (1, 1)


def test_bca_needs_the_jackknife() -> None:
    with pytest.raises(ValueError, match="leave-one-patient-out"):
        interval(np.linspace(0, 1, 200), 0.5, None, "bca")


def test_standard_error_of_a_mean() -> None:
    """Of a mean, the bootstrap's error with m of m - 1 is the textbook's s / sqrt(m)."""
    data = np.random.default_rng(0).exponential(size=12)
    samples = draw_patients(12, 40_000, 1) @ data / 12
    # 40,000 resamples know a standard deviation to .4 %; without the factor it is 4.3 % less.
    expected = data.std(ddof=1) / np.sqrt(12)
    assert standard_error(samples, 12) == pytest.approx(expected, rel=0.015)
    assert np.isnan(standard_error(samples, 1))
    # What differs by rounding does not differ.
    assert standard_error(0.3 + 1e-16 * np.arange(500), 12) == 0


def test_degrees_of_freedom() -> None:
    normal = np.random.default_rng(0).normal(size=4000)
    # Kurtosis 3: as many as there are values, and never more than the patients less one. The
    # kurtosis of 4,000 normal values has a standard error of .08.
    assert degrees_of_freedom(normal, 10_000) == pytest.approx(4000, rel=0.1)
    assert degrees_of_freedom(normal, 30) == 29
    # One patient who moves everything: next to nothing is known of the error.
    assert degrees_of_freedom(np.r_[np.zeros(99), 50.0], 100) == pytest.approx(2.06, abs=0.01)
    assert degrees_of_freedom(np.array([1.0, -1.0]), 2) == 1
    assert np.isnan(degrees_of_freedom(np.zeros(5), 5))
    assert np.isnan(degrees_of_freedom(normal, 1))


def test_scaled_t_by_hand() -> None:
    t = stats.t.ppf(0.975, 9)
    plain = scaled_t(0.9, 0.02, 9, (-np.inf, np.inf))
    assert (plain.low, plain.high) == pytest.approx((0.9 - t * 0.02, 0.9 + t * 0.02), rel=1e-12)
    found = scaled_t(0.9, 0.02, 9, (0, 1))
    odds = [9 * np.exp(sign * t * 0.02 / 0.09) for sign in (-1, 1)]
    assert (found.low, found.high) == pytest.approx([o / (1 + o) for o in odds], rel=1e-12)
    above = scaled_t(0.4, 0.1, 9, (0, np.inf))
    assert (above.low, above.high) == pytest.approx(
        (0.4 * np.exp(-t / 4), 0.4 * np.exp(t / 4)), rel=1e-12
    )
    # A correlation's scale is the logit of its place between -1 and 1.
    twice = scaled_t(0.8, 0.04, 9, (-1, 1))
    assert (twice.low, twice.high) == pytest.approx((2 * found.low - 1, 2 * found.high - 1))


def test_scaled_t_stays_within_its_bounds_and_mirrors() -> None:
    wide = scaled_t(0.95, 0.1, 3, (0, 1))
    assert 0 < wide.low < 0.95 < wide.high < 1
    other = scaled_t(0.05, 0.1, 3, (0, 1))
    assert (other.low, other.high) == pytest.approx((1 - wide.high, 1 - wide.low), abs=1e-12)


def test_t_test_and_its_interval_agree() -> None:
    for value in np.linspace(0.15, 0.25, 11):
        ends, p = t_test(value, 0.1, 30)
        assert (p < 0.05) == (ends.low > 0)
        assert p == pytest.approx(2 * stats.t.sf(value / 0.1, 30), rel=1e-9)
        assert t_test(-value, 0.1, 30)[1] == p


def test_p_has_no_floor() -> None:
    # 2,000 resamples counted beyond 0 give .001 at the least.
    assert t_test(0.4, 0.01, 200)[1] < 1e-50


def test_t_test_without_spread() -> None:
    """Two arms that no resample tells apart: nothing is known, and nothing is claimed."""
    for value, p in ((0.0, 1.0), (1e-12, 1.0), (0.2, np.nan)):
        ends, found = t_test(value, 0.0, 5)
        assert np.isnan(ends.low)
        assert found == pytest.approx(p, nan_ok=True)
    assert np.isnan(t_test(0.0, np.nan, 5)[1])


@pytest.mark.parametrize(("successes", "trials"), [(0, 12), (7, 12), (12, 12), (344, 425)])
def test_wilson_agrees_with_scipy_and_statsmodels(successes: int, trials: int) -> None:
    got = wilson(successes, trials)
    expected = stats.binomtest(successes, trials).proportion_ci(method="wilson")
    # The same closed form: only rounding differs.
    assert (got.low, got.high) == pytest.approx((expected.low, expected.high), abs=1e-14)
    other = proportion_confint(successes, trials, method="wilson")
    assert (got.low, got.high) == pytest.approx(other, abs=1e-14)


def test_wilson_without_trials() -> None:
    assert np.isnan(wilson(0, 0).low)


def test_corrected_t_by_hand() -> None:
    # Nadeau & Bengio 2003: ten 90/10 splits, so 1/10 + 1/9 in place of 1/10.
    values = np.array([0.02, 0.05, 0.01, 0.04, 0.03, 0.06, 0.00, 0.03, 0.02, 0.04])
    error = np.sqrt((1 / 10 + 1 / 9) * values.var(ddof=1))
    ends, p = corrected_t(values, 1 / 9)
    assert p == pytest.approx(2 * stats.t.sf(values.mean() / error, 9), rel=1e-12)
    assert ends.low == pytest.approx(values.mean() - 2.262157163 * error, rel=1e-8)
    assert ends.high == pytest.approx(values.mean() + 2.262157163 * error, rel=1e-8)


def test_corrected_t_without_overlap_is_students() -> None:
    values = np.random.default_rng(0).normal(0.4, 1, 12)
    ends, p = corrected_t(values, 0.0)
    expected = stats.ttest_1samp(values, 0)
    # The same formula: only rounding differs.
    assert p == pytest.approx(expected.pvalue, rel=1e-12)
    assert (ends.low, ends.high) == pytest.approx(tuple(expected.confidence_interval()), rel=1e-12)


def test_corrected_t_where_it_cannot_be_given() -> None:
    assert np.isnan(corrected_t(np.array([0.1]), 0.25)[1])
    assert np.isnan(corrected_t(np.array([0.1, np.nan, 0.2]), 0.25)[0].low)
    assert corrected_t(np.zeros(5), 0.25)[1] == 1
    assert np.isnan(corrected_t(np.full(4, 0.25), 0.25)[1])


def test_normal_test() -> None:
    ends, p = normal_test(0.1, 0.0025)
    assert p == pytest.approx(2 * stats.norm.sf(2), rel=1e-12)
    assert (ends.low, ends.high) == pytest.approx((0.1 - 0.0979982, 0.1 + 0.0979982), abs=1e-6)
    assert normal_test(0.0, 0.0)[1] == 1
    assert np.isnan(normal_test(0.2, 0.0)[1])
    assert np.isnan(normal_test(0.2, np.nan)[0].low)


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 0), (0, 5), (5, 5), (11, 24), (200, 150)])
def test_mcnemar_agrees_with_statsmodels_and_scipy(only_a: int, only_b: int) -> None:
    table = [[30, only_a], [only_b, 20]]
    got = mcnemar(only_a, only_b)
    # Both sum the same binomial terms: only rounding differs.
    assert got == pytest.approx(reference_mcnemar(table, exact=True).pvalue, rel=1e-12)
    if only_a + only_b:
        assert got == pytest.approx(stats.binomtest(only_a, only_a + only_b).pvalue, rel=1e-10)


def test_holm_agrees_with_statsmodels() -> None:
    p = np.random.default_rng(0).random(15) ** 3
    p[3] = p[7]
    np.testing.assert_allclose(holm(p), multipletests(p, method="holm")[1], rtol=1e-14)
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03])), [0.03, 0.06, 0.06], rtol=1e-14)


def test_holm_leaves_undefined_p_out_of_the_family() -> None:
    got = holm(np.array([0.01, np.nan, 0.04]))
    np.testing.assert_allclose(got, [0.02, np.nan, 0.04], rtol=1e-14)
    assert np.isnan(holm(np.array([np.nan]))).all()


def test_holm_never_reverses_the_order() -> None:
    p = np.sort(np.random.default_rng(1).random(30))
    assert all(a <= b for a, b in pairwise(holm(p)))
    assert (holm(p) >= p).all()
