"""From stored predictions to metrics with intervals; needs nothing but the predictions."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark.config import Bootstrap
from benchmark.inference import interval, leave_one_out_weights, patient_weights
from benchmark.metrics import METRICS, Floats, Scores
from benchmark.seeds import derive_seed

LEVEL = 0.95
COLUMNS = [
    "model", "features", "metric", "value", "ci_low", "ci_high", "n_rois", "n_patients", "method",
]  # fmt: skip


def score(predictions: pd.DataFrame, bootstrap: Bootstrap, seed: int) -> pd.DataFrame:
    """Every metric of every arm, with a 95 % interval over patients.

    Parameters
    ----------
    predictions : DataFrame
        As in ``predictions.parquet``.
    bootstrap : Bootstrap
    seed : int
        The run's; all arms tested on the same patients share the same resamples.

    Returns
    -------
    DataFrame
        Columns ``COLUMNS``; arms in the order in which they first appear. The interval
        is NaN where too many resamples leave the metric undefined.
    """
    method = f"{bootstrap.method} bootstrap of patients, {bootstrap.samples} resamples"
    rows = []
    for (model, features), arm in predictions.groupby(["model", "features"], sort=False):
        patients = arm["patient_id"].to_numpy(str)
        observed = _scores(arm, np.ones((1, len(arm))))
        resampled = _scores(
            arm, patient_weights(patients, bootstrap.samples, derive_seed(seed, "bootstrap"))
        )
        left_out = None
        if bootstrap.method == "bca":
            left_out = _scores(arm, leave_one_out_weights(patients))
        for name, metric in METRICS.items():
            value = float(metric(observed)[0])
            jackknife = None if left_out is None else metric(left_out)
            ends = interval(metric(resampled), value, jackknife, bootstrap.method, LEVEL)
            rows.append(
                (
                    model, features, name, value, ends.low, ends.high,
                    arm["roi_id"].nunique(), len(set(patients)), method,
                )
            )  # fmt: skip
    return pd.DataFrame(rows, columns=COLUMNS)


def _scores(arm: pd.DataFrame, weights: Floats) -> Scores:
    fold: NDArray[np.int64] = np.asarray(arm.groupby(["repeat", "fold"]).ngroup(), np.int64)
    return Scores(
        y_true=arm["y_true"].to_numpy(np.int64),
        y_prob=arm["y_prob"].to_numpy(np.float64),
        threshold=arm["threshold"].to_numpy(np.float64),
        fold=fold,
        weights=weights,
    )
