"""Mutation check: small faults planted in the source one at a time, and whether tests notice.

``python -m scripts.mutation_check [MODULE ...]`` takes the faults of ``tests/mutants/*.toml``, all
or those of the lists (``models``) and source files (``models/svm.py``) that are named. Each is
planted in a copy of the checkout, never in the checkout itself, and the tests that should notice it
are run there. The same tests must pass without it.

A list has one table ``[[fault]]`` a fault: ``file``; ``old``, a text that occurs in it exactly
once; ``new``, what stands there instead; ``tests``, what pytest is given; ``why``, what a user
would suffer; and ``survives``, a reason, where no test can notice.

Exit status: 0 where every fault is caught but those that are said to survive; 1 where one is not,
or is caught against its word; 2 where a list is wrong or tests fail by themselves.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path

from benchmark.runtime.paths import ROOT

LISTS = Path("tests", "mutants")
TIMEOUT_S = 300
"""Of one test: a fault may keep a loop from ending."""


@dataclass(frozen=True)
class Fault:
    """One entry of a list, see above."""

    name: str
    """Of the list."""
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    why: str
    survives: str = ""


def read_faults(root: Path) -> list[Fault]:
    """All lists' entries.

    Raises
    ------
    ValueError
        Naming the list, the entry's number and the key that is missing or unknown.
    """
    keys = {field.name for field in fields(Fault)} - {"name"}
    faults = []
    for path in sorted((root / LISTS).glob("*.toml")):
        for number, entry in enumerate(tomllib.loads(path.read_text("utf-8"))["fault"], start=1):
            wrong = (keys - {"survives"} - entry.keys()) | (entry.keys() - keys)
            if wrong:
                raise ValueError(
                    f"{path.name} fault {number}: {', '.join(sorted(wrong))} missing or unknown; "
                    f"the keys are {', '.join(sorted(keys))}"
                )
            faults.append(Fault(path.stem, **(entry | {"tests": tuple(entry["tests"])})))
    return faults


def problem(root: Path, fault: Fault) -> str:
    """Why a fault cannot be planted; empty where it can."""
    source = root / fault.file
    if not source.is_file():
        return "no such file"
    times = source.read_text("utf-8").count(fault.old)
    if times != 1:
        return f"the old text occurs {times} times; it must occur exactly once"
    if fault.old == fault.new:
        return "old and new text are the same"
    absent = [test for test in fault.tests if test.startswith("tests/") and not _exists(root, test)]
    return f"no {absent[0]}" if absent else ""


def _exists(root: Path, test: str) -> bool:
    return (root / test.partition("::")[0]).exists()


def copy_checkout(root: Path, to: Path) -> None:
    """Copy what git tracks or would."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        if (root / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, to / name)


def run_tests(folder: Path, tests: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    """pytest in a folder, up to the first failure."""
    # Compiled files are told from their source by time and size, which a fault may leave alone.
    quiet = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0"}
    options = ["-x", "-q", "-p", "no:cacheprovider", f"--timeout={TIMEOUT_S}"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, *tests],
        cwd=folder, env={**os.environ, **quiet}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def verdict(folder: Path, fault: Fault) -> str:
    """``caught``, ``survived``, or what went wrong otherwise."""
    source = folder / fault.file
    sound = source.read_text("utf-8")
    source.write_text(sound.replace(fault.old, fault.new), "utf-8")
    try:
        done = run_tests(folder, fault.tests)
    finally:
        source.write_text(sound, "utf-8")
    # Other statuses are of tests that did not run: no import, no such test.
    return {0: "survived", 1: "caught"}.get(done.returncode, f"error\n{done.stdout[-2000:]}")


def check(root: Path, faults: list[Fault]) -> int:
    """Plant each fault, print a line a fault and the share caught, and return the status."""
    status = 0
    outcomes: dict[str, list[bool]] = {}
    passing: dict[tuple[str, ...], subprocess.CompletedProcess[str]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "checkout")
        copy_checkout(root, folder)
        for fault in faults:
            start = time.perf_counter()
            if fault.tests not in passing:
                passing[fault.tests] = run_tests(folder, fault.tests)
            alone = passing[fault.tests]
            found = verdict(folder, fault) if alone.returncode == 0 else "error"
            seconds = time.perf_counter() - start
            print(f"{found:9} {fault.file}: {fault.why} ({seconds:.0f} s)", flush=True)
            if found not in ("caught", "survived"):
                if alone.returncode:
                    print(f"these tests do not pass without it:\n{alone.stdout[-2000:]}")
                status = 2
                continue
            outcomes.setdefault(fault.name, []).append(found == "caught")
            if fault.survives:
                print(f"          it is said to survive: {fault.survives}")
            if (found == "caught") is bool(fault.survives):
                status = max(status, 1)
    for name, caught in outcomes.items():
        print(f"{name}: {sum(caught)} of {len(caught)} caught")
    return status


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("modules", nargs="*", help="lists or source files; all where none is named")
    parser.add_argument("--list", action="store_true", help="check the lists and run nothing")
    parser.add_argument("--root", type=Path, default=ROOT, help="a checkout other than this one")
    arguments = parser.parse_args()
    try:
        faults = read_faults(arguments.root)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    names = {name for fault in faults for name in (fault.name, fault.file)}
    unknown = [module for module in arguments.modules if module not in names]
    if unknown or not faults:
        print(f"error: no faults of {', '.join(unknown) or arguments.root}", file=sys.stderr)
        return 2
    chosen = [
        fault
        for fault in faults
        if not arguments.modules or {fault.name, fault.file} & set(arguments.modules)
    ]
    problems = [(fault, text) for fault in chosen if (text := problem(arguments.root, fault))]
    for fault, text in problems:
        print(f"error: {fault.name}, {fault.file} ({fault.why}): {text}", file=sys.stderr)
    if problems:
        return 2
    if arguments.list:
        print(f"{len(chosen)} faults")
        return 0
    return check(arguments.root, chosen)


if __name__ == "__main__":
    sys.exit(main())
