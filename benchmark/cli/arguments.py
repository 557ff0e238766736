"""Arguments that several commands share: read, defaulted, and failures described."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchmark.runtime.cores import available_cores
from benchmark.runtime.failures import one_line
from benchmark.runtime.paths import RUNS

if TYPE_CHECKING:
    from benchmark.config import Config
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


Command = Callable[..., int]


def dataset_options(command: Command) -> Command:
    """Give a command the options that say which ROIs are divided, labelled and split, and how."""
    options = (
        click.option(
            "--profile", metavar="NAME|FILE.toml", help="Default: the dataset's, or quick."
        ),
        click.option(
            "--dataset", metavar="NAME|ROI_DIR|manifest.csv", help="Default: the profile's."
        ),
        click.option(
            "--test-dataset", metavar="NAME|ROI_DIR|manifest.csv",
            help="External validation: train on all of --dataset, test on all of this one.",
        ),
        click.option("--allow-outside", is_flag=True, help=OUTSIDE),
        click.option(
            "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Override a key."
        ),
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


def configured(
    profile: str | None,
    dataset: str | None,
    test_dataset: str | None,
    allow_outside: bool,
    settings: Sequence[str],
) -> Config:
    """The configuration that ``dataset_options`` say."""
    from dataclasses import replace

    from benchmark.config import load_config
    from benchmark.plugins.contracts import DEFAULT_PROFILE
    from benchmark.plugins.registry import find_dataset

    plugin = find_dataset(dataset or "")
    config = load_config(profile or (plugin.profile if plugin else DEFAULT_PROFILE), settings)
    if dataset is not None:
        config = replace(config, dataset=dataset)
    if test_dataset is not None:
        config = replace(config, test_dataset=test_dataset)
    return replace(config, allow_outside=True) if allow_outside else config


def named_files(option: str, given: Sequence[str]) -> dict[str, str]:
    """Files by name, of options ``NAME=FILE``.

    Raises
    ------
    ValueError
        Where one is written otherwise, or a name stands twice.
    """
    found: dict[str, str] = {}
    for each in given:
        name, _, file = each.partition("=")
        if not name or not file:
            raise ValueError(f"{option} '{each}': write it as NAME=FILE.csv")
        if name in found:
            raise ValueError(f"{option}: two files are called '{name}'; each has its own name")
        found[name] = file
    return found


def split_names(text: str | None) -> list[str] | None:
    """The names of ``A,B``; None where nothing was given."""
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def default_folder(profile: str, dataset: str) -> Path:
    """A new folder's path among the runs, named by time, profile and dataset."""
    from datetime import datetime

    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    return RUNS / f"{stamp}-{profile}-{Path(dataset).stem}"


def show_run(run: RunFolder) -> bool:
    """Print a run's table, which says what was skipped, what failed, and what is shown of size.

    Returns True where anything failed.
    """
    from benchmark.cli.terminal import show_sentence, show_table
    from benchmark.report.document import first_table
    from benchmark.report.wording.summary import conclusion

    show_table(first_table(run))
    failed = show_failures([f for f in run.failures if f.status == "failed"])
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
