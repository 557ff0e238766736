"""AUC of a reader's own rating against the label that the readers' ratings make.

    python -m scripts.measure_readers ROI_DIR [--min-readers 3] [--seed 0]

What an arm's AUC can be held against: how well one reader tells the label of all readers, in which
the reader has a say, and that of the other readers of the same nodule. Every rating is a row;
ranks are of whole ratings, ties count half. The second needs one reader more than the rule does.
Intervals are 95 %, from resamples of patients.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from benchmark.cohort.labels import INDETERMINATE, LabelRule, assemble
from benchmark.config import Bootstrap
from benchmark.datasets import manifest
from benchmark.roi import RoiRecord
from benchmark.statistics.cases import cases
from benchmark.statistics.scoring import metric_interval, resample

Row = tuple[str, str, int, int]
"""Nodule, patient, a reader's rating, label."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("dataset", type=Path, help="Folder or manifest.csv.")
    parser.add_argument("--min-readers", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    dataset = manifest.open_dataset(chosen.dataset)
    print("| rule | label of | ratings | nodules | AUC of one reader |\n|---|---|---:|---:|---:|")
    for aggregation in ("mean", "median"):
        rule = LabelRule(aggregation=aggregation, min_readers=chosen.min_readers)
        cohort = assemble(dataset, rule)
        labels = zip(cohort.records, cohort.labels.tolist(), strict=True)
        sides = {
            "all readers": [row for record, label in labels for row in with_own(record, label)],
            "the other readers": [
                row for record in dataset.records for row in without_own(record, rule)
            ],
        }
        for name, rows in sides.items():
            print(f"| {aggregation} other than 3 | {name} | {_told(rows, chosen.seed)} |")


def with_own(record: RoiRecord, label: int) -> Iterator[Row]:
    """Each reader's rating of a nodule beside the label of all."""
    for rating in record.malignancy_ratings:
        yield record.roi_id, record.patient_id, rating, label


def without_own(record: RoiRecord, rule: LabelRule) -> Iterator[Row]:
    """Each reader's rating of a nodule beside the label of the others, where they make one."""
    ratings = record.malignancy_ratings
    for place, rating in enumerate(ratings):
        others = ratings[:place] + ratings[place + 1 :]
        if len(others) >= rule.min_readers and rule.aggregate(others) != INDETERMINATE:
            yield (
                record.roi_id,
                record.patient_id,
                rating,
                int(rule.aggregate(others) > INDETERMINATE),
            )


def _told(rows: list[Row], seed: int) -> str:
    table = pd.DataFrame(rows, columns=["roi_id", "patient_id", "rating", "y_true"])
    read = cases(table.assign(y_prob=(table["rating"] - 1) / 4, threshold=0.5, repeat=0, fold=0))
    bootstrap = Bootstrap()
    found = resample(read, bootstrap, seed, ["auc"])["auc"]
    ends, _ = metric_interval("auc", found, bootstrap)
    value = f"{found.value:.3f} [{ends.low:.3f}, {ends.high:.3f}]"
    return f"{len(rows):,} | {read.n_rois:,} | {value}"


if __name__ == "__main__":
    main()
