"""Method warnings: what a reviewer would ask of this run, each with the figure behind it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from benchmark.cohort.labels import source_name
from benchmark.cohort.near_duplicates import across
from benchmark.cohort.splits import leaked
from benchmark.plugins.arms import Arm, arms_in
from benchmark.report.tables.main import arm_rows, size_arm
from benchmark.report.tables.table import decimal, percent, with_interval
from benchmark.report.wording.image_warnings import image_warnings
from benchmark.run.folder import RunFolder
from benchmark.statistics.comparisons import SIZE_ONLY
from benchmark.statistics.metrics import IDEAL
from benchmark.statistics.pairs import PATIENT_BOOTSTRAP

ENOUGH_CASES = 100
"""Patients with a ROI of each class below which a validation is called small (Collins, Ogundimu &
Altman, Statistics in Medicine 2016, of events, which were independent there)."""

LONG_PATIENT = 1 / 3
"""Share of the tested ROIs from which on a single patient's is named."""

WIDE_GAP = 0.05
"""AUC on training less AUC on tested ROIs, from which on it is named."""

OFTEN_AT_EDGE = 0.2
"""Share of an arm's fits whose chosen setting ends its grid, above which it is named: each of five
values that are equally good is chosen that often."""

CHANCE = 0.5
"""AUC of a constant."""

_EQUAL = 1e-12
"""Two values of Youden's J up to this apart are one: they are sums of the same fractions."""

_CALIBRATION = {"calibration_slope": "slope", "calibration_intercept": "intercept"}


def cautions(run: RunFolder) -> list[str]:
    """Warnings on a run's method, most severe first; empty where there is nothing to say.

    Arms that predict one constant (``prior``) are left out: they are there to be worse.
    """
    rated = rated_arms(run)
    return [
        *_leaky(run),
        *_near_duplicates(run),
        *_label_sources(run),
        *_made_elsewhere(run),
        *image_warnings(run),
        *_threshold_on_test(run, rated),
        *_no_baseline(run),
        *_low_baseline(run, rated),
        *_few_cases(run),
        *_long_patient(run),
        *_lift(run, rated),
        *_calibration(run, rated),
        *_gap(run, rated),
        *_edges(run),
    ]


def rated_arms(run: RunFolder) -> list[Arm]:
    """Arms whose probabilities differ within some fold."""
    distinct = run.predictions.groupby(["arm", "repeat", "fold"])["y_prob"].nunique()
    most = distinct.groupby(level="arm").max()
    return [arm for arm in arms_in(run.predictions) if most[arm.name] > 1]


def _leaky(run: RunFolder) -> Iterator[str]:
    patient_of = dict(zip(run.rois.roi_id, run.rois.patient_id, strict=True))
    tested, with_patient = leaked(run.splits, patient_of)
    if with_patient:
        yield (
            f"Leaky split: {with_patient} of {tested} tested ROIs "
            f"({percent(with_patient / tested)}) are of patients whose other ROIs were trained "
            "on, and figures may be optimistic for new patients. 'audit RUN_DIR' measures by how "
            "much"
        )


def _near_duplicates(run: RunFolder) -> Iterator[str]:
    tested, pairs = across(run.splits, run.near_duplicates)
    if tested:
        first = f"{pairs[0].roi_a} and {pairs[0].roi_b}, similarity {decimal(pairs[0].similarity)}"
        yield (
            f"Near-duplicates: of {tested} tested ROIs, another that seems made of the same pixels "
            f"was trained on ({len(pairs)} pairs, first {first}); near_duplicates.csv names them, "
            "to be looked at"
        )


def _label_sources(run: RunFolder) -> Iterator[str]:
    """Labels of several sources, with each one's share of malignant ROIs."""
    tested = run.rois[run.rois["roi_id"].isin(run.predictions["roi_id"])]
    told = [
        f"{source_name(str(source))} {len(rows)} ROIs, {percent(float(rows.y_true.mean()))} "
        "malignant"
        for source, rows in tested.groupby("label_source")
    ]
    if len(told) > 1:
        yield (
            f"Labels of several sources ({'; '.join(told)}): a model that tells the sources apart "
            "gains by it, and what counts as malignant differs. strata.csv has each by itself"
        )


def _made_elsewhere(run: RunFolder) -> Iterator[str]:
    """Predictions and features whose making this run did not see."""
    arms = arms_in(run.predictions)
    fed = {name for arm in arms for name in arm.feature_sets}
    parts = {
        "predictions of": [arm.name for arm in arms if arm.external],
        "features": [name for name in run.config.get("feature_tables", {}) if name in fed],
    }
    told = [f"{what} {', '.join(names)}" for what, names in parts.items() if names]
    if told:
        yield (
            f"Made elsewhere: {'; '.join(told)}. That no tested patient was learnt from, in "
            "training or in choosing a threshold, is their makers' word"
        )


def _no_baseline(run: RunFolder) -> Iterator[str]:
    if SIZE_ONLY not in set(run.metrics.model):
        yield (
            "No size-only row: nodule volume alone reaches a high AUC on this task, and without "
            "that row a model's own contribution cannot be read off"
        )


def _low_baseline(run: RunFolder, rated: list[Arm]) -> Iterator[str]:
    """Being better than a size that ranks by chance is no feat."""
    size = size_arm(rated)
    if size is None:
        return
    auc = arm_rows(run.metrics, size)["auc"]
    if auc.value <= CHANCE or auc.ci_low <= CHANCE:
        shown = with_interval(auc.value, auc.ci_low, auc.ci_high)
        yield (
            "Size is a low bar: it is not shown to rank these nodules better than chance, AUC "
            f"{shown}; on LIDC-IDRI's it reaches .89 to .93, and what is better than size here "
            "may rank by chance itself"
        )


def _threshold_on_test(run: RunFolder, rated: list[Arm]) -> Iterator[str]:
    """A threshold chosen on training patients is seldom the best one on all tested sides."""
    for arm, rows in _frames(run.predictions, rated):
        splits = [
            (_youden(fold, fold["threshold"].to_numpy()[0]), _best_youden(fold))
            for _, fold in rows.groupby(["repeat", "fold"])
        ]
        # Perfect and useless separation have many best thresholds, and a fixed one was not chosen.
        judged = [(own, best) for own, best in splits if 0 < best < 1]
        fixed = len(splits) > 1 and len(rows["threshold"].unique()) == 1
        # Of a single split, the best threshold is hit by chance now and then, though hardly to
        # the last digit.
        sure = len(judged) > 1 or _is_a_tested_score(rows)
        if judged and sure and not fixed and all(own >= best - _EQUAL for own, best in judged):
            yield (
                f"Threshold of {arm}: it is the best possible one on the tested ROIs in "
                f"{len(judged)} of {len(splits)} splits (Youden's J {judged[0][0]:.3f}); if it was "
                "chosen on them, accuracy, sensitivity and specificity are optimistic"
            )


def _is_a_tested_score(rows: pd.DataFrame) -> bool:
    """True if the threshold is one of the scores, or midway between two neighbours."""
    scores = np.unique(rows["y_prob"])
    threshold = rows["threshold"].iloc[0]
    return bool(np.isin(threshold, [*scores, *(scores[1:] + scores[:-1]) / 2]))


def _youden(fold: pd.DataFrame, threshold: float) -> float:
    called, malignant = fold["y_prob"] >= threshold, fold["y_true"] == 1
    return float(called[malignant].mean() - called[~malignant].mean())


def _best_youden(fold: pd.DataFrame) -> float:
    """The largest J of any threshold, from the scores in descending order."""
    order = np.argsort(-fold["y_prob"].to_numpy(), kind="stable")
    score, malignant = fold["y_prob"].to_numpy()[order], (fold["y_true"] == 1).to_numpy()[order]
    gained = np.cumsum(malignant) / malignant.sum() - np.cumsum(~malignant) / (~malignant).sum()
    last = np.r_[np.diff(score) != 0, True]  # of the ROIs that tie
    return float(gained[last].max())


def _few_cases(run: RunFolder) -> Iterator[str]:
    patients = run.predictions.groupby("y_true")["patient_id"].nunique()
    malignant, benign = int(patients.get(1, 0)), int(patients.get(0, 0))
    if min(malignant, benign) < ENOUGH_CASES:
        yield (
            f"Few cases: {malignant} patients with malignant and {benign} with benign ROIs are "
            f"tested; with fewer than {ENOUGH_CASES} of each, figures of a validation are unstable"
        )


def _long_patient(run: RunFolder) -> Iterator[str]:
    tested = run.predictions.drop_duplicates("roi_id")["patient_id"].value_counts()
    if len(tested) and tested.iloc[0] > LONG_PATIENT * tested.sum():
        yield (
            f"A patient with many ROIs: {tested.iloc[0]} of {tested.sum()} tested ROIs "
            f"({percent(tested.iloc[0] / tested.sum())}) are of {tested.index[0]}; figures say "
            "little of other patients, and intervals that resample patients are unsure themselves"
        )


def _lift(run: RunFolder, rated: list[Arm]) -> Iterator[str]:
    table = run.comparisons
    lifts = table[
        (table.model_b == SIZE_ONLY) & (table.metric == "auc") & (table.test == PATIENT_BOOTSTRAP)
    ]
    worse, not_shown, unknown = [], [], []
    names = {arm.name for arm in rated}
    for row in lifts.to_dict("records"):
        arm = row["arm_a"]
        if arm not in names:
            continue
        low, high = row["ci_low"], row["ci_high"]
        shown = with_interval(row["difference"], low, high, sign=True)
        if high < 0:
            worse.append(f"{arm} {shown}")
        elif low <= 0:
            not_shown.append(f"{arm} {shown}")
        elif not low > 0:
            unknown.append(f"{arm} {shown}")
    if worse:
        yield f"Worse than size alone (AUC - size): {'; '.join(worse)}"
    if not_shown:
        yield (
            "No lift over size is shown, the interval of AUC - size covers zero: "
            f"{'; '.join(not_shown)}"
        )
    if unknown:
        yield f"No lift over size is shown, AUC - size has no interval: {'; '.join(unknown)}"


def _calibration(run: RunFolder, rated: list[Arm]) -> Iterator[str]:
    off = []
    for arm, rows in _frames(run.metrics, rated):
        by_name = rows.set_index("metric")[["value", "ci_low", "ci_high"]]
        parts = []
        for metric, shown in _CALIBRATION.items():
            value, low, high = map(float, by_name.loc[metric])
            if low > IDEAL[metric] or high < IDEAL[metric]:
                parts.append(f"{shown} {with_interval(value, low, high)}")
        if parts:
            off.append(f"{arm} {', '.join(parts)}")
    if off:
        yield (
            "Calibration is off, the interval leaves out the ideal (slope 1, intercept 0): "
            f"{'; '.join(off)}"
        )


def _gap(run: RunFolder, rated: list[Arm]) -> Iterator[str]:
    auc = run.metrics[run.metrics.metric == "auc"].set_index("arm")["value"]
    wide = []
    for arm, rows in _frames(run.training, rated):
        trained, tested = float(rows["auc"].mean()), float(auc.loc[arm.name])
        if trained - tested > WIDE_GAP:
            wide.append(f"{arm} {trained:.3f} and {tested:.3f}")
    if wide:
        yield (
            "Train-test gap: AUC on the ROIs fitted (mean over splits) and on those tested lie "
            f"more than {WIDE_GAP} apart: {'; '.join(wide)}. A gap is no fault by itself; figures "
            "on fitted ROIs say nothing"
        )


def _edges(run: RunFolder) -> Iterator[str]:
    """A grid that often has its end chosen may be too narrow."""
    if run.choices is None:
        return
    often = []
    for (arm, setting), rows in run.choices.groupby(["arm", "setting"], sort=False):
        for edge in ("lowest", "highest"):
            ended = rows[rows["edge"] == edge]
            if len(ended) > OFTEN_AT_EDGE * len(rows):
                often.append(
                    f"{arm} {setting} = {ended['value'].iloc[0]} ({edge}) in {len(ended)} of "
                    f"{len(rows)} fits"
                )
    if often:
        yield (
            "Settings at the end of their grid, where a wider one might have done better: "
            f"{'; '.join(often)}. choices.csv has the settings of every fit"
        )


def _frames(table: pd.DataFrame, arms: list[Arm]) -> Iterator[tuple[Arm, pd.DataFrame]]:
    for arm in arms:
        rows = table[table.arm == arm.name]
        if len(rows):
            yield arm, rows
