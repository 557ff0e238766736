"""Command line: the commands of this folder, joined; the only module that exits.

Exit status: 0 fine; 1 finished with recorded failures, or drift; 2 unusable input or arguments,
with one line on stderr; 3 not comparable (``drift`` only); 70 a defect of this program, with its
traceback; 130 stopped by the user.
"""

from __future__ import annotations

import sys
import traceback

import click

from benchmark.cli.audit import audit
from benchmark.cli.data import build, fetch, list_plugins
from benchmark.cli.drift import drift
from benchmark.cli.new import new
from benchmark.cli.report import report
from benchmark.cli.run import run
from benchmark.cli.splits import splits
from benchmark.runtime.failures import one_line


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
        click.echo(f"error: {one_line(str(error))}", err=True)
        sys.exit(2)
    except OSError as error:  # whatever is read or written
        where = f"'{error.filename}': " if error.filename else ""
        click.echo(f"error: {one_line(f'{where}{error.strerror or error}')}", err=True)
        sys.exit(2)
    except Exception:  # not 1, which says that a run has drifted
        traceback.print_exc()
        sys.exit(70)
    sys.exit(status if isinstance(status, int) else 0)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def cli() -> None:
    """Compare CNNs with radiomics plus classical models on the same lung nodules."""


for command in (list_plugins, fetch, build, splits, run, report, drift, audit, new):
    cli.add_command(command)
