"""Foreign code: what a plug-in raises, prints and changes stays with it."""

from __future__ import annotations

import os
import signal
import warnings
from pathlib import Path

import numpy as np
import pytest

from benchmark.plugins.foreign import contained, line_of
from benchmark.processes.stopping import Stopped
from benchmark.runtime.paths import ROOT
from tests.helpers.command_line import invoke, refused
from tests.helpers.plugins import add_plugins


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
    # A shell lets what it starts in the background ignore Ctrl-C, and Python leaves it so.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), contained():
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


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


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Broken plug-ins beside those of this project."""
    add_plugins(tmp_path, BROKEN, monkeypatch)


@pytest.mark.usefixtures("broken")
def test_list_shows_broken_files_beside_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke("list") == 1
    listed = capsys.readouterr()
    assert not listed.err
    lines = {line.split()[0]: line for line in listed.out.splitlines() if line.startswith("  ")}
    for name, fault in FAULTS.items():
        assert f"BROKEN: {fault}" in lines[name]
    assert len([line for line in lines.values() if "BROKEN" in line]) == len(FAULTS)
    assert {"phantom", "radiomics", "svm", "quick"} <= lines.keys()


@pytest.mark.usefixtures("broken")
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
    capsys: pytest.CaptureFixture[str], name: str, arguments: tuple[str, ...]
) -> None:
    assert refused(capsys, "run", *arguments).startswith(f"error: {FAULTS[name]}")


@pytest.mark.usefixtures("broken")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--dataset", "missing.npz"), "missing.npz"),
        (("--set", 'arms=["prior:ratings@eroded"]'), "those that do: diameter"),
    ],
)
def test_a_run_that_names_no_broken_plugin_never_notices(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    """Both look through all plug-ins of a kind."""
    told = refused(capsys, "run", *arguments)
    assert message in told
    assert "cannot be imported" not in told


def test_an_error_that_did_not_pass_through_a_file_has_no_line_in_it() -> None:
    with pytest.raises(ZeroDivisionError) as raised:
        1 / 0  # noqa: B018
    assert line_of(raised.value, Path(__file__)) > 0
    assert line_of(raised.value, ROOT / "models/svm.py") == 0
    assert line_of(SyntaxError("no file"), Path(__file__)) == 0
