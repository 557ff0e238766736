"""Promises about the repository itself."""

from __future__ import annotations

import importlib
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

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


PIN = re.compile(r"^[A-Za-z0-9_.-]+(?:\[[^\]]*\])?==[^\\\n]+", re.MULTILINE)
PLATFORMS = [("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64"), ("darwin", "x86_64"),
             ("win32", "AMD64")]  # fmt: skip
SYSTEMS = {"linux": ("Linux", "posix"), "darwin": ("Darwin", "posix"), "win32": ("Windows", "nt")}


def environments() -> list[dict[str, str]]:
    """What markers are evaluated for: the Pythons of ``requires-python`` on five platforms."""
    return [
        {
            "python_version": python, "python_full_version": f"{python}.1",
            "sys_platform": platform, "platform_machine": machine,
            "platform_system": SYSTEMS[platform][0], "os_name": SYSTEMS[platform][1],
        }
        for python in ("3.11", "3.12", "3.13")
        for platform, machine in PLATFORMS
    ]  # fmt: skip


def pins_at_odds(folder: Path) -> list[str]:
    """Packages that the files of a folder give two versions in one environment."""
    pins = [
        (path.name, Requirement(pin))
        for path in sorted(folder.glob("*.txt"))
        for pin in PIN.findall(path.read_text())
    ]
    odd: dict[str, None] = {}
    for environment in environments():
        found: dict[str, dict[str, str]] = {}
        for file, pin in pins:
            if pin.marker is None or pin.marker.evaluate(environment):
                found.setdefault(pin.name.lower(), {}).setdefault(str(pin.specifier), file)
        odd |= dict.fromkeys(
            f"{name}: " + ", ".join(f"{version} in {file}" for version, file in versions.items())
            for name, versions in found.items()
            if len(versions) > 1
        )
    return list(odd)


def test_every_requirements_file_pins_the_same_versions() -> None:
    assert pins_at_odds(ROOT / "requirements") == []


@pytest.mark.parametrize(
    ("file", "pin", "package"),
    [
        ("gpu.txt", "tqdm==9.9.9", "tqdm"),
        # One version for each range of Pythons is right, a third one is not.
        ("track.txt", "numpy==9.9.9 ; python_full_version >= '3.12'", "numpy"),
        ("tests.txt", "scipy==9.9.9 ; python_full_version < '3.13'", "scipy"),
        # Written otherwise, for the same environments in part.
        ("gpu.txt", "nvidia-nccl-cu12==9.9.9 ; sys_platform == 'linux'", "nvidia-nccl-cu12"),
    ],
)
def test_a_pin_that_differs_is_found(file: str, pin: str, package: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    path = tmp_path / "requirements" / file
    text = path.read_text()
    first = re.search(rf"^{package}==.*$", text, re.MULTILINE)
    assert first
    path.write_text(text.replace(first.group(), f"{pin} \\", 1))
    found = pins_at_odds(tmp_path / "requirements")
    assert found
    assert all(line.startswith(f"{package}: ") and "==9.9.9" in line for line in found)


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


def test_folders_hold_ten_modules_at_most_and_inits_are_empty() -> None:
    """Plug-in folders grow; every other one is small enough to be read as a list."""
    folders = [path for path in (ROOT / "benchmark").rglob("*") if path.is_dir()]
    assert len(folders) > 15
    for folder in [ROOT / "benchmark", *folders]:
        modules = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
        assert folder.name == "datasets" or len(modules) <= 10, folder
    for init in ROOT.glob("*/**/__init__.py"):
        if init.relative_to(ROOT).parts[0] in ("benchmark", "features", "models"):
            assert not init.read_text(), init


def test_modules_are_short_and_tests_import_no_test_and_no_script() -> None:
    for path in tracked():
        if path.suffix != ".py":
            continue
        text = path.read_text(encoding="utf-8")
        if path.relative_to(ROOT).parts[0] != "tests":
            assert len(text.splitlines()) <= 350, path
        else:
            imported = re.findall(r"^\s*(?:from|import) ((?:scripts|tests)\S*)", text, re.MULTILINE)
            assert all(name.startswith("tests.helpers") for name in imported), (path, imported)


def test_one_version_everywhere() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert newest
    assert newest[1] == version


def test_workflows_name_environments_and_pythons_that_there_are() -> None:
    tox = (ROOT / "tox.ini").read_text(encoding="utf-8")
    known = set(re.findall(r"^\[testenv:([\w-]+)\]", tox, re.MULTILINE))
    texts = [path.read_text("utf-8") for path in (ROOT / ".github" / "workflows").glob("*.yml")]
    named = {name for text in texts for name in re.findall(r"tox -e ([\w,-]+)", text)}
    assert {"tests", "docs", "drift"} <= named
    assert {each for name in named for each in name.split(",")} <= known
    (pythons,) = [found for text in texts for found in re.findall(r"python: \[(.+)\]", text)]
    supported = {each["python_version"] for each in environments()}
    assert set(re.findall(r"[\d.]+", pythons)) == supported
