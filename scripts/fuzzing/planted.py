"""Planted faults: a command that does what each finding is for, and whether it is found."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable

import click
import numpy as np


def _trace() -> None:
    raise KeyError("planted")


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _grow() -> None:
    np.ones(200_000_000)  # 1.6 GB


def _speak_twice() -> None:
    click.echo("error: one\nerror: two", err=True)
    sys.exit(2)


def _other_status() -> None:
    sys.exit(3)


def _spin() -> None:
    while True:
        pass


FAULTS: dict[Callable[[], None], str] = {
    _trace: "traceback: KeyError: 'planted'",
    _die: "crash: signal 9",
    _grow: "memory: 1.",
    _speak_twice: "status: 2 with 2 lines",
    _other_status: "status: 3 with 0 lines",
    _spin: "hang: ",
}
"""Commands, and how what is found of each begins."""
