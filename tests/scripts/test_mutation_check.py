"""The lists of small faults stay true to the source, and the script tells caught from survived."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.runtime.paths import ROOT

SOURCE = "def half(n):\n    return n / 2\n"
TESTS = "import code_\n\n\ndef test_half():\n    assert code_.half(4) == 2\n"
FAULT = """
[[fault]]
file = "code_.py"
old = "n / 2"
new = "{new}"
tests = ["tests/test_code.py"]
why = "{why}"
{more}
"""


def check(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "scripts.mutation_check", *map(str, arguments)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_every_fault_of_the_lists_can_be_planted() -> None:
    """Its old text occurs exactly once in its file, and its tests exist."""
    done = check("--list")
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[0]) > 40


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name, text in {"code_.py": SOURCE, "conftest.py": "", "tests/test_code.py": TESTS}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "tests/mutants").mkdir()
    if subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=False).returncode:
        pytest.skip("no git, which says what a checkout holds")
    return tmp_path


def write(checkout: Path, *faults: tuple[str, str, str]) -> None:
    text = "".join(FAULT.format(new=new, why=why, more=more) for new, why, more in faults)
    (checkout / "tests/mutants/halves.toml").write_text(text)


def test_what_is_caught_and_what_survives(checkout: Path) -> None:
    write(
        checkout,
        ("n / 3", "a third", ""),
        ("n // 2", "whole numbers", ""),
        ("n * 0.5", "a product", 'survives = "it is the same"'),
    )
    done = check("--root", checkout)
    assert done.returncode == 1, done.stderr
    lines = done.stdout.splitlines()
    verdicts = [line.partition(" (")[0] for line in lines if "code_.py" in line]
    assert verdicts == [
        "caught    code_.py: a third",
        "survived  code_.py: whole numbers",
        "survived  code_.py: a product",
    ]
    assert "          it is said to survive: it is the same" in lines
    assert lines[-1] == "halves: 1 of 3 caught"
    assert (checkout / "code_.py").read_text() == SOURCE


def test_a_fault_that_is_caught_against_its_word(checkout: Path) -> None:
    write(checkout, ("n / 3", "a third", 'survives = "nobody looks"'))
    assert check("--root", checkout, "halves").returncode == 1
    write(checkout, ("n / 3", "a third", ""))
    assert check("--root", checkout, "code_.py").returncode == 0


def test_tests_that_fail_or_do_not_run_by_themselves_show_nothing(checkout: Path) -> None:
    write(checkout, ("n / (", "no Python", ""))
    done = check("--root", checkout)
    assert done.returncode == 2
    assert done.stdout.startswith("error")
    write(checkout, ("n / 3", "a third", ""))
    (checkout / "tests/test_code.py").write_text(TESTS.replace("== 2", "== 5"))
    done = check("--root", checkout)
    assert done.returncode == 2
    assert "these tests do not pass without it" in done.stdout


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('old = "n / 2"', 'old = "n / 4"', "the old text occurs 0 times"),
        ('old = "n / 2"', 'old = "n"', "the old text occurs 3 times"),
        ('new = "n / 3"', 'new = "n / 2"', "old and new text are the same"),
        ("tests/test_code.py", "tests/test_cod.py", "no tests/test_cod.py"),
        ('file = "code_.py"', 'file = "cod.py"', "no such file"),
        ("why", "reason", "halves.toml fault 1: reason, why missing or unknown"),
    ],
)
def test_lists_that_are_not_true_are_refused(checkout: Path, old: str, new: str, says: str) -> None:
    write(checkout, ("n / 3", "a third", ""))
    path = checkout / "tests/mutants/halves.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    done = check("--root", checkout)
    assert done.returncode == 2
    assert says in done.stderr
    assert not done.stdout
    assert check("--root", checkout, "thirds").returncode == 2
