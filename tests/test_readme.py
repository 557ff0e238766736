"""The README's commands, examples and options work as they stand."""

from __future__ import annotations

import configparser
import os
import re
import shlex
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from benchmark.cli.main import run as run_command
from benchmark.config import load_config, select_arms
from benchmark.datasets import manifest
from benchmark.runtime.paths import ROOT
from tests.helpers.made_run import make_run
from tests.helpers.volumes import WriteManifest

README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    for line in block.strip().splitlines()
]
PYTHON = ".tox/benchmark/bin/python -m benchmark "
OFFLINE = [c for c in COMMANDS if c.startswith(PYTHON) and "DICOM" not in c and "RUN_DIR" not in c]
REPORTS = [c for c in COMMANDS if c.startswith(PYTHON) and "RUN_DIR" in c]
MAIN_JOB = "tox -e benchmark -- "


def execute(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmark", *arguments],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_every_tox_environment_exists() -> None:
    tox = configparser.ConfigParser()
    tox.read(ROOT / "tox.ini")
    named = set(re.findall(r"tox -e ([a-z]+)", README))
    assert {"benchmark", "tests"} <= named
    assert {f"testenv:{name}" for name in named} <= set(tox.sections())


def test_the_first_screen_has_the_two_commands() -> None:
    assert COMMANDS[:2] == [
        "python -m pip install tox && tox -e benchmark",
        "python -m pip install tox && tox -e tests",
    ]


@pytest.mark.parametrize("command", OFFLINE)
def test_commands_run(command: str, write_manifest: WriteManifest, tmp_path: Path) -> None:
    write_manifest(24, folder="my_nodules")
    arguments = shlex.split(command.removeprefix(PYTHON))
    if arguments[0] == "audit":
        arguments += ["--out", str(tmp_path / "audit")]  # not into this checkout
    done = execute(arguments, tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", REPORTS)
def test_reports_are_written(command: str, tmp_path: Path) -> None:
    make_run(tmp_path / "RUN_DIR", n=80)
    done = execute(shlex.split(command.removeprefix(PYTHON)), tmp_path)
    assert done.returncode == 0, done.stderr
    written = [tmp_path / line for line in done.stdout.splitlines()]
    assert {path.name for path in written} >= {"report.html", "report.tex", "roc.png", "roc.svg"}
    assert all(path.is_file() for path in written)
    assert ("--anonymise" in command) == all(
        path.is_relative_to(tmp_path / "RUN_DIR" / "anonymised") for path in written
    )


def test_own_data_run(write_manifest: WriteManifest, tmp_path: Path) -> None:
    write_manifest(40, folder="my_nodules")
    (command,) = [c for c in COMMANDS if c.startswith(MAIN_JOB) and "my_nodules" in c]
    arguments = ["run", *shlex.split(command.removeprefix(MAIN_JOB))]
    # The classical models only: the CNN's own tests train it.
    done = execute([*arguments, "--models", "size_only,logistic", "--out", "run"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert "size_only" in done.stdout


def test_the_manifest_shown_is_one(tmp_path: Path) -> None:
    (example,) = re.findall(r"```csv\n(.*?)```", README, re.DOTALL)
    (tmp_path / "manifest.csv").write_text(example)
    dataset = manifest.open_dataset(tmp_path)
    assert [record.label for record in dataset.records] == [1, 0]


def test_options_shown_are_options() -> None:
    """The table of what to add: options exist, profiles load, settings are known."""
    cells = re.findall(r"^\| [^|]+ \| (`--.*`) \|$", README, re.MULTILINE)
    shown = [shlex.split(text) for cell in cells for text in re.findall(r"`([^`]+)`", cell)]
    assert len(shown) >= 6
    known = {option for parameter in run_command.params for option in parameter.opts}
    for words in shown:
        assert {word for word in words if word.startswith("--")} <= known, words
        settings = [b for a, b in pairwise(words) if a == "--set"]
        profiles = [
            b for a, b in pairwise(words)
            if a == "--profile" and not b.endswith(".toml")
        ]  # fmt: skip
        loaded = load_config(profiles[0] if profiles else "quick", settings)
        assert select_arms(loaded)
