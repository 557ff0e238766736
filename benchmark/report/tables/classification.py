"""Each model's decisions: confusion matrix, classification report, and the paper's own figures."""

from __future__ import annotations

import numpy as np

from benchmark.columns import by_arm
from benchmark.plugins.arms import arms_in
from benchmark.report.tables.main import arm_rows, exceptions, interval_methods
from benchmark.report.tables.table import Table, decimal, sentence, with_interval
from benchmark.run.folder import RunFolder
from benchmark.statistics.cases import Cases, Scores, cases
from benchmark.statistics.inference import wilson
from benchmark.statistics.metrics import METRICS
from benchmark.statistics.scoring import LEVEL

PAPER_COUNTS = {"TN": 174, "FP": 55, "FN": 28, "TP": 168}
"""The paper's confusion matrix on its 425 validation images."""

PAPER_AUC = 0.87

_SHOWN = ("accuracy", "sensitivity", "specificity", "precision", "auc")
_AT_THRESHOLDS = (
    "Decisions at each split's own threshold, all splits together; a ROI that is tested in several "
    "repeats counts once in each."
)


def confusion_counts(arm: Cases) -> tuple[int, int, int, int]:
    """TN, FP, FN, TP over all rows of an arm's predictions."""
    s = _scores(arm)
    tn, fp, fn, tp = (int(count[0]) for count in (s.tn, s.fp, s.fn, s.tp))
    return tn, fp, fn, tp


def classification_tables(run: RunFolder) -> list[Table]:
    """Confusion matrices and classification reports of every arm."""
    confusion: list[tuple[str, ...]] = []
    report: list[tuple[str, ...]] = []
    predicted = by_arm(run.predictions)
    for arm in arms_in(run.predictions):
        own = cases(predicted[arm.name])
        counts = confusion_counts(own)
        thresholds = np.unique(own.threshold)
        shown = [decimal(float(ends)) for ends in (thresholds[0], thresholds[-1])]
        confusion.append(
            (arm.label, arm.features, *map(str, counts), " to ".join(dict.fromkeys(shown)))
        )
        report += [(arm.label, arm.features, *row) for row in _per_class(counts)]
    return [
        Table(
            "Confusion matrices",
            ("model", "features", "TN", "FP", "FN", "TP", "threshold"),
            confusion,
            [f"Malignant is positive. {_AT_THRESHOLDS} Threshold: lowest and highest of a split."],
        ),
        Table(
            "Classification report",
            ("model", "features", "class", "precision", "recall", "F1", "support"),
            report,
            [
                f"{_AT_THRESHOLDS} Macro average: mean of the two classes; weighted average: "
                "weighted by support. Intervals of precision, recall and the rest are in "
                "metrics.csv."
            ],
        ),
    ]


def paper_table(run: RunFolder) -> Table:
    """The paper's own figures beside those of the run."""
    n, right = sum(PAPER_COUNTS.values()), PAPER_COUNTS["TN"] + PAPER_COUNTS["TP"]
    malignant = PAPER_COUNTS["FN"] + PAPER_COUNTS["TP"]
    called = PAPER_COUNTS["FP"] + PAPER_COUNTS["TP"]
    benign = PAPER_COUNTS["TN"] + PAPER_COUNTS["FP"]
    proportions = (
        (right, n), (PAPER_COUNTS["TP"], malignant), (PAPER_COUNTS["TN"], benign),
        (PAPER_COUNTS["TP"], called),
    )  # fmt: skip
    cells = []
    for successes, trials in proportions:
        ends = wilson(successes, trials, LEVEL)
        cells.append(with_interval(successes / trials, ends.low, ends.high))
    counts = [str(PAPER_COUNTS[name]) for name in ("TN", "FP", "FN", "TP")]
    rows: list[tuple[str, ...]] = [
        ("the paper's CNN", "as published", str(n), *counts, *cells, decimal(PAPER_AUC))
    ]
    predicted = by_arm(run.predictions)
    for arm in arms_in(run.predictions):
        own = arm_rows(run.metrics, arm)
        shown = (own[name] for name in _SHOWN)
        rows.append(
            (
                arm.label, arm.features, str(own["auc"].n_rois),
                *map(str, confusion_counts(cases(predicted[arm.name]))),
                *(with_interval(c.value, c.ci_low, c.ci_high) for c in shown),
            )
        )  # fmt: skip
    return Table(
        "The paper's own figures beside this run's",
        (
            "model", "features", "n", "TN", "FP", "FN", "TP", "accuracy", "sensitivity",
            "specificity", "precision", "AUC",
        ),
        rows,
        [
            "First row: \"Deep Learning for Lung Nodule Classification in CT Images\" (UPV), its "
            "confusion matrix on 425 validation images and its AUC as published; the intervals are "
            "ours, Wilson's from those counts, as if images were independent, and so too short. "
            "The AUC's cannot be had from the counts.",
            "The protocols differ in nodules, labels, unit (image or ROI) and split: the rows say "
            "where each result lies, not which model is better.",
            f"n: ROIs or images. {_AT_THRESHOLDS}",
        ],
    )  # fmt: skip


def _per_class(counts: tuple[int, int, int, int]) -> list[tuple[str, ...]]:
    tn, fp, fn, tp = counts
    support = np.array([tn + fp, fn + tp], dtype=float)
    values = np.array([_scored(tn, fn, fp), _scored(tp, fp, fn)])
    total = support.sum()
    lines = [("benign", values[0], support[0]), ("malignant", values[1], support[1])]
    lines.append(("macro average", values.mean(axis=0), total))
    lines.append(("weighted average", support @ values / total, total))
    return [(name, *map(decimal, map(float, row)), f"{n:.0f}") for name, row, n in lines]


def _scored(hits: int, false: int, missed: int) -> tuple[float, float, float]:
    """Precision, recall and F1 of a class; NaN where a class is never called."""
    nan = float("nan")
    return (
        hits / (hits + false) if hits + false else nan,
        hits / (hits + missed) if hits + missed else nan,
        2 * hits / (2 * hits + false + missed) if hits + false + missed else nan,
    )


def _scores(arm: Cases) -> Scores:
    return arm.scores(np.ones((1, len(arm.y_true))))


def metrics_table(run: RunFolder) -> Table:
    """Every metric of every arm, those of the main table too."""
    found = {arm.name: arm_rows(run.metrics, arm) for arm in run.arms}
    rows = []
    for name, function in METRICS.items():
        what = (function.__doc__ or "").partition("\n")[0].partition(":")[0].rstrip(".")
        cells = (rows_of[name] for rows_of in found.values())
        rows.append((name, what, *(with_interval(c.value, c.ci_low, c.ci_high) for c in cells)))
    return Table("All metrics", ("metric", "what it is", *found), rows, [
        f"95 % intervals: {interval_methods(run.metrics)}; metrics.csv has them unrounded. No "
        "correction is made for reading many of them.",
        *map(sentence, exceptions(run.metrics)),
    ])  # fmt: skip
