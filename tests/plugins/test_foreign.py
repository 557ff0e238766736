"""Foreign code: what a plug-in raises, prints and changes stays with it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from benchmark.plugins.foreign import contained
from benchmark.processes.stopping import Stopped
from benchmark.runtime.paths import ROOT


@pytest.mark.parametrize("raised", [SystemExit(0), GeneratorExit("end"), KeyboardInterrupt()])
def test_what_would_end_the_program_becomes_an_error(
    raised: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Where the program handles Ctrl-C itself, a KeyboardInterrupt is the plug-in's own.
    monkeypatch.setattr(signal, "getsignal", lambda number: signal.SIG_IGN)
    with pytest.raises(RuntimeError, match=f"raised {type(raised).__name__}"), contained():
        raise raised


def test_the_users_wish_to_stop_goes_through() -> None:
    with pytest.raises(Stopped), contained():
        raise Stopped
    with pytest.raises(KeyboardInterrupt), contained():
        signal.raise_signal(signal.SIGINT)


def test_errors_stay_what_they_are() -> None:
    with pytest.raises(ZeroDivisionError), contained():
        1 / 0  # noqa: B018


def test_what_it_prints_and_changes_stays_with_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, filters = Path.cwd(), list(warnings.filters)
    with np.errstate(divide="warn"):
        with contained():
            print("hello")
            os.chdir(tmp_path)
            np.seterr(divide="raise")
            warnings.simplefilter("error")
        assert np.geterr()["divide"] == "warn"
    assert (Path.cwd(), list(warnings.filters)) == (folder, filters)
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "hello\n")


BROKEN = {
    "models/ends.py": "import sys\n\nsys.exit(0)\n",
    "models/typo.py": '"""A model."""\n\ndef build(:\n',
    "features/needs.py": "import does_not_exist\n",
    "features/empty.py": "",
    "benchmark/datasets/divides.py": "SUFFIXES = ('.div',)\n1 / 0\n",
}
"""Plug-ins at fault, and below what is said of each."""

FAULTS = {
    "ends": "models/ends.py, line 3 cannot be imported: RuntimeError: the code raised SystemExit 0",
    "typo": "models/typo.py, line 3 cannot be imported: SyntaxError: ",
    "needs": "features/needs.py, line 1 cannot be imported: ModuleNotFoundError: No module named",
    "empty": "features/empty.py has no extract; it must be a function, extract(roi)",
    "divides": "benchmark/datasets/divides.py, line 2 cannot be imported: ZeroDivisionError",
}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this project with broken plug-ins."""
    root = tmp_path_factory.mktemp("checkout")
    for package in ("benchmark", "features", "models"):
        shutil.copytree(ROOT / package, root / package, ignore=shutil.ignore_patterns("__pyc*"))
    for name, source in BROKEN.items():
        (root / name).write_text(source)
    return root


def call(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmark", *arguments],
        cwd=checkout, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_list_shows_broken_files_beside_the_others(checkout: Path) -> None:
    listed = call(checkout, "list")
    assert listed.returncode == 1
    assert not listed.stderr
    lines = {line.split()[0]: line for line in listed.stdout.splitlines() if line.startswith("  ")}
    for name, fault in FAULTS.items():
        assert f"BROKEN: {fault}" in lines[name]
    assert len([line for line in lines.values() if "BROKEN" in line]) == len(FAULTS)
    assert {"phantom", "radiomics", "svm", "quick"} <= lines.keys()


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("ends", ("--models", "ends")),
        ("typo", ("--models", "typo")),
        ("needs", ("--set", 'arms=["prior:needs"]')),
        ("empty", ("--set", 'arms=["prior:empty"]')),
        ("divides", ("--dataset", "divides")),
    ],
)
def test_a_run_that_names_a_broken_plugin_is_refused_in_one_line(
    checkout: Path, name: str, arguments: tuple[str, ...]
) -> None:
    refused = call(checkout, "run", *arguments)
    assert refused.returncode == 2
    (line,) = refused.stderr.splitlines()
    assert line.startswith(f"error: {FAULTS[name]}")


def test_a_run_that_names_no_broken_plugin_never_notices(checkout: Path) -> None:
    # Both look through all plug-ins of a kind.
    for arguments, message in (
        (("--dataset", "missing.npz"), "missing.npz"),
        (("--set", 'arms=["prior:ratings@eroded"]'), "those that do: diameter"),
    ):
        refused = call(checkout, "run", *arguments)
        assert refused.returncode == 2
        (line,) = refused.stderr.splitlines()
        assert message in line
        assert "cannot be imported" not in line
