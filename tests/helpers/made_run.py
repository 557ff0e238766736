"""A run folder without a run: scores are drawn, everything made from them is real."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import pandas as pd

from benchmark.cohort.roi_table import COLUMNS
from benchmark.cohort.splits import Split
from benchmark.config import Bootstrap, Config
from benchmark.report.gallery.build import Gallery, GalleryFigure, GalleryItem
from benchmark.run import folder
from benchmark.run.folder import RunFolder
from benchmark.run.results import Failure, Results
from benchmark.statistics import comparisons, scoring, strata

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYAAAAAYAAjCB0C8AAAAASUVORK5CYII="
)

HOSTILE = "<script>document.title='owned'</script>&amp;\"'%_\\{}$#^~|`*"
"""What HTML, LaTeX and Markdown would each read as theirs."""

ARMS = {
    ("prior", "diameter"): None,
    ("size_only", "diameter"): 1.5,
    ("logistic", "radiomics"): 2.2,
    ("paper_cnn", "voxels2d_box"): 1.4,
    ("logistic", "ratings"): 2.6,
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
    results = Results()
    for (model, features), distance in ARMS.items():
        score = rng.normal(0, 1, n) + (distance or 0) * y_true
        for split in splits:
            tested = np.isin(ids, split.test)
            probability = 1 / (1 + np.exp(-(score - (distance or 0) / 2)))
            place = {"model": model, "features": features, "repeat": 0, "fold": split.fold}
            results.predictions += [
                {
                    **place, "scheme": "kfold", "roi_id": ids[i], "patient_id": patients[i],
                    "y_true": int(y_true[i]), "threshold": 0.45,
                    "y_prob": 0.5 if distance is None else float(probability[i]),
                }
                for i in np.flatnonzero(tested)
            ]  # fmt: skip
            for stage, seconds in (("fit", 2.0), ("predict", 0.02)):
                results.timings.append(
                    {**place, "stage": stage, "seconds": seconds, "n_rois": int(tested.sum()),
                     "n_cached": 0, "device": "cpu"}
                )  # fmt: skip
            results.training.append({**place, "auc": 0.9, "n_rois": len(split.train)})
            if model == "paper_cnn":
                results.history += [
                    {**place, "epoch": float(e), "accuracy": 0.6 + e / 20, "loss": 1 / e,
                     "val_accuracy": 0.6, "val_loss": 1.0}
                    for e in (1, 2, 3)
                ]  # fmt: skip
    results.timings.append(
        {"model": "", "features": "radiomics", "stage": "extract", "repeat": -1, "fold": -1,
         "seconds": 9.0, "n_rois": n, "n_cached": 0, "device": "cpu"}
    )  # fmt: skip
    results.failures.append(
        Failure("failed", "extract", f"ValueError: {ids[3]} of {patients[3]}: mask is empty",
                features="radiomics", roi_id=ids[3])
    )  # fmt: skip
    config = Config(dataset=f"somewhere/made{mark}", arms=tuple(map(":".join, ARMS)),
                    bootstrap=Bootstrap(samples=100))  # fmt: skip
    predictions = folder.prediction_table(results)
    rois = pd.DataFrame(
        zip(ids, patients, y_true, rng.uniform(4, 25, n), [1.25] * n, 1.5 + 3 * y_true,
            rng.integers(0, 3, n).astype(float), [4.5] * n, strict=True),
        columns=COLUMNS,
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
    tables = {
        "metrics": scoring.score(predictions, config.bootstrap, 0),
        "comparisons": comparisons.compare(predictions, config.bootstrap, 0, splits),
        "ranks": comparisons.rank_stability(predictions, config.bootstrap, 0),
        "rois": rois,
        "near_duplicates": pd.DataFrame(
            {"roi_a": ids[:2], "roi_b": ids[4:6], "similarity": [1.0, 0.99]}
        ),
        "strata": strata.stratify(predictions, rois, config.bootstrap, 0),
    }
    path.mkdir(parents=True)
    folder.write_run(
        path, config, environment, splits, results, {"predictions": predictions}, tables
    )
    return folder.read_run(path)


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
