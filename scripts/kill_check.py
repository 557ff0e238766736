"""Kills at random: ``run``, ``report`` and ``build lidc`` go on and give the same results.

``python -m scripts.kill_check [COMMAND ...] --kills N --seed S`` kills each command, or those that
are named, N times with SIGKILL, each time after a random share of the time that it takes
undisturbed, and gives the command again (``run`` with ``--resume``). Compared are predictions,
metrics and comparisons of runs, text and tables of reports, and all files of built datasets; and
that 10 s after the kill no process of the command is left, and no draft once it has been given
again.

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
    start(["run", plain, "--jobs", "2", "--out", str(finished)], place / "cache").wait()
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


def start(arguments: Sequence[str], cache: Path) -> subprocess.Popen[bytes]:
    """Start ``python -m benchmark`` in a session of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "benchmark", *arguments], cwd=ROOT, start_new_session=True,
        env={**os.environ, "LUNG_NODULE_CACHE": str(cache)},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
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


def kill_once(command: Command, out: Path, cache: Path, delay_s: float) -> tuple[bool, bool]:
    """Kill a command; whether it was still at work, and whether a process outlived it by 10 s."""
    process = start(command.arguments(out), cache)
    time.sleep(delay_s)
    at_work = process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    ends = time.monotonic() + _REST_S
    while left_of(process.pid) and time.monotonic() < ends:
        time.sleep(0.2)
    return at_work, bool(left_of(process.pid))


def check(command: Command, place: Path, n_kills: int, draw: random.Random) -> list[int]:
    """Numbers of kills, of those that came in time, of other results, and of processes left."""
    out, began = place / f"{command.name}-whole", time.monotonic()
    assert start(command.arguments(out), place / "first").wait() == 0, command
    whole_s, good = time.monotonic() - began, command.results(out)
    in_time = other = left = 0
    for number in range(n_kills):
        folder, cache = place / f"{command.name}-{number}", place / f"{command.name}-cache{number}"
        at_work, outlived = kill_once(command, folder, cache, draw.uniform(0, whole_s))
        in_time, left = in_time + at_work, left + outlived
        status = start([*command.arguments(folder), *command.go_on], cache).wait()
        other += status != 0 or command.results(folder) != good
        drafts = [path for path in place.glob(f".{command.name}-{number}*") if path.is_dir()]
        left += bool(drafts)
        shutil.rmtree(folder, ignore_errors=True)
    return [n_kills, in_time, other, left]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("commands", nargs="*", help="run, report, 'build lidc'; default: all")
    parser.add_argument("--kills", type=int, default=10, help="a command")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    draw = random.Random(given.seed)
    failed = False
    print("| command | kills | before its end | other results | left behind |")
    print("|---|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        chosen = [each for each in commands(place) if each.name in (given.commands or [each.name])]
        for command in chosen:
            counts = check(command, place, given.kills, draw)
            failed = failed or any(counts[2:])
            print(f"| `{command.name}` | {' | '.join(map(str, counts))} |", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
