"""Fuzzing: a few damaged inputs of each target, and that each kind of finding is found.

Commands are forked, so all is done in a process of its own, where no other test has left threads.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import click
import numpy as np
import pandas as pd

from benchmark.runtime.paths import ROOT
from scripts import fuzz
from scripts.fuzzing import images, reading


def python(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_damaged_inputs_are_read_right_or_refused() -> None:
    table = python("-m", "scripts.fuzz", "--inputs", "15", "--seed", "1", "--whole", "0.05")
    rows = [line.split(" | ") for line in table.splitlines()[2:]]
    assert [row[0] for row in rows] == [f"| {target}" for target in fuzz.TARGETS]
    assert all(int(row[2]) > 5 for row in rows), "too little is damaged"


def trace() -> None:
    raise KeyError("planted")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def grow() -> None:
    np.ones(200_000_000)  # 1.6 GB


def speak_twice() -> None:
    click.echo("error: one\nerror: two", err=True)
    sys.exit(2)


def other_status() -> None:
    sys.exit(3)


def spin() -> None:
    while True:
        pass


PLANTED = {
    trace: "traceback: KeyError: 'planted'",
    die: "crash: signal 9",
    grow: "memory: 1.",
    speak_twice: "status: 2 with 2 lines",
    other_status: "status: 3 with 0 lines",
    spin: "hang: ",
}


def plant() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for planted, finding in PLANTED.items():
            fuzz.command_line = planted
            fuzz._GIVEN_UP_S = 2.0 if planted is spin else 60.0
            told = fuzz.judge(["run"], fuzz.run_forked(["run"], Path(folder)))
            assert told.startswith(finding), (planted, told)


def test_each_kind_of_finding_is_found() -> None:
    python("-c", "from tests.scripts import test_fuzz; test_fuzz.plant()")


def test_values_that_are_not_the_good_ones_are_found(tmp_path: Path) -> None:
    good, other = tmp_path / "good", tmp_path / "other"
    for folder in (good, other):
        pd.DataFrame({"content": [folder.name]}, index=["a"]).to_parquet(f"{folder}-read")
    assert "of ['a']" in images.wrong(good, other, "field", [reading.READ_DATASET], 0)
    assert not images.wrong(good, good, "field", [reading.READ_DATASET], 0)
