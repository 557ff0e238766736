"""Fuzzing: a few damaged inputs of each target, and that each kind of finding is found."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from benchmark.runtime.paths import ROOT


def fuzz(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "scripts.fuzz", *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_damaged_inputs_are_read_right_or_refused() -> None:
    table = fuzz("--inputs", "10", "--seed", "1", "--whole", "0.05")
    rows = [row.strip("| ").split(" | ") for row in table.splitlines()[2:]]
    refused = {name: int(whole) + int(part) for name, _, whole, part, *_ in rows}
    assert refused.keys() == {"settings", "tables", "images", "run_folders", "dicom"}
    assert min(refused.values()) > 5, "too little is damaged"


def test_each_kind_of_finding_is_found() -> None:
    assert fuzz("--planted").count("found") == 7


def test_damage_leaves_links_and_what_fits_no_memory_alone(tmp_path: Path) -> None:
    """Else the fuzzing itself writes to /etc/hostname, and ends for want of memory."""
    mine, sparse, link = (tmp_path / name for name in ("mine", "sparse", "link"))
    mine.write_bytes(b"content")
    sparse.touch()
    os.truncate(sparse, 8 << 30)
    link.symlink_to(mine)
    code = (
        "import sys; from pathlib import Path; from scripts.fuzzing.images import can_be_damaged\n"
        "print([can_be_damaged(Path(name)) for name in sys.argv[1:]])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, mine, sparse, link, tmp_path, tmp_path / "none"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "[True, False, False, False, False]\n"
