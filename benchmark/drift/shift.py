"""Shift of inputs: feature by feature, ROI by ROI and as distributions.

Two questions are kept apart. *Changed*: on ROIs that both runs have, does a feature have another
value? The answer is exact, and says that images or their extraction differ. *Shifted*: do the two
samples come from one distribution? The two-sample Kolmogorov-Smirnov test answers, for datasets
that differ.

The test takes its cases as independent, so each patient gives one ROI, the first by id. Samples
with patients in common resemble each other more than independent ones, and the test errs on the
careful side. Holm's correction covers all features of all sets: whatever their dependence, the
chance that any is called shifted without cause is at most ``LEVEL``.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.stats import fisher_exact, ks_2samp

from benchmark.run.folder import RunFolder
from benchmark.statistics.inference import holm

LEVEL = 0.05
COLUMNS = [
    "features", "feature", "n_changed", "n_shared", "largest_change", "ks", "p", "p_holm",
]  # fmt: skip
ROI_PROPERTIES = "rois.csv"
"""Name in a feature set's place for sizes, slice thickness and ratings, which none extracts."""
_OF_ROIS = ["equivalent_diameter_mm", "slice_thickness_mm", "malignancy_mean", "texture"]


def table(baseline: RunFolder, run: RunFolder, tolerance: float) -> pd.DataFrame:
    """Compare every feature that both have.

    Parameters
    ----------
    baseline, run : RunFolder
    tolerance : float
        A value has changed where it moved by more than this many standard deviations of its
        feature over the baseline's ROIs; where it does not vary, the unit is its mean's size.

    Returns
    -------
    DataFrame
        Columns ``COLUMNS``; ``largest_change`` in those standard deviations.
    """
    first = [_first_of_patients(side.rois) for side in (baseline, run)]
    before, after = _sets(baseline), _sets(run)
    rows = []
    for name in before.keys() & after.keys():
        old, new = before[name], after[name]
        shared = old.index.intersection(new.index)
        samples = [
            frame.loc[frame.index.intersection(one)]
            for frame, one in zip((old, new), first, strict=True)
        ]
        for feature in old.columns.intersection(new.columns):
            scale = _scale(old[feature])
            moved = np.abs(new.loc[shared, feature] - old.loc[shared, feature]).to_numpy() / scale
            moved[
                (old.loc[shared, feature].isna() & new.loc[shared, feature].isna()).to_numpy()
            ] = 0.0
            moved = np.nan_to_num(moved, nan=np.inf)  # known on one side only
            ks, p = _ks(samples[0][feature], samples[1][feature])
            largest = float(moved.max()) if len(moved) else 0.0
            rows.append(
                (name, feature, int((moved > tolerance).sum()), len(shared), largest, ks, p)
            )
    rows.sort(key=lambda row: row[:2])
    found = pd.DataFrame(rows, columns=COLUMNS[:-1])
    return found.assign(p_holm=holm(found["p"].to_numpy(np.float64)))


def label_balance(
    baseline: RunFolder, run: RunFolder
) -> tuple[tuple[int, int], tuple[int, int], float]:
    """Counts (malignant, all) of each side's ROIs, and Fisher's exact p on one ROI a patient."""
    counts, table = [], []
    for side in (baseline, run):
        labels = side.rois.set_index("roi_id")["y_true"]
        counts.append((int(labels.sum()), len(labels)))
        independent = labels.loc[_first_of_patients(side.rois)]
        table.append([int(independent.sum()), int((independent == 0).sum())])
    return counts[0], counts[1], float(fisher_exact(np.array(table)).pvalue)


def _sets(side: RunFolder) -> Mapping[str, pd.DataFrame]:
    return {**side.features, ROI_PROPERTIES: side.rois.set_index("roi_id")[_OF_ROIS]}


def _first_of_patients(rois: pd.DataFrame) -> pd.Index:
    first: pd.Index = pd.Index(rois.sort_values("roi_id").drop_duplicates("patient_id")["roi_id"])
    return first


def _scale(values: pd.Series) -> float:
    """Unit of a change; 1 where a feature is 0 throughout or nowhere known."""
    spread = float(values.std())
    if not spread > 0:
        spread = abs(float(values.mean()))
    return spread if spread > 0 else 1.0


def _ks(old: pd.Series, new: pd.Series) -> tuple[float, float]:
    old, new = old.dropna(), new.dropna()
    if not len(old) or not len(new):
        return np.nan, np.nan
    with warnings.catch_warnings():
        # With ties the exact p may not be had; scipy then says so and takes the asymptotic one.
        warnings.filterwarnings("ignore", "ks_2samp: Exact calculation", RuntimeWarning)
        found = ks_2samp(old, new)
    return float(found.statistic), float(found.pvalue)
