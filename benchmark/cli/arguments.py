"""Arguments that several commands share: read, defaulted, and failures described."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchmark.runtime.cores import available_cores
from benchmark.runtime.failures import one_line
from benchmark.runtime.paths import RUNS

if TYPE_CHECKING:
    from benchmark.run.folder import RunFolder
    from benchmark.runtime.failures import Failure

PATH = click.Path(path_type=Path)

OUTSIDE = "Read what the manifest names outside of its folder."

jobs_option = click.option(
    "--jobs",
    type=click.IntRange(min=1),
    default=available_cores,
    help="Worker processes; default: cores.",
)


def split_names(text: str | None) -> list[str] | None:
    """The names of ``A,B``; None where nothing was given."""
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def default_folder(profile: str, dataset: str) -> Path:
    """A new folder's path among the runs, named by time, profile and dataset."""
    from datetime import datetime

    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    return RUNS / f"{stamp}-{profile}-{Path(dataset).stem}"


def show_run(run: RunFolder) -> bool:
    """Print a run's table, what failed or was skipped, and what is shown of size.

    Returns True where anything failed.
    """
    from benchmark.cli.terminal import show_sentence, show_table
    from benchmark.report.document import first_table
    from benchmark.report.wording.summary import conclusion

    show_table(first_table(run))
    failed = show_failures(run.failures)
    show_sentence(conclusion(run))
    return failed


def show_page(run: RunFolder) -> None:
    """Print the path of a run's page, the last line; draw and write it where there is none."""
    from benchmark.processes.stopping import on_stop
    from benchmark.report.document import PAGE, write_report
    from benchmark.runtime.folders import reserved

    if not (run.path / PAGE).is_file():
        on_stop(f"the run is complete; 'report {run.path}' writes its page")
        with reserved(run.path, new=False):
            write_report(run, ("svg", "html"))
    click.echo(str(run.path / PAGE))


def show_failures(failures: Sequence[Failure]) -> bool:
    """Print on stderr what failed or was skipped; return True where anything failed."""
    for failure in failures:
        click.echo(_describe(failure), err=True)
    return any(failure.status == "failed" for failure in failures)


def _describe(failure: Failure) -> str:
    parts = [failure.status, failure.stage, failure.model, failure.features, failure.roi_id]
    if failure.repeat >= 0:
        parts.append(f"repeat {failure.repeat} fold {failure.fold}")
    return one_line(f"{' '.join(filter(None, parts))}: {failure.reason}")
