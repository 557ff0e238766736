"""The command that writes a file for a plug-in of the user's own."""

from __future__ import annotations

import click


@click.command()
@click.argument("what", type=click.Choice(["model", "features", "dataset"]))
@click.argument("name")
def new(what: str, name: str) -> int:
    """Write a file for a model, a feature set or a dataset of your own.

    It works and passes the tests as it is; its comments say what to replace.
    """
    from benchmark.plugins.scaffold import write_new
    from benchmark.runtime.paths import ROOT

    path = write_new(what, name)
    click.echo(f"{path.relative_to(ROOT)}: its first lines say how to run and to test it")
    return 0
