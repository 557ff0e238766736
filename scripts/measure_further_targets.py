"""Whether regressions of readers' characteristics add to those of their malignancy rating.

    python -m scripts.measure_further_targets RUN_DIR ROI_DIR [--arm NAME]

No tested nodule is looked at. Among the training patients of each fold of repeat 0, the
regressions of a blend are fitted on inner folds, and beside them a support vector regression, on
all columns, of the readers' mean of each characteristic. A ridge regression on the outputs of
either, or of both, learns the rating in the other inner folds. RUN_DIR is a run with the blend, on
ROI_DIR. AUCs are means over inner folds; as folds share training patients, there is no interval.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import Ridge
from sklearn.metrics import roc_auc_score

from benchmark.cohort.labels import Cohort, LabelRule, assemble
from benchmark.cohort.splits import Split
from benchmark.datasets import manifest
from benchmark.plugins.arms import NO_LABEL, Arm
from benchmark.run.folder import RunFolder
from benchmark.run.supervision import left_out_to_learn_from, readings_of
from models import _reader_targets, blend
from models._ratings import folds_of_labelled, targets
from models._soft import SoftModel
from models._soft_regressions import support_vectors

PENALTY = 30.0
"""Of the ridge regression on standardised outputs. Ten times as much was tried too, to no gain."""

INNER_FOLDS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("dataset", type=Path, help="Folder or manifest.csv.")
    parser.add_argument("--arm", default="blend:radiomics_filtered+imagenet25d")
    chosen = parser.parse_args()
    run = RunFolder(chosen.run)
    (arm,) = (each for each in run.arms if each.name == chosen.arm)
    cohort = assemble(manifest.open_dataset(chosen.dataset), LabelRule(**run.config["label"]))
    measured = [measure(run, arm, cohort, split) for split in run.splits if split.repeat == 0]
    print("| outputs of regressions of | mean | each fold's training patients |\n|---|---:|---|")
    for name in measured[0]:
        values = [each[name] for each in measured]
        listed = ", ".join(f"{value:.4f}" for value in values)
        print(f"| {name} | {np.mean(values):.4f} | {listed} |")


def measure(run: RunFolder, arm: Arm, cohort: Cohort, split: Split) -> dict[str, float]:
    """AUC of each sum on the inner folds of a fold's training patients."""
    trained = set(split.train)
    labels = zip(cohort.records, cohort.labels.tolist(), strict=True)
    kept = [(record, label) for record, label in labels if record.roi_id in trained]
    kept += [(record, NO_LABEL) for record in left_out_to_learn_from(arm, split, cohort)]
    records, y = [record for record, _ in kept], np.array([label for _, label in kept])
    tables = {
        name: run.features[name].loc[[record.roi_id for record in records]].to_numpy()
        for name in arm.feature_sets
    }
    readings = readings_of(arm, records)
    if readings is None:
        raise SystemExit(f"'{arm.name}' learns from labels alone")
    _, rating, weight = targets(readings, y, "ratings+left_out")
    groups = np.array([record.patient_id for record in records])
    folds = folds_of_labelled(y, groups, INNER_FOLDS, seed=0)

    def outputs(model: SoftModel, target: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        every = [(name,) for name in tables] if model.apart else [tuple(tables)]
        parts = [
            model._parts({name: tables[name] for name in names}, y, target, weight, folds)
            for names in every
        ]
        return [part.held_out for some in parts for part in some]

    characteristics, _ = _reader_targets.standardised(
        _reader_targets.characteristics(readings), np.arange(len(y))
    )
    alone = SoftModel(
        [support_vectors(0.3, 0.2)], seed=0, inner_folds=INNER_FOLDS, learn_from="ratings+left_out"
    )
    of_rating = outputs(blend.build(0, inner_folds=INNER_FOLDS), rating)
    of_others = [outputs(alone, column)[0] for column in characteristics.T if column.any()]
    sides = {
        "the malignancy rating": of_rating,
        "the characteristics": of_others,
        "both": of_rating + of_others,
    }
    return {
        name: _summed(np.column_stack(side), y, rating, weight, folds)
        for name, side in sides.items()
    }


def _summed(
    outputs: NDArray[np.float64],
    y: NDArray[np.int64],
    rating: NDArray[np.float64],
    weight: NDArray[np.float64],
    folds: list[tuple[NDArray[np.intp], NDArray[np.intp]]],
) -> float:
    aucs = []
    for _, tested in folds:
        others = y != NO_LABEL
        others[tested] = False
        scale = outputs[others].std(axis=0)
        ridge = Ridge(alpha=PENALTY)
        ridge.fit(outputs[others] / scale, rating[others], sample_weight=weight[others])
        aucs.append(roc_auc_score(y[tested], ridge.predict(outputs[tested] / scale)))
    return float(np.mean(aucs))


if __name__ == "__main__":
    main()
