"""Promises about the repository itself."""

from __future__ import annotations

import importlib
import re
import subprocess
from pathlib import Path

import pytest

from benchmark.runtime.paths import ROOT


def tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.parametrize("package", ["benchmark", "features", "models"])
def test_packages_are_the_ones_in_this_checkout(package: str) -> None:
    """The names are generic: an installed package could shadow them."""
    module = importlib.import_module(package)
    assert module.__file__ is not None
    assert Path(module.__file__).parent == ROOT / package


def test_requirements_hold_versions_and_hashes_but_no_addresses() -> None:
    files = sorted((ROOT / "requirements").glob("*.txt"))
    assert files
    for path in files:
        text = path.read_text()
        assert "://" not in text, path.name
        for block in re.split(r"\n(?=\S)", text):
            if block and not block.startswith("#"):
                assert "==" in block, (path.name, block)
                assert "--hash=sha256:" in block, (path.name, block)


def test_every_requirements_file_pins_the_same_versions() -> None:
    pins: dict[tuple[str, str], set[str]] = {}
    for path in sorted((ROOT / "requirements").glob("*.txt")):
        for name, version, marker in re.findall(
            r"^([A-Za-z0-9_.-]+)==([^ ;\\]+) ?(;[^\\\n]*)?", path.read_text(), re.MULTILINE
        ):
            pins.setdefault((name, version), set()).add(path.name)
            del marker
    versions: dict[str, set[str]] = {}
    for name, version in pins:
        versions.setdefault(name, set()).add(version)
    # A package may have one version for each range of Python versions, no more.
    assert not {name: v for name, v in versions.items() if len(v) > 2}


def test_no_absolute_paths_of_a_machine() -> None:
    pattern = re.compile(r"(?<![\w.])/(?:home|root|work|Users)/\w")
    for path in tracked():
        if path.suffix in {".py", ".md", ".toml", ".ini", ".cff", ".json", ".csv", ".txt", ""}:
            found = pattern.search(path.read_text(encoding="utf-8", errors="ignore"))
            assert not found or path == Path(__file__), (path.name, found)


def test_tracked_files_are_small() -> None:
    """No image data: the largest file is a baseline or a lock, well under a megabyte."""
    for path in tracked():
        assert path.stat().st_size < 1_000_000, path
