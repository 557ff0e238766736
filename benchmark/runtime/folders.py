"""Folders and files that appear under their names only when they are whole."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_DIGESTS = "SHA256SUMS"


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder that appears under its name only when the block ends well.

    What a killed process leaves begins with a dot and ``path``'s name; ``remove_drafts``
    takes it away.

    Raises
    ------
    ValueError
        Where ``path`` exists and is not an empty folder.
    """
    check_new(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not tempfile.mkdtemp, which leaves a folder that others may not read.
    draft = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    draft.mkdir()
    try:
        yield draft
        if path.exists():
            path.rmdir()
        draft.rename(path)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def check_new(path: Path) -> None:
    """Refuse a path that exists and is not an empty folder."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ValueError(
            f"'{path}' exists already and is not an empty folder; name a new one or remove it"
        )


def remove(folder: Path) -> None:
    """Remove a folder, if there; a process that still writes into it by its name fails."""
    doomed = folder.with_name(f".removed-{os.getpid()}{folder.name[:100]}")
    try:
        folder.rename(doomed)
    except FileNotFoundError:
        return
    shutil.rmtree(doomed)


def write_digests(folder: Path) -> None:
    """Write ``SHA256SUMS``, as ``sha256sum --check`` reads it, of the files in ``folder``."""
    lines = [f"{_sha256(path)}  {path.name}\n" for path in sorted(folder.iterdir())]
    write_text(folder / _DIGESTS, "".join([f"# {len(lines)} files\n", *lines]))


def damaged(folder: Path) -> list[str]:
    """Names of the files that are missing or have changed since ``write_digests``.

    Files that came later are nobody's concern.
    """
    try:
        first, *lines = (folder / _DIGESTS).read_text(encoding="utf-8").split("\n")
    except (FileNotFoundError, UnicodeDecodeError):
        return [_DIGESTS]
    if first != f"# {len(lines) - 1} files" or lines.pop() != "":
        return [_DIGESTS]
    found = []
    for line in lines:
        digest, _, name = line.partition("  ")
        path = folder / name
        if not path.is_file() or _sha256(path) != digest:
            found.append(name)
    return found


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def remove_drafts(parent: Path) -> None:
    """Remove what killed processes left of new folders in ``parent``."""
    for path in parent.glob(".*"):
        if path.is_dir():
            remove(path)


def write_text(path: Path, text: str) -> None:
    """Write a file, in UTF-8 with plain line feeds, that appears or changes all at once."""
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(text, encoding="utf-8", newline="\n")
    draft.replace(path)
