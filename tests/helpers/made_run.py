"""A run folder without a run: scores are drawn, everything made from them is real."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import pandas as pd

from benchmark.cohort.splits import Split
from benchmark.columns import (
    COMPARISON_TABLE,
    EPOCH_TABLE,
    METRIC_TABLE,
    NEAR_DUPLICATE_TABLE,
    PREDICTION_TABLE,
    RANK_TABLE,
    ROI_TABLE,
    STRATA_TABLE,
    TIMING_TABLE,
    TRAINING_TABLE,
)
from benchmark.config import Bootstrap, Config
from benchmark.plugins.arms import Arm
from benchmark.report.gallery.build import Gallery
from benchmark.report.gallery.pictures import GalleryFigure, GalleryItem
from benchmark.run.folder import RunFolder, read_run, write_run
from benchmark.run.results import Extraction, Fits
from benchmark.runtime.failures import Failure
from benchmark.statistics import comparisons, scoring, strata

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYAAAAAYAAjCB0C8AAAAASUVORK5CYII="
)

HOSTILE = "<script>document.title='owned'</script>&amp;\"'%_\\{}$#^~|`*"
"""What HTML, LaTeX and Markdown would each read as theirs."""

ARMS = {
    Arm("prior", "diameter"): None,
    Arm("size_only", "diameter"): 1.5,
    Arm("logistic", "radiomics"): 2.2,
    Arm("paper_cnn", "voxels2d_box"): 1.4,
    Arm("logistic", "ratings"): 2.6,
}
"""Arms and how far the scores of their malignant ROIs lie above the others."""


def make_run(
    path: Path, *, n: int = 160, folds: int = 2, synthetic: bool = False, mark: str = ""
) -> RunFolder:
    """Write and read a run; two ROIs a patient; ids and the dataset's name end with ``mark``."""
    rng = np.random.default_rng(0)
    # Of a width that is not found in other text by chance.
    ids = np.array([f"nodule{i:04}{mark}" for i in range(n)])
    patients = np.array([f"patient{i // 2:04}{mark}" for i in range(n)])
    y_true = np.arange(n) // 2 % 2
    fold = (np.arange(n) // 4) % (folds if folds > 1 else 3)
    splits = [
        Split("kfold", 0, f, tuple(ids[fold != f]), tuple(ids[fold == f])) for f in range(folds)
    ]
    fits, extracted = Fits(), Extraction({}, [], [])
    for arm, distance in ARMS.items():
        score = rng.normal(0, 1, n) + (distance or 0) * y_true
        for split in splits:
            tested = np.isin(ids, split.test)
            probability = 1 / (1 + np.exp(-(score - (distance or 0) / 2)))
            place = {**arm.columns, "repeat": 0, "fold": split.fold}
            fits.predictions.extend([
                {
                    **place, "supervision": arm.supervision, "scheme": "kfold",
                    "roi_id": ids[i], "patient_id": patients[i],
                    "y_true": int(y_true[i]), "threshold": 0.45,
                    "y_prob": 0.5 if distance is None else float(probability[i]),
                }
                for i in np.flatnonzero(tested)
            ])  # fmt: skip
            for stage, seconds in (("fit", 2.0), ("predict", 0.02)):
                fits.timings.append(
                    {**place, "stage": stage, "seconds": seconds, "n_rois": int(tested.sum()),
                     "n_cached": 0, "device": "cpu"}
                )  # fmt: skip
            fits.training.append({**place, "auc": 0.9, "n_rois": len(split.train)})
            if arm.model == "paper_cnn":
                fits.epochs.extend(
                    [
                    {**place, "epoch": float(e), "accuracy": 0.6 + e / 20, "loss": 1 / e,
                     "val_accuracy": 0.6, "val_loss": 1.0}
                    for e in (1, 2, 3)
                ]
                )  # fmt: skip
    extracted.timings.append(
        {"arm": "", "model": "", "features": "radiomics", "stage": "extract", "repeat": -1,
         "fold": -1, "seconds": 9.0, "n_rois": n, "n_cached": 0, "device": "cpu"}
    )  # fmt: skip
    failures = [
        Failure("failed", "extract", f"ValueError: {ids[3]} of {patients[3]}: mask is empty",
                features="radiomics", roi_id=ids[3])
    ]  # fmt: skip
    config = Config(dataset=f"somewhere/made{mark}", arms=tuple(map(str, ARMS)),
                    bootstrap=Bootstrap(samples=100))  # fmt: skip
    predictions = fits.prediction_table
    rois = pd.DataFrame(
        zip(ids, patients, y_true, rng.uniform(4, 25, n), [1.25] * n, 1.5 + 3 * y_true,
            rng.integers(0, 3, n).astype(float), [4.5] * n, [5.0] * n, [0.0] * n, [""] * n,
            ["reader"] * n, strict=True),
        columns=ROI_TABLE.columns,
    )  # fmt: skip
    environment = {
        "started": "2026-01-01T00:00:00+00:00", "wall_s": 12.3, "jobs": 1,
        "dataset": {
            "name": f"made{mark}", "intensities": "synthetic" if synthetic else "acquired",
            "fingerprint": "0" * 8, "cohort": f"{n} ROIs of {n // 2} patients",
            "patients_known": True,
        },
        "protocol": {
            "label": "label: mean of the readers' ratings > 3", "split": "split: made",
            "leaky": False, "threshold": "threshold: 0.45 for every model",
        },
        "python": "3.11.0", "packages": {"numpy": "2.0", "pyradiomics": "3.0.1"},
        "platform": "Linux", "processor": "one", "cores": 2, "revision": "abc1234",
        "command": ["python", "-m", "benchmark", "run", "--dataset", f"/home/{ids[0]}/made{mark}"],
    }  # fmt: skip
    tables = [
        (PREDICTION_TABLE, predictions),
        (TIMING_TABLE, TIMING_TABLE.frame([*extracted.timings, *fits.timings])),
        (TRAINING_TABLE, TRAINING_TABLE.frame(fits.training)),
        (EPOCH_TABLE, EPOCH_TABLE.frame(fits.epochs)),
        (METRIC_TABLE, scoring.score(predictions, config.bootstrap, 0)),
        (COMPARISON_TABLE, comparisons.compare(predictions, config.bootstrap, 0, splits)),
        (RANK_TABLE, comparisons.rank_stability(predictions, config.bootstrap, 0)),
        (ROI_TABLE, rois),
        (
            NEAR_DUPLICATE_TABLE,
            pd.DataFrame({"roi_a": ids[:2], "roi_b": ids[4:6], "similarity": [1.0, 0.99]}),
        ),
        (STRATA_TABLE, strata.stratify(predictions, rois, config.bootstrap, 0)),
    ]
    path.mkdir(parents=True)
    write_run(path, config, environment, splits, failures, {}, tables)
    return read_run(path)


def gallery(run: RunFolder) -> Gallery:
    """One nodule and two figures for the report's gallery, the text as hostile as the ids."""
    first = run.rois.iloc[0]
    notes = (f"beside {run.rois.roi_id[1]}",)
    scores = {"logistic:radiomics": 0.91}
    item = GalleryItem(first.roi_id, first.patient_id, f"kind {HOSTILE}", 0, (1, 2), scores,
                       {f"picture {HOSTILE}": PIXEL}, notes)  # fmt: skip
    figures = [GalleryFigure(f"shap-{n}.png", f"Mean |SHAP value|, {n}", PIXEL) for n in "ab"]
    said = [f"diameter of '{run.rois.roi_id[2]}': ValueError: empty"]
    return Gallery([item], figures, pd.DataFrame(), {}, said)
