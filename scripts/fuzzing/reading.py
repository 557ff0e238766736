"""The reading half of commands, for many inputs a minute: everything is read, nothing computed."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

READ_DATASET, READ_RUN = "read-dataset", "read-run"


def main(kind: str, path: Path, out: Path) -> None:
    """Read all of a dataset or run folder as commands do, refuse as they do, and write a table."""
    try:
        found = _dataset(path) if kind == READ_DATASET else _run_folder(path)
    except (ValueError, OSError) as error:
        print(f"error: {error}".replace("\n", " "), file=sys.stderr)
        sys.exit(2)
    found.to_parquet(out)


def _dataset(path: Path) -> pd.DataFrame:
    from benchmark.datasets import manifest

    opened = manifest.open_dataset(path)
    rows = []
    for record in opened.records:
        roi = opened.read(record)
        rows.append((record.roi_id, record.patient_id, str(record.label), roi.content_hash()))
    names = ["roi_id", "patient_id", "label", "content"]
    return pd.DataFrame(rows, columns=names).set_index("roi_id")


def _run_folder(path: Path) -> pd.DataFrame:
    from benchmark.run.folder import RunFolder, read_run

    run = read_run(path)
    for name, held in vars(RunFolder).items():
        if hasattr(held, "func"):  # a cached property
            getattr(run, name)
    return run.predictions
