"""The metrics within strata: by size, texture, readers' disagreement, slices, label source.

A model may owe its overall AUC to size: within a stratum of size, and on malignant and benign
nodules matched by size, it has to get by with less of it. In a stratum, too, ROIs are compared
within their fold only, and resamples are of patients.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark.cohort.labels import source_name
from benchmark.columns import STRATA_TABLE, arm_of, by_arm
from benchmark.config import Bootstrap
from benchmark.runtime.workers import Workers, spread
from benchmark.statistics.cases import Cases, cases
from benchmark.statistics.comparisons import lift
from benchmark.statistics.inference import Interval
from benchmark.statistics.scoring import NONE, WITHHELD, evaluate, metric_interval, resample

LIFT = "auc_lift"
"""Name of the row that holds the paired difference in AUC to ``size_only``."""

MIN_PATIENTS = 20
"""Patients with a malignant and with a benign ROI, of each, below which no interval is given.

With fewer, one patient moves the metric by more than its interval is wide, and resamples without
a class pile up: a standard error of so few is itself unknown (``results/statistics.md``).
"""

MATCHED_RATIO = 1.1
"""Largest ratio of the diameters of a size-matched pair."""

TOO_FEW = f"{WITHHELD}: under {MIN_PATIENTS} patients with a malignant or a benign ROI"
"""The column ``method`` of such a level."""

Floats = NDArray[np.float64]
Level = Callable[[Floats], NDArray[np.bool_]]

STRATA: dict[str, tuple[str, dict[str, Level]]] = {
    "size": (
        "equivalent_diameter_mm",
        {
            "< 8 mm": lambda d: d < 8,
            "8-15 mm": lambda d: (d >= 8) & (d <= 15),
            "> 15 mm": lambda d: d > 15,
        },
    ),
    "texture": (
        "texture",
        {
            "non-solid (1 to 2)": lambda t: t <= 2,
            "part-solid (2 to 4)": lambda t: (t > 2) & (t < 4),
            "solid (4 to 5)": lambda t: t >= 4,
        },
    ),
    "readers' disagreement": (
        "malignancy_range",
        {
            "ratings 0 or 1 apart": lambda r: r <= 1,
            "ratings 2 or more apart": lambda r: r >= 2,
        },
    ),
    "slice thickness": (
        "slice_thickness_mm",
        {
            "<= 1.25 mm": lambda t: t <= 1.25,
            "1.25 to 2.5 mm": lambda t: (t > 1.25) & (t <= 2.5),
            "> 2.5 mm": lambda t: t > 2.5,
        },
    ),
}
"""Stratum -> column of ``rois.csv`` and its levels; a ROI without the value is in none.

Sizes are equivalent diameters, cut at 8 and 15 mm as Lung-RADS does for solid nodules (categories
4A and 4B), though by volume and not by calipers. Texture is the mean of the readers' ratings,
1 non-solid to 5 solid.
"""

SOURCE = "label source"
"""Stratum of what labels rest on, where that differs between the ROIs of a run."""

MATCHED = "size-matched"
_MATCHED_LEVEL = f"pairs within {MATCHED_RATIO - 1:.0%} of diameter"


def stratify(
    predictions: pd.DataFrame,
    rois: pd.DataFrame,
    bootstrap: Bootstrap,
    seed: int,
    workers: Workers | None = None,
) -> pd.DataFrame:
    """Every metric of every arm within every stratum, and the lift over size.

    Parameters
    ----------
    predictions : DataFrame
        As in ``predictions.parquet``.
    rois : DataFrame
        As in ``rois.csv``.
    bootstrap : Bootstrap
    seed : int
        The run's.
    workers : Workers, optional
        They take a level each.

    Returns
    -------
    DataFrame
        Columns of ``STRATA_TABLE``. Levels in which no ROI was tested, and metrics that are
        undefined there, are left out; the interval is NaN where it is withheld (``MIN_PATIENTS``).
    """
    levels = [level for level in members(predictions, rois) if len(level[2])]
    parts = list(spread(workers, partial(_level, bootstrap, seed), levels))
    return pd.concat(parts, ignore_index=True) if parts else STRATA_TABLE.frame()


def match_by_size(diameter_mm: Floats, y_true: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Match ROIs into disjoint pairs of a malignant and a benign one of nearly one size.

    There are as many pairs as can be; of such choices it is one with the smallest sum of
    differences in log diameter. No pair's ratio exceeds ``MATCHED_RATIO``. Time and memory (2 bits)
    grow with the number of pairs that are near enough.

    Parameters
    ----------
    diameter_mm : ndarray, shape (n,)
        NaN where unknown: in no pair.
    y_true : ndarray, shape (n,)

    Returns
    -------
    ndarray of bool, shape (n,)
    """
    known = np.isfinite(diameter_mm)
    order = np.argsort(diameter_mm, kind="stable")
    malignant, benign = (order[known[order] & (y_true[order] == label)] for label in (1, 0))
    matched = np.zeros(len(y_true), dtype=np.bool_)
    for row, column in _assign(np.log(diameter_mm[malignant]), np.log(diameter_mm[benign])):
        matched[malignant[row]] = matched[benign[column]] = True
    return matched


def _assign(one: Floats, other: Floats) -> Iterator[tuple[int, int]]:
    """Pairs of two ascending lists, as many as can be, then nearest, none farther than allowed.

    By dynamic programming over both lists, as for a longest common subsequence: on a line, two
    pairs that cross can be exchanged for two that do not and are no farther apart.
    """
    limit = np.log(MATCHED_RATIO)
    # A pair counts for more than all distances together.
    worth = limit * (1 + min(len(one), len(other)))
    # Others that are near enough to a value, and a few more for rounding.
    first = np.searchsorted(other, one - 1.001 * limit).tolist()
    last = np.searchsorted(other, one + 1.001 * limit).tolist()
    # Worth of the pairs among the first so many others; it does not grow beyond `known` of them.
    best, known = np.zeros(len(other) + 1), 0
    paired, higher = [], []
    for value, low, high in zip(one, first, last, strict=True):
        best[known + 1 : high + 1] = best[known]
        known = max(known, high)
        near = best[low : high + 1]
        distance = np.abs(other[low:high] - value)
        with_pair = np.where(distance <= limit, near[:-1] + worth - distance, -1)
        reached = np.maximum(near, np.concatenate([[0], with_pair]))
        paired.append(np.packbits(reached[1:] > near[1:]))
        np.maximum.accumulate(reached, out=near)
        higher.append(np.packbits(near[1:] > near[:-1]))
    column = len(other)
    for row in reversed(range(len(one))):
        low, n = first[row], last[row] - first[row]
        steps = np.flatnonzero(np.unpackbits(higher[row], count=n)[: max(column - low, 0)])
        if not len(steps):
            continue
        column = low + int(steps[-1]) + 1
        if np.unpackbits(paired[row], count=n)[column - low - 1]:
            column -= 1
            yield row, column


def members(
    predictions: pd.DataFrame, rois: pd.DataFrame
) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Stratum, level, and the rows of ``predictions`` that belong to it, which may be none."""
    for stratum, (column, levels) in STRATA.items():
        values = rois[column].to_numpy(np.float64)
        for level, belongs in levels.items():
            within = rois["roi_id"][belongs(values)]
            yield stratum, level, predictions[predictions["roi_id"].isin(within)]
    tested = rois["roi_id"].isin(predictions["roi_id"])
    sources = sorted(set(rois["label_source"][tested]))
    for source in sources if len(sources) > 1 else ():
        within = rois["roi_id"][rois["label_source"] == source]
        yield SOURCE, source_name(source), predictions[predictions["roi_id"].isin(within)]
    yield MATCHED, _MATCHED_LEVEL, _matched(predictions, rois)


def _matched(predictions: pd.DataFrame, rois: pd.DataFrame) -> pd.DataFrame:
    """The rows of ROIs that have a partner of their size among those tested in their fold."""
    ordered = rois.sort_values("roi_id")  # of equal choices, the order decides
    keep = pd.Series(False, index=predictions.index)
    for _, fold in predictions.groupby(["repeat", "fold"], sort=False):
        tested = ordered[ordered["roi_id"].isin(fold["roi_id"])]
        paired = match_by_size(
            tested["equivalent_diameter_mm"].to_numpy(np.float64),
            tested["y_true"].to_numpy(np.int64),
        )
        keep[fold.index] = fold["roi_id"].isin(tested["roi_id"][paired])
    return predictions[keep]


def _level(bootstrap: Bootstrap, seed: int, rows_of: tuple[str, str, pd.DataFrame]) -> pd.DataFrame:
    stratum, level, frame = rows_of
    members_of = by_arm(frame)
    arms = {name: cases(rows) for name, rows in members_of.items()}
    resampled = {name: resample(arm, bootstrap, seed) for name, arm in arms.items() if enough(arm)}
    auc = {name: each["auc"] for name, each in resampled.items()}
    lifts = lift(frame, bootstrap, seed, resampled=auc)
    rows = []
    for name, arm in arms.items():
        found: dict[str, tuple[float, Interval, str]] = {}
        if name in resampled:
            for metric, each in resampled[name].items():
                found[metric] = each.value, *metric_interval(metric, each, bootstrap)
        else:
            for metric, values in evaluate(arm, np.ones((1, arm.n_patients))).items():
                found[metric] = float(values[0]), NONE, TOO_FEW
        if name in lifts:
            lifted = lifts[name]
            given = lifted[1:3] if name in resampled else (NONE, TOO_FEW)
            found[LIFT] = lifted.value, *given
        counts = arm.n_rois, len(np.unique(arm.roi[arm.y_true == 1])), arm.n_patients
        rows += [
            (
                stratum,
                level,
                *arm_of(members_of[name]),
                metric,
                value,
                ends.low,
                ends.high,
                *counts,
                method,
            )
            for metric, (value, ends, method) in found.items()
            if np.isfinite(value)
        ]
    return STRATA_TABLE.frame(rows)


def enough(arm: Cases) -> bool:
    """True where ``MIN_PATIENTS`` patients of either kind were tested."""
    of_each = [len(np.unique(arm.patient[arm.y_true == label])) for label in (0, 1)]
    return min(of_each) >= MIN_PATIENTS
