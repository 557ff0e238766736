"""Verdicts on differences of the metrics: noise or loss.

Both sides predicted the same ROIs in the same folds, so the difference is paired: row by row,
on the same resamples of patients. A *gain* is how much better the run is, whatever the
direction of the metric. From its resamples come a lower and an upper bound, and the verdict:

===============  ============================================================================
verdict          when
===============  ============================================================================
same             probabilities agree within the tolerance of another machine, and every
                 decision is the same
improvement      the lower bound is above 0
noise            the lower bound is not below minus the margin: a loss as large as the margin
                 is excluded (the run is non-inferior, even where a smaller loss is shown)
regression       the upper bound is below 0, and the loss itself is beyond the margin: it is
                 more than the draw of patients explains, and more than a refit explains
noise, open      none of these: a loss beyond the margin is neither shown nor excluded. The
                 cases are too few to tell. Calling it regression would fail a gate for being
                 small, so the verdict is ``noise``, ``conclusive`` is False, and every output
                 says so
not comparable   the data or the protocol differ, rows are missing, or the metric is undefined
missing, new     only the baseline, or only the run, has the arm
===============  ============================================================================

**One error for the whole run.** ``margins.toml`` names few gated metrics, and only these decide
the exit status. Each end of the interval of a gated metric has a one-sided error of
``family_error * share / arms``, where ``arms`` counts those whose predictions changed (an
unchanged arm cannot raise an alarm). By Bonferroni's inequality, which asks nothing about how
arms and metrics depend on each other, the chance that a run of equally good models is called a
regression anywhere is at most ``family_error``. Other metrics have a plain 95 % interval and a
verdict to read, not to fail on. ``results/drift.md`` holds the simulation.

**Strata on request.** ``--strata`` judges the gated metrics within each stratum too, in levels with
``strata.MIN_PATIENTS`` patients of either kind, against the same margins. All these tests share
``family_error``: its parts are divided by the number of levels and one, too. What is undefined in a
level fails nothing.

**Strict asks for proof.** Without ``--strict`` a run fails where a loss is shown. With it a run
fails too where a gated loss of ``STRICT_MARGINS`` margins is not excluded: where a lower bound with
a one-sided error of ``STRICT_ERROR`` lies below minus as many margins. That error is not divided.
A run passes only if every one of these tests excludes its loss, so a true loss of that size, of any
arm in any gated metric, passes with a nominal chance of ``STRICT_ERROR`` at most, whatever the
number of arms (an intersection-union test: Berger 1982, Technometrics 24:295). One margin is not
asked for: with hundreds of cases, some arm and metric is nearly always open, and every run would
fail. With two, 91 % of simulated unchanged runs failed at 100 ROIs, 25 % at 250 and none at 500 or
1000 (``results/drift.md``). An arm that is the same as before never fails.

Each bound is the outer one of two from the paired bootstrap (``RESAMPLES`` resamples). One is the
percentile, which falls short so far out in the tail with a few hundred patients. The other is the
normal bound, gain -+ z standard errors, which knows no skewness.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.stats import norm

from benchmark.config import Bootstrap
from benchmark.drift.margins import Margins
from benchmark.plugins.arms import Arm
from benchmark.statistics.cases import Floats, cases
from benchmark.statistics.inference import interval
from benchmark.statistics.metrics import METRICS, goodness
from benchmark.statistics.scoring import resample

RESAMPLES = 4000
"""Resamples: about 2.5 lie beyond a quick run's smallest one-sided error, 6 in 10,000."""

IMPROVEMENT, NOISE, REGRESSION = "improvement", "noise", "regression"
SAME, MISSING, NEW = "same", "missing", "new"
NOT_COMPARABLE = "not comparable"

STRICT_MARGINS = 2
"""Margins of loss that a strict run has to exclude."""

STRICT_ERROR = 0.05
"""Chance, nominal and at most, that a strict run passes in spite of a true loss of that size."""

ROW = ["roi_id", "repeat", "fold"]
"""Key of an arm's row, the same on both sides."""

_SEED = 0


@dataclass(frozen=True)
class Verdict:
    """Verdict on one metric of one arm.

    Attributes
    ----------
    arm : Arm
    metric : str
        Empty where the arm as a whole is missing, new or not comparable.
    verdict : str
    gated : bool
        True where it decides the exit status.
    baseline, run : float
        The metric's values; NaN where there is none.
    gain, low, high : float
        The gain and its bounds. Positive is better; the bounds are one-sided, see the module.
    strict_low : float
        Lower bound of the gain with the one-sided error ``STRICT_ERROR``; NaN where there is none.
    margin : float
    conclusive : bool
        False where noise could as well be a loss beyond the margin.
    reason : str
    stratum : str
        Stratum and level within which the metric was taken; empty for all rows.
    """

    arm: Arm
    metric: str
    verdict: str
    gated: bool
    baseline: float = math.nan
    run: float = math.nan
    gain: float = math.nan
    low: float = math.nan
    high: float = math.nan
    strict_low: float = math.nan
    margin: float = math.nan
    conclusive: bool = True
    reason: str = ""
    stratum: str = ""

    @property
    def fails_strict(self) -> bool:
        """True where it is gated, of all rows, and ``STRICT_MARGINS`` margins are not excluded."""
        doubtful = self.strict_low < -STRICT_MARGINS * self.margin
        return self.gated and not self.stratum and doubtful


def judge(gain: float, low: float, high: float, margin: float) -> tuple[str, bool]:
    """The verdict on a gain with its bounds, and whether it is conclusive; see the module."""
    if not all(map(math.isfinite, (gain, low, high))):
        return NOT_COMPARABLE, False
    if low > 0:
        return IMPROVEMENT, True
    if low >= -margin:
        return NOISE, True
    if high < 0 and gain < -margin:
        return REGRESSION, True
    return NOISE, False


def judge_arms(
    pairs: Mapping[Arm, tuple[pd.DataFrame, pd.DataFrame]],
    margins: Margins,
    metrics: Sequence[str] = tuple(METRICS),
    resamples: int = RESAMPLES,
    strata: Mapping[str, pd.MultiIndex] | None = None,
) -> list[Verdict]:
    """Verdicts on arms that predicted the same rows on both sides.

    Parameters
    ----------
    pairs : dict of Arm to (DataFrame, DataFrame)
        Rows of ``predictions.parquet``, the baseline's and the run's, in one order.
    margins : Margins
    metrics : sequence of str
    resamples : int
    strata : dict of str to MultiIndex, optional
        Levels to be judged, too: their rows by ``ROW``.
    """
    strata = strata or {}
    changed = [arm for arm, pair in pairs.items() if not _same(*pair, margins)]
    n_tests = len(changed) * (1 + len(strata))
    verdicts = []
    for arm, (old, new) in pairs.items():
        if arm not in changed:
            verdicts += _unchanged(arm, old, new, margins, metrics)
            continue
        verdicts += _judged(arm, old, new, margins, metrics, resamples, n_tests)
        for stratum, members in strata.items():
            within = pd.MultiIndex.from_frame(old[ROW]).isin(members)
            part = arm, old[within], new[within], margins, margins.gated, resamples, n_tests
            verdicts += [
                replace(each, stratum=stratum, gated=each.verdict != NOT_COMPARABLE)
                for each in _judged(*part)
            ]
    return verdicts


def _judged(
    arm: Arm,
    old: pd.DataFrame,
    new: pd.DataFrame,
    margins: Margins,
    metrics: Sequence[str],
    resamples: int,
    n_tests: int,
) -> list[Verdict]:
    bootstrap = Bootstrap(resamples)
    before = resample(cases(old), bootstrap, _SEED, metrics)
    after = resample(cases(new), bootstrap, _SEED, metrics)
    verdicts = []
    for metric in metrics:
        was, now = before[metric], after[metric]
        gains = goodness(metric, now.samples) - goodness(metric, was.samples)
        value = goodness(metric, np.array([was.value, now.value]))
        gain, margin = float(value[1] - value[0]), margins.of(arm.model, metric).margin
        low, high = _bounds(gains, gain, margins.error(metric, n_tests))
        strict_low, _ = _bounds(gains, gain, STRICT_ERROR)
        verdict, conclusive = judge(gain, low, high, margin)
        verdicts.append(
            Verdict(
                arm=arm,
                metric=metric,
                verdict=verdict,
                gated=metric in margins.gated,
                baseline=was.value,
                run=now.value,
                gain=gain,
                low=low,
                high=high,
                strict_low=strict_low,
                margin=margin,
                conclusive=conclusive,
                reason=_explain(verdict, conclusive),
            )
        )
    return verdicts


def _bounds(gains: Floats, gain: float, error: float) -> tuple[float, float]:
    """One-sided bounds of a gain from its resamples; NaN where too many are undefined."""
    ends = interval(gains, gain, None, "percentile", 1 - 2 * error)
    spread = np.nanstd(gains) if np.isfinite(gains).any() else np.nan
    reach = float(norm.isf(error) * spread)
    return min(ends.low, gain - reach), max(ends.high, gain + reach)


def _explain(verdict: str, conclusive: bool) -> str:
    if verdict == NOT_COMPARABLE:
        return "undefined on one side, or in too many resamples for an interval"
    return "" if conclusive else "open: too few cases to exclude a loss beyond the margin"


def _same(old: pd.DataFrame, new: pd.DataFrame, margins: Margins) -> bool:
    apart = np.abs(new["y_prob"].to_numpy() - old["y_prob"].to_numpy()).max()
    calls = [(side["y_prob"] >= side["threshold"]).to_numpy() for side in (old, new)]
    return bool(apart <= margins.tolerance.probability and (calls[0] == calls[1]).all())


def _unchanged(
    arm: Arm, old: pd.DataFrame, new: pd.DataFrame, margins: Margins, metrics: Sequence[str]
) -> list[Verdict]:
    once = Bootstrap(100)  # its resamples go unused
    before, after = (resample(cases(side), once, _SEED, metrics) for side in (old, new))
    return [
        Verdict(
            arm=arm,
            metric=metric,
            verdict=SAME,
            gated=metric in margins.gated,
            baseline=before[metric].value,
            run=after[metric].value,
            margin=margins.of(arm.model, metric).margin,
        )
        for metric in metrics
    ]
