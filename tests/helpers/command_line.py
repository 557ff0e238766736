"""The command line, called in this process."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmark.cli import main

SMALL = ["--models", "prior,size_only,logistic", "--jobs", "1", "--set", "bootstrap.samples=200"]


def invoke(*arguments: str | Path, page: bool = False) -> int:
    """Exit status of ``python -m benchmark ARGUMENTS``; a run draws its page where asked alone."""
    given = [
        *map(str, arguments),
        *(["--no-page"] if arguments[:1] == ("run",) and not page else []),
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["benchmark", *given])
        with pytest.raises(SystemExit) as stopped:
            main.main()
    assert isinstance(stopped.value.code, int)
    return stopped.value.code


def refused(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """The one line on stderr with which arguments are refused."""
    assert invoke(*arguments) == 2
    captured = capsys.readouterr()
    lines = [line for line in captured.err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, captured.err
    assert "Traceback" not in captured.err
    assert not captured.out
    return lines[0]
