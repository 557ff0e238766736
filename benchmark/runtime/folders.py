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
    """Remove a folder, if there; a process that still writes into it by its name fails.

    Of a link, the link is removed.
    """
    if folder.is_symlink():
        folder.unlink()
        return
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
    """Write a file, in UTF-8 with plain line feeds, as :func:`write_bytes` does."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file that appears or changes all at once; a link of that name is replaced."""
    draft = path.with_name(f".{path.name[:100]}-{secrets.token_hex(4)}")
    try:
        with draft.open("xb") as handle:  # never through a link
            handle.write(content)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def folder_inside(parent: Path, *names: str) -> Path:
    """A folder below another, made where it is missing.

    Raises
    ------
    ValueError
        Where one on the way is a link, which may lead anywhere, or a file.
    """
    folder = parent
    for name in names:
        folder /= name
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            raise ValueError(f"'{folder}' is a link or a file; it must be a folder, remove it")
        folder.mkdir(exist_ok=True)
    return folder
