"""Metrics by scikit-learn's functions, one resample at a time, and predictions to try them on."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit
from sklearn import metrics as sk
from sklearn.linear_model import LogisticRegression

from benchmark.columns import PREDICTION_TABLE
from benchmark.statistics.calibration import logits
from benchmark.statistics.cases import Floats

CALIBRATION = ("calibration_slope", "calibration_intercept")


def simulated_predictions(
    n_arms: int, n_rois: int, n_patients: int, rng: np.random.Generator
) -> pd.DataFrame:
    """A table as in ``predictions.parquet``; later arms are noisier."""
    patient, y = rng.integers(n_patients, size=n_rois), rng.random(n_rois) < 0.45
    tables = []
    for arm in range(n_arms):
        score_ = 1.5 * y + rng.normal(size=n_rois) * (1 + 0.05 * arm)
        tables.append(
            pd.DataFrame({
                "roi_id": [f"r{i}" for i in range(n_rois)],
                "patient_id": [f"p{i}" for i in patient],
                "model": f"model {arm}", "features": "simulated", "repeat": 0, "fold": 0,
                "y_true": y.astype(int), "y_prob": expit(1.5 * score_ - 1), "threshold": 0.5,
            })
        )  # fmt: skip
    return PREDICTION_TABLE.completed(pd.concat(tables, ignore_index=True))


def discrimination(
    y: NDArray[np.int64], p: Floats, called: NDArray[np.bool_], w: Floats
) -> dict[str, float]:
    """What scikit-learn has of the suite's metrics, under sample weights, for one fold."""
    weighted = {"sample_weight": w, "zero_division": np.nan}
    fpr, tpr, _ = sk.roc_curve(y, p, sample_weight=w, drop_intermediate=False)
    return {
        "accuracy": sk.accuracy_score(y, called, sample_weight=w),
        "sensitivity": sk.recall_score(y, called, **weighted),
        "specificity": sk.recall_score(y, called, pos_label=0, **weighted),
        "precision": sk.precision_score(y, called, **weighted),
        "npv": sk.precision_score(y, called, pos_label=0, **weighted),
        "f1": sk.f1_score(y, called, **weighted),
        "balanced_accuracy": sk.balanced_accuracy_score(y, called, sample_weight=w),
        "mcc": sk.matthews_corrcoef(y, called, sample_weight=w),
        "auc": sk.roc_auc_score(y, p, sample_weight=w),
        "average_precision": sk.average_precision_score(y, p, sample_weight=w),
        "sensitivity_at_specificity_90": tpr[fpr <= 0.1].max(),
        "sensitivity_at_specificity_95": tpr[fpr <= 0.05].max(),
        "specificity_at_sensitivity_90": 1 - fpr[tpr >= 0.9].min(),
        "specificity_at_sensitivity_95": 1 - fpr[tpr >= 0.95].min(),
        "brier": sk.brier_score_loss(y, p, sample_weight=w),
        "log_loss": sk.log_loss(y, p, sample_weight=w),
        "ece": _ece(y, p, w),
        **{f"net_benefit_at_{t}": _net_benefit(y, p, w, t / 100) for t in (10, 20, 30, 50)},
    }


def recalibration(y: NDArray[np.int64], p: Floats, w: Floats) -> dict[str, float]:
    """Slope by scikit-learn's unpenalised logistic regression, intercept by root finding."""
    x = logits(p)
    fitted = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-9)
    fitted.fit(x[:, None], y, sample_weight=w)
    shift = brentq(lambda a: float(w @ (y - expit(a + x))), -50, 50, xtol=1e-12)
    return {"calibration_slope": float(fitted.coef_[0, 0]), "calibration_intercept": shift}


def _ece(y: NDArray[np.int64], p: Floats, w: Floats) -> float:
    edges = np.arange(11) / 10
    observed, _ = np.histogram(p, edges, weights=w * y)
    expected, _ = np.histogram(p, edges, weights=w * p)
    return float(np.abs(observed - expected).sum() / w.sum())


def _net_benefit(y: NDArray[np.int64], p: Floats, w: Floats, threshold: float) -> float:
    (_, fp), (_, tp) = sk.confusion_matrix(y, p >= threshold, sample_weight=w)
    return float((tp - fp * threshold / (1 - threshold)) / w.sum())
