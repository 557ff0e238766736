"""Facts of a run as text: the material of checklists and model cards."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from benchmark.cohort.splits import leaked
from benchmark.plugins.arms import EXTERNAL, Arm
from benchmark.plugins.registry import describe, knows
from benchmark.report.tables.labels import READER, label_note, label_sources
from benchmark.report.tables.main import arm_rows, interval_methods, lift_over_size
from benchmark.report.tables.table import duration, percent, sentence, with_interval
from benchmark.run.folder import RunFolder
from benchmark.statistics.comparisons import SIZE_ONLY
from benchmark.statistics.metrics import METRICS

_PACKAGES_OF_RADIOMICS = "pyradiomics"

NOT_SEEN = "Made elsewhere; what it was trained on cannot be seen in its predictions."


def facts(run: RunFolder, warnings: Sequence[str]) -> dict[str, str]:
    """Facts by name, each a text that is empty where the run does not know.

    ``warnings`` are the run's (``cautions``).
    """
    environment, protocol = run.environment, run.environment["protocol"]
    dataset, packages = environment["dataset"], environment["packages"]
    arms = run.arms
    rated = run.rois.malignancy_mean.notna().any()
    sources = set(label_sources(run))
    by_readers = rated and sources == {READER}
    software = [f"Python {environment['python']}", *(f"{n} {v}" for n, v in packages.items())]
    return {
        "arms": ", ".join(map(str, arms)),
        "dataset": str(dataset["name"]),
        "fingerprint": str(dataset["fingerprint"]),
        "cohort": str(dataset["cohort"]),
        "label_rule": sentence(protocol["label"]),
        "label_meaning": label_note(run),
        "split": sentence(protocol["split"]),
        "threshold": sentence(protocol["threshold"]),
        "seed": str(run.config["seed"]),
        "revision": str(environment["revision"]),
        "software": f"{', '.join(software)}.",
        "metrics": ", ".join(METRICS).replace("_", " "),
        "intervals": interval_methods(run.metrics),
        "features": " ".join(
            f"{name}: {described_features(run, name)}"
            for name in dict.fromkeys(name for arm in arms for name in arm.feature_sets)
        ),
        "models": " ".join(
            f"{name}: {described('models', name)}"
            for name in dict.fromkeys(arm.model for arm in arms)
        ),
        "training": _training(run),
        "training_size": _training_size(run),
        "disjoint": _disjoint(run),
        "aucs": "; ".join(f"{arm} {_auc(run, arm)}" for arm in arms),
        "failures": _failures(run),
        "slice_thickness": _range(run.rois.slice_thickness_mm, "Slice thickness", "mm"),
        "characteristics": _characteristics(run),
        "readers": (
            "The malignancy ratings of the dataset's readers, several a nodule."
            if by_readers
            else ""
        ),
        "rater_spread": _rater_spread(run),
        "reference_quality": label_note(run) if sources != {""} else "",
        "label_interval": "None: the ratings were given on these images." if by_readers else "",
        "sensitivity": _sensitivity(run),
        "strata": _strata(run),
        "explanations": "",
        "internal": _internal(run),
        "external": _external(run),
        "warnings": " ".join(map(sentence, warnings)),
        "radiomics_software": _radiomics_software(run),
        "confounders": (
            "Size: a size-only model is tested beside all others, the lift over it is reported, "
            "and so are strata of size and size-matched pairs."
            if _has(run, SIZE_ONLY)
            else ""
        ),
        "non_radiomic": _beside(run, SIZE_ONLY, "Size alone"),
        "simple_models": _simple_models(run),
    }


def described(kind: str, name: str) -> str:
    """Line that ``list`` shows of a plug-in, or that this checkout lacks it."""
    if kind == "models" and name == EXTERNAL:
        return NOT_SEEN
    if not knows(kind, name):
        return "not in this version of the suite."
    return sentence(describe(kind, name))


def described_features(run: RunFolder, name: str) -> str:
    """Line on a feature set, which may be a feature table of the run."""
    if name in run.config.get("feature_tables", {}):
        return "made elsewhere, and read from a table."
    return described("features", name)


def _has(run: RunFolder, model: str) -> bool:
    return model in set(run.metrics.model)


def _auc(run: RunFolder, arm: Arm) -> str:
    row = arm_rows(run.metrics, arm)["auc"]
    return with_interval(row.value, row.ci_low, row.ci_high)


def _beside(run: RunFolder, model: str, what: str) -> str:
    found = [f"{what} ({arm}): AUC {_auc(run, arm)}." for arm in run.arms if arm.model == model]
    lifts = (lift_over_size(run.comparisons, arm) for arm in run.arms)
    n = sum(lift is not None for lift in lifts)
    return f"{' '.join(found)} {n} models are compared with it, paired." if found else ""


def _simple_models(run: RunFolder) -> str:
    simple = [arm for arm in run.arms if arm.model in ("prior", SIZE_ONLY, "logistic")]
    return "; ".join(f"{arm} AUC {_auc(run, arm)}" for arm in simple)


def _training(run: RunFolder) -> str:
    settings = {
        name: ", ".join(f"{key} {value}" for key, value in values.items())
        for name, values in run.config.get("models", {}).items()
        if _has(run, name)
    }
    changed = "; ".join(f"{name}: {text}" for name, text in settings.items())
    return (
        f"{len(run.splits)} splits, every model fitted anew in each. Hyper-parameters are tuned on "
        f"inner folds grouped by patient. {f'Settings: {changed}. ' if changed else ''}"
        f"Augmentation and class weights: see the models' descriptions. {_external_arms(run)}"
    ).strip()


def _external_arms(run: RunFolder) -> str:
    """What holds of arms that were made elsewhere, whatever holds of the others; may be empty."""
    named = ", ".join(arm.name for arm in run.arms if arm.external)
    return f"Of external arms ({named}) their makers alone can say so." if named else ""


def _training_size(run: RunFolder) -> str:
    sizes = [len(split.train) for split in run.splits]
    low, high = min(sizes), max(sizes)
    return f"{low if low == high else f'{low} to {high}'} ROIs to train on in a split."


def _disjoint(run: RunFolder) -> str:
    if not run.environment["dataset"].get("patients_known", True):
        return "ROI: the dataset names no patients, and one may stand on both sides of a split."
    patient_of = dict(zip(run.rois.roi_id, run.rois.patient_id, strict=True))
    tested, with_patient = leaked(run.splits, patient_of)
    if not with_patient:
        return (
            "Patient: no patient's ROIs stand on both sides of a split; whatever is fitted sees "
            f"training patients only. {_external_arms(run)}"
        ).strip()
    share = percent(with_patient / tested)
    return f"ROI: {with_patient} of {tested} tested ROIs ({share}) have their patient in training."


def _failures(run: RunFolder) -> str:
    failed = sum(failure.status == "failed" for failure in run.failures)
    skipped = len(run.failures) - failed
    return f"{failed} failures and {skipped} skips are recorded in failures.json."


def _range(values: pd.Series[float], what: str, unit: str) -> str:
    known = values.dropna()
    if known.empty:
        return ""
    low, middle, high = (
        f"{value:.2f}".rstrip("0").rstrip(".") for value in np.quantile(known, [0, 0.5, 1])
    )
    return f"{what} {low} to {high} {unit}, median {middle}, of {len(known)} ROIs."


def _characteristics(run: RunFolder) -> str:
    parts = [
        _range(run.rois.equivalent_diameter_mm[run.rois.y_true == label], f"{name}: diameter", "mm")
        for label, name in ((0, "Benign"), (1, "Malignant"))
    ]
    return " ".join(filter(None, parts))


def _rater_spread(run: RunFolder) -> str:
    spread = run.rois.malignancy_range.dropna()
    if spread.empty:
        return ""
    return (
        f"Highest less lowest malignancy rating of a nodule: {spread.mean():.2f} on average; 2 or "
        f"more in {percent(float((spread >= 2).mean()))} of {len(spread)} nodules."
    )


def _sensitivity(run: RunFolder) -> str:
    parts = [_strata(run)]
    if run.multiverse is not None:
        n = run.multiverse.universe.nunique()
        parts.append(f"Multiverse: {n} combinations of label rule and split.")
    return " ".join(filter(None, parts))


def _strata(run: RunFolder) -> str:
    named = ", ".join(dict.fromkeys(run.strata.stratum))
    return f"Metrics within strata of {named}." if named else ""


def _is_external(run: RunFolder) -> bool:
    return any(split.scheme == "external" for split in run.splits)


def _internal(run: RunFolder) -> str:
    if _is_external(run):
        return ""
    return f"Yes. {sentence(run.environment['protocol']['split'])}"


def _external(run: RunFolder) -> str:
    if _is_external(run):
        return f"Yes. {sentence(run.environment['protocol']['split'])}"
    return "No: nothing from another source was tested in this run."


def _radiomics_software(run: RunFolder) -> str:
    version = run.environment["packages"].get(_PACKAGES_OF_RADIOMICS, "")
    used = any(name.startswith("radiomics") for arm in run.arms for name in arm.feature_sets)
    return f"{_PACKAGES_OF_RADIOMICS} {version}." if version and used else ""


def workers(run: RunFolder) -> str:
    """Workers that did the work, in words."""
    told = run.environment
    return str(told.get("workers") or f"{told['jobs']} processes of one machine")


def fit_seconds(run: RunFolder, arm: Arm) -> str:
    """Mean wall time of a fit, and of predicting a split."""
    own = run.timings[run.timings.arm == arm.name]
    parts = []
    for stage in ("fit", "predict"):
        rows = own[own.stage == stage]
        if len(rows):
            parts.append(f"{stage} {duration(float(rows.seconds.mean()))} s")
    return ", ".join(parts)
