"""From stored predictions to metrics with intervals; needs nothing but the predictions."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property, partial

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
    degrees_of_freedom,
    interval,
    leave_one_out,
    patient_draws,
    scaled_t,
    standard_error,
    wilson,
)
from benchmark.statistics.metrics import BOUNDS, METRICS, PROPORTIONS, RESTS_ON

LEVEL = 0.95
_WILSON = "Wilson, one ROI a patient"
WITHHELD, WIDENED = "interval withheld", "Wilson over patients"
"""Beginnings of the column ``method`` where an interval is not what the run's method makes."""

NONE = Interval(np.nan, np.nan)
_NO_SPREAD = "no resample of patients differs"
_CORRECTED = "mean over splits, Nadeau-Bengio corrected t"

_BLOCK = 2**17
"""Weights taken at a time: a megabyte stays in a core's cache, and memory stays bounded."""


@dataclass(frozen=True, eq=False)
class Resampled:
    """A metric on the data and over resamples of patients.

    Attributes
    ----------
    value : float
    samples : ndarray, shape (n_samples,)
    jackknife : ndarray, shape (n_patients,), or None
        Without one patient each, for BCa.
    degrees : float
        Degrees of freedom of its standard error.
    n_patients : int
        Patients that it rests on: those with a ROI that it is an average over, or, where it needs
        both classes, those with a ROI of the rarer one.
    """

    value: float
    samples: Floats
    jackknife: Floats | None
    degrees: float
    n_patients: int

    @cached_property
    def error(self) -> float:
        """Standard error over patients, as :func:`inference.standard_error`."""
        return standard_error(self.samples, self.n_patients)


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
    values can be subtracted one by one. A patient's influence is the covariance of how often
    it is drawn with the resampled value (the infinitesimal jackknife, Efron 2014, eq. 3.6).
    """
    n = arm.n_patients
    observed = evaluate(arm, np.ones((1, n)), metrics)
    at = np.array([observed[name][0] for name in metrics])
    influence, parts = np.zeros((n, len(at))), []
    for draws in patient_draws(n, bootstrap.samples, derive_seed(seed, "bootstrap")):
        values = evaluate(arm, draws, metrics)
        moved = np.nan_to_num(np.stack([values[name] for name in metrics], axis=1) - at)
        influence += draws.T @ moved - moved.sum(axis=0)
        parts.append(values)
    left = _evaluate_all(arm, leave_one_out(n), metrics) if bootstrap.method == "bca" else {}
    found = {}
    for number, name in enumerate(metrics):
        patients = _rests_on(arm, name)
        found[name] = Resampled(
            float(at[number]),
            np.concatenate([part[name] for part in parts]),
            left.get(name),
            degrees_of_freedom(influence[:, number], patients),
            patients,
        )
    return found


def _rests_on(arm: Cases, metric: str) -> int:
    """Patients that a metric rests on; see :class:`Resampled`."""
    if metric in RESTS_ON:
        rows = RESTS_ON[metric](arm.scores(np.ones((1, len(arm.y_true)))))
        return len(np.unique(arm.patient[rows]))
    return min(len(np.unique(arm.patient[arm.y_true == label])) for label in (0, 1))


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

    The interval is that of :func:`metric_interval`. Where every patient has one row, the cases
    are independent and a plain proportion gets Wilson's interval instead; the column ``method``
    says which, and why there is none.

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
        Columns of ``METRIC_TABLE``; arms in the order in which they first appear.
    """
    resampled = resampled or resample_arms(predictions, bootstrap, seed)
    rows = []
    for arm_name, frame in by_arm(predictions).items():
        arm, about = cases(frame), (*arm_of(frame), frame["supervision"].iloc[0])
        exact = _wilson_intervals(arm)
        for name, found in resampled[arm_name].items():
            ends, method = (
                (exact[name], _WILSON) if name in exact else metric_interval(name, found, bootstrap)
            )
            rows.append(
                (
                    *about, name, found.value, ends.low, ends.high,
                    arm.n_rois, arm.n_patients, method,
                )
            )  # fmt: skip
    return METRIC_TABLE.frame(rows)


def metric_interval(metric: str, found: Resampled, bootstrap: Bootstrap) -> tuple[Interval, str]:
    """A metric's 95 % interval, and what made it or why it is withheld.

    Where no resample differs, the bootstrap knows nothing of the error, and an interval without
    width would claim that there is none. A proportion or an AUC of 0 or 1 gets Wilson's score
    interval then, of as many trials as it rests on patients; any other interval is withheld. So
    it is where the metric rests on one patient, or too many resamples leave it undefined. At
    one of its bounds a metric has no place on its scale, and ``scaled_t`` is the percentiles.
    """
    why = without_interval(found)
    low, high = BOUNDS[metric]
    edge = found.value in (low, high)
    if why == _NO_SPREAD and edge and metric in (*PROPORTIONS, "auc"):
        n = found.n_patients
        return wilson(found.value * n, n, LEVEL), f"{WIDENED}, {n} of them: {_NO_SPREAD}"
    if why:
        return NONE, f"{WITHHELD}: {why}"
    if bootstrap.method == "scaled_t" and not edge:
        ends = scaled_t(found.value, found.error, found.degrees, (low, high), LEVEL)
        return ends, describe_bootstrap(bootstrap)
    return quantiles(found, bootstrap)


def quantiles(found: Resampled, bootstrap: Bootstrap) -> tuple[Interval, str]:
    """The interval from quantiles of the resamples, and what made it or why it is withheld."""
    method = "percentile" if bootstrap.method == "scaled_t" else bootstrap.method
    ends = interval(found.samples, found.value, found.jackknife, method, LEVEL)
    if not ends.high > ends.low:
        return NONE, f"{WITHHELD}: hardly any resample of patients differs"
    return ends, describe_bootstrap(replace(bootstrap, method=method))


def without_interval(found: Resampled) -> str:
    """The reason why resamples give a value no interval; empty where they do."""
    if not np.isfinite(found.value):
        return "undefined"
    if found.n_patients < 2:
        return "rests on a single patient"
    if np.isnan(found.error):
        return "undefined in more than a tenth of the resamples of patients"
    return "" if found.error > 0 else _NO_SPREAD


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
        if trials[0]
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
