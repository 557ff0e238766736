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
    bootstrap_p,
    corrected_t,
    draw_patients,
    holm,
    interval,
    leave_one_out,
    mcnemar,
    normal_test,
    patient_draws,
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
    assert np.isnan(bootstrap_p(samples))
    mostly = np.r_[np.full(5, np.nan), np.linspace(0, 1, 95)]
    assert interval(mostly, 0.5, None, "percentile").low == pytest.approx(0.025)
    assert np.isnan(interval(mostly, np.nan, None, "percentile").high)
    assert bootstrap_p(mostly) == pytest.approx(2 * 2 / 96)


def test_constant_statistic() -> None:
    ends = interval(np.ones(200), 1.0, np.ones(10), "bca")
    assert (ends.low, ends.high) == (1, 1)


def test_bca_needs_the_jackknife() -> None:
    with pytest.raises(ValueError, match="leave-one-patient-out"):
        interval(np.linspace(0, 1, 200), 0.5, None, "bca")


def test_bootstrap_p_by_hand() -> None:
    assert bootstrap_p(np.array([-1.0, 1, 2, 3, 4, 5, 6, 7, 8])) == pytest.approx(2 * 2 / 10)
    assert bootstrap_p(np.arange(1.0, 1000)) == pytest.approx(2 / 1000)  # never 0
    assert bootstrap_p(np.zeros(50)) == 1
    # What is 0 but for rounding is in both tails, as 0 is.
    noisy = np.r_[np.full(25, 1e-16), np.full(25, -1e-16), np.ones(50)]
    assert bootstrap_p(noisy) == bootstrap_p(noisy.round(3)) == 1
    samples = np.random.default_rng(0).normal(0.3, 1, 999)
    assert bootstrap_p(samples) == bootstrap_p(-samples)


def test_bootstrap_p_is_where_the_interval_touches_zero() -> None:
    samples = np.random.default_rng(1).normal(1.5, 1, 1999)
    p = bootstrap_p(samples)
    # The +1 in each tail and the quantile's interpolation shift the level by a few in 2,000.
    assert interval(samples, 1.5, None, "percentile", 1 - p + 0.004).low < 0
    assert interval(samples, 1.5, None, "percentile", 1 - p - 0.004).low > 0


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
