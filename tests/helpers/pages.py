"""Blocks of code in README.md and docs/, and a checkout in which they are executed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmark.runtime.paths import ROOT

PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(path for path in (ROOT / "docs").rglob("*.md") if "_build" not in path.parts),
]

NOT_RUN = {
    "needs a network", "needs a GPU", "needs a cluster", "needs a file of your own",
    "needs a runner of your own", "needs minutes", "replaces the baseline",
}  # fmt: skip
"""Reasons for which a block may be left out, as a comment above it: ``not run: REASON``."""

_BLOCK = re.compile(
    r"(?:<!-- not run: (?P<reason>[^>]*?) -->\n)?```(?P<language>\w+)\n(?P<text>.*?)```", re.DOTALL
)
_FILE = re.compile(r"`((?:features|models)/\w+\.py)`")


@dataclass(frozen=True)
class Block:
    """A block of code.

    Attributes
    ----------
    language, text : str
    reason : str
        Why it is not executed; empty where it is.
    file : str
        Of a block of Python, the plug-in's path that the paragraph above it names; empty for a
        script.
    """

    language: str
    text: str
    reason: str
    file: str


def blocks(page: Path) -> list[Block]:
    """The blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _BLOCK.finditer(text):
        named = _FILE.findall(text[: match.start()].rstrip().rpartition("\n\n")[2])
        file = named[-1] if named and match["language"] == "python" else ""
        found.append(Block(match["language"], match["text"], match["reason"] or "", file))
    return found


def copy_checkout(folder: Path) -> Path:
    """What commands need of this repository, where they may write into it."""
    for name in ("benchmark", "features", "models"):
        shutil.copytree(
            ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"),
            dirs_exist_ok=True,
        )  # fmt: skip
    return folder


def execute(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run shell commands in a folder, with this test's Python as ``python``."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text], cwd=folder, env={**os.environ, "PATH": path},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
