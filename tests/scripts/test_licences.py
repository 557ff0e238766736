"""Licences of dependencies: all are listed, as the packages say, and all are accepted."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmark.runtime.paths import ROOT

LIST = ROOT / "docs" / "licences.md"


def check(path: Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-m", "scripts.licences", "--check", str(path)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    found = done.stdout.split("\n")[:-1]
    assert done.returncode == int(found != [""]), done.stderr
    return [line for line in found if line]


def test_the_list_holds() -> None:
    assert check(LIST) == []


def test_what_is_wrong_is_found(tmp_path: Path) -> None:
    lines = LIST.read_text("utf-8").splitlines()
    everywhere = "benchmark, docs, fetch, gpu, tests, track, types"
    changes = {
        "wheel": f"| wheel | MIT AND GPL-3.0-only | {everywhere} |",
        "wrapt": "| wrapt | BSD-2-Clause | benchmark |",
        "zict": None,
        "zipp": f"| zipp | Apache-2.0 OR GPL-3.0-only | {everywhere} |",
    }
    named = (line.split(" ")[1] if line.startswith("| ") else "" for line in lines)
    changed = (changes.get(name, line) for name, line in zip(named, lines, strict=True))
    (tmp_path / "list.md").write_text("\n".join(filter(None, [*changed, "| new | MIT | gpu |"])))
    assert check(tmp_path / "list.md") == [
        "new: not in the list, or no longer pinned",
        "wheel: GPL-3.0-only is not accepted",
        "wheel: the package says MIT, the list MIT AND GPL-3.0-only",
        "wrapt: pinned for benchmark, docs, fetch, gpu, tests, track, types, listed for benchmark",
        "zict: not in the list, or no longer pinned",
        "zipp: the package says MIT, the list Apache-2.0 OR GPL-3.0-only",
    ]
