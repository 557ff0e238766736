"""Stored tables: the file, the columns and the types of each, declared once.

Every table of a run folder ends with a column ``intensities``: ``acquired``, or ``synthetic``
where voxel values come from a simulation. An arm is known by its name, the column ``arm``; what
it is made of stands beside it, in ``model`` and ``features``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.stored_table import FLAG, REAL, TEXT, WHOLE, StoredTable

if TYPE_CHECKING:
    import pandas as pd

ARM = {"arm": TEXT, "model": TEXT, "features": TEXT}
_SPLIT = {"repeat": WHOLE, "fold": WHOLE}
_VALUE = {"value": REAL, "ci_low": REAL, "ci_high": REAL}
_COUNTS = {"n_rois": WHOLE, "n_patients": WHOLE}


def by_arm(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The rows of each arm by its name, in the order in which arms first appear."""
    return {str(name): rows for name, rows in table.groupby("arm", sort=False)}


def arm_of(rows: pd.DataFrame) -> tuple[str, str, str]:
    """Name, model and feature sets of the arm whose rows these are."""
    first = rows.iloc[0]
    return str(first["arm"]), str(first["model"]), str(first["features"])


PREDICTION_TABLE = StoredTable(
    "predictions",
    {
        "roi_id": TEXT, "patient_id": TEXT, **ARM, "supervision": TEXT, "scheme": TEXT, **_SPLIT,
        "y_true": WHOLE, "y_prob": REAL, "threshold": REAL,
    },
    parquet=True,
    key=("roi_id", "arm", "scheme", "repeat", "fold"),
)  # fmt: skip
"""One row a (ROI, split, arm)."""

METRIC_TABLE = StoredTable(
    "metrics",
    {**ARM, "supervision": TEXT, "metric": TEXT, **_VALUE, **_COUNTS, "method": TEXT},
    key=("arm", "metric"),
)
"""One row an (arm, metric)."""

SPLIT_METRIC_TABLE = StoredTable(
    "split_metrics", {**ARM, "metric": TEXT, **_VALUE, "n_splits": WHOLE, "method": TEXT}
)
"""Means over several splits, corrected for their overlap."""

COMPARISON_TABLE = StoredTable(
    "comparisons",
    {
        "arm_a": TEXT, "model_a": TEXT, "features_a": TEXT,
        "arm_b": TEXT, "model_b": TEXT, "features_b": TEXT, "metric": TEXT, "test": TEXT,
        "difference": REAL, "ci_low": REAL, "ci_high": REAL, "p": REAL, "p_holm": REAL,
        "p_holm_size": REAL, **_COUNTS, "method": TEXT,
    },
    key=("arm_a", "arm_b", "metric", "test"),
)  # fmt: skip
"""One row a (pair of arms, metric, test)."""

RANK_TABLE = StoredTable(
    "ranks", {**ARM, "metric": TEXT, "rank": WHOLE, "probability": REAL, **_COUNTS}
)
"""Share of the resamples of patients in which an arm takes a rank."""

STRATA_TABLE = StoredTable(
    "strata",
    {
        "stratum": TEXT, "level": TEXT, **ARM, "metric": TEXT, **_VALUE,
        "n_rois": WHOLE, "n_malignant": WHOLE, "n_patients": WHOLE, "method": TEXT,
    },
    key=("stratum", "level", "arm", "metric"),
)  # fmt: skip
"""The metrics within strata."""

TIMING_TABLE = StoredTable(
    "timings",
    {
        **ARM, "stage": TEXT, **_SPLIT, "seconds": REAL, "n_rois": WHOLE, "n_cached": WHOLE,
        "device": TEXT,
    },
)  # fmt: skip
"""One row a timed call, or one that the cache spared; extraction belongs to no arm."""

TRAINING_TABLE = StoredTable(
    "training", {**ARM, **_SPLIT, "auc": REAL, "n_rois": WHOLE}, key=("arm", "repeat", "fold")
)
"""AUC of each fit on the ROIs that it was fitted on."""

CHOICE_TABLE = StoredTable(
    "choices", {**ARM, **_SPLIT, "setting": TEXT, "value": TEXT, "edge": TEXT}
)
"""One row a (fit, setting) that a model chose on its inner folds; ``edge`` is ``lowest`` or
``highest`` where the value ends a grid that could go on."""

EPOCH_TABLE = StoredTable("history", {**ARM, **_SPLIT, "epoch": REAL}, open=True)
"""One row a training epoch, for models that have epochs, with their losses and metrics."""

ROI_TABLE = StoredTable(
    "rois",
    {
        "roi_id": TEXT, "patient_id": TEXT, "y_true": WHOLE, "equivalent_diameter_mm": REAL,
        "slice_thickness_mm": REAL, "malignancy_mean": REAL, "malignancy_range": REAL,
        "texture": REAL, "margin_mm": REAL, "obliquity_deg": REAL, "doubt": TEXT,
        "label_source": TEXT,
    },
    key=("roi_id",),
)  # fmt: skip
"""One row a ROI: size, slice thickness, ratings, what is unusual in its image, and what its label
rests on (``RoiRecord.source``)."""

NEAR_DUPLICATE_TABLE = StoredTable(
    "near_duplicates", {"roi_a": TEXT, "roi_b": TEXT, "similarity": REAL}, key=("roi_a", "roi_b")
)
"""Pairs of ROIs that are made of the same pixels."""

MULTIVERSE_TABLE = StoredTable(
    "multiverse",
    {
        "universe": WHOLE, "models": TEXT, "aggregation": TEXT, "min_readers": TEXT,
        "indeterminate": TEXT, "scheme": TEXT, "group": TEXT, "own": FLAG, "n_rois": WHOLE,
        "n_malignant": WHOLE, "n_patients": WHOLE, **ARM, "auc": REAL, "ci_low": REAL,
        "ci_high": REAL, "lift": REAL, "lift_low": REAL, "lift_high": REAL, "rank": REAL,
    },
    key=("universe", "models", "arm"),
)  # fmt: skip
"""With ``--multiverse``, one row a (universe, arm).

``models`` says whether the models were trained in the universe or are the run's own, re-scored;
``own`` marks the run's own protocol; counts are of what the arm was tested on; ``lift`` is the AUC
less that of ``size_only``; rank 1 has the highest AUC; arms that tie share the mean of their ranks.
"""

UNIVERSE_TABLE = StoredTable(
    "multiverse", {"universe": WHOLE, "models": TEXT, **PREDICTION_TABLE.types}, parquet=True
)
"""The predictions that the multiverse is made from."""

LEAKAGE_TABLE = StoredTable(
    "leakage",
    {
        **ARM, "metric": TEXT, "leaky": REAL, "grouped": REAL, "inflation": REAL, "ci_low": REAL,
        "ci_high": REAL, "p": REAL, **_COUNTS,
    },
)  # fmt: skip
"""Inflation by a leaky split, one row an (arm, metric)."""

EXPLANATION_TABLE = StoredTable(
    "explanations",
    {**ARM, "feature": TEXT, "mean_abs_shap": REAL, "unit": TEXT, "n_rois": WHOLE},
)
"""Mean |SHAP| of each feature of each classical arm."""
