"""The command that writes a run's report, or plots the history of runs."""

from __future__ import annotations

from pathlib import Path

import click

from benchmark.cli.arguments import PATH, default_folder, jobs_option, split_names
from benchmark.runtime.failures import one_line


@click.command()
@click.argument("run_dir", type=PATH, required=False)
@click.option(
    "--format", "formats", default="md,tex,csv,html,png,svg", show_default=True, metavar="A,B"
)
@click.option(
    "--anonymise", "anonymous", is_flag=True,
    help="Copy the run to RUN_DIR/anonymised with other patient and ROI ids; report on the copy.",
)  # fmt: skip
@click.option(
    "--gallery/--no-gallery", default=True, show_default=True,
    help="Explain single nodules. Reads the dataset again, and loads the run's stored models where "
    "you made them on this machine.",
)  # fmt: skip
@click.option(
    "--trust", is_flag=True,
    help="Load stored models that are not your own, which runs the code in them, and contact a "
    "dataset that is not on this machine's disks.",
)  # fmt: skip
@jobs_option
@click.option(
    "--history", "history_path", type=PATH, is_flag=False,
    flag_value=Path(), metavar="[FILE]",
    help="Plot metrics over time; default: the history beside RUN_DIR, or of results/runs.",
)  # fmt: skip
def report(
    run_dir: Path | None,
    formats: str,
    anonymous: bool,
    gallery: bool,
    trust: bool,
    jobs: int,
    history_path: Path | None,
) -> None:
    """Write a run's tables, figures, page and gallery; or plot the history of runs."""
    if history_path is not None:
        _plot_history(run_dir, history_path)
        return
    if run_dir is None:
        raise click.UsageError("name a RUN_DIR, or --history")
    from benchmark.cli.terminal import progress
    from benchmark.report.anonymise import anonymise
    from benchmark.report.document import check_formats, write_report
    from benchmark.report.gallery.build import make_gallery
    from benchmark.run.folder import read_run
    from benchmark.runtime.folders import reserved

    chosen = split_names(formats) or []
    check_formats(chosen)
    finished, shown = read_run(run_dir), None
    with reserved(run_dir, new=False):
        if gallery:
            try:
                with progress() as shown_progress:
                    shown = make_gallery(finished, jobs, shown_progress, trust=trust)
            except (ValueError, OSError) as error:  # the tables need no dataset, and stand
                click.echo(f"no gallery: {one_line(str(error))}", err=True)
            else:
                for note in shown.notes:
                    click.echo(one_line(note), err=True)
        if anonymous:
            finished, shown = anonymise(finished, shown)
        for path in write_report(finished, chosen, shown):
            click.echo(str(path))


def _plot_history(run_dir: Path | None, path: Path) -> None:
    from benchmark.tracking import history
    from benchmark.tracking.change_points import changes
    from benchmark.tracking.history_plot import plot

    if path == Path():
        path = history.beside(run_dir or default_folder("run", "any"))
    runs = history.read(path)
    for change in changes(runs):
        click.echo(f"another level: {one_line(str(change))}")
    for figure in plot(runs, path.parent):
        click.echo(str(figure))
