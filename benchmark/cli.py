"""Command line: with ``terminal.py``, all that prints; the only module that exits.

Exit status: 0 fine; 1 finished with recorded failures, or drift; 2 unusable input or arguments,
with one line on stderr; 3 not comparable (``drift`` only).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from benchmark.outcomes import Failure
    from benchmark.records import RunFolder

_KINDS = ("datasets", "features", "models", "metrics", "profiles")


def main() -> None:
    """Run the command line and exit with its status."""
    try:
        status = cli.main(prog_name="python -m benchmark", standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("interrupted", err=True)
        sys.exit(130)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        sys.exit(2)
    except click.ClickException as error:
        click.echo(f"error: {error.format_message()}", err=True)
        sys.exit(2)
    except ValueError as error:
        click.echo(f"error: {' '.join(str(error).split())}", err=True)
        sys.exit(2)
    sys.exit(status if isinstance(status, int) else 0)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def cli() -> None:
    """Compare CNNs with radiomics plus classical models on the same lung nodules."""


@cli.command("list")
@click.argument("kind", type=click.Choice(_KINDS), required=False)
def list_(kind: str | None) -> None:
    """What there is: datasets, features, models, metrics, profiles."""
    from benchmark import registry

    for each in [kind] if kind else _KINDS:
        if not kind:
            click.secho(each, bold=True)
        if each == "metrics":
            from benchmark.metrics import METRICS

            lines = {name: (f.__doc__ or "").partition("\n")[0] for name, f in METRICS.items()}
        else:
            lines = {name: registry.describe(each, name) for name in registry.names(each)}
        width = max(map(len, lines))
        for name, line in lines.items():
            click.echo(f"  {name:<{width}}  {line}")


@cli.group()
def fetch() -> None:
    """Download a public dataset's DICOM files."""


@fetch.command("lidc")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="DICOM folder.")
@click.option("--patients", metavar="N|ID,ID", help="The first N patients, or these. Default: all.")
def fetch_lidc(out: Path, patients: str | None) -> int:
    """LIDC-IDRI's CT scans (128 GB in all); called again, it fetches only what is missing."""
    from benchmark import fetch, terminal

    client = fetch.open_client()
    plan = fetch.plan(client, out, patients)
    click.echo(plan.describe())
    with terminal.progress() as progress:
        incomplete, reason = fetch.download(client, plan, progress)
    if incomplete:
        click.echo(
            f"failed: {len(incomplete)} of {len(plan.wanted)} series are incomplete, first "
            f"{incomplete[0].patient_id} ({reason or 'the client gave no reason'}); the same "
            "command continues",
            err=True,
        )
        return 1
    click.echo(f"{out}: complete")
    return 0


@cli.group()
def build() -> None:
    """Write a ROI dataset: a folder with manifest.csv and image-mask pairs."""


@build.command("lidc")
@click.option(
    "--dicom", type=click.Path(path_type=Path), required=True, help="Folder of the DICOM files."
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="New or begun folder.")
@click.option("--jobs", type=click.IntRange(min=1), help="Scans in flight; default: cores.")
@click.option(
    "--consensus", type=float, default=0.5, show_default=True,
    help="Share of the readers that makes a voxel nodule.",
)  # fmt: skip
@click.option("--single-readers", is_flag=True, help="Write each reader's mask as well.")
@click.option("--patients", metavar="N|ID,ID", help="The first N patients, or these. Default: all.")
def build_lidc(
    dicom: Path,
    out: Path,
    jobs: int | None,
    consensus: float,
    single_readers: bool,
    patients: str | None,
) -> int:
    """LIDC-IDRI from DICOM files; a build that was killed goes on where it was."""
    from benchmark import terminal
    from benchmark.datasets import lidc

    options = lidc.Options(consensus, single_readers)
    with terminal.progress() as progress:
        built = lidc.build(dicom, out, progress, options, jobs, patients)
    click.echo(f"{out}: {built.describe()[0]}")
    for line in built.describe()[1:]:
        click.echo(line)
    if built.left_out:
        click.echo(f"  {out / 'left_out.csv'} names them")
    return int(built.failed)


@build.command("phantom")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="New folder.")
@click.option("--n", type=click.IntRange(min=1), default=240, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--jobs", type=click.IntRange(min=1), help="Worker processes; default: cores.")
def build_phantom(out: Path, n: int, seed: int, jobs: int | None) -> None:
    """Real LIDC-IDRI outlines and ratings, SYNTHETIC intensities."""
    from benchmark import terminal
    from benchmark.cores import available_cores
    from benchmark.datasets import phantom

    with terminal.progress() as progress:
        phantom.build(
            out, n, seed, jobs or available_cores(),
            lambda done, total: progress.update("Rendering", done, total),
        )  # fmt: skip
    click.echo(f"{out}: {n} ROIs with SYNTHETIC intensities (real outlines and ratings)")


@cli.command()
@click.option("--profile", metavar="NAME|FILE.toml", help="Default: the dataset's, or quick.")
@click.option("--dataset", metavar="NAME|ROI_DIR|manifest.csv", help="Default: the profile's.")
@click.option(
    "--test-dataset", metavar="NAME|ROI_DIR|manifest.csv",
    help="External validation: train on all of --dataset, test on all of this one.",
)  # fmt: skip
@click.option("--models", metavar="A,B", help="Only these models.")
@click.option("--features", metavar="A,B", help="Only models fed by these feature sets.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Override a key.")
@click.option(
    "--multiverse", is_flag=True, help="Train and test under every label rule and split as well."
)
@click.option("--jobs", type=click.IntRange(min=1), help="Worker processes; default: cores.")
@click.option("--out", type=click.Path(path_type=Path), help="New run folder.")
@click.option("--resume", is_flag=True, help="Go on with a killed run of the same --out.")
@click.option("--no-cache", is_flag=True, help="Recall nothing that earlier runs did.")
@click.option(
    "--cluster", default="", metavar="local:N|tcp://HOST:PORT",
    help="Extract, fit and resample on a Dask cluster.",
)  # fmt: skip
@click.option("--require-gpu", is_flag=True, help="Fail where the CNN finds no GPU.")
@click.option("--track", type=click.Choice(["mlflow"]), help="Also log the run there.")
def run(
    profile: str | None,
    dataset: str | None,
    test_dataset: str | None,
    models: str | None,
    features: str | None,
    settings: tuple[str, ...],
    multiverse: bool,
    jobs: int | None,
    out: Path | None,
    resume: bool,
    no_cache: bool,
    cluster: str,
    require_gpu: bool,
    track: str | None,
) -> int:
    """Train and test every model on the same splits; print and store the table."""
    from dataclasses import replace

    from benchmark import cache, history, pipeline, records, registry, terminal, tracking
    from benchmark import config as configuration
    from benchmark.cores import available_cores
    from benchmark.workers import open_workers

    if resume and out is None:
        raise click.UsageError("--resume needs the --out of the run to go on with")

    if track:
        tracking.check(track)
    suited = getattr(registry.dataset(dataset or ""), "PROFILE", "quick")
    config = configuration.load(profile or suited, settings)
    if dataset is not None:
        config = replace(config, dataset=dataset)
    if test_dataset is not None:
        config = replace(config, test_dataset=test_dataset)
    arms = configuration.arms(config, _names(models), _names(features))
    folder = out or _default_folder(config.profile, config.dataset)
    if resume and (folder / "predictions.parquet").is_file():
        failed = _show(records.complete(folder, config, arms, multiverse=multiverse))
        click.echo(f"\nRun folder, complete already: {folder}")
        return int(failed)
    with (
        cache.opened(folder if no_cache else None, keep=resume) as store,
        open_workers(jobs or available_cores(), cluster) as workers,
        terminal.progress() as progress,
    ):
        finished = pipeline.execute(
            config, arms, folder, workers=workers, store=store, require_gpu=require_gpu,
            explore=multiverse, progress=progress,
        )  # fmt: skip
    if store.problem:
        click.echo(f"nothing was kept for later runs: {store.problem}", err=True)
    failed = _show(finished)
    click.echo(f"\nRun folder: {folder}")
    try:  # the run is complete: what cannot be noted elsewhere is a failure, not bad input
        history.append(history.beside(folder), finished)
        if track:
            click.echo(f"Logged to {track}: {tracking.log_run(finished)}")
    except ValueError as error:
        click.echo(f"failed: {' '.join(str(error).split())}", err=True)
        failed = True
    return int(failed)


@cli.command()
@click.argument("run_dir", type=click.Path(path_type=Path), required=False)
@click.option(
    "--format", "formats", default="md,tex,csv,html,png,svg", show_default=True, metavar="A,B"
)
@click.option(
    "--anonymise", "anonymous", is_flag=True,
    help="Copy the run to RUN_DIR/anonymised with other patient and ROI ids; report on the copy.",
)  # fmt: skip
@click.option(
    "--gallery/--no-gallery", default=True, show_default=True,
    help="Explain single nodules. Loads the run's stored models, which runs their code: "
    "leave it out for a run folder that is not your own.",
)  # fmt: skip
@click.option("--jobs", type=click.IntRange(min=1), help="Worker processes; default: cores.")
@click.option(
    "--history", "history_path", type=click.Path(path_type=Path), is_flag=False,
    flag_value=Path(), metavar="[FILE]",
    help="Plot metrics over time; default: the history beside RUN_DIR, or of results/runs.",
)  # fmt: skip
def report(
    run_dir: Path | None,
    formats: str,
    anonymous: bool,
    gallery: bool,
    jobs: int | None,
    history_path: Path | None,
) -> None:
    """Write a run's tables, figures, page and gallery; or plot the history of runs."""
    if history_path is not None:
        _plot_history(run_dir, history_path)
        return
    if run_dir is None:
        raise click.UsageError("name a RUN_DIR, or --history")
    from benchmark import terminal
    from benchmark.cores import available_cores
    from benchmark.records import read_run
    from benchmark.report import gallery as galleries
    from benchmark.report.anonymise import anonymise
    from benchmark.report.document import check_formats, write_report

    chosen = _names(formats) or []
    check_formats(chosen)
    finished, shown = read_run(run_dir), None
    if gallery:
        try:
            with terminal.progress() as progress:
                shown = galleries.gallery(finished, jobs or available_cores(), progress)
        except ValueError as error:  # the tables need no dataset, and stand
            click.echo(f"no gallery: {' '.join(str(error).split())}", err=True)
        else:
            for note in shown.notes:
                click.echo(note, err=True)
    if anonymous:
        finished, shown = anonymise(finished, shown)
    for path in write_report(finished, chosen, shown):
        click.echo(str(path))


@cli.command()
@click.argument("run_dir", type=click.Path(path_type=Path))
@click.option(
    "--baseline", type=click.Path(path_type=Path), help="Default: the committed one; or a run."
)
@click.option(
    "--margins", "margins_path", type=click.Path(path_type=Path), metavar="FILE.toml",
    help="Margins of your own; default: this project's, whose CNN is of 51 nodules.",
)  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), help="Folder for drift.*; default RUN_DIR.")
@click.option(
    "--max-slowdown", type=click.FloatRange(min=1), metavar="FACTOR",
    help="Fail where training or extraction takes this many times as long, machines allowed for.",
)  # fmt: skip
@click.option("--strict", is_flag=True, help="Fail where a loss beyond a margin is not excluded.")
@click.option("--refresh", is_flag=True, help="Make RUN_DIR the baseline; needs --reason.")
@click.option("--reason", default="", help="Why the baseline changes; goes into its CHANGES.md.")
def drift(
    run_dir: Path,
    baseline: Path | None,
    margins_path: Path | None,
    out: Path | None,
    max_slowdown: float | None,
    strict: bool,
    refresh: bool,
    reason: str,
) -> int:
    """Compare a run with the baseline: noise, regression, or other data; status 1 on drift."""
    from benchmark import baseline as baselines
    from benchmark import drift as gate
    from benchmark import margins, snapshot, terminal
    from benchmark.report import drift as outputs

    against = baseline or baselines.FOLDER
    if refresh:
        click.echo(baselines.refresh(run_dir, against, reason))
        return 0
    found = gate.compare(
        snapshot.read(against), snapshot.read(run_dir), margins.read(margins_path or margins.PATH),
        max_slowdown=max_slowdown, strict=strict,
    )  # fmt: skip
    for table in outputs.tables(found):
        terminal.show_table(table)
    for path in outputs.write(found, out or run_dir):
        click.echo(path)
    return found.status


@cli.command()
@click.argument("path", type=click.Path(path_type=Path), metavar="RUN_DIR|ROI_DIR|manifest.csv")
@click.option("--out", type=click.Path(path_type=Path), help="New folder for what is written.")
@click.option("--jobs", type=click.IntRange(min=1), help="Worker processes; default: cores.")
@click.option("--stability", is_flag=True, help="Of ROIs: ICC of features over changed masks.")
@click.option("--features", metavar="NAME", help="Whose stability; default: radiomics.")
def audit(
    path: Path, out: Path | None, jobs: int | None, stability: bool, features: str | None
) -> int:
    """Look at a ROI dataset, or measure what a leaky split adds to a run.

    Of ROIs: counts, sizes, labels, duplicates, and a sheet of pictures. Of a run: its models are
    trained again with patients on both sides of the split and on one side only, and compared.
    """
    from benchmark import audit, audit_run, terminal
    from benchmark.cores import available_cores

    if features and not stability:
        raise ValueError(f"--features {features} goes with --stability, which is not there")
    measured = (features or "radiomics") if stability else None
    folder = out or _default_folder("audit", str(path.resolve()))
    if (path / "predictions.parquet").is_file():
        if stability:
            raise ValueError(f"--stability is of ROIs, and '{path}' is a run folder")
        with terminal.progress() as progress:
            table, failures = audit_run.run(path, folder, jobs or available_cores(), progress)
        terminal.show_table(table)
        for failure in failures:
            click.echo(_describe(failure), err=True)
        click.echo(f"\nFolder: {folder}")
        return int(any(failure.status == "failed" for failure in failures))
    with terminal.progress() as progress:
        findings, tables = audit.run(path, folder, jobs or available_cores(), progress, measured)
    for table in tables:
        terminal.show_table(table)
    click.echo(f"\n{folder / audit.JSON_NAME}\n{folder / audit.SHEET_NAME}")
    if stability:
        click.echo(folder / audit.STABILITY_NAME)
    return int(bool(findings["unreadable"] or findings.get("stability", {}).get("failed")))


def _show(run: RunFolder) -> bool:
    """Print a run's table and what failed or was skipped; whether anything failed."""
    from benchmark import terminal
    from benchmark.report.document import report_tables

    terminal.show_table(report_tables(run)[0])
    for failure in run.failures:
        click.echo(_describe(failure), err=True)
    return any(failure.status == "failed" for failure in run.failures)


def _plot_history(run_dir: Path | None, path: Path) -> None:
    from benchmark import history
    from benchmark.report.history import plot

    if path == Path():
        path = history.beside(run_dir or _default_folder("run", "any"))
    for figure in plot(history.read(path), path.parent):
        click.echo(str(figure))


def _describe(failure: Failure) -> str:
    parts = [failure.status, failure.stage, failure.model, failure.features, failure.roi_id]
    if failure.repeat >= 0:
        parts.append(f"repeat {failure.repeat} fold {failure.fold}")
    return f"{' '.join(filter(None, parts))}: {failure.reason}"


def _default_folder(profile: str, dataset: str) -> Path:
    from datetime import datetime

    from benchmark.registry import ROOT

    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    return ROOT / "results" / "runs" / f"{stamp}-{profile}-{Path(dataset).stem}"


def _names(text: str | None) -> list[str] | None:
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]
