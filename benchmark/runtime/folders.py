"""Folders and files that appear under their names only when they are whole."""

from __future__ import annotations

import glob
import hashlib
import os
import re
import secrets
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

_DIGESTS = "SHA256SUMS"
MARK = ".writing"
"""Name, or end of the name, of what says that a folder is being written."""

_DRAFT = re.compile(r"\..+-[0-9a-f]{8}")
_LONG_NAME = "n" * 100  # no file that is written here has a longer one
_SOME_BYTES = bytes(1 << 16)
_RETRY_S = 0.02


@contextmanager
def reserved(path: Path, *, new: bool = True) -> Iterator[None]:
    """Hold a folder that is to be written; refuse at once what could not be written in the end.

    A mark, locked by this process, lies beside a new folder and in one that files are added to.
    The system gives the lock back however the process ends: a mark that nobody holds is that of
    a killed process, and is taken away with the drafts that it left.

    Parameters
    ----------
    path : Path
    new : bool
        True where :func:`new_folder` is to make the folder; False where files are added to one,
        which is made where it is missing.

    Raises
    ------
    ValueError
        Where the folder cannot be written, is held by another process, or is to be new and
        is not.
    """
    path = path.absolute()
    place = path.parent if new else path
    with ExitStack() as undo:
        try:
            if new:
                check_new(path)
            elif os.path.lexists(path) and not path.is_dir():
                raise ValueError(f"'{path}' is not a folder; name a folder")
            for missing in [each for each in (place, *place.parents) if not each.exists()][::-1]:
                missing.mkdir(exist_ok=True)
                undo.callback(_remove_if_empty, missing)
            for mark in place.glob(f".*{MARK}"):
                _remove_orphans(mark)
            mark = place / (f".{path.name}{MARK}" if new else MARK)
            held = _hold(mark)
            if held is None:
                raise ValueError(
                    f"'{path}' is being written by another process; wait until it has ended, or "
                    "name another folder"
                )
            undo.callback(_give_back, mark, held)
            if not new:
                _remove_file_drafts(path)
            _try_writing(_draft_of(path) if new else path / f"{MARK}-{secrets.token_hex(4)}")
        except OSError as error:
            raise ValueError(
                f"'{path}' cannot be written ({error.strerror}); name another folder"
            ) from error
        yield


def _try_writing(draft: Path) -> None:
    """Make a folder with a file of a long name, and remove them."""
    draft.mkdir()
    try:
        (draft / _LONG_NAME).write_bytes(_SOME_BYTES)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _draft_of(path: Path) -> Path:
    # Not tempfile.mkdtemp, which leaves a folder that others may not read.
    return path.with_name(f".{path.name}-{secrets.token_hex(4)}")


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()


def _remove_orphans(mark: Path) -> None:
    """Remove a mark that no living process holds, and the drafts of the folder that it is of."""
    held = _hold(mark)
    if held is None:
        return
    name = mark.name.removesuffix(MARK)
    if name:
        for draft in mark.parent.glob(f"{glob.escape(name)}-{'[0-9a-f]' * 8}"):
            remove(draft)
    _give_back(mark, held)


def _remove_file_drafts(folder: Path) -> None:
    """Remove what a killed process left of files in a folder that this one holds."""
    for each in folder.iterdir():
        if _DRAFT.fullmatch(each.name) and each.is_file():
            each.unlink()


def _hold(mark: Path) -> int | None:
    """Make and lock a mark; None where another process holds it."""
    while True:
        descriptor = os.open(mark, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if not _lock(descriptor):
                os.close(descriptor)
                return None
            # Who held it may have removed it between the two steps.
            if os.path.samestat(os.fstat(descriptor), mark.stat()):
                return descriptor
        except FileNotFoundError:
            pass
        os.close(descriptor)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file that several processes change; wait for who holds it.

    The lock is an empty file beside it, which stays. The system gives the lock back however the
    process ends.
    """
    descriptor = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o666)
    try:
        while not _lock(descriptor):
            time.sleep(_RETRY_S)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """Lock a file, on Windows its first byte; False where another process holds it."""
    if sys.platform == "win32":
        import msvcrt

        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        return True
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _give_back(mark: Path, held: int) -> None:
    with suppress(OSError):  # Windows removes no open file; an empty mark does no harm
        mark.unlink()
    os.close(held)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder that appears under its name only when the block ends well.

    What a killed process leaves begins with a dot and ``path``'s name; ``reserved`` takes it
    away, and ``remove_drafts`` where a folder holds nothing else of that kind.

    Raises
    ------
    ValueError
        Where ``path`` exists and is not an empty folder.
    OSError
        Naming ``path``, where it cannot be written.
    """
    check_new(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = _draft_of(path)
    draft.mkdir()
    try:
        yield draft
        if path.exists():
            path.rmdir()
        draft.rename(path)
    except OSError as error:  # some writers name no file, others one of the draft
        reason = error.strerror or str(error)
        raise OSError(error.errno, f"cannot be written ({reason})", str(path)) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def check_new(path: Path) -> None:
    """Refuse a path that exists and is not an empty folder, and links."""
    if path.is_symlink():
        raise ValueError(f"'{path}' is a link; name the folder that it leads to, or a new one")
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
