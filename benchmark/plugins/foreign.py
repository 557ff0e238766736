"""Foreign code: plug-ins may raise, print and change anything, and it stays with them."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from traceback import extract_tb
from types import TracebackType

import numpy as np

from benchmark.processes.stopping import Stopped


@contextmanager
def contained() -> Iterator[None]:
    """Run code of a plug-in.

    What it prints goes to stderr, as stdout holds the tables. The working directory, NumPy's
    handling of floating-point errors and the warnings that are errors are afterwards as they were.

    Raises
    ------
    Exception
        Whatever the code raises; what is no ``Exception`` and would end the process, such as
        SystemExit, becomes a RuntimeError.
    Stopped
        Where the user wants the program to end.
    """
    folder = Path.cwd()
    before = [each for each in warnings.filters if each[0] == "error"]
    try:
        with redirect_stdout(sys.stderr), np.errstate():
            yield
    except (Exception, Stopped):
        raise
    except BaseException as error:
        if _by_the_user(error):
            raise
        told = " ".join(f"{type(error).__name__} {error}".split())
        raise RuntimeError(f"the code raised {told}, which would have ended the program") from error
    finally:
        os.chdir(folder)
        added = [each for each in warnings.filters if each[0] == "error" and each not in before]
        if added:
            kept = [each for each in warnings.filters if each not in added]
            warnings.resetwarnings()
            warnings.filters[:] = kept  # type: ignore[index]  # the list that warnings keeps


def line_of(error: BaseException, file: Path) -> int:
    """Line of a file at which an error arose; 0 where it did not pass through the file."""
    if isinstance(error, SyntaxError) and error.filename == str(file):
        return error.lineno or 0
    # What `contained` makes an error of is its cause, with the trace through the file.
    traces = [each.__traceback__ for each in (error, error.__cause__) if each is not None]
    return max(_last_line(trace, file) for trace in traces)


def _last_line(trace: TracebackType | None, file: Path) -> int:
    lines = [frame.lineno for frame in extract_tb(trace) if frame.filename == str(file)]
    return (lines or [0])[-1] or 0


def _by_the_user(error: BaseException) -> bool:
    """True of Ctrl-C in a process where Python's own handler raises KeyboardInterrupt."""
    return isinstance(error, KeyboardInterrupt) and (
        signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
