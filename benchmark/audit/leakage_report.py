"""The audit of a run: what a leaky split adds, as a folder of files."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from benchmark.audit import leakage
from benchmark.plugins.arms import arms_in
from benchmark.report.tables.table import (
    Table,
    as_markdown,
    decimal,
    p_value,
    percent,
    with_interval,
)
from benchmark.run.folder import RunFolder, read_run
from benchmark.runtime.failures import Failure
from benchmark.runtime.folders import check_new, new_folder, write_text
from benchmark.runtime.progress import Progress
from benchmark.runtime.provenance import describe_machine
from benchmark.stored_table import csv_text


def audit_run(
    path: Path, out: Path, jobs: int, progress: Progress, *, trust: bool = False
) -> tuple[Table, list[Failure]]:
    """Measure the leakage of a run's protocol, and write what was found.

    The files are ``leakage.csv`` (``LEAKAGE_TABLE``), ``leakage.parquet`` (the predictions, by
    side), ``leakage.md`` (the table) and ``leakage.json`` (schemes, counts, failures, versions).

    Parameters
    ----------
    path : Path
        A run folder; nothing is written there.
    out : Path
        New folder.
    jobs : int
    progress : Progress
    trust : bool
        Contact the run's dataset wherever it is.

    Raises
    ------
    ValueError
        Where ``out`` exists, and where :func:`leakage.measure` raises.
    """
    check_new(out)
    audited = read_run(path)
    found = leakage.measure(audited, jobs, progress, trust=trust)
    table = _table(audited, found)
    about = {
        "dataset": audited.environment["dataset"],
        "label": audited.environment["protocol"]["label"],
        "seed": audited.config["seed"],
        "schemes": {side: asdict(rule) for side, rule in found.rules.items()},
        "taken_from_the_run": found.reused,
        "tested_in_leaky_scheme": found.tested,
        "with_patient_in_training": found.with_patient,
        "failures": [asdict(failure) for failure in found.failures],
        **describe_machine(),
    }
    with new_folder(out) as draft:
        write_text(draft / "leakage.csv", csv_text(found.table))
        found.predictions.to_parquet(draft / "leakage.parquet", index=False, compression="zstd")
        (draft / "leakage.md").write_text(as_markdown(table), encoding="utf-8")
        (draft / "leakage.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    return table, found.failures


def _table(run: RunFolder, found: leakage.Leakage) -> Table:
    label_of = {arm.name: arm.label for arm in arms_in(found.table)}
    rows: list[tuple[str, ...]] = [
        (
            label_of[row["arm"]], str(row["features"]), str(row["metric"]),
            decimal(row[leakage.LEAKY]), decimal(row[leakage.GROUPED]),
            with_interval(row["inflation"], row["ci_low"], row["ci_high"], sign=True),
            p_value(row["p"]), str(row["n_rois"]),
        )
        for row in found.table.to_dict("records")
    ]  # fmt: skip
    dataset, leaky = run.environment["dataset"], found.rules[leakage.LEAKY]
    anew = "both were trained anew" if not found.reused else f"{found.reused} is the run's own"
    notes = [
        f"Dataset {dataset['name']}: {dataset['cohort']}. {run.environment['protocol']['label']}.",
        f"Leaky: {leaky.describe().removeprefix('split: ')}; grouped: the same by patient; "
        f"{anew}. Seed {run.config['seed']}.",
        f"In the leaky scheme {found.with_patient} of {found.tested} tested ROIs "
        f"({percent(found.with_patient / found.tested)}) are of patients whose other ROIs were "
        "trained on.",
        "Inflation: leaky minus grouped on the same ROIs, 95 % interval and p from the same "
        "resamples of patients, uncorrected for the number of lines. The splits are taken as they "
        "fell; splits.repeats averages over their chance.",
    ]
    return Table(
        f"Leakage audit: {dataset['name']}",
        ("model", "features", "metric", "leaky", "grouped", "inflation", "p", "n"),
        rows,
        [note for note in notes if note],
        synthetic=run.synthetic,
    )
