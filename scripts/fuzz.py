"""Fuzzing of the command line: damaged inputs, and whether each is read right or refused.

``python -m scripts.fuzz [TARGET ...] --inputs N`` damages a good input of each target (a module of
``scripts/fuzzing``, all where none is named) N times at random and runs a command on it, each in a
process of its own that is forked from one with everything imported. A command must end with a
status that the command line states; with one line on stderr where it is 2; without a traceback or a
signal, within 10 s of processor time and 1 GB above what a process has at its start. Where it ends
well, the target's ``wrong`` says whether a value is not the good input's.

Prints a row a target, and each finding with its seed: ``--seed`` repeats it. Exit status 1 where
there is a finding.
"""

from __future__ import annotations

import argparse
import importlib
import os
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil

from benchmark.cli.main import main as command_line
from benchmark.processes.parent import follow
from scripts.fuzzing import images, reading
from scripts.fuzzing.planted import FAULTS

TARGETS = ("settings", "tables", "images", "run_folders", "dicom")
FINDINGS = ("traceback", "status", "crash", "hang", "memory", "wrong")
MOST_S = 10.0
MOST_BYTES = 1 << 30
_GIVEN_UP_S = 90.0  # on the clock: other processes may have the processors
_STATUSES = {"drift": (0, 1, 2, 3)}
_HEADER = (
    "target", "inputs", "refused", "in part", "tracebacks", "other status", "crashes", "over 10 s",
    "over 1 GB", "wrong", "most memory, MB", "most processor time, s",
)  # fmt: skip


@dataclass(frozen=True)
class Ended:
    """End of one command: exit status (negative: a signal), processor time, memory, output."""

    status: int
    cpu_s: float
    grown: int
    hung: bool
    stdout: str
    stderr: str


def run_forked(arguments: list[str], folder: Path) -> Ended:
    """Run ``python -m benchmark`` in a fork of this process, in ``folder``."""
    begin = psutil.Process().memory_info().rss  # not ru_maxrss, which a parent hands down
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        _become(arguments, folder)
    ends = time.monotonic() + _GIVEN_UP_S
    hung, pid = False, 0
    while pid == 0:
        pid, status, usage = os.wait4(child, os.WNOHANG)
        if pid == 0 and time.monotonic() > ends:
            hung = True
            os.killpg(child, signal.SIGKILL)
        time.sleep(0.002)
    cpu_s = usage.ru_utime + usage.ru_stime
    outputs = ((folder / name).read_text("utf-8", "replace") for name in ("stdout", "stderr"))
    grown = max(0, usage.ru_maxrss * 1024 - begin)
    code = os.waitstatus_to_exitcode(status)
    return Ended(code, cpu_s, grown, hung or cpu_s > MOST_S, *outputs)


def _become(arguments: list[str], folder: Path) -> None:
    """Be the command, in a forked process; never returns."""
    status = 70
    try:
        follow(os.getppid())  # a command that hangs ends with whoever started the fuzzing
        os.setsid()
        for number, name in ((1, "stdout"), (2, "stderr")):
            os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
        os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
        sys.stdout, sys.stderr = (open(number, "w", closefd=False) for number in (1, 2))  # noqa: SIM115
        if arguments[0] in (reading.READ_DATASET, reading.READ_RUN):
            reading.main(arguments[0], Path(arguments[1]), Path(arguments[2]))
            status = 0
        else:
            sys.argv = ["benchmark", *arguments]
            command_line()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:  # whatever the command let through is a finding
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def judge(arguments: list[str], ended: Ended) -> str:
    """What is wrong with how a command ended; empty where nothing is."""
    if ended.hung:
        return f"hang: {ended.cpu_s:.0f} s of processor time"
    if ended.grown > MOST_BYTES:
        return f"memory: {ended.grown / 1e9:.1f} GB"
    if "Traceback (most recent call last)" in ended.stdout + ended.stderr:
        return f"traceback: {ended.stderr.strip().splitlines()[-1][:300]}"
    if ended.status < 0:
        return f"crash: signal {-ended.status}"
    refusals = len(re.findall("^error: ", ended.stderr, flags=re.MULTILINE))
    if ended.status not in _STATUSES.get(arguments[0], (0, 1, 2)) or (
        ended.status == 2 and refusals != 1
    ):
        return f"status: {ended.status} with {refusals} lines that say why it is refused"
    return ""


def fuzz(name: str, n_inputs: int, seed: int, share: float) -> Counter[str]:
    """Try a target's inputs; counts of findings by kind, and the greatest memory in MB."""
    target: Any = importlib.import_module(f"scripts.fuzzing.{name}")
    found: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as place:
        source = Path(place, "good")
        target.make_source(source)
        os.environ["LUNG_NODULE_CACHE"] = str(Path(place, "cache"))
        for number in range(n_inputs):
            folder = Path(place, str(number))
            folder.mkdir()
            rng = np.random.default_rng([seed, number])
            kind = target.mutate(source, folder / "input", rng)
            quick, *whole = target.commands(folder / "input")
            of_whole = bool(whole) and rng.random() < share
            arguments = whole[int(rng.integers(len(whole)))] if of_whole else quick
            ended = run_forked(arguments, folder)
            finding = judge(arguments, ended)
            if not finding and ended.status in (0, 1):
                told = target.wrong(source, folder / "input", kind, arguments, ended.status)
                finding = f"wrong: {told}" if told else ""
            found[f"status {ended.status}"] += 1
            found["MB"] = max(found["MB"], ended.grown >> 20)
            found["ms"] = max(found["ms"], int(1000 * ended.cpu_s))
            if finding:
                found[finding.partition(":")[0]] += 1
                print(f"{name} --seed {seed}, input {number}, {kind}: {finding}")
                print(f"    {' '.join(arguments)}".replace(place, ""), flush=True)
            shutil.rmtree(folder, ignore_errors=True)
    return found


def find_planted() -> int:
    """Plant each kind of finding, and print whether it is found."""
    global command_line, _GIVEN_UP_S  # noqa: PLW0603
    _GIVEN_UP_S = 8.0
    missed = 0
    with tempfile.TemporaryDirectory() as name:
        for fault, finding in FAULTS.items():
            command_line = fault
            told = judge(["run"], run_forked(["run"], Path(name)))
            found = told.startswith(finding)
            print(f"{'found' if found else 'MISSED'}: {finding}")
            missed += not found
        good, other = Path(name, "good"), Path(name, "other")
        for folder in (good, other):
            pd.DataFrame({"content": [folder.name]}, index=["a"]).to_parquet(f"{folder}-read")
        quick = [reading.READ_DATASET]
        found = bool(images.wrong(good, other, "field", quick, 0))
        found = found and not images.wrong(good, good, "field", quick, 0)
        print(f"{'found' if found else 'MISSED'}: wrong")
    return int(missed > 0 or not found)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("targets", nargs="*", help=f"of {', '.join(TARGETS)}; default: all")
    parser.add_argument("--inputs", type=int, default=100, help="a target")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--whole", type=float, default=0.1,
        help="share of inputs that a whole command is run on; the others are read as it reads them",
    )  # fmt: skip
    parser.add_argument("--planted", action="store_true", help="show that findings are found")
    given = parser.parse_args()
    _import_everything()
    if given.planted:
        return find_planted()
    rows = [f"| {' | '.join(_HEADER)} |", "|---|" + "---:|" * (len(_HEADER) - 1)]
    failed = False
    for name in given.targets or TARGETS:
        found = fuzz(name, given.inputs, given.seed, given.whole)
        bad = [found[kind] for kind in FINDINGS]
        failed = failed or any(bad)
        cells = [
            name,
            given.inputs,
            found["status 2"],
            found["status 1"],
            *bad,
            found["MB"],
            f"{found['ms'] / 1e3:.1f}",
        ]
        rows.append(f"| {' | '.join(map(str, cells))} |")
    print("\n".join(rows))
    return int(failed)


def _import_everything() -> None:
    """Import what commands import, so that forks need not."""
    for name in (
        "benchmark.pipeline", "benchmark.audit.dataset",
        "benchmark.drift.report", "benchmark.report.document", "benchmark.report.anonymise",
        "benchmark.datasets.manifest", "benchmark.datasets.phantom", "models.logistic",
        "SimpleITK", "nibabel", "pydicom", "pyarrow.parquet", "sklearn.linear_model",
        "sklearn.model_selection", "scipy.stats", "joblib", "matplotlib.figure",
        "benchmark.lidc.build",
    ):  # fmt: skip
        importlib.import_module(name)


if __name__ == "__main__":
    sys.exit(main())
