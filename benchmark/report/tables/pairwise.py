"""Every pair of models: what differs, and what is not shown to differ."""

from __future__ import annotations

import math

import pandas as pd

from benchmark.report.tables.table import Table, p_value, with_interval
from benchmark.run.folder import RunFolder
from benchmark.statistics.comparisons import PATIENT_BOOTSTRAP

ALPHA = 0.05
"""Level at which a difference, corrected for the number of pairs, is called shown."""

_CHECKS = ("Obuchowski", "DeLong", "Nadeau-Bengio t")


def verdict(difference: float, low: float, high: float, p_holm: float) -> int:
    """1 where a difference is shown to be above zero, -1 below, else 0.

    Shown means that the 95 % interval leaves out zero and that the p value, corrected by Holm
    for the number of pairs, is below ``ALPHA``.
    """
    if not p_holm < ALPHA or not (low > 0 or high < 0):  # NaN shows nothing
        return 0
    return int(math.copysign(1, difference))


def auc_pairs(run: RunFolder) -> pd.DataFrame:
    """The rows of ``comparisons.csv`` that a verdict rests on."""
    table = run.comparisons
    return table[(table.metric == "auc") & (table.test == PATIENT_BOOTSTRAP)]


def pairwise_table(run: RunFolder) -> Table:
    """The difference in AUC of every pair of arms, with p values before and after correction."""
    auc = run.comparisons[run.comparisons.metric == "auc"]
    pair = ["arm_a", "arm_b"]
    checks = [name for name in _CHECKS if name in set(auc.test)]
    corrected = {
        name: rows.set_index(pair).p_holm for name, rows in auc.groupby("test") if name in checks
    }
    rows = []
    for found in auc_pairs(run).to_dict("records"):
        key = tuple(found[name] for name in pair)
        ends = (found["difference"], found["ci_low"], found["ci_high"])
        shown = {1: "A higher", -1: "B higher", 0: "not shown"}
        rows.append(
            (
                found["arm_a"],
                found["arm_b"],
                str(found["n_rois"]),
                with_interval(*ends, sign=True),
                p_value(found["p"]),
                p_value(found["p_holm"]),
                *(p_value(float(corrected[name].get(key, math.nan))) for name in checks),
                shown[verdict(*ends, found["p_holm"])],
            )
        )
    return Table(
        "Pairwise comparisons of AUC",
        ("A", "B", "n", "AUC A - B", "p", "p (Holm)", *(f"{name}, Holm" for name in checks),
         "difference"),
        rows,
        [
            "Paired differences on the ROIs that both have; 95 % intervals, uncorrected, and p "
            f"from resamples of patients. Holm: corrected for all {len(rows)} pairs. A difference "
            f"is shown where the interval leaves out zero and Holm's p is below {ALPHA}; not shown "
            "does not mean equal. Other tests are cross-checks; DeLong's takes ROIs as "
            "independent.",
        ],
    )  # fmt: skip
