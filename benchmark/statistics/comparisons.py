"""Paired comparisons of arms, and how stable their ranking is; needs nothing but predictions.

Every pair of arms is compared on the rows (ROI, repeat, fold) that both have. The
difference is arm a minus arm b; ``size_only`` is always arm b, so that its rows are the lift
over size. Of several such arms (``size_only:diameter@auto``) the first is what others are lifted
over, and the rest are always arm a.

===================  =========================================================================
test                 what it is
===================  =========================================================================
patient bootstrap    every metric; t of the difference over its standard error on the same
                     resamples of patients
Obuchowski           AUC, nonparametric, ROIs clustered in patients (Obuchowski 1997)
DeLong               AUC, the same with ROIs taken as independent (DeLong et al. 1988): a
                     cross-check, too sure where patients have several ROIs
McNemar              accuracy at the stored thresholds, exact, ROIs taken as independent; only
                     where every ROI is tested once
Nadeau-Bengio t      every metric, over splits, corrected for their overlap; only where the
                     splits are given and are several
===================  =========================================================================

Holm's correction covers one test of one metric, over either of two families: all pairs of arms,
those with ``size_only`` included (``p_holm``), and the pairs with ``size_only`` alone
(``p_holm_size``), which answer a question of their own: who adds to size. The patient bootstrap's
or Obuchowski's p of ``auc`` is the one to report; the other metrics and tests are not corrected
for being looked at as well.

The patient bootstrap's p has no floor. Counting resamples beyond 0 cannot give less than
2 / (B + 1), which no family of 55 pairs survives at 2,000 resamples; a t of the standard error can.
Under ``scaled_t`` the interval is made of the same t, so that p is below .05 exactly where the
interval leaves out 0. Under ``percentile`` and ``bca`` the two may part near .05.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from itertools import combinations

import numpy as np
import pandas as pd

from benchmark.cohort.splits import Split
from benchmark.columns import COMPARISON_TABLE, RANK_TABLE, arm_of, by_arm
from benchmark.config import Bootstrap
from benchmark.statistics.cases import Floats, cases
from benchmark.statistics.inference import holm
from benchmark.statistics.metrics import goodness
from benchmark.statistics.pairs import Difference, Side, differences, subtract
from benchmark.statistics.scoring import Resampled, resample, resample_arms

SIZE_ONLY = "size_only"
_ROW = ["roi_id", "repeat", "fold"]


def compare(
    predictions: pd.DataFrame,
    bootstrap: Bootstrap,
    seed: int,
    splits: Sequence[Split] = (),
    resampled: Mapping[str, Mapping[str, Resampled]] | None = None,
) -> pd.DataFrame:
    """Every pair of arms, by every metric and test.

    Parameters
    ----------
    predictions : DataFrame
        As in ``predictions.parquet``.
    bootstrap : Bootstrap
        Its method changes the intervals of the patient bootstrap, not its p.
    seed : int
        The run's.
    splits : sequence of Split
        Those of the run, for the comparison over splits.
    resampled : mapping, optional
        What :func:`scoring.resample_arms` gives for these, where it is at hand.

    Returns
    -------
    DataFrame
        Columns of ``COMPARISON_TABLE``. ``n_rois`` and ``n_patients`` count what both arms have;
        pairs with nothing in common are left out. Intervals are 95 %; McNemar's test has none.

    Raises
    ------
    ValueError
        Where an arm has a ROI twice in one repeat and fold.
    """
    arms = _arms(predictions)
    reference = _size(arms)
    # Further arms of size first, the reference last, and all others between, in their own order.
    ordered = sorted(arms, key=lambda arm: (arm == reference, not _is_size_only(arms[arm])))
    whole = resampled or resample_arms(predictions, bootstrap, seed)
    own = {arm: Side(cases(frame.reset_index()), whole[arm]) for arm, frame in arms.items()}

    def side(arm: str, common: pd.Index) -> Side:
        if common.equals(arms[arm].index):
            return own[arm]
        shared = cases(_aligned(arms[arm], common))
        alike = len(common) == len(arms[arm])
        return Side(shared, whole[arm] if alike else resample(shared, bootstrap, seed))

    rows = []
    for a, b in combinations(ordered, 2):
        common = _common(arms[a].index, arms[b].index)
        if not len(common):
            continue
        sides = side(a, common), side(b, common)
        n = (sides[0].cases.n_rois, sides[0].cases.n_patients)
        names = *arm_of(arms[a]), *arm_of(arms[b])
        rows += [
            (
                *names, metric, test, each.value, each.interval.low, each.interval.high, each.p,
                np.nan, np.nan, *n, each.method,
            )
            for metric, test, each in differences(*sides, bootstrap, splits)
        ]  # fmt: skip
    return _corrected(COMPARISON_TABLE.frame(rows))


def _corrected(table: pd.DataFrame) -> pd.DataFrame:
    """The table with Holm's p of both families."""
    sizes = table[table["model_b"] == SIZE_ONLY]
    for column, family in (("p_holm", table), ("p_holm_size", sizes)):
        for members in family.groupby(["metric", "test"]).groups.values():
            table.loc[members, column] = holm(table.loc[members, "p"].to_numpy(np.float64))
    return table


def lift(
    predictions: pd.DataFrame,
    bootstrap: Bootstrap,
    seed: int,
    metric: str = "auc",
    resampled: Mapping[str, Resampled] | None = None,
) -> dict[str, Difference]:
    """Every arm's metric less that of ``size_only``, on the rows that both have.

    What :func:`compare` finds for those pairs, without the rest.

    Parameters
    ----------
    predictions, bootstrap, seed
        As for :func:`compare`.
    metric : str
    resampled : mapping of str to Resampled, optional
        The metric of arms, by name, on all of their rows, where it is at hand.

    Returns
    -------
    dict of str to Difference
        By the arm's name. Without ``size_only`` itself and arms that share no row with it; empty
        where it is missing.
    """
    arms, whole = _arms(predictions), dict(resampled or {})
    baseline = _size(arms)
    if baseline is None:
        return {}

    def on(common: pd.Index, arm: str) -> Resampled:
        if len(common) < len(arms[arm]):
            shared = cases(_aligned(arms[arm], common))
            return resample(shared, bootstrap, seed, [metric])[metric]
        if arm not in whole:
            whole[arm] = resample(cases(arms[arm]), bootstrap, seed, [metric])[metric]
        return whole[arm]

    lifts = {}
    for arm in arms:
        if arm == baseline:
            continue
        common = arms[arm].index.intersection(arms[baseline].index)
        if len(common):
            lifts[arm] = subtract(on(common, arm), on(common, baseline), bootstrap)
    return lifts


def rank_stability(
    predictions: pd.DataFrame,
    bootstrap: Bootstrap,
    seed: int,
    metric: str = "auc",
    resampled: Mapping[str, Mapping[str, Resampled]] | None = None,
) -> pd.DataFrame:
    """Share of the resamples of patients in which each arm takes each rank.

    Only rows that all arms have count. Arms that tie share their ranks evenly, so the
    probabilities of an arm, and those of a rank, add up to 1. Resamples in which the
    metric is undefined for an arm are left out.

    Parameters
    ----------
    predictions, bootstrap, seed, resampled
        As for :func:`compare`.
    metric : str

    Returns
    -------
    DataFrame
        Columns of ``RANK_TABLE``; rank 1 is best. Empty where the arms share no row.
    """
    arms = _arms(predictions)
    indices = [frame.index for frame in arms.values()]
    if not indices or not len(common := reduce(_common, indices)):
        return RANK_TABLE.frame()
    shared = {arm: cases(_aligned(frame, common)) for arm, frame in arms.items()}

    def samples(arm: str) -> Floats:
        if resampled and common.equals(arms[arm].index):
            return resampled[arm][metric].samples
        return resample(shared[arm], bootstrap, seed, [metric])[metric].samples

    values = np.stack([goodness(metric, samples(arm)) for arm in shared])
    values = values[:, np.isfinite(values).all(axis=0)]
    rows = []
    for arm, each, own in zip(shared, shared.values(), values, strict=True):
        better, tied = (values > own).sum(axis=0), (values == own).sum(axis=0)
        for rank in range(1, len(arms) + 1):
            taken = (better < rank) & (rank <= better + tied)
            probability = float(np.mean(taken / tied)) if len(own) else np.nan
            counts = each.n_rois, each.n_patients
            rows.append((*arm_of(arms[arm]), metric, rank, probability, *counts))
    return RANK_TABLE.frame(rows)


def _size(arms: Mapping[str, pd.DataFrame]) -> str | None:
    """Name of the arm that the others' lift is over; None where there is none."""
    return next((arm for arm, rows in arms.items() if _is_size_only(rows)), None)


def _is_size_only(rows: pd.DataFrame) -> bool:
    return bool(rows["model"].iloc[0] == SIZE_ONLY)


def _arms(predictions: pd.DataFrame) -> dict[str, pd.DataFrame]:
    twice = predictions.duplicated(["arm", *_ROW])
    if twice.any():
        row = predictions[twice].iloc[0]
        raise ValueError(
            f"predictions of {row['arm']}: roi_id '{row['roi_id']}' stands "
            f"twice in repeat {row['repeat']} fold {row['fold']}; rows are paired by these, so "
            "one is allowed"
        )
    arms = {arm: rows.set_index(_ROW) for arm, rows in by_arm(predictions).items()}
    seen: list[pd.Index] = []
    for frame in arms.values():  # one object for equal rows: then they are equal at a glance
        frame.index = next((index for index in seen if index.equals(frame.index)), frame.index)
        seen.append(frame.index)
    return arms


def _common(one: pd.Index, other: pd.Index) -> pd.Index:
    return one if one.equals(other) else one.intersection(other)


def _aligned(frame: pd.DataFrame, rows: pd.Index) -> pd.DataFrame:
    return frame.reindex(rows).reset_index()
