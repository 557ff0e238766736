"""From stored predictions to metrics with intervals; needs nothing but the predictions."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from joblib import cpu_count
from threadpoolctl import threadpool_limits

from benchmark.cohort.splits import Split
from benchmark.columns import METRIC_TABLE, SPLIT_METRIC_TABLE, arm_of, by_arm
from benchmark.config import Bootstrap
from benchmark.runtime.seeds import derive_seed
from benchmark.runtime.workers import Workers, spread
from benchmark.statistics.cases import Cases, Floats, cases
from benchmark.statistics.inference import (
    Interval,
    corrected_t,
    interval,
    leave_one_out,
    patient_draws,
    wilson,
)
from benchmark.statistics.metrics import METRICS, PROPORTIONS

LEVEL = 0.95
_WILSON = "Wilson, one ROI a patient"
_CORRECTED = "mean over splits, Nadeau-Bengio corrected t"

_BLOCK = 2**17
"""Weights taken at a time: a megabyte stays in a core's cache, and memory stays bounded."""


@dataclass(frozen=True, eq=False)
class Resampled:
    """A metric's values: on the data, over the bootstrap, and over the jackknife for BCa."""

    value: float
    samples: Floats
    jackknife: Floats | None


def evaluate(
    arm: Cases, counts: Floats, metrics: Collection[str] = tuple(METRICS)
) -> dict[str, Floats]:
    """Metrics under resamples of patients.

    Parameters
    ----------
    arm : Cases
    counts : ndarray, shape (n_resamples, n_patients)
        How often each patient counts.
    metrics : collection of str

    Returns
    -------
    dict of ndarray, shape (n_resamples,)
    """
    rows = max(1, _BLOCK // len(arm.y_true))
    blocks = [counts[start : start + rows] for start in range(0, len(counts), rows)]

    def block_values(block: Floats) -> list[Floats]:
        scores = arm.scores(block[:, arm.patient])
        return [METRICS[name](scores) for name in metrics]

    if len(blocks) == 1:
        return dict(zip(metrics, block_values(counts), strict=True))
    # The threads are ours: a BLAS that starts its own for such small products only waits.
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(cpu_count()) as pool:
        parts = list(pool.map(block_values, blocks))
    return dict(zip(metrics, map(np.concatenate, zip(*parts, strict=True)), strict=True))


def _evaluate_all(
    arm: Cases, blocks: Iterable[Floats], metrics: Collection[str]
) -> dict[str, Floats]:
    parts = [evaluate(arm, block, metrics) for block in blocks]
    return {name: np.concatenate([part[name] for part in parts]) for name in metrics}


def resample(
    arm: Cases, bootstrap: Bootstrap, seed: int, metrics: Collection[str] = tuple(METRICS)
) -> dict[str, Resampled]:
    """Metrics on the data and under resamples of patients.

    Arms with the same patients and the same run's ``seed`` share their resamples, so their
    values can be subtracted one by one.
    """
    n = arm.n_patients
    observed = evaluate(arm, np.ones((1, n)), metrics)
    draws = patient_draws(n, bootstrap.samples, derive_seed(seed, "bootstrap"))
    samples = _evaluate_all(arm, draws, metrics)
    left = _evaluate_all(arm, leave_one_out(n), metrics) if bootstrap.method == "bca" else {}
    return {
        name: Resampled(float(observed[name][0]), samples[name], left.get(name)) for name in metrics
    }


def resample_arms(
    predictions: pd.DataFrame, bootstrap: Bootstrap, seed: int, workers: Workers | None = None
) -> dict[str, dict[str, Resampled]]:
    """Every metric of every arm, by the arm's name, on the data and under resamples.

    Arms stand in the order in which they first appear; each is a task for the workers.
    """
    frames = by_arm(predictions)
    resampled = spread(workers, partial(_resample_arm, bootstrap, seed), frames.values())
    return dict(zip(frames, resampled, strict=True))


def _resample_arm(bootstrap: Bootstrap, seed: int, frame: pd.DataFrame) -> dict[str, Resampled]:
    return resample(cases(frame), bootstrap, seed)


def score(
    predictions: pd.DataFrame,
    bootstrap: Bootstrap,
    seed: int,
    resampled: Mapping[str, Mapping[str, Resampled]] | None = None,
) -> pd.DataFrame:
    """Every metric of every arm, with a 95 % interval.

    The interval comes from a bootstrap over patients. Where every patient has one row, the
    cases are independent and a plain proportion gets Wilson's interval instead; the column
    ``method`` says which.

    Parameters
    ----------
    predictions : DataFrame
        As in ``predictions.parquet``.
    bootstrap : Bootstrap
    seed : int
        The run's; all arms tested on the same patients share the same resamples.
    resampled : mapping, optional
        What :func:`resample_arms` gives for these, where it is at hand.

    Returns
    -------
    DataFrame
        Columns of ``METRIC_TABLE``; arms in the order in which they first appear. The interval
        is NaN where too many resamples leave the metric undefined.
    """
    resampled = resampled or resample_arms(predictions, bootstrap, seed)
    method = describe_bootstrap(bootstrap)
    rows = []
    for arm_name, frame in by_arm(predictions).items():
        arm, learnt_from = cases(frame), frame["supervision"].iloc[0]
        exact = _wilson_intervals(arm)
        for name, found in resampled[arm_name].items():
            ends = exact.get(name) or interval(
                found.samples, found.value, found.jackknife, bootstrap.method, LEVEL
            )
            rows.append(
                (
                    *arm_of(frame), learnt_from, name, found.value, ends.low, ends.high,
                    arm.n_rois, arm.n_patients, _WILSON if name in exact else method,
                )
            )  # fmt: skip
    return METRIC_TABLE.frame(rows)


def describe_bootstrap(bootstrap: Bootstrap) -> str:
    """The column ``method`` of an interval that comes from resamples of patients."""
    return f"{bootstrap.method} bootstrap of patients, {bootstrap.samples} resamples"


def _wilson_intervals(arm: Cases) -> dict[str, Interval]:
    n = len(arm.y_true)
    if arm.n_patients < n:
        return {}
    observed = arm.scores(np.ones((1, n)))
    counts = {name: counted(observed) for name, counted in PROPORTIONS.items()}
    return {
        name: wilson(float(successes[0]), float(trials[0]), LEVEL)
        for name, (successes, trials) in counts.items()
    }


def score_splits(predictions: pd.DataFrame, splits: Sequence[Split]) -> pd.DataFrame:
    """Every metric of every arm as a mean over splits, with Nadeau & Bengio's interval.

    It speaks for the training procedure, refitted on other training sets of this size; the
    interval of :func:`score` speaks for these fitted models on other patients.

    Parameters
    ----------
    predictions : DataFrame
        As in ``predictions.parquet``.
    splits : sequence of Split
        Those of the run.

    Returns
    -------
    DataFrame
        Columns of ``SPLIT_METRIC_TABLE``; the interval is NaN where a metric is undefined in a
        split, and with one split.
    """
    share = tested_per_trained(splits)
    rows = []
    for frame in by_arm(predictions).values():
        for name, values in split_values(cases(frame)).items():
            ends, _ = corrected_t(values, share, LEVEL)
            mean = float(values.mean())
            rows.append((*arm_of(frame), name, mean, ends.low, ends.high, len(values), _CORRECTED))
    return SPLIT_METRIC_TABLE.frame(rows)


def split_values(arm: Cases) -> dict[str, Floats]:
    """Every metric on each split by itself, shape (n_splits,)."""
    member = arm.fold[None, :] == np.arange(arm.fold.max() + 1)[:, None]
    scores = arm.scores(member.astype(np.float64))
    return {name: metric(scores) for name, metric in METRICS.items()}


def tested_per_trained(splits: Sequence[Split]) -> float:
    """ROIs tested over ROIs trained on, averaged over splits."""
    return float(np.mean([len(split.test) / len(split.train) for split in splits]))
