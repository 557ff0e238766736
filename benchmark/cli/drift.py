"""The command that compares a run with a baseline."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from benchmark.cli.arguments import PATH


@click.command()
@click.argument("run_dir", type=PATH)
@click.option("--baseline", type=PATH, help="Default: the committed one; or a run.")
@click.option(
    "--margins", "margins_path", type=PATH, metavar="FILE.toml",
    help="Margins of your own; default: this project's, whose CNN is of 51 nodules.",
)  # fmt: skip
@click.option("--out", type=PATH, help="Folder for drift.*; default RUN_DIR.")
@click.option(
    "--max-slowdown", type=click.FloatRange(min=1), metavar="FACTOR",
    help="Fail where training or extraction takes this many times as long, machines allowed for.",
)  # fmt: skip
@click.option(
    "--strict", is_flag=True,
    help="Fail too where a gated loss of twice the margin is not excluded (one-sided 95 %): a true "
    "loss of that size passes 1 run in 20, nominally. Of simulated runs that were no worse, "
    "91 % failed at 100 ROIs, 25 % at 250, none of 100 at 500. An identical run never fails.",
)  # fmt: skip
@click.option(
    "--strata", "by_stratum", is_flag=True,
    help="Gate the metrics within each stratum (size, texture, ...) too.",
)  # fmt: skip
@click.option(
    "--canary", is_flag=True,
    help="Test the gate and do nothing else: reverse the best arm's probabilities, and fail unless "
    "the comparison finds it.",
)  # fmt: skip
@click.option("--refresh", is_flag=True, help="Make RUN_DIR the baseline; needs --reason.")
@click.option("--reason", default="", help="Why the baseline changes; goes into its CHANGES.md.")
def drift(
    run_dir: Path,
    baseline: Path | None,
    margins_path: Path | None,
    out: Path | None,
    max_slowdown: float | None,
    strict: bool,
    by_stratum: bool,
    canary: bool,
    refresh: bool,
    reason: str,
) -> int:
    """Compare a run with the baseline: noise, regression, or other data; status 1 on drift."""
    from benchmark.cli.terminal import show_table
    from benchmark.drift import margins
    from benchmark.drift.baseline import refresh_baseline
    from benchmark.drift.canary import check_gate
    from benchmark.drift.compare import compare
    from benchmark.drift.report import drift_tables, write_drift
    from benchmark.run.folder import read_baseline
    from benchmark.runtime.folders import reserved
    from benchmark.runtime.paths import BASELINE

    against = baseline or BASELINE
    if refresh and not canary:
        click.echo(refresh_baseline(run_dir, against, reason))
        return 0
    before = read_baseline(against)
    gate = partial(
        compare,
        before,
        margins=margins.read_margins(margins_path or margins.PATH),
        max_slowdown=max_slowdown,
        strict=strict,
        by_stratum=by_stratum,
    )
    judged = read_baseline(run_dir)
    if canary:
        well, told = check_gate(judged, before, gate)
        click.echo(f"canary: {told}")
        return int(not well)
    with reserved(out or run_dir, new=False):
        found = gate(judged)
        for table in drift_tables(found):
            if table.rows:
                show_table(table)
        for path in write_drift(found, out or run_dir):
            click.echo(path)
    return found.status
