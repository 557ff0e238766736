"""A model card an arm: what it is, what it saw, how it did, and what it is not for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from benchmark.plugins.arms import Arm
from benchmark.report.tables.main import arm_rows, lift_over_size
from benchmark.report.tables.table import Table, decimal, sentence, with_interval
from benchmark.report.wording.facts import described, described_features, fit_seconds
from benchmark.report.wording.summary import NO_CLINICAL_USE
from benchmark.run.folder import RunFolder

_PERFORMANCE = ("auc", "accuracy", "sensitivity", "specificity", "precision")
_CALIBRATION = ("calibration_slope", "calibration_intercept", "brier", "ece")


def model_cards(run: RunFolder, known: Mapping[str, str], warnings: Sequence[str]) -> list[Table]:
    """One table of two columns an arm, after Mitchell et al. (2019).

    ``known`` are the run's facts, ``warnings`` its cautions.
    """
    return [
        Table(
            f"Model card: {arm}",
            ("about", "what the run says"),
            [(about, said) for about, said in _rows(run, known, warnings, arm) if said],
            [],
            widths=(0.2, 0.8),
        )
        for arm in run.arms
    ]


def _rows(
    run: RunFolder, known: Mapping[str, str], warnings: Sequence[str], arm: Arm
) -> Iterator[tuple[str, str]]:
    own = arm_rows(run.metrics, arm)
    settings = _settings(run, arm)
    auc = own["auc"]
    yield "Model", described("models", arm.model)
    yield "Input", " ".join(f"{n}: {described_features(run, n)}" for n in arm.feature_sets)
    yield "Learns from", "" if arm.external else arm.supervision
    yield "Settings", ", ".join(f"{key} = {value}" for key, value in settings.items())
    trained = f"{known['dataset']}: {known['cohort']}. {known['training_size']}"
    yield "Trained on", "" if arm.external else trained
    yield "Labels", f"{known['label_rule']} {known['label_meaning']}"
    yield "Splits", f"{known['split']} {known['disjoint']}"
    yield "Threshold", known["threshold"]
    yield "Tested on", f"{auc.n_rois} ROIs of {auc.n_patients} patients"
    yield "Performance, 95 % intervals", _listed(own, _PERFORMANCE)
    lift = lift_over_size(run.comparisons, arm)
    if lift is not None:
        yield (
            "AUC less size alone",
            with_interval(lift.difference, lift.low, lift.high, sign=True),
        )
    yield "Calibration", _listed(own, _CALIBRATION)
    yield "AUC in strata", _strata(run.strata, arm)
    yield "AUC on the ROIs it was fitted on", _trained(run.training, arm)
    yield "Mean time of a split", fit_seconds(run, arm)
    yield "Version", f"source revision {known['revision']}; {known['software']}"
    yield "Intended use", f"Comparing methods on these data. {NO_CLINICAL_USE}"
    yield "Not for", "Finding nodules, screening, or decisions about patients."
    named = [sentence(text) for text in warnings if arm.name in text]
    yield "Tested elsewhere", known["external"]
    yield "Limits", " ".join(named)


def _listed(own: dict[str, object], metrics: tuple[str, ...]) -> str:
    parts = []
    for name in metrics:
        row: object = own[name]
        value, low, high = (float(getattr(row, part)) for part in ("value", "ci_low", "ci_high"))
        parts.append(f"{name.replace('_', ' ')} {with_interval(value, low, high)}")
    return "; ".join(parts)


def _settings(run: RunFolder, arm: Arm) -> dict[str, object]:
    entries = (entry for entry in run.config["arms"] if not isinstance(entry, str))
    own: dict[str, object] = next((e["settings"] for e in entries if e["name"] == arm.name), {})
    return {**run.config.get("models", {}).get(arm.model, {}), **own}


def _strata(strata: pd.DataFrame, arm: Arm) -> str:
    own = strata[(strata.arm == arm.name) & (strata.metric == "auc")]
    return "; ".join(
        f"{row['stratum']} {row['level']} "
        f"{with_interval(row['value'], row['ci_low'], row['ci_high'])}"
        for row in own.to_dict("records")
    )


def _trained(training: pd.DataFrame, arm: Arm) -> str:
    own = training[training.arm == arm.name]
    if own.empty:
        return ""
    return f"{decimal(float(own.auc.mean()))}, mean over splits; says nothing of new patients"
