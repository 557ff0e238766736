from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from benchmark.cohort.splits import Split
from benchmark.columns import METRIC_TABLE, SPLIT_METRIC_TABLE
from benchmark.config import Bootstrap
from benchmark.runtime.paths import RESULTS
from benchmark.runtime.seeds import derive_seed
from benchmark.statistics import scoring
from benchmark.statistics.cases import cases
from benchmark.statistics.inference import draw_patients, interval, leave_one_out, scaled_t
from benchmark.statistics.metrics import METRICS, PROPORTIONS
from benchmark.statistics.scoring import (
    Resampled,
    evaluate,
    metric_interval,
    score,
    score_splits,
)
from tests.helpers.inference_study import Method
from tests.helpers.reference_metrics import discrimination, recalibration, simulated_predictions

FEW = Bootstrap(samples=200)


def predictions(n_arms: int = 2, n_rois: int = 90, n_patients: int = 40) -> pd.DataFrame:
    return simulated_predictions(n_arms, n_rois, n_patients, np.random.default_rng(0))


def one_roi_a_patient() -> pd.DataFrame:
    table = predictions(1)
    return table.assign(patient_id=table["roi_id"])


def test_every_metric_of_every_arm_is_stored() -> None:
    table = score(predictions(), FEW, 0)
    assert list(table.columns) == METRIC_TABLE.columns
    for _, arm in table.groupby(["model", "features"]):
        assert list(arm.metric) == list(METRICS)
    assert set(table.n_rois) == {90}
    assert set(table.n_patients) == {predictions().patient_id.nunique()}
    assert (table.ci_low < table.ci_high).all()
    assert set(table.method) == {"scaled_t bootstrap of patients, 200 resamples"}


def test_intervals_are_those_of_resampled_patients() -> None:
    """The whole path against copies of patients' rows, made one resample at a time."""
    table = predictions(1)
    arm = score(table, Bootstrap(samples=100, method="percentile"), 5).set_index("metric")
    patients = sorted(table.patient_id.unique())
    draws = draw_patients(len(patients), 100, derive_seed(5, "bootstrap"))
    aucs, briers = [], []
    for row in draws.astype(int):
        drawn = dict(zip(patients, row, strict=True))
        copies = table.loc[table.index.repeat(table.patient_id.map(drawn))]
        p = copies.y_prob.to_numpy()
        u = stats.mannwhitneyu(p[copies.y_true == 1], p[copies.y_true == 0]).statistic
        aucs.append(u / (copies.y_true == 1).sum() / (copies.y_true == 0).sum())
        briers.append(((p - copies.y_true) ** 2).mean())
    for name, samples in (("auc", aucs), ("brier", briers)):
        # The same numbers summed in another order.
        ends = arm.loc[name, ["ci_low", "ci_high"]].to_numpy(float)
        np.testing.assert_allclose(ends, np.quantile(samples, [0.025, 0.975]), rtol=1e-12)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    arm = cases(predictions(1))
    draws = draw_patients(arm.n_patients, 50, 1)
    whole = evaluate(arm, draws)
    monkeypatch.setattr(scoring, "_BLOCK", 7 * len(arm.y_true))
    for name, values in evaluate(arm, draws).items():
        # Sums in the same order; the calibration fits start elsewhere.
        np.testing.assert_allclose(values, whole[name], rtol=1e-9, err_msg=name)


def test_arms_share_their_resamples() -> None:
    table = predictions(1)
    twin = pd.concat([table, table.assign(model="twin", arm="twin").sample(frac=1, random_state=0)])
    first, second = (arm for _, arm in score(twin, FEW, 0).groupby("model"))
    pd.testing.assert_frame_equal(
        first.drop(columns=["arm", "model", "features"]).reset_index(drop=True),
        second.drop(columns=["arm", "model", "features"]).reset_index(drop=True),
        rtol=1e-8,  # rows in another order: sums, and where the calibration fits start
    )


def test_bca() -> None:
    table = predictions(1, 60, 30)
    found = score(table, Bootstrap(samples=200, method="bca"), 0).set_index("metric").loc["auc"]
    arm = cases(table)
    left = np.array([
        METRICS["auc"](arm.scores((arm.patient != i)[None].astype(float)))[0]
        for i in range(arm.n_patients)
    ])  # fmt: skip
    samples = evaluate(arm, draw_patients(arm.n_patients, 200, derive_seed(0, "bootstrap")))["auc"]
    expected = interval(samples, found.value, left, "bca")
    assert (found.ci_low, found.ci_high) == pytest.approx((expected.low, expected.high))
    assert found.method == "bca bootstrap of patients, 200 resamples"


def test_scaled_t() -> None:
    """The whole path, with a patient's influence taken from the jackknife instead."""
    table = predictions(1, 60, 30)
    found = score(table, Bootstrap(samples=20_000), 0).set_index("metric")
    arm = cases(table)
    draws = draw_patients(arm.n_patients, 20_000, derive_seed(0, "bootstrap"))
    left = np.concatenate(list(leave_one_out(arm.n_patients)))
    rarer = min(table.patient_id[table.y_true == label].nunique() for label in (0, 1))
    for name, patients, bounds in (
        ("auc", rarer, (0, 1)),
        ("brier", arm.n_patients, (0, 1)),
        ("mcc", rarer, (-1, 1)),
    ):
        row = found.loc[name]
        without = evaluate(arm, left, [name])[name]
        spread = evaluate(arm, draws, [name])[name].std(ddof=1)
        error = spread * np.sqrt(patients / (patients - 1))
        excess = stats.kurtosis(without, fisher=False) - 1
        degrees = min(2 * arm.n_patients / excess, patients - 1)
        expected = scaled_t(row.value, error, degrees, bounds)
        # The jackknife's influences are not quite those of the bootstrap: the degrees of freedom,
        # some 20, differ by a few, and the t quantile by some .01 of its 2.1.
        width = expected.high - expected.low
        assert row.ci_low == pytest.approx(expected.low, abs=0.02 * width), name
        assert row.ci_high == pytest.approx(expected.high, abs=0.02 * width), name


def test_degrees_follow_the_patients_influences() -> None:
    """A metric that three patients decide, against the jackknife."""
    table = predictions(1, 300, 150)
    held = table.patient_id.isin([f"p{i}" for i in range(3)])
    table["y_prob"] = np.where(held, 1 - table.y_true, 0.2 + 0.6 * table.y_true)
    arm = cases(table)
    found = scoring.resample(arm, Bootstrap(samples=20_000), 0, ["brier"])["brier"]
    left = evaluate(arm, np.concatenate(list(leave_one_out(arm.n_patients))), ["brier"])["brier"]
    expected = 2 * arm.n_patients / (stats.kurtosis(left, fisher=False) - 1)
    assert expected < 10
    # 20,000 resamples know an influence to a percent of the largest; the rest is second order.
    assert found.degrees == pytest.approx(expected, rel=0.15)


def perfect(n_each: int, patients: int | None = None) -> pd.DataFrame:
    """As many malignant as benign ROIs, told apart without fault; two ROIs a patient, or all."""
    y = np.repeat([1, 0], n_each)
    table = predictions(1, 2 * n_each, n_each)
    patient = np.arange(2 * n_each) % (patients or n_each)
    return table.assign(y_true=y, y_prob=0.1 + 0.8 * y, patient_id=[f"p{i}" for i in patient])


@pytest.mark.parametrize("method", ["scaled_t", "percentile", "bca"])
def test_intervals_without_width_are_widened_or_withheld(method: Method) -> None:
    """Five against five, none wrong: no resample differs, yet little is known."""
    found = score(perfect(5), Bootstrap(200, method), 0).set_index("metric")
    expected = stats.binomtest(5, 5).proportion_ci(method="wilson")
    for name in ("auc", "sensitivity", "specificity", "precision", "npv", "accuracy"):
        row = found.loc[name]
        assert row.value == 1
        assert (row.ci_low, row.ci_high) == pytest.approx((expected.low, 1)), name
        assert row.method == "Wilson over patients, 5 of them: no resample of patients differs"
    for name in ("f1", "brier", "mcc"):
        assert np.isnan(found.loc[name, "ci_low"])
        assert found.loc[name, "method"] == "interval withheld: no resample of patients differs"
    widths = found.ci_high - found.ci_low
    assert (widths[widths.notna()] > 0).all()


def test_a_single_patient_has_no_interval() -> None:
    found = score(perfect(8, patients=1), FEW, 0)
    assert found.ci_low.isna().all()
    reasons = found.method[found.value.notna()]
    assert set(reasons) == {"interval withheld: rests on a single patient"}


def test_constant_scores_have_an_auc_and_no_interval() -> None:
    found = score(predictions(1).assign(y_prob=0.3), FEW, 0).set_index("metric")
    assert found.loc["auc", "value"] == 0.5
    assert np.isnan(found.loc["auc", "ci_low"])
    assert found.loc["auc", "method"].startswith("interval withheld: no resample")
    assert found.loc["precision", "method"] == "interval withheld: undefined"
    # Nothing is called: of all who are benign none is called wrongly, by as many patients.
    n = int(predictions(1).query("y_true == 0").patient_id.nunique())
    assert found.loc["specificity", "ci_low"] == pytest.approx(n / (n + 3.8415), abs=1e-4)


def test_a_metric_at_its_bound_whose_resamples_differ() -> None:
    """Its place on the scale is infinite: percentiles, and the table says so."""
    found = metric_interval("auc", resampled(1.0, np.linspace(0.8, 1, 200)), FEW)
    assert found[0].high == pytest.approx(0.995, abs=1e-3)
    assert found[1] == "percentile bootstrap of patients, 200 resamples"
    few = np.r_[np.ones(199), 0.9]
    assert metric_interval("auc", resampled(1.0, few), FEW)[1].startswith("interval withheld")


def resampled(value: float, samples: np.ndarray) -> Resampled:
    return Resampled(value, samples, None, 9, 10)


def test_what_a_metric_rests_on() -> None:
    """Ten patients, of whom three have the malignant ROIs."""
    y = np.repeat([1, 0], [6, 24])
    table = predictions(1, 30, 10).assign(
        y_true=y, y_prob=np.where(np.arange(30) % 7 == 3, 0.9, 0.2),
        patient_id=[f"p{i // 2}" if i < 6 else f"q{i % 7}" for i in range(30)],
    )  # fmt: skip
    found = scoring.resample(cases(table), FEW, 0)
    patients = {name: each.n_patients for name, each in found.items()}
    assert patients["sensitivity"] == patients["auc"] == patients["f1"] == 3
    assert patients["specificity"] == 7
    assert patients["brier"] == patients["accuracy"] == patients["net_benefit_at_50"] == 10
    assert patients["precision"] == table.patient_id[table.y_prob > 0.5].nunique() == 2
    assert patients["npv"] == table.patient_id[table.y_prob < 0.5].nunique()


def test_independent_cases_get_wilsons_interval() -> None:
    table = one_roi_a_patient()
    found = score(table, FEW, 0).set_index("metric")
    right = int(((table.y_prob >= 0.5) == table.y_true).sum())
    expected = stats.binomtest(right, 90).proportion_ci(method="wilson")
    assert found.loc["accuracy", "ci_low"] == pytest.approx(expected.low, abs=1e-14)
    assert found.loc["accuracy", "ci_high"] == pytest.approx(expected.high, abs=1e-14)
    for name, row in found.iterrows():
        assert row.method.startswith("Wilson" if name in PROPORTIONS else "scaled_t"), name


def test_a_roi_tested_twice_is_not_independent() -> None:
    table = one_roi_a_patient()
    again = pd.concat([table, table.assign(repeat=1)])
    assert not score(again, FEW, 0).method.str.startswith("Wilson").any()


def test_repeats_count_a_patient_once() -> None:
    """Perfect copies in further repeats add no information, and the interval says so."""
    table = predictions(1)
    thrice = pd.concat([table.assign(repeat=i) for i in range(3)])
    once, more = (score(t, FEW, 0).set_index("metric") for t in (table, thrice))
    assert more.loc["auc", "n_rois"] == 90
    np.testing.assert_allclose(
        more[["value", "ci_low", "ci_high"]], once[["value", "ci_low", "ci_high"]], rtol=1e-8
    )


def test_means_over_splits() -> None:
    table = predictions(1, 200, 120)
    table["fold"] = np.arange(200) % 4
    ids = table.roi_id.to_numpy()
    splits = [
        Split("kfold", 0, f, tuple(ids[table.fold != f]), tuple(ids[table.fold == f]))
        for f in range(4)
    ]
    found = score_splits(table, splits).set_index("metric")
    assert list(found.columns) == [c for c in SPLIT_METRIC_TABLE.columns if c != "metric"]
    each = [score(table[table.fold == f], Bootstrap(100), 0).set_index("metric") for f in range(4)]
    for name in METRICS:
        values = np.array([part.loc[name, "value"] for part in each])
        assert found.loc[name, "value"] == pytest.approx(values.mean(), rel=1e-8), name
        half = stats.t.ppf(0.975, 3) * np.sqrt((1 / 4 + 50 / 150) * values.var(ddof=1))
        width = found.loc[name, "ci_high"] - found.loc[name, "ci_low"]
        assert width == pytest.approx(2 * half, rel=1e-7), name


def test_one_split_has_no_interval_over_splits() -> None:
    found = score_splits(predictions(1), [Split("holdout", 0, 0, ("a", "b"), ("c",))])
    assert found.ci_low.isna().all()
    assert np.isfinite(found.value).all()


def test_speed(benchmark) -> None:
    """One arm, all metrics, 2,000 resamples, 1,000 ROIs; read by ``pytest --benchmark-only``."""
    table = simulated_predictions(1, 1000, 600, np.random.default_rng(0))
    found = benchmark.pedantic(score, (table, Bootstrap(2000), 0), rounds=3, warmup_rounds=1)
    assert len(found) == len(METRICS)


def test_far_faster_than_a_loop() -> None:
    """A small version of scripts/time_bootstrap.py.

    There the ratio is several hundred. A quarter of the resamples leave more overhead a
    resample, and other work on the machine may hit either side: 50 still means that no
    resample has a loop of its own.
    """
    table = simulated_predictions(1, 1000, 600, np.random.default_rng(0))
    arm = cases(table)
    draws = draw_patients(arm.n_patients, 500, 0)
    evaluate(arm, draws)

    clock = time.perf_counter()
    evaluate(arm, draws)
    ours = (time.perf_counter() - clock) / 500

    clock = time.perf_counter()
    for counts in draws[:10]:
        w = counts[arm.patient]
        discrimination(arm.y_true, arm.y_prob, arm.y_prob >= 0.5, w)
        recalibration(arm.y_true, arm.y_prob, w)
    loop = (time.perf_counter() - clock) / 10
    assert loop / ours > 50


def test_committed_figures_name_their_commands() -> None:
    text = (RESULTS / "statistics.md").read_text()
    for command in ("-m scripts.simulate_inference", "-m scripts.time_bootstrap"):
        assert f"python {command}" in text
