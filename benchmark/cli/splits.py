"""The command that writes the splits of a run, for whoever trains elsewhere."""

from __future__ import annotations

from pathlib import Path

import click

from benchmark.cli.arguments import PATH, configured, dataset_options, jobs_option


@click.command()
@dataset_options
@jobs_option
@click.option("--out", type=PATH, required=True, help="New CSV file.")
def splits(
    profile: str | None,
    dataset: str | None,
    test_dataset: str | None,
    allow_outside: bool,
    settings: tuple[str, ...],
    jobs: int,
    out: Path,
) -> int:
    """Write the splits that `run` makes of the same options: roi_id, patient_id, repeat, fold,
    side and label. Nothing is extracted or trained."""
    import pandas as pd

    from benchmark.cli.terminal import progress
    from benchmark.cohort.splits import split_table
    from benchmark.run.inputs import divide
    from benchmark.runtime.folders import reserved, write_text
    from benchmark.runtime.workers import LocalWorkers
    from benchmark.stored_table import csv_text

    config = configured(profile, dataset, test_dataset, allow_outside, settings)
    with reserved(out), progress() as shown:
        division = divide(config, LocalWorkers(jobs), shown)
        rows = split_table(division.splits, division.cohort)
        write_text(out, csv_text(pd.DataFrame(rows)))
    n = len(division.splits)
    click.echo(f"{out}: {n} split{'s' * (n > 1)} of {division.cohort.describe()}")
    click.echo(f"{division.cohort.protocol}\n{division.protocol}")
    return 0
