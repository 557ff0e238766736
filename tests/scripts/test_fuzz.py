"""Fuzzing: a few damaged inputs of each target, and that each kind of finding is found."""

from __future__ import annotations

import subprocess
import sys

from benchmark.runtime.paths import ROOT


def fuzz(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "scripts.fuzz", *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_damaged_inputs_are_read_right_or_refused() -> None:
    table = fuzz("--inputs", "15", "--seed", "1", "--whole", "0.05")
    rows = [row.strip("| ").split(" | ") for row in table.splitlines()[2:]]
    refused = {name: int(whole) + int(part) for name, _, whole, part, *_ in rows}
    assert refused.keys() == {"settings", "tables", "images", "run_folders", "dicom"}
    assert min(refused.values()) > 5, "too little is damaged"


def test_each_kind_of_finding_is_found() -> None:
    assert fuzz("--planted").count("found") == 7
