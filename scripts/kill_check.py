"""Kills at random: ``run``, ``report``, ``audit`` and ``build lidc`` give the same results again.

``python -m scripts.kill_check [COMMAND ...] --kills N --seed S`` kills each command, or those that
are named, N times with SIGKILL, each time after a random share of the time that it takes
undisturbed, and gives the command again (``run`` with ``--resume``). Compared are predictions,
metrics and comparisons of runs, text and tables of reports and audits, and all files of built
datasets; and that 10 s after the kill no process of the command is left, and no draft once it has
been given again. With ``--interrupt`` the signal is that of Ctrl-C, to the command and its workers
alike, and the command must end within 2 s, with status 130 and one line; with 0 and none where its
work was done.

Prints a row a command; exit status 1 where anything differs or is left.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from benchmark.lidc.annotations import nodules
from benchmark.runtime.paths import ROOT
from tests.helpers.lidc_dicom import SIZE, files_of, write_series

N_SCANS = 8
_REST_S = 10.0
_STOPPED_S = 2.0
_STARTED_S = 0.3  # until then Python itself starts, and answers by itself


@dataclass(frozen=True)
class Command:
    """A command that writes into a folder, the one that goes on, and the files that must agree."""

    name: str
    arguments: Callable[[Path], list[str]]
    go_on: tuple[str, ...]
    results: Callable[[Path], dict[str, bytes]]


def commands(place: Path) -> list[Command]:
    """The commands, with what they work on made in ``place``."""
    finished = place / "finished"
    plain = "--models=prior,size_only,logistic,svm"
    start(["run", plain, "--jobs", "2", "--out", str(finished)], place / "cache").communicate()
    dataset = place / "dataset"
    start(["build", "phantom", "--n", "30", "--out", str(dataset)], place / "cache").communicate()
    planes = np.random.default_rng(0).integers(-1000, 400, (8, SIZE, SIZE))
    scans = {nodule.scan_id: nodule for nodule in nodules()}
    chosen = sorted(scans.values(), key=lambda nodule: len(nodule.slice_zs_mm))[:N_SCANS]
    for scan in chosen:
        write_series(place / "dicom", scan, lambda index: planes[index % 8])
    patients = ",".join(scan.patient_id for scan in chosen)

    def report(out: Path) -> list[str]:
        if not out.is_dir():
            shutil.copytree(finished, out)
        return ["report", str(out), "--jobs", "2"]

    return [
        Command(
            "run", lambda out: ["run", plain, "--jobs", "2", "--out", str(out)], ("--resume",),
            _named("predictions.parquet", "metrics.csv", "comparisons.csv", "strata.csv"),
        ),
        Command(
            "audit",
            lambda out: ["audit", str(dataset), "--stability", "--jobs", "2", "--out", str(out)],
            (), _named("*.md", "*.csv"),
        ),
        Command("report", report, (), _named("report*.md", "report*.tex", "report*.csv")),
        Command(
            "build lidc",
            lambda out: [
                "build", "lidc", "--dicom", str(place / "dicom"), "--out", str(out), "--jobs", "2",
                "--patients", patients,
            ],
            (), files_of,
        ),
    ]  # fmt: skip


def _named(*patterns: str) -> Callable[[Path], dict[str, bytes]]:
    def read(folder: Path) -> dict[str, bytes]:
        found = (path for pattern in patterns for path in sorted(folder.glob(pattern)))
        return {path.name: path.read_bytes() for path in found}

    return read


def start(arguments: Sequence[str], cache: Path) -> subprocess.Popen[str]:
    """Start ``python -m benchmark`` in a session of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "benchmark", *arguments], cwd=ROOT, start_new_session=True,
        env={**os.environ, "LUNG_NODULE_CACHE": str(cache)},
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def left_of(session: int) -> list[int]:
    """Processes of a session that live."""
    living = (each for each in psutil.process_iter(["pid", "status"]) if each.pid != session)
    found = []
    for each in living:
        try:
            if os.getsid(each.pid) == session and each.info["status"] != psutil.STATUS_ZOMBIE:
                found.append(each.pid)
        except ProcessLookupError:
            continue
    return found


def kill_once(
    command: Command, out: Path, cache: Path, delay_s: float, number: signal.Signals
) -> tuple[bool, bool]:
    """Kill a command; whether it was still at work, and whether it ended as it must."""
    process = start(command.arguments(out), cache)
    time.sleep(delay_s)
    at_work = process.poll() is None
    began = time.monotonic()
    if at_work:
        (os.kill if number == signal.SIGKILL else os.killpg)(process.pid, number)
    _, told = process.communicate()
    lasted_s = time.monotonic() - began
    ends = time.monotonic() + _REST_S
    while left_of(process.pid) and time.monotonic() < ends:
        time.sleep(0.2)
    well = not left_of(process.pid)
    if at_work and number == signal.SIGINT:
        lines = told.replace("\r", "\n").strip().splitlines()
        said = [line for line in lines if line.startswith("interrupted")]
        stopped = (process.returncode, len(said)) in ((130, 1), (0, 0))  # 0: it was done
        if not stopped or "Traceback" in told or lasted_s > _STOPPED_S:
            print(f"{command.name} after {delay_s:.2f} s: {lasted_s:.1f} s, {process.returncode}")
            print(told)
            well = False
    return at_work, well


def check(
    command: Command, place: Path, n_kills: int, draw: random.Random, number: signal.Signals
) -> list[int]:
    """Numbers of kills, of those that came in time, of other results, and of bad ends."""
    out, began = place / f"{command.name}-whole", time.monotonic()
    whole = start(command.arguments(out), place / "first")
    told = whole.communicate()[1]
    assert whole.returncode == 0, f"{command.name}: {told}"
    whole_s, good = time.monotonic() - began, command.results(out)
    in_time = other = bad = 0
    for n in range(n_kills):
        folder, cache = place / f"{command.name}-{n}", place / f"{command.name}-cache{n}"
        delay_s = draw.uniform(_STARTED_S, whole_s)
        at_work, well = kill_once(command, folder, cache, delay_s, number)
        in_time, bad = in_time + at_work, bad + (not well)
        # Where it had ended, or all but ended, it may refuse to do again what is there.
        start([*command.arguments(folder), *command.go_on], cache).communicate()
        other += command.results(folder) != good
        drafts = [path for path in place.glob(f".{command.name}-{n}*") if path.is_dir()]
        bad += bool(drafts)
        shutil.rmtree(folder, ignore_errors=True)
    return [n_kills, in_time, other, bad]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "commands", nargs="*", help="run, report, audit, 'build lidc'; default: all"
    )
    parser.add_argument("--kills", type=int, default=10, help="a command")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--interrupt", action="store_true", help="Ctrl-C in place of a kill")
    given = parser.parse_args()
    draw = random.Random(given.seed)
    number = signal.SIGINT if given.interrupt else signal.SIGKILL
    failed = False
    print("| command | kills | before its end | other results | bad ends |")
    print("|---|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        chosen = [each for each in commands(place) if each.name in (given.commands or [each.name])]
        for command in chosen:
            counts = check(command, place, given.kills, draw, number)
            failed = failed or any(counts[2:])
            print(f"| `{command.name}` | {' | '.join(map(str, counts))} |", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
