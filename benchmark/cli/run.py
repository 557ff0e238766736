"""The command that trains, tests and tabulates."""

from __future__ import annotations

from pathlib import Path

import click

from benchmark.cli.arguments import (
    PATH,
    configured,
    dataset_options,
    default_folder,
    jobs_option,
    named_files,
    show_page,
    show_run,
    split_names,
)


@click.command()
@dataset_options
@click.option("--models", metavar="A,B", help="Only these models.")
@click.option("--features", metavar="A,B", help="Only models fed by these feature sets.")
@click.option(
    "--predictions", multiple=True, metavar="NAME=FILE.csv",
    help="An arm that was trained elsewhere on the splits that 'splits' writes.",
)  # fmt: skip
@click.option(
    "--feature-table", "feature_tables", multiple=True, metavar="NAME=FILE.csv",
    help="A feature set that was made elsewhere, for arms as logistic:NAME.",
)  # fmt: skip
@click.option(
    "--multiverse", is_flag=True, help="Train and test under every label rule and split as well."
)
@jobs_option
@click.option("--out", type=PATH, help="New run folder.")
@click.option("--resume", is_flag=True, help="Go on with a killed run of the same --out.")
@click.option("--no-cache", is_flag=True, help="Recall nothing that earlier runs did.")
@click.option(
    "--cluster", default="", metavar="local:N|tcp://HOST:PORT",
    help="Extract, fit and resample on a Dask cluster.",
)  # fmt: skip
@click.option("--require-gpu", is_flag=True, help="Fail where the CNN finds no GPU.")
@click.option(
    "--page/--no-page", "page", default=True, show_default=True,
    help="Draw the figures and write report.html, without the gallery, when the run is complete.",
)  # fmt: skip
@click.option("--track", type=click.Choice(["mlflow"]), help="Also log the run there.")
def run(
    profile: str | None,
    dataset: str | None,
    test_dataset: str | None,
    allow_outside: bool,
    settings: tuple[str, ...],
    models: str | None,
    features: str | None,
    predictions: tuple[str, ...],
    feature_tables: tuple[str, ...],
    multiverse: bool,
    jobs: int,
    out: Path | None,
    resume: bool,
    no_cache: bool,
    cluster: str,
    require_gpu: bool,
    page: bool,
    track: str | None,
) -> int:
    """Train and test every model on the same splits; print the table, store all, draw the page."""
    from dataclasses import replace

    from benchmark.cli.terminal import progress
    from benchmark.config import select_arms
    from benchmark.pipeline import execute
    from benchmark.processes.stopping import on_stop
    from benchmark.run.folder import complete
    from benchmark.runtime.folders import reserved
    from benchmark.runtime.store import open_store
    from benchmark.runtime.workers import open_workers
    from benchmark.tracking import history, mlflow_log

    if resume and out is None:
        raise click.UsageError("--resume needs the --out of the run to go on with")

    if track:
        mlflow_log.check(track)
    config = configured(profile, dataset, test_dataset, allow_outside, settings)
    config = replace(
        config,
        predictions=config.predictions | named_files("--predictions", predictions),
        feature_tables=config.feature_tables | named_files("--feature-table", feature_tables),
    )
    arms = select_arms(config, split_names(models), split_names(features))
    folder = out or default_folder(config.profile, config.dataset)
    if resume and (folder / "predictions.parquet").is_file():
        finished = complete(folder, config, arms, multiverse=multiverse)
        failed = show_run(finished)
        click.echo(f"\nRun folder, complete already: {folder}")
        if page:
            show_page(finished)
        return int(failed)
    again = f" with --out {folder} --resume" if no_cache else ""
    on_stop(f"what is done is kept, and the same command{again} goes on from there")
    with (
        reserved(folder),
        open_store(folder if no_cache else None, keep=resume) as store,
        open_workers(jobs, cluster) as workers,
        progress() as shown,
    ):
        finished = execute(
            config, arms, folder, workers=workers, store=store, require_gpu=require_gpu,
            explore=multiverse, progress=shown,
        )  # fmt: skip
    if store.problem:
        click.echo(f"nothing was kept for later runs: {store.problem}", err=True)
    failed = show_run(finished)
    click.echo(f"\nRun folder: {folder}")
    try:  # the run is complete: what cannot be noted elsewhere is a failure, not bad input
        history.append(history.beside(folder), finished)
        if track:
            click.echo(f"Logged to {track}: {mlflow_log.log_run(finished)}")
        if page:
            show_page(finished)
    except (ValueError, OSError) as error:
        click.echo(f"failed: {' '.join(str(error).split())}", err=True)
        failed = True
    return int(failed)
