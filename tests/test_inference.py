from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from benchmark.inference import interval, leave_one_out_weights, patient_weights

PATIENTS = np.array(["b", "a", "b", "c", "a", "b"])


def test_weights_count_patients_not_rois() -> None:
    weights = patient_weights(PATIENTS, 500, 0)
    assert weights.shape == (500, 6)
    for patient in "abc":
        members = weights[:, patient == PATIENTS]
        assert (members == members[:, :1]).all()
    first_of_each = weights[:, [1, 0, 3]]
    assert (first_of_each.sum(axis=1) == 3).all()


def test_weights_ignore_the_order_of_rows() -> None:
    order = np.array([3, 1, 5, 0, 4, 2])
    np.testing.assert_array_equal(
        patient_weights(PATIENTS[order], 50, 7), patient_weights(PATIENTS, 50, 7)[:, order]
    )


def test_jackknife_weights_leave_out_whole_patients() -> None:
    np.testing.assert_array_equal(
        leave_one_out_weights(PATIENTS),
        [[1, 0, 1, 1, 0, 1], [0, 1, 0, 1, 1, 0], [1, 1, 1, 0, 1, 1]],
    )


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_agrees_with_scipy_for_independent_cases(method: str) -> None:
    data = np.random.default_rng(0).exponential(size=60)
    patients = np.array([f"p{i:02}" for i in range(60)])
    weights = patient_weights(patients, 20_000, 1)
    samples = weights @ data / weights.sum(axis=1)
    left = leave_one_out_weights(patients)
    got = interval(samples, data.mean(), left @ data / left.sum(axis=1), method)
    expected = stats.bootstrap(
        (data,), np.mean, n_resamples=20_000, method=method, rng=np.random.default_rng(2)
    ).confidence_interval
    # Two independent draws of 20,000: a .025 quantile's standard error is about .003 here.
    assert got.low == pytest.approx(expected.low, abs=0.012)
    assert got.high == pytest.approx(expected.high, abs=0.012)


def test_clustering_widens_the_interval() -> None:
    rng = np.random.default_rng(0)
    patients = np.repeat([f"p{i:03}" for i in range(50)], 6)
    data = np.repeat(rng.normal(size=50), 6) + 0.1 * rng.normal(size=300)

    def width(units: np.ndarray) -> float:
        weights = patient_weights(units, 2000, 0)
        found = interval(weights @ data / weights.sum(axis=1), data.mean(), None, "percentile")
        return found.high - found.low

    as_if_independent = np.array([f"{i:03}" for i in range(300)])
    # Six near copies a patient: the naive interval is short by nearly sqrt(6) = 2.4.
    assert width(patients) > 2 * width(as_if_independent)


def test_undefined_statistics_get_no_interval() -> None:
    samples = np.r_[np.full(20, np.nan), np.linspace(0, 1, 80)]
    assert np.isnan(interval(samples, 0.5, None, "percentile").low)
    mostly = np.r_[np.full(5, np.nan), np.linspace(0, 1, 95)]
    assert interval(mostly, 0.5, None, "percentile").low == pytest.approx(0.025)
    assert np.isnan(interval(mostly, np.nan, None, "percentile").high)


def test_constant_statistic() -> None:
    ends = interval(np.ones(200), 1.0, np.ones(10), "bca")
    assert (ends.low, ends.high) == (1, 1)


def test_bca_needs_the_jackknife() -> None:
    with pytest.raises(ValueError, match="leave-one-patient-out"):
        interval(np.linspace(0, 1, 200), 0.5, None, "bca")
