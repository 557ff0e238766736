"""Every pair of models: what differs, and what is not shown to differ."""

from __future__ import annotations

import math

import pandas as pd

from benchmark.report.tables.table import Table, p_value, sentence, with_interval
from benchmark.run.folder import RunFolder
from benchmark.statistics.comparisons import SIZE_ONLY
from benchmark.statistics.pairs import PATIENT_BOOTSTRAP
from benchmark.statistics.scoring import WITHHELD

ALPHA = 0.05
"""Level at which a difference, corrected within its family of comparisons, is called shown."""

_CHECKS = ("Obuchowski", "DeLong", "Nadeau-Bengio t")


def verdict(difference: float, low: float, high: float, p_holm: float) -> int:
    """1 where a difference is shown to be above zero, -1 below, else 0.

    Shown means that the 95 % interval leaves out zero and that the p value, corrected by Holm
    over a family of comparisons, is below ``ALPHA``. The two can only part under quantile
    intervals and after correction: a corrected p is stricter than an interval.
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
    rows, with_size = [], 0
    for found in auc_pairs(run).to_dict("records"):
        is_size = found["model_b"] == SIZE_ONLY
        with_size += is_size
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
                p_value(found["p_holm_size"]) if is_size else "-",
                *(p_value(float(corrected[name].get(key, math.nan))) for name in checks),
                shown[verdict(*ends, found["p_holm"])],
            )
        )
    return Table(
        "Pairwise comparisons of AUC",
        ("A", "B", "n", "AUC A - B", "p", "p (Holm)", "p (Holm, size)",
         *(f"{name}, Holm" for name in checks), "difference"),
        rows,
        [
            "Paired differences on the ROIs that both have; 95 % intervals, uncorrected, and p "
            f"from resamples of patients. Holm: corrected for all {len(rows)} pairs, the cross-"
            f"checks too; Holm, size: for the {with_size} comparisons with {SIZE_ONLY} alone. A "
            "difference is shown where the interval leaves out zero and Holm's p over all pairs is "
            f"below {ALPHA}; not shown does not mean equal. Other tests are cross-checks; DeLong's "
            "takes ROIs as independent.",
            *_withheld(auc_pairs(run)),
        ],
    )  # fmt: skip


def _withheld(pairs: pd.DataFrame) -> list[str]:
    """A note on each reason why differences have no interval, with the pairs."""
    held = pairs[pairs.method.str.startswith(WITHHELD)]
    named = (held.arm_a + " and " + held.arm_b).groupby(held.method, sort=False)
    return [sentence(f"{why} ({'; '.join(names)})") for why, names in named]
