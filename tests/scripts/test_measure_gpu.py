"""What is measured on a GPU runs on a processor at a tiny size, and says what it could not do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from benchmark.runtime.paths import ROOT
from tests.helpers.backends import QUICK_XLA
from tests.helpers.volumes import WriteManifest

TINY = ["--rois", "24", "--epochs", "2", "--fits", "2", "--fit-epochs", "1"]
WITHOUT_TENSORFLOW = """
import runpy, sys
sys.modules["tensorflow"] = None
runpy.run_module("scripts.measure_gpu", run_name="__main__", alter_sys=True)
"""


def rows(dataset: Path, arguments: list[str], started: tuple[str, ...]) -> list[list[str]]:
    """The table that the command writes, of a dataset."""
    out = dataset.parent / "gpu.md"
    given = ["--dataset", str(dataset), "--out", str(out), *arguments]
    command = [sys.executable, *started, *TINY, *given]
    quick = {**os.environ, "XLA_FLAGS": QUICK_XLA}
    subprocess.run(command, cwd=ROOT, env=quick, capture_output=True, check=True)
    lines = [line for line in out.read_text().splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def test_parts_are_measured_each_in_a_process_on_its_backend(write_manifest: WriteManifest) -> None:
    parts = ["--parts", "mixed:tensorflow,together:jax"]
    mixed, together = rows(write_manifest(24), parts, ("-m", "scripts.measure_gpu"))
    assert mixed[:3] == ["mixed", "tensorflow", "cpu"]
    assert mixed[3].endswith("images, 2 epochs, tested on 7")
    assert float(mixed[4]) > 0
    assert float(mixed[5]) > 0
    assert 0 <= float(mixed[6]) <= 1
    assert together[:3] == ["together", "jax", "cpu"]
    assert together[3].startswith("2 fits of ")
    assert "one by one" in together[4]


def test_what_does_not_end_in_time_or_is_not_installed_is_named(
    write_manifest: WriteManifest,
) -> None:
    found = rows(write_manifest(24), ["--limit", "0"], ("-c", WITHOUT_TENSORFLOW))
    assert {row[1] for row in found} == {"tensorflow", "jax"}
    assert {row[0] for row in found} == {"plain", "mixed", "together", "frozen"}
    for row in found:
        why = "not done in the 0 s" if row[1] == "jax" else "tensorflow is not installed here"
        assert why in row[3]
