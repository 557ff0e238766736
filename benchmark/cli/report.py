"""The command that writes a run's report, puts runs side by side, or plots their history."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchmark.cli.arguments import PATH, default_folder, jobs_option, split_names
from benchmark.runtime.failures import one_line

if TYPE_CHECKING:
    from benchmark.report.document import MakeGallery
    from benchmark.report.gallery.build import Gallery
    from benchmark.run.folder import RunFolder


@click.command()
@click.argument("run_dirs", type=PATH, nargs=-1, metavar="RUN_DIR ...")
@click.option(
    "--format", "formats", default="md,tex,csv,html,png,svg,pdf", show_default=True, metavar="A,B"
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
    "--compare", is_flag=True,
    help="Put two or more runs side by side, in the new folder --out.",
)  # fmt: skip
@click.option("--out", type=PATH, help="With --compare: new folder.")
@click.option(
    "--history", "history_path", type=PATH, is_flag=False,
    flag_value=Path(), metavar="[FILE]",
    help="Plot metrics over time; default: the history beside RUN_DIR, or of results/runs.",
)  # fmt: skip
def report(
    run_dirs: tuple[Path, ...],
    formats: str,
    anonymous: bool,
    gallery: bool,
    trust: bool,
    jobs: int,
    compare: bool,
    out: Path | None,
    history_path: Path | None,
) -> None:
    """Write a run's tables, figures, page and gallery; put runs side by side; or plot the history.

    Side by side stand each run's results and what differs between the runs. Nothing is claimed of
    one run against another.
    """
    chosen = split_names(formats) or []
    if history_path is not None:
        _plot_history(run_dirs[0] if run_dirs else None, history_path)
        return
    if compare:
        _compare(run_dirs, out, chosen)
        return
    if len(run_dirs) != 1:
        raise click.UsageError("name one RUN_DIR; or several with --compare; or --history")
    if out is not None:
        raise click.UsageError(
            "--out goes with --compare; a run's report is written into its folder"
        )
    _report(run_dirs[0], chosen, anonymous=anonymous, gallery=gallery, trust=trust, jobs=jobs)


def _report(
    run_dir: Path, formats: Sequence[str], *, anonymous: bool, gallery: bool, trust: bool, jobs: int
) -> None:
    from benchmark.report.anonymise import anonymise
    from benchmark.report.document import check_formats, write_report
    from benchmark.run.folder import read_run
    from benchmark.runtime.folders import reserved
    from benchmark.runtime.workers import LocalWorkers

    check_formats(formats)
    finished = read_run(run_dir)
    make = partial(_gallery, finished, jobs, trust=trust) if gallery else None
    with reserved(run_dir, new=False):
        shown: Gallery | MakeGallery | None = make
        if anonymous:
            finished, shown = anonymise(finished, make() if make else None)
        for path in write_report(finished, formats, shown, LocalWorkers(jobs)):
            click.echo(str(path))


def _gallery(
    run: RunFolder, jobs: int, once_read: Callable[[], object] = lambda: None, *, trust: bool
) -> Gallery | None:
    """The gallery; a line says why there is none."""
    from benchmark.cli.terminal import progress
    from benchmark.report.gallery.build import make_gallery

    try:
        with progress() as shown_progress:
            found = make_gallery(run, jobs, shown_progress, trust=trust, once_read=once_read)
    except (ValueError, OSError) as error:  # the tables need no dataset, and stand
        click.echo(f"no gallery: {one_line(str(error))}", err=True)
        return None
    for note in found.notes:
        click.echo(one_line(note), err=True)
    return found


def _compare(run_dirs: Sequence[Path], out: Path | None, formats: Sequence[str]) -> None:
    from benchmark.cli.terminal import show_table
    from benchmark.report.document import check_formats
    from benchmark.report.side_by_side import read_runs, write_side_by_side
    from benchmark.report.tables.side_by_side import side_by_side_tables
    from benchmark.runtime.folders import new_folder, reserved

    if len(run_dirs) < 2 or out is None:
        raise click.UsageError("--compare needs two RUN_DIRs or more, and --out")
    check_formats(formats)
    with reserved(out):
        runs = read_runs(run_dirs)
        with new_folder(out) as draft:
            names = write_side_by_side(runs, draft, formats)
    show_table(side_by_side_tables(runs)[0])
    for name in names:
        click.echo(str(out / name))


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
