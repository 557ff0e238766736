"""Commands that list plug-ins, fetch DICOM files and build ROI datasets."""

from __future__ import annotations

from pathlib import Path

import click

from benchmark.cli.arguments import PATH, jobs_option

_KINDS = ("datasets", "features", "models", "metrics", "profiles")


@click.command("list")
@click.argument("kind", type=click.Choice(_KINDS), required=False)
def list_plugins(kind: str | None) -> int:
    """What there is; status 1 where one is broken."""
    from benchmark.plugins import modifiers, registry

    broken = 0
    for each in [kind] if kind else _KINDS:
        if not kind:
            click.secho(each, bold=True)
        if each == "metrics":
            from benchmark.statistics.metrics import METRICS

            lines = {name: (f.__doc__ or "").partition("\n")[0] for name, f in METRICS.items()}
        else:
            faults = {name: registry.fault(each, name) for name in registry.names(each)}
            broken += sum(map(bool, faults.values()))
            lines = {
                name: f"BROKEN: {fault}" if fault else registry.describe(each, name)
                for name, fault in faults.items()
            }
        if each == "features":
            lines |= {f"@{name}": modifiers.describe(name) for name in modifiers.known()}
        width = max(map(len, lines))
        for name, line in lines.items():
            click.echo(f"  {name:<{width}}  {line}")
    return int(bool(broken))


@click.group()
def fetch() -> None:
    """Download a public dataset's DICOM files."""


@fetch.command("lidc")
@click.option("--out", type=PATH, required=True, help="DICOM folder.")
@click.option("--patients", metavar="N|ID,ID", help="The first N patients, or these. Default: all.")
def fetch_lidc(out: Path, patients: str | None) -> int:
    """LIDC-IDRI's CT scans (128 GB in all); called again, it fetches only what is missing."""
    from benchmark.cli.terminal import progress
    from benchmark.lidc import download
    from benchmark.processes.stopping import on_stop
    from benchmark.runtime.folders import reserved

    on_stop("series that are complete are kept, and the same command continues")
    client = download.open_client()
    with reserved(out, new=False):
        plan = download.plan(client, out, patients)
        click.echo(plan.describe())
        with progress() as shown:
            incomplete, reason = download.download(client, plan, shown)
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


@click.group()
def build() -> None:
    """Write a ROI dataset: a folder with manifest.csv and image-mask pairs."""


@build.command("lidc")
@click.option("--dicom", type=PATH, required=True, help="Folder of the DICOM files.")
@click.option("--out", type=PATH, required=True, help="New or begun folder.")
@jobs_option
@click.option(
    "--consensus", type=float, default=0.5, show_default=True,
    help="Share of the readers that makes a voxel nodule.",
)  # fmt: skip
@click.option("--single-readers", is_flag=True, help="Write each reader's mask as well.")
@click.option("--patients", metavar="N|ID,ID", help="The first N patients, or these. Default: all.")
def build_lidc(
    dicom: Path,
    out: Path,
    jobs: int,
    consensus: float,
    single_readers: bool,
    patients: str | None,
) -> int:
    """LIDC-IDRI from DICOM files; a build that was killed goes on where it was."""
    from benchmark.cli.terminal import progress
    from benchmark.lidc.build import build_dataset
    from benchmark.lidc.write import Options
    from benchmark.processes.stopping import on_stop
    from benchmark.runtime.folders import reserved

    on_stop("scans that are built are kept, and the same command goes on from there")
    with reserved(out, new=False), progress() as shown:
        built = build_dataset(dicom, out, shown, Options(consensus, single_readers), jobs, patients)
    click.echo(f"{out}: {built.describe()[0]}")
    for line in built.describe()[1:]:
        click.echo(line)
    if built.left_out:
        click.echo(f"  {out / 'left_out.csv'} names them")
    return int(built.failed)


@build.command("phantom")
@click.option("--out", type=PATH, required=True, help="New folder.")
@click.option("--n", type=click.IntRange(min=1), default=240, show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@jobs_option
def build_phantom(out: Path, n: int, seed: int, jobs: int) -> None:
    """Real LIDC-IDRI outlines and ratings, SYNTHETIC intensities."""
    from benchmark.cli.terminal import progress
    from benchmark.datasets import phantom
    from benchmark.runtime.folders import reserved

    with reserved(out), progress() as shown:
        phantom.build(
            out, n, seed, jobs,
            lambda done, total: shown.update("Rendering", done, total),
        )  # fmt: skip
    click.echo(f"{out}: {n} ROIs with SYNTHETIC intensities (real outlines and ratings)")
