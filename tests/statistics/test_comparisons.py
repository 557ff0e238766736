from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import expit

from benchmark.cohort.splits import Split
from benchmark.columns import COMPARISON_TABLE, PREDICTION_TABLE, RANK_TABLE
from benchmark.config import Bootstrap
from benchmark.statistics.cases import Cases, cases
from benchmark.statistics.comparisons import (
    compare,
    lift,
    rank_stability,
)
from benchmark.statistics.inference import draw_patients, holm
from benchmark.statistics.metrics import METRICS
from benchmark.statistics.pairs import auc_components, clustered_variance
from benchmark.statistics.scoring import evaluate, resample_arms
from tests.helpers import inference_study

FEW = Bootstrap(samples=200)


def predictions(
    names: tuple[str, ...] = ("size_only", "forest", "cnn"),
    *,
    n_rois: int = 120,
    n_patients: int = 50,
    folds: int = 1,
    seed: int = 0,
) -> pd.DataFrame:
    """Arms on the same ROIs, in a patient-effect model; later arms are better."""
    rng = np.random.default_rng(seed)
    patient = rng.integers(n_patients, size=n_rois)
    y = (rng.normal(size=n_patients)[patient] + rng.normal(size=n_rois) > 0.3).astype(int)
    tables = []
    for strength, name in enumerate(names):
        effect = rng.normal(size=n_patients)[patient] + rng.normal(size=n_rois)
        tables.append(
            pd.DataFrame({
                "roi_id": [f"r{i}" for i in range(n_rois)],
                "patient_id": [f"p{i}" for i in patient],
                "model": name, "features": "f", "repeat": 0, "fold": patient % folds,
                "y_true": y, "y_prob": expit((1 + strength / 2) * y - 0.7 + effect).round(2),
                "threshold": 0.5,
            })
        )  # fmt: skip
    return PREDICTION_TABLE.completed(pd.concat(tables, ignore_index=True))


def pair(**settings: int) -> tuple[Cases, Cases]:
    table = predictions(("a", "b"), **settings)
    return cases(table[table.model == "a"]), cases(table[table.model == "b"])


def obuchowski_by_the_paper(arms: tuple[Cases, ...]) -> np.ndarray:
    """Covariance matrix of AUCs, written out as in Obuchowski (1997), one fold."""
    y, patient = arms[0].y_true, arms[0].patient
    clusters = range(patient.max() + 1)
    m_all, n_all = int((y == 1).sum()), int((y == 0).sum())
    i10 = sum(bool(((patient == i) & (y == 1)).any()) for i in clusters)
    i01 = sum(bool(((patient == i) & (y == 0)).any()) for i in clusters)
    total = len(clusters)
    x_sums, y_sums = [], []
    for arm in arms:
        p = arm.y_prob
        v10 = {j: np.mean([_psi(p[j], p[k]) for k in np.flatnonzero(y == 0)])
               for j in np.flatnonzero(y == 1)}  # fmt: skip
        v01 = {k: np.mean([_psi(p[j], p[k]) for j in np.flatnonzero(y == 1)])
               for k in np.flatnonzero(y == 0)}  # fmt: skip
        area = np.mean(list(v10.values()))
        x_sums.append([sum(v10[j] - area for j in v10 if patient[j] == i) for i in clusters])
        y_sums.append([sum(v01[k] - area for k in v01 if patient[k] == i) for i in clusters])
    xs, ys = np.array(x_sums), np.array(y_sums)
    s10 = i10 / ((i10 - 1) * m_all) * xs @ xs.T
    s01 = i01 / ((i01 - 1) * n_all) * ys @ ys.T
    s11 = total / (total - 1) * xs @ ys.T
    covariance: np.ndarray = s10 / m_all + s01 / n_all + (s11 + s11.T) / (m_all * n_all)
    return covariance


def _psi(malignant: float, benign: float) -> float:
    return 1.0 if malignant > benign else 0.5 if malignant == benign else 0.0


def delong_by_the_paper(a: Cases, b: Cases) -> np.ndarray:
    """Covariance matrix of two AUCs after DeLong et al. (1988): S10 / m + S01 / n."""
    malignant, benign = np.flatnonzero(a.y_true == 1), np.flatnonzero(a.y_true == 0)
    v10, v01 = [], []
    for arm in (a, b):
        kernel = np.array([
            [_psi(arm.y_prob[j], arm.y_prob[k]) for k in benign] for j in malignant
        ])  # fmt: skip
        v10.append(kernel.mean(axis=1))
        v01.append(kernel.mean(axis=0))
    return np.cov(v10) / len(malignant) + np.cov(v01) / len(benign)


def test_obuchowski_agrees_with_the_paper() -> None:
    a, b = pair()
    parts_a, parts_b = auc_components(a)[1], auc_components(b)[1]
    expected = obuchowski_by_the_paper((a, b))
    # The same sums in another order: only rounding differs.
    assert clustered_variance(parts_a, a.y_true, a.patient) == pytest.approx(
        expected[0, 0], rel=1e-10
    )
    got = clustered_variance(parts_a - parts_b, a.y_true, a.patient)
    assert got == pytest.approx(expected @ [1, -1] @ [1, -1], rel=1e-10)


def test_delong_agrees_with_the_paper() -> None:
    a, b = pair()
    parts_a, parts_b = auc_components(a)[1], auc_components(b)[1]
    expected = delong_by_the_paper(a, b)
    # The same sums in another order: only rounding differs.
    assert clustered_variance(parts_a, a.y_true, a.roi) == pytest.approx(expected[0, 0], rel=1e-10)
    got = clustered_variance(parts_a - parts_b, a.y_true, a.roi)
    assert got == pytest.approx(expected @ [1, -1] @ [1, -1], rel=1e-10)


def test_tables_cluster_obuchowski_by_patient_and_delong_by_roi() -> None:
    table = predictions(("a", "b"))
    a, b = (cases(table[table.model == m]) for m in "ab")
    found = compare(table, FEW, 0).set_index("test")
    expected = {
        "Obuchowski": obuchowski_by_the_paper((a, b)) @ [1, -1] @ [1, -1],
        "DeLong": delong_by_the_paper(a, b) @ [1, -1] @ [1, -1],
    }
    assert abs(expected["Obuchowski"] / expected["DeLong"] - 1) > 0.05
    for test, variance in expected.items():
        row = found.loc[test]
        # The same sums in another order: only rounding differs.
        assert row.p == pytest.approx(
            2 * stats.norm.sf(abs(row.difference) / math.sqrt(variance)), rel=1e-8
        )
        half = stats.norm.ppf(0.975) * math.sqrt(variance)
        assert row.ci_high - row.difference == pytest.approx(half, rel=1e-8)
        assert row.difference - row.ci_low == pytest.approx(half, rel=1e-8)


@pytest.mark.parametrize("lacks", ["forest", "size_only"])
def test_the_lift_is_on_the_rows_that_both_have(lacks: str) -> None:
    table = predictions()
    # Rows that the other arm gets wrong: leaving them to it would move its AUC.
    gone = table[(table.model == lacks) & (table.y_true == 1)].nsmallest(12, "y_prob").roi_id
    lacking = table[~((table.model == lacks) & table.roi_id.isin(gone))]
    lifts = lift(lacking, FEW, 0)
    assert set(lifts) == {"forest:f", "cnn:f"}
    found = compare(lacking, FEW, 0)
    rows = found[
        (found.model_b == "size_only")
        & (found.metric == "auc")
        & (found.test == "patient bootstrap")
    ].set_index("arm_a")
    both = table[~table.roi_id.isin(gone)]
    a, b = (cases(both[both.model == m]) for m in ("forest", "size_only"))
    ones = np.ones((1, a.n_patients))
    by_hand = evaluate(a, ones, ["auc"])["auc"][0] - evaluate(b, ones, ["auc"])["auc"][0]
    assert lifts["forest:f"].value == pytest.approx(by_hand, abs=1e-12)
    for arm, each in lifts.items():
        row = rows.loc[arm]
        assert (each.value, each.interval.low, each.interval.high, each.p) == pytest.approx(
            (row.difference, row.ci_low, row.ci_high, row.p), abs=1e-12
        )


def test_variance_by_hand() -> None:
    # Malignant .8 .3, benign .5 .1, each its own cluster. V10 = 1, .5; V01 = .5, 1; AUC .75.
    # S10 = S01 = 1/8, so the variance is 1/16 + 1/16.
    y = np.array([1, 1, 0, 0])
    p = np.array([0.8, 0.3, 0.5, 0.1])
    arm = Cases(y, p, np.full(4, 0.5), np.zeros(4, np.int64), np.arange(4), np.arange(4))
    value, parts = auc_components(arm)
    assert value == 0.75
    assert clustered_variance(parts, y, np.arange(4)) == pytest.approx(1 / 8)
    # Patients 0 and 1 with one ROI of each class: patient sums of .25 and -.25 a class cancel.
    assert clustered_variance(parts, y, np.array([0, 1, 0, 1])) == pytest.approx(0)
    # The other way round they add: 2 (1/16 + 1/16), and the products as much again.
    assert clustered_variance(parts, y, np.array([0, 1, 1, 0])) == pytest.approx(1 / 4)


@pytest.mark.parametrize("folds", [1, 4])
def test_components_belong_to_the_metric(folds: int) -> None:
    a, _ = pair(folds=folds)
    value, parts = auc_components(a)
    n = a.n_patients
    assert value == pytest.approx(evaluate(a, np.ones((1, n)), ["auc"])["auc"][0], rel=1e-12)
    assert parts.sum() == pytest.approx(0, abs=1e-12)
    # They are the derivatives of the metric with respect to the ROIs' weights.
    steps = 1e-6
    for i in (0, 7, 31):
        weights = np.ones((1, len(parts)))
        weights[0, i] += steps
        moved = float(METRICS["auc"](a.scores(weights))[0])
        # The second order of the step is 1e-6 of the first; rounding 1e-16 over 1e-6.
        assert (moved - value) / steps == pytest.approx(parts[i], abs=1e-8)


@pytest.mark.parametrize("folds", [1, 4])
def test_obuchowski_agrees_with_the_patient_bootstrap(folds: int) -> None:
    a, b = pair(folds=folds, n_rois=900, n_patients=300)
    draws = draw_patients(a.n_patients, 4000, 1)
    spread = np.std(evaluate(a, draws, ["auc"])["auc"] - evaluate(b, draws, ["auc"])["auc"])
    parts = auc_components(a)[1] - auc_components(b)[1]
    error = math.sqrt(clustered_variance(parts, a.y_true, a.patient))
    # 4,000 resamples know a spread to 1.1 %; the bootstrap's own bias is about 1/300.
    assert error == pytest.approx(spread, rel=0.04)
    # Independent cases would be another answer.
    assert abs(math.sqrt(clustered_variance(parts, a.y_true, a.roi)) / spread - 1) > 0.08


def test_a_class_in_one_patient_has_no_variance() -> None:
    a, b = pair()
    parts = auc_components(a)[1] - auc_components(b)[1]
    assert np.isnan(clustered_variance(parts, a.y_true, np.where(a.y_true == 1, 0, a.patient)))


def test_repeats_of_a_roi_are_one_case() -> None:
    table = predictions(("a", "b"))
    thrice = pd.concat([table.assign(repeat=i) for i in range(3)])
    once, more = (compare(t, FEW, 0).set_index(["metric", "test"]) for t in (table, thrice))
    for test in ("Obuchowski", "DeLong"):
        for column in ("difference", "ci_low", "ci_high", "p"):
            assert more.loc[("auc", test), column] == pytest.approx(
                once.loc[("auc", test), column], rel=1e-9
            )
    assert more.loc[("auc", "DeLong"), "n_rois"] == 120
    # A decision a case is what McNemar counts, and here are three.
    assert ("accuracy", "McNemar") in once.index
    assert ("accuracy", "McNemar") not in more.index


def test_every_pair_by_every_test() -> None:
    table = compare(predictions(), FEW, 0)
    assert list(table.columns) == COMPARISON_TABLE.columns
    pairs = list(dict.fromkeys(zip(table.model_a, table.model_b, strict=True)))
    # Lift over size: the baseline comes second, though it is first in the predictions.
    assert pairs == [("forest", "cnn"), ("forest", "size_only"), ("cnn", "size_only")]
    for _, one in table.groupby(["model_a", "model_b"]):
        assert list(one.metric[one.test == "patient bootstrap"]) == list(METRICS)
        others = set(zip(one.test, one.metric, strict=True))
        assert {("Obuchowski", "auc"), ("DeLong", "auc"), ("McNemar", "accuracy")} < others
        assert len(one) == len(METRICS) + 3
    assert table.drop(columns=["ci_low", "ci_high", "p_holm_size"]).notna().all(axis=None)
    assert table.ci_low[table.test != "McNemar"].notna().all()


def test_differences_are_those_of_the_metrics() -> None:
    table = predictions(("a", "b"))
    a, b = (cases(table[table.model == m]) for m in "ab")
    ones = np.ones((1, a.n_patients))
    found = compare(table, FEW, 0).set_index(["metric", "test"]).difference
    for (metric, test), difference in found.items():
        expected = evaluate(a, ones, [metric])[metric] - evaluate(b, ones, [metric])[metric]
        assert difference == pytest.approx(float(expected[0]), abs=1e-9), test


def test_bootstrap_of_the_difference_is_paired() -> None:
    """Nearly the same predictions differ by nearly nothing, however unsure each is."""
    table = predictions(("a",))
    near = table.assign(model="near", arm="near:f", y_prob=(table.y_prob + 1e-3).clip(0, 1))
    found = compare(pd.concat([table, near]), FEW, 0).set_index(["metric", "test"])
    ends = found.loc[("brier", "patient bootstrap"), ["ci_low", "ci_high"]]
    assert ends.ci_high - ends.ci_low < 1e-3
    same = compare(pd.concat([table, table.assign(model="same", arm="same:f")]), FEW, 0)
    assert (same.p == 1).all()
    # No resample tells them apart: that they are equal on other patients is not known.
    own = same[same.test == "patient bootstrap"]
    assert own.ci_low.isna().all()
    assert set(own.method) == {"interval withheld: no resample of patients differs"}


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_paired_interval_agrees_with_scipy(method: str) -> None:
    table = predictions(("a", "b"))
    table["patient_id"] = table.roi_id
    found = compare(table, Bootstrap(samples=9999, method=method), 0)
    row = found.set_index(["metric", "test"]).loc[("brier", "patient bootstrap")]
    squares = ((table.y_prob - table.y_true) ** 2).to_numpy().reshape(2, -1)
    expected = stats.bootstrap(
        (squares[0] - squares[1],), np.mean, method=method, rng=np.random.default_rng(1)
    ).confidence_interval
    # Two independent draws of 9,999; a quantile's standard error is .03 of the interval's half.
    width = expected.high - expected.low
    assert row.ci_low == pytest.approx(expected.low, abs=0.05 * width)
    assert row.ci_high == pytest.approx(expected.high, abs=0.05 * width)


def test_mcnemar_counts_discordant_decisions() -> None:
    table = predictions(("a", "b"))
    right = ((table.y_prob >= 0.5) == table.y_true).to_numpy().reshape(2, -1)
    only_a, only_b = (right[0] & ~right[1]).sum(), (right[1] & ~right[0]).sum()
    row = compare(table, FEW, 0).set_index("test").loc["McNemar"]
    assert row.p == pytest.approx(stats.binomtest(only_a, only_a + only_b).pvalue, rel=1e-10)
    assert row.difference == pytest.approx((only_a - only_b) / 120)


def test_holms_families_are_a_test_of_a_metric() -> None:
    table = compare(predictions(("size_only", "a", "b", "c")), FEW, 0)
    for _, family in table.groupby(["metric", "test"]):
        assert len(family) == 6
        np.testing.assert_allclose(family.p_holm, holm(family.p.to_numpy()))
        with_size = family[family.model_b == "size_only"]
        assert len(with_size) == 3
        np.testing.assert_allclose(with_size.p_holm_size, holm(with_size.p.to_numpy()))
        assert family.p_holm_size[family.model_b != "size_only"].isna().all()


def test_the_first_of_several_sizes_is_what_others_are_lifted_over() -> None:
    table = predictions(("a", "size_only", "b", "other"))
    other = table.model == "other"
    table.loc[other, ["model", "features", "arm"]] = "size_only", "auto", "size_only:auto"
    found = compare(table, FEW, 0)
    sizes = found[(found.model_b == "size_only") & (found.metric == "auc")]
    sizes = sizes[sizes.test == "patient bootstrap"]
    assert set(sizes.arm_b) == {"size_only:f"}
    assert sizes.arm_a.tolist() == ["size_only:auto", "a:f", "b:f"]
    np.testing.assert_allclose(sizes.p_holm_size, holm(sizes.p.to_numpy()))
    assert set(lift(table, FEW, 0)) == set(sizes.arm_a)


def test_a_clear_difference_survives_many_arms() -> None:
    """Eleven arms, 55 pairs: counted resamples could not get below .055 after Holm."""
    names = ("good", *(f"m{i}" for i in range(10)))
    table = predictions(names, n_rois=400, n_patients=200)
    good = table.model == "good"
    noise = np.random.default_rng(0).uniform(size=len(table))
    table.loc[good, "y_prob"] = (0.4 * table.y_true + 0.5 * noise)[good]
    table.loc[~good, "y_prob"] = (0.2 * table.y_true + 0.7 * noise)[~good]
    found = compare(table, FEW, 0)
    auc = found[(found.metric == "auc") & (found.test == "patient bootstrap")]
    assert len(auc) == 55
    of_good = auc[(auc.model_a == "good") | (auc.model_b == "good")]
    assert (of_good.p_holm < 1e-6).all()


@pytest.mark.parametrize("folds", [1, 4])
def test_p_is_the_interval_s(folds: int) -> None:
    """Under scaled_t the two rest on one t: below .05 exactly where zero is left out."""
    found = pd.concat([
        compare(predictions(("a", "b", "c"), seed=seed, folds=folds), FEW, 0) for seed in range(6)
    ])  # fmt: skip
    own = found[found.test == "patient bootstrap"].dropna(subset=["ci_low"])
    outside = (own.ci_low > 0) | (own.ci_high < 0)
    assert 20 < outside.sum() < len(own) - 20
    assert ((own.p < 0.05) == outside).all()
    # The standard error that a half width of t implies is near Obuchowski's.
    auc = found[found.metric == "auc"].set_index("test")
    ours, theirs = ((auc.ci_high - auc.ci_low)[test].to_numpy()
                    for test in ("patient bootstrap", "Obuchowski"))  # fmt: skip
    # t with some 25 degrees of freedom is 5 % wider than normal, the factor m / (m - 1) 2 %, and
    # 200 resamples know a spread to 5 %.
    np.testing.assert_allclose(ours / theirs, 1.07, atol=0.17)


def kfold(table: pd.DataFrame) -> list[Split]:
    rois = table.drop_duplicates("roi_id")
    return [
        Split("kfold", 0, f, tuple(rois.roi_id[rois.fold != f]), tuple(rois.roi_id[rois.fold == f]))
        for f in sorted(rois.fold.unique())
    ]


def test_over_splits_by_hand() -> None:
    table = predictions(("a", "b"), folds=5, n_rois=300)
    splits = kfold(table)
    found = compare(table, FEW, 0, splits).set_index(["test", "metric"]).loc["Nadeau-Bengio t"]
    assert list(found.index) == list(METRICS)
    areas = {}
    for (model, fold), part in table.groupby(["model", "fold"]):
        ones = np.ones((1, part.patient_id.nunique()))
        areas[model, fold] = evaluate(cases(part), ones, ["auc"])["auc"][0]
    d = np.array([areas["a", f] - areas["b", f] for f in range(5)])
    ratio = np.mean([len(s.test) / len(s.train) for s in splits])
    t = d.mean() / np.sqrt((1 / 5 + ratio) * d.var(ddof=1))
    assert found.loc["auc", "p"] == pytest.approx(2 * stats.t.sf(abs(t), 4), rel=1e-9)
    assert found.loc["auc", "difference"] == pytest.approx(d.mean())
    assert "Nadeau-Bengio t" not in set(compare(table, FEW, 0, splits[:1]).test)


def test_missing_rois_are_left_out_for_both() -> None:
    table = predictions(("a", "b", "c"))
    lacking = table[~((table.model == "b") & table.roi_id.isin(["r3", "r4", "r5"]))]
    found = compare(lacking, FEW, 0)
    by_pair = dict(list(found.groupby(["model_a", "model_b"])))
    assert set(by_pair["a", "c"].n_rois) == {120}
    assert set(by_pair["a", "b"].n_rois) == set(by_pair["b", "c"].n_rois) == {117}
    both = table[~table.roi_id.isin(["r3", "r4", "r5"]) & (table.model != "c")]
    pd.testing.assert_frame_equal(
        by_pair["a", "b"].drop(columns="p_holm").reset_index(drop=True),
        compare(both, FEW, 0).drop(columns="p_holm"),
        rtol=1e-8,
    )
    assert set(rank_stability(lacking, FEW, 0).n_rois) == {117}


def test_ranks_are_of_the_rows_that_all_arms_have_whatever_is_at_hand() -> None:
    table = predictions()
    for arms in (table, table[(table.model != "cnn") | (table.roi_id > "r3")]):
        at_hand = resample_arms(arms, FEW, 0)
        found = rank_stability(arms, FEW, 0, resampled=at_hand)
        pd.testing.assert_frame_equal(found, rank_stability(arms, FEW, 0), check_exact=True)


def test_the_order_of_rows_is_irrelevant() -> None:
    table = predictions(("a", "b"))
    mixed = pd.concat([table[table.model == m].sample(frac=1, random_state=1) for m in "ab"])
    pd.testing.assert_frame_equal(compare(table, FEW, 0), compare(mixed, FEW, 0), rtol=1e-7)


def test_arms_without_a_partner() -> None:
    table = predictions(("a", "b"))
    assert compare(table[table.model == "a"], FEW, 0).empty
    assert list(compare(table[:0], FEW, 0).columns) == COMPARISON_TABLE.columns
    assert rank_stability(table[:0], FEW, 0).empty
    apart = table[(table.model == "a") == (table.roi_id < "r5")]
    assert compare(apart, FEW, 0).empty
    assert rank_stability(apart, FEW, 0).empty


def test_doubled_rows_are_refused() -> None:
    table = predictions(("a", "b"))
    with pytest.raises(ValueError, match="a:f: roi_id 'r0' stands twice in repeat 0 fold 0"):
        compare(pd.concat([table, table.iloc[:1]]), FEW, 0)


def test_one_class_has_differences_but_no_auc() -> None:
    table = predictions(("a", "b"))
    found = compare(table[table.y_true == 1], FEW, 0).set_index(["metric", "test"])
    for test in ("patient bootstrap", "Obuchowski", "DeLong"):
        assert found.loc[("auc", test), ["difference", "ci_low", "p", "p_holm"]].isna().all()
    assert np.isfinite(found.loc[("sensitivity", "patient bootstrap"), "p"])


def test_ranks() -> None:
    arms = predictions(("size_only", "a", "b", "c"), n_rois=500, n_patients=200)
    table = rank_stability(arms, Bootstrap(500), 0)
    assert list(table.columns) == RANK_TABLE.columns
    shares = table.pivot_table(index="model", columns="rank", values="probability")
    np.testing.assert_allclose(shares.sum(axis=0), 1)
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    # size_only is the weakest by construction, c the strongest.
    assert shares.loc["size_only"].idxmax() == 4
    assert shares.loc["c"].idxmax() == 1


def test_tied_arms_share_their_ranks() -> None:
    table = predictions(("weak", "good"))
    twin = table[table.model == "good"].assign(model="twin", arm="twin:f")
    worse = table[table.model == "weak"].assign(y_prob=lambda t: 0.5 - t.y_true / 4)
    shares = rank_stability(pd.concat([worse, table[table.model == "good"], twin]), FEW, 0)
    by_rank = shares.pivot_table(index="model", columns="rank", values="probability")
    np.testing.assert_allclose(by_rank.loc[["good", "twin"]], [[0.5, 0.5, 0]] * 2)
    np.testing.assert_allclose(by_rank.loc["weak"], [0, 0, 1])


def test_ranks_by_a_metric_that_is_better_low() -> None:
    table = predictions(("a",))
    worse = table.assign(model="worse", arm="worse:f", y_prob=1 - table.y_prob)
    shares = rank_stability(pd.concat([worse, table]), FEW, 0, "brier")
    first = shares[shares["rank"] == 1].set_index("model").probability
    assert first["a"] == 1


def binomial_bounds(probability: float, n: int) -> tuple[float, float]:
    """Shares that n simulations exceed, on either side, once in 1,000 times."""
    low, high = stats.binom.ppf([0.001, 0.999], n, probability)
    return low / n, high / n


def test_small_simulation() -> None:
    """200 simulations; the full version is in results/statistics.md.

    The goals are 93 to 97 % for coverage, misses on either side of up to 4 %, and 3 to 7 % for the
    size of tests. A method at the edge of a goal leaves these bounds once in 1,000 draws; the
    seed is fixed.
    """
    n = 200
    found = inference_study.misses(n, 300, 1, 100, methods=["scaled_t"], naive=True)
    low, high = binomial_bounds(0.03, n)[0], binomial_bounds(0.07, n)[1]
    for name in inference_study.CHECKED:
        missed = [each != inference_study.HOLDS for each in found["scaled_t", name]]
        assert low <= np.mean(missed) <= high, name
        for side in (inference_study.ABOVE, inference_study.BELOW):
            one_sided = np.mean([each == side for each in found["scaled_t", name]])
            assert one_sided <= binomial_bounds(0.04, n)[1], (name, side)
        naive = [each != inference_study.HOLDS for each in found["ROIs, percentile", name]]
        assert np.mean(naive) > np.mean(missed), name
    # The naive interval misses some 13 %: more than what one of 95 % would.
    naive = [each != inference_study.HOLDS for each in found["ROIs, percentile", "auc"]]
    assert np.mean(naive) > binomial_bounds(0.05, n)[1]

    rejected = inference_study.rejections(n, 300, 1, 100, 1)
    for method, name in (("patient bootstrap", "auc"), ("patient bootstrap", "accuracy"),
                         ("patient bootstrap", "sensitivity"), ("Obuchowski", "auc")):  # fmt: skip
        assert low <= np.mean(rejected[method, name]) <= high, (method, name)


def test_small_simulation_of_families() -> None:
    """20 arms, 190 pairs: hardly a false finding, and true ones are found."""
    found = inference_study.families(12, 200, 1, 150, [20], 0.12)
    # Of 12 studies with a true chance of 5 %, four or more have a false finding in 1 of 400.
    for family in ("all", "size"):
        assert np.sum(found[20, family]) < 4
    assert np.mean(found[20, "all, found"]) > 0.5
    assert np.mean(found[20, "size, found"]) >= np.mean(found[20, "all, found"]) - 0.2


@pytest.mark.simulation
@pytest.mark.timeout(3600)
def test_full_simulation() -> None:
    """The goals themselves, as in results/statistics.md; over five folds tests are careful."""
    for folds in (1, 5):
        found = inference_study.misses(2000, 500, 0, 200, folds=folds, methods=["scaled_t"])
        for name in inference_study.CHECKED:
            held = np.mean([each == inference_study.HOLDS for each in found["scaled_t", name]])
            assert 0.93 <= held <= 0.97, (folds, name)
        rejected = inference_study.rejections(2000, 500, 0, 200, folds)
        for name in inference_study.CHECKED:
            assert 0.02 <= np.mean(rejected["patient bootstrap", name]) <= 0.07, (folds, name)
        assert 0.02 <= np.mean(rejected["Obuchowski", "auc"]) <= 0.07, folds
