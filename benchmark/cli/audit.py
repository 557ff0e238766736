"""The command that looks at a ROI dataset or measures a run's leakage."""

from __future__ import annotations

from pathlib import Path

import click

from benchmark.cli.arguments import OUTSIDE, PATH, default_folder, jobs_option, show_failures


@click.command()
@click.argument("path", type=PATH, metavar="RUN_DIR|ROI_DIR|manifest.csv")
@click.option("--out", type=PATH, help="New folder for what is written.")
@jobs_option
@click.option("--stability", is_flag=True, help="Of ROIs: ICC of features over changed masks.")
@click.option("--features", metavar="NAME", help="Whose stability; default: radiomics.")
@click.option("--trust", is_flag=True, help="Of a run: contact its dataset wherever it is.")
@click.option("--allow-outside", is_flag=True, help=OUTSIDE)
def audit(
    path: Path,
    out: Path | None,
    jobs: int,
    stability: bool,
    features: str | None,
    trust: bool,
    allow_outside: bool,
) -> int:
    """Look at a ROI dataset, or measure what a leaky split adds to a run.

    Of ROIs: counts, sizes, labels, duplicates, and a sheet of pictures. Of a run: its models are
    trained again with patients on both sides of the split and on one side only, and compared.
    """
    from benchmark.audit.dataset import JSON_NAME, SHEET_NAME, STABILITY_NAME, audit_rois
    from benchmark.audit.leakage_report import audit_run
    from benchmark.cli.terminal import progress, show_table
    from benchmark.formats.files import Access
    from benchmark.runtime.folders import reserved

    if features and not stability:
        raise ValueError(f"--features {features} goes with --stability, which is not there")
    measured = (features or "radiomics") if stability else None
    folder = out or default_folder("audit", str(path.resolve()))
    if (path / "predictions.parquet").is_file():
        if stability:
            raise ValueError(f"--stability is of ROIs, and '{path}' is a run folder")
        with reserved(folder), progress() as shown:
            table, failures = audit_run(path, folder, jobs, shown, trust=trust)
        show_table(table)
        failed = show_failures(failures)
        click.echo(f"\nFolder: {folder}")
        return int(failed)
    with reserved(folder), progress() as shown:
        findings, tables = audit_rois(
            path, folder, jobs, shown, measured, Access(outside=allow_outside)
        )
    for table in tables:
        show_table(table)
    click.echo(f"\n{folder / JSON_NAME}\n{folder / SHEET_NAME}")
    if stability:
        click.echo(folder / STABILITY_NAME)
    return int(bool(findings["unreadable"] or findings.get("stability", {}).get("failed")))
