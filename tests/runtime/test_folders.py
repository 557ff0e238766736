"""Digests of a folder's files: what is missing or has changed is named."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from benchmark.runtime.folders import damaged, locked, write_digests
from benchmark.runtime.paths import ROOT


@pytest.fixture
def folder(tmp_path) -> Path:
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(name)
    write_digests(tmp_path)
    return tmp_path


def test_whole_and_with_a_file_of_somebody_elses(folder):
    assert damaged(folder) == []
    (folder / "notes.txt").write_text("mine")
    assert damaged(folder) == []


def test_missing_and_changed_files_are_named(folder):
    (folder / "a.txt").unlink()
    (folder / "b.txt").write_text("B.txt")
    assert damaged(folder) == ["a.txt", "b.txt"]
    (folder / "a.txt").mkdir()
    assert damaged(folder) == ["a.txt", "b.txt"]


@pytest.mark.parametrize("end", [-1, -10, "line", 0])
def test_the_list_itself(end, folder):
    """Cut off after a whole line it would hide a file."""
    digests = folder / "SHA256SUMS"
    content = digests.read_bytes()
    cut = content.rindex(b"\n", 0, -1) + 1 if end == "line" else end
    digests.write_bytes(content[:cut])
    assert damaged(folder) == ["SHA256SUMS"]
    digests.write_bytes(b"\xff" + content)
    assert damaged(folder) == ["SHA256SUMS"]
    digests.unlink()
    assert damaged(folder) == ["SHA256SUMS"]


@pytest.mark.skipif(not shutil.which("sha256sum"), reason="sha256sum is not installed")
def test_sha256sum_reads_the_list(folder):
    command = ["sha256sum", "--check", "--strict", "SHA256SUMS"]
    assert subprocess.run(command, cwd=folder, check=False).returncode == 0


HOLDER = """
import sys, time
from pathlib import Path
from benchmark.runtime.folders import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_lock_is_waited_for_and_ends_with_its_process(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"

    def take() -> float:
        with locked(path):
            return time.monotonic()

    with (
        subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, cwd=ROOT
        ) as holder,
        ThreadPoolExecutor(1) as pool,
    ):
        assert holder.stdout
        assert holder.stdout.readline() == b"held\n"
        waiting = pool.submit(take)
        time.sleep(0.5)
        killed = time.monotonic()
        holder.kill()
        assert waiting.result(timeout=60) > killed
