"""Every run's metrics in one Parquet file, a row a model, so that they can be seen over time.

The history lies beside the run folders that it is about, in their common parent: runs under
``results/runs`` share ``results/runs/history.parquet``, and a run written elsewhere starts or
continues the history there. Deleting a run folder takes nothing away from it.

==============================  =====================================================
column                          meaning
==============================  =====================================================
run, started, revision          folder name, UTC start, source revision
profile, dataset, intensities
fingerprint, protocol           data, and label rule, split and threshold in words
python, processor, packages     versions; ``packages`` is a JSON object
arm, model, features
n_rois, n_patients              counts of what was tested
fit_s, fit_ratio                training in seconds, and over the reference computation
METRIC, METRIC_low, METRIC_high every metric with its 95 % interval
==============================  =====================================================
"""

from __future__ import annotations

import json
import math
import secrets
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd

from benchmark.columns import by_arm
from benchmark.report.tables.main import HEADLINE
from benchmark.run.folder import RunFolder
from benchmark.runtime.folders import locked
from benchmark.stored_table import REAL, TEXT, StoredTable, read_parquet

NAME = "history.parquet"

_TEXTS = (
    "run", "started", "profile", "dataset", "fingerprint", "protocol", "python", "processor",
    "packages", "arm", "model", "features",
)  # fmt: skip
_TABLE = StoredTable(
    "history",
    {
        **dict.fromkeys(_TEXTS, TEXT),
        **{f"{m}{end}": REAL for m in HEADLINE for end in ("", "_low", "_high")},
    },
    parquet=True,
    key=("run", "started", "arm"),
    mixed=True,
)
"""What a history is read for; it holds more, and older ones lack some of that."""


def beside(run_dir: Path) -> Path:
    """The history that a run folder belongs to."""
    return run_dir.resolve().parent / NAME


def append(path: Path, run: RunFolder) -> None:
    """Add a run's rows; a run that is there already (same name and start) is written again.

    Two runs that end at once wait for each other, and the file changes all at once.

    Raises
    ------
    ValueError
        Where the file is no history.
    """
    new = rows(run)
    if new.empty:  # no arm finished
        return
    with locked(path):
        if path.exists():
            old = read(path)
            twice = (old["run"] == run.path.name) & (old["started"] == run.environment["started"])
            new = pd.concat([old[~twice], new], ignore_index=True)
        draft = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
        try:
            new.to_parquet(draft, index=False, compression="zstd")
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)


def read(path: Path) -> pd.DataFrame:
    """A history, in order of the runs' start.

    Raises
    ------
    ValueError
        Where there is none, or the file is no history.
    """
    if not path.is_file():
        raise ValueError(f"history '{path}': no such file; every run appends to the one beside it")
    what = f"history '{path}'"
    table = read_parquet(path, what)
    if missing := {*_TABLE.columns, "intensities"} - {"arm"} - set(table.columns):
        raise ValueError(f"{what}: no column {', '.join(sorted(missing))}")
    if "arm" in table:  # a history begun before arms had names has none in its first rows
        table["arm"] = table["arm"].fillna(table["model"] + ":" + table["features"])
    table = _TABLE.checked(table, what)
    for packages in table["packages"].unique():
        _check_packages(packages, what)
    return table.sort_values("started", kind="stable", ignore_index=True)


def _check_packages(text: str, what: str) -> None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not all(isinstance(each, str) for each in found.values()):
        raise ValueError(f"{what}: packages are '{text[:60]}'; they must be a JSON object of texts")


def rows(run: RunFolder) -> pd.DataFrame:
    """One row an arm of a run."""
    environment = run.environment
    protocol = environment["protocol"]
    common = {
        "run": run.path.name,
        **{key: environment[key] for key in ("started", "revision")},
        "profile": run.config["profile"],
        "dataset": environment["dataset"]["name"],
        "intensities": environment["dataset"]["intensities"],
        "fingerprint": environment["dataset"]["fingerprint"],
        "protocol": "; ".join(protocol[key] for key in ("label", "split", "threshold")),
        **{key: environment[key] for key in ("python", "processor")},
        "packages": json.dumps(environment["packages"], sort_keys=True),
    }
    reference_s = median(environment["reference_s"])
    found = []
    metrics_of = by_arm(run.metrics)
    for arm in run.arms:
        metrics = metrics_of[arm.name]
        timed = run.timings[(run.timings.arm == arm.name) & (run.timings.stage == "fit")]
        # What the cache spared was not timed here.
        timed_here = len(timed) > 0 and not timed["n_cached"].any()
        fit_s = float(timed["seconds"].sum()) if timed_here else math.nan
        row: dict[str, Any] = {
            **common, **arm.columns,
            "n_rois": int(metrics["n_rois"].iloc[0]),
            "n_patients": int(metrics["n_patients"].iloc[0]),
            "fit_s": fit_s, "fit_ratio": fit_s / reference_s,
        }  # fmt: skip
        for each in metrics.to_dict("records"):
            name = each["metric"]
            row |= {name: each["value"], f"{name}_low": each["ci_low"]}
            row[f"{name}_high"] = each["ci_high"]
        found.append(row)
    return pd.DataFrame(found)
