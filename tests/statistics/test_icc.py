from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.statistics.icc import icc_2_1, mean_squares, word

# Shrout and Fleiss 1979, table 2: six subjects rated by four judges.
PUBLISHED = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], float
)[..., np.newaxis]


def test_mean_squares_are_the_published_ones() -> None:
    ms = mean_squares(PUBLISHED)
    got = [float(x[0]) for x in (ms.subjects, ms.raters, ms.residual)]
    assert got == pytest.approx([11.24, 32.49, 1.02], abs=0.005)  # two decimals in their table 3


def test_the_three_forms_are_the_published_ones() -> None:
    """ICC(1,1) and ICC(3,1) follow from the same mean squares and pin them down further."""
    ms = mean_squares(PUBLISHED)
    n, k, subjects, raters, residual = ms.n, ms.k, ms.subjects, ms.raters, ms.residual
    within = ((k - 1) * raters + (n - 1) * (k - 1) * residual) / (n * (k - 1))
    one_way = (subjects - within) / (subjects + (k - 1) * within)
    fixed = (subjects - residual) / (subjects + (k - 1) * residual)
    got = [float(x[0]) for x in (one_way, icc_2_1(PUBLISHED).icc, fixed)]
    assert got == pytest.approx([0.17, 0.29, 0.71], abs=0.005)  # published to two decimals


def test_the_interval_is_that_of_r_psych() -> None:
    """psych::ICC documents this example: ICC2 from 0.019 to 0.76."""
    agreement = icc_2_1(PUBLISHED)
    assert agreement.low[0] == pytest.approx(0.019, abs=0.0005)
    assert agreement.high[0] == pytest.approx(0.76, abs=0.005)


def test_statsmodels_anova_agrees() -> None:
    from statsmodels.formula.api import ols
    from statsmodels.stats.anova import anova_lm

    rng = np.random.default_rng(0)
    n, k, p = 9, 4, 3
    values = rng.normal(0, [1, 2, 0.1], (n, 1, p)) + rng.normal(0, 0.7, (1, k, p))
    values = values + rng.normal(0, 0.5, (n, k, p))
    got = icc_2_1(values).icc
    for j in range(p):
        long = pd.DataFrame(values[..., j]).melt(ignore_index=False).reset_index()
        table = anova_lm(ols("value ~ C(index) + C(variable)", long).fit())
        subjects, raters, residual = table["mean_sq"]
        by_hand = (subjects - residual) / (
            subjects + (k - 1) * residual + k / n * (raters - residual)
        )
        assert got[j] == pytest.approx(by_hand, rel=1e-9)  # rounding


def test_statsmodels_mixed_model_agrees() -> None:
    """REML's variance components are the ANOVA's in a balanced layout, where none is 0."""
    from statsmodels.formula.api import mixedlm

    rng = np.random.default_rng(1)
    n, k = 12, 4
    values = rng.normal(0, 2, (n, 1)) + rng.normal(0, 1, (1, k)) + rng.normal(0, 0.7, (n, k))
    long = pd.DataFrame(values).melt(ignore_index=False).reset_index().assign(all=1)
    fit = mixedlm(
        "value ~ 1",
        long,
        groups="all",
        vc_formula={"subject": "0 + C(index)", "rater": "0 + C(variable)"},
    ).fit()
    parts = dict(zip(fit.model.exog_vc.names, fit.vcomp, strict=True))
    expected = parts["subject"] / (parts["subject"] + parts["rater"] + fit.scale)
    # REML stops where its gradient is small, not where it is 0.
    assert icc_2_1(values[..., np.newaxis]).icc[0] == pytest.approx(expected, abs=1e-3)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.01, 100), st.floats(-100, 100))
def test_scale_offset_and_order_do_not_matter(seed: int, scale: float, offset: float) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 1, (7, 1, 2)) + rng.normal(0, 0.5, (7, 3, 2))
    first = icc_2_1(values)
    shuffled = icc_2_1((scale * values + offset)[rng.permutation(7)][:, rng.permutation(3)])
    np.testing.assert_allclose(first.icc, shuffled.icc, atol=1e-6)
    np.testing.assert_allclose(first.low, shuffled.low, atol=1e-6)
    assert (first.low <= first.icc).all()
    assert (first.icc <= first.high).all()


def test_a_constant_offset_of_one_rater_lowers_it() -> None:
    rng = np.random.default_rng(0)
    values = np.repeat(rng.normal(0, 1, (20, 1, 1)), 3, axis=1)
    moved = values + np.array([0, 0, 1.0])[:, np.newaxis]
    assert icc_2_1(values).icc[0] == icc_2_1(values).low[0] == icc_2_1(values).high[0] == 1
    assert icc_2_1(moved).icc[0] < 0.9


def test_intervals_are_whole_where_raters_disagree_more_than_subjects_differ() -> None:
    """Negative estimates: Satterthwaite's degrees of freedom would vanish at some of them."""
    rng = np.random.default_rng(0)
    values = rng.normal(0, 0.5, (3, 6, 5000)) + rng.normal(0, 1, (1, 6, 5000))
    with np.errstate(divide="raise", over="raise", invalid="raise"):
        agreement = icc_2_1(values)
    assert (agreement.icc < 0).mean() > 0.3
    assert np.isfinite(agreement.low).all()
    assert (agreement.low <= agreement.icc).all()
    assert (agreement.icc <= agreement.high).all()


def test_the_interval_covers() -> None:
    """True ICC 0.6; of 400 intervals, 95 % hold it within three standard errors (.033)."""
    rng = np.random.default_rng(0)
    n, k, p = 30, 6, 400
    values = rng.normal(0, np.sqrt(0.6), (n, 1, p)) + rng.normal(0, np.sqrt(0.2), (1, k, p))
    agreement = icc_2_1(values + rng.normal(0, np.sqrt(0.2), (n, k, p)))
    covered = ((agreement.low <= 0.6) & (agreement.high >= 0.6)).mean()
    assert 0.95 - 0.033 <= covered <= 0.95 + 0.033


def test_what_never_changes_is_undefined() -> None:
    agreement = icc_2_1(np.full((4, 3, 1), 7.0))
    assert np.isnan([agreement.icc[0], agreement.low[0], agreement.high[0]]).all()
    assert word(float(agreement.icc[0])) == "undefined"


@pytest.mark.parametrize("shape", [(1, 4, 2), (5, 1, 2)])
def test_one_subject_or_rater_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="needs two of either"):
        icc_2_1(np.zeros(shape))


@pytest.mark.parametrize(
    ("icc", "expected"),
    [(0.95, "excellent"), (0.9, "excellent"), (0.89, "good"), (0.75, "good"), (0.74, "moderate"),
     (0.5, "moderate"), (0.49, "poor"), (-0.2, "poor")],
)  # fmt: skip
def test_words(icc: float, expected: str) -> None:
    assert word(icc) == expected
