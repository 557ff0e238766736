"""Tables of AUC within strata."""

from __future__ import annotations

import math

import pandas as pd

from benchmark.plugins.arms import arms_in
from benchmark.report.tables.main import exceptions
from benchmark.report.tables.table import Table, with_interval
from benchmark.run.folder import RunFolder
from benchmark.statistics.strata import LIFT, MIN_PATIENTS, TOO_FEW

_NOTES = (
    f"AUC and paired difference to size_only, 95 % intervals as in the main table; withheld where "
    f"fewer than {MIN_PATIENTS} patients have malignant, or benign, ROIs. n: ROIs tested.",
    "Strata are several and were not planned: they raise questions and settle none.",
)


_NOT_THERE = dict.fromkeys(("value", "ci_low", "ci_high"), math.nan)


def strata_tables(run: RunFolder) -> list[Table]:
    """One table a stratum: an arm a row, AUC and its lift over size in each level."""
    tables = []
    for stratum, rows in run.strata.groupby("stratum", sort=False):
        levels = {
            str(level): f"n {_range(own.n_rois)}, {_range(own.n_malignant)} malignant"
            for level, own in rows.groupby("level", sort=False)
        }
        cells = {(row["arm"], row["level"], row["metric"]): row for row in rows.to_dict("records")}
        header = [
            f"{name}, {level} ({counts})"
            for level, counts in levels.items()
            for name in ("AUC", "AUC - size")
        ]
        body = []
        for arm in arms_in(rows):
            shown = []
            for level in levels:
                for metric in ("auc", LIFT):
                    found = cells.get((arm.name, level, metric), _NOT_THERE)
                    value, low, high = (found[name] for name in ("value", "ci_low", "ci_high"))
                    shown.append(with_interval(value, low, high, sign=metric == LIFT))
            body.append((arm.label, arm.features, *shown))
        columns = ("model", "features", *header)
        told = rows[rows.metric.isin(("auc", LIFT)) & (rows.method != TOO_FEW)]
        notes = [
            f"{level}: {note}"
            for level, own in told.groupby("level", sort=False)
            for note in exceptions(own)
        ]
        tables.append(Table(f"Strata: {stratum}", columns, body, [*_NOTES, *notes]))
    return tables


def _range(counts: pd.Series[int]) -> str:
    """Range over the arms, which differ where a feature set or a fit failed."""
    low, high = int(counts.min()), int(counts.max())
    return str(low) if low == high else f"{low} to {high}"
