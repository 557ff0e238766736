"""Bytes by key on disk: bounded, shared by runs at once, and never trusted.

One SQLite file. Every entry carries a digest of its key and value; one that does not match, or a
file that SQLite finds damaged, is thrown away and the work done again. Entries hold numbers and
packed models; reading one here runs no code.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

FOLDER_VARIABLE = "LUNG_NODULE_CACHE"
SIZE_VARIABLE = "LUNG_NODULE_CACHE_GB"
DEFAULT_GB = 5.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
    key BLOB PRIMARY KEY, value BLOB NOT NULL, digest BLOB NOT NULL,
    size INTEGER NOT NULL, used REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS by_use ON entries (used, key, size);
"""
_AT_A_TIME = 500  # keys in one query
_WAIT_S = 10.0  # for another run's write
_KEPT = 0.9  # of the limit, once it is exceeded
_OVERHEAD = 150  # bytes of an entry besides its value
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_REPLACED = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR)  # perhaps by another run

T = TypeVar("T")


def location() -> Path:
    """The shared file: in ``$LUNG_NODULE_CACHE``, or where this system keeps caches of a user."""
    from platformdirs import user_cache_path

    folder = os.environ.get(FOLDER_VARIABLE, "").strip()
    return (Path(folder) if folder else user_cache_path("lung-nodule-benchmark")) / "work.sqlite"


def limit_bytes() -> int:
    """Size limit of the shared file: ``$LUNG_NODULE_CACHE_GB``, or ``DEFAULT_GB``.

    Raises
    ------
    ValueError
        Where the variable is no positive number.
    """
    text = os.environ.get(SIZE_VARIABLE, "").strip()
    try:
        size_gb = float(text or DEFAULT_GB)
    except ValueError:
        size_gb = 0.0
    if not 0 < size_gb < float("inf"):
        raise ValueError(f"{SIZE_VARIABLE} is '{text}'; it must be a positive number of gigabytes")
    return int(size_gb * 1e9)


@contextmanager
def open_store(run_folder: Path | None = None, *, keep: bool = False) -> Iterator[Store]:
    """The store that all runs share; or that of one run, which is removed once it is complete.

    Parameters
    ----------
    run_folder : Path, optional
        Of the run that is to have a store of its own, beside the folder that it will write.
    keep : bool
        Go on with what a killed run of the same folder left, instead of throwing it away.
    """
    if run_folder is None:
        store = Store(location(), limit_bytes())
    else:
        store = Store(run_folder.with_name(f".{run_folder.name}.resume"))
        if not keep:
            store.clear()
    try:
        yield store
        if run_folder is not None:
            store.clear()
    finally:
        store.close()


class Store:
    """Bytes by key.

    A store that cannot be used (no room, no permission) is left alone: work goes on without
    it, and ``problem`` says why.

    Parameters
    ----------
    path : Path
        Of the file; made where it is missing.
    limit : int, optional
        Bytes of the file's pages in use; beyond it those entries go that were used longest ago.

    Attributes
    ----------
    problem : str
        Why nothing more is read or written; empty while all is well.
    damaged : int
        Entries thrown away because their bytes had changed; a damaged file counts as one.
    """

    def __init__(self, path: Path, limit: int | None = None) -> None:
        self.path = path
        self.limit = limit
        self.problem = ""
        self.damaged = 0
        self._connection: sqlite3.Connection | None = None
        self._guarded(self._open)

    def get(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """The values of those keys that are there and whole."""
        return self._guarded(lambda: self._get(keys)) or {}

    def put(self, entries: Mapping[bytes, bytes]) -> None:
        """Add or replace values, all or none."""
        self._guarded(lambda: self._put(entries))

    def clear(self) -> None:
        """Remove the file."""
        self._guarded(self._remove)

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _guarded(self, work: Callable[[], T]) -> T | None:
        """Do it; begin with a new file where this one is damaged; give up on other errors."""
        if self.problem:
            return None
        try:
            try:
                return work()
            except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
                code = getattr(error, "sqlite_errorcode", 0) & 0xFF
                # SQLite's message quotes a damaged schema, which may be no text.
                if code in _DAMAGED or isinstance(error, UnicodeDecodeError):
                    self.damaged += 1
                    self._remove()
                elif code in _REPLACED:
                    self.close()
                else:
                    raise
                return work()
        except (sqlite3.Error, OSError) as error:
            self.close()
            locked = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
            waited = f", by another process and for {_WAIT_S:g} s" if locked else ""
            self.problem = f"{self.path}: {error}{waited}"
            return None

    def _open(self) -> None:
        with self._transaction():
            pass

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        if self._connection is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if os.path.lexists(self.path) and not stat.S_ISREG(self.path.lstat().st_mode):
                raise OSError("is no plain file; remove it, or name another folder for the cache")
            self._connection = sqlite3.connect(self.path, timeout=_WAIT_S, isolation_level=None)
            self._connection.text_factory = bytes  # damage may have made text of a value
            # What a crash of the machine spoils is found by its digest and made again. A
            # rollback journal, unlike a write-ahead log, also works on a network's file system.
            self._connection.execute("PRAGMA synchronous = OFF")
            self._connection.executescript(_SCHEMA)
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield self._connection
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def _get(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = {}
        for start in range(0, len(keys), _AT_A_TIME):
            some = keys[start : start + _AT_A_TIME]
            asked = f"SELECT key, value, digest FROM entries WHERE key IN ({_marks(some)})"
            with self._transaction() as connection:
                rows = connection.execute(asked, some).fetchall()
                whole = {key: value for key, value, digest in rows if _is_whole(key, value, digest)}
                changed = [key for key, *_ in rows if key not in whole]
                self.damaged += len(changed)
                connection.execute(f"DELETE FROM entries WHERE key IN ({_marks(changed)})", changed)
                connection.execute(
                    f"UPDATE entries SET used = ? WHERE key IN ({_marks(whole)})",
                    [time.time(), *whole],
                )
            found |= whole
        return found

    def _put(self, entries: Mapping[bytes, bytes]) -> None:
        rows = [
            (key, value, _digest(key, value), len(value) + _OVERHEAD, time.time())
            for key, value in entries.items()
        ]
        with self._transaction() as connection:
            connection.executemany("INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?, ?)", rows)
            used = _bytes_in_use(connection)
            if self.limit is not None and used > self.limit:
                (sizes,) = connection.execute("SELECT TOTAL(size) FROM entries").fetchone()
                connection.execute(
                    "DELETE FROM entries WHERE key IN (SELECT key FROM (SELECT key, SUM(size) OVER "
                    "(ORDER BY used DESC, key) AS running FROM entries) WHERE running > ?)",
                    [self.limit * _KEPT * sizes / used],
                )

    def _remove(self) -> None:
        self.close()
        for suffix in ("", "-journal"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)


def _marks(keys: Sequence[bytes] | Mapping[bytes, bytes]) -> str:
    return ", ".join("?" * len(keys))


def _bytes_in_use(connection: sqlite3.Connection) -> int:
    pages, free, size = (
        int(connection.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size


def _is_whole(key: bytes, value: object, digest: object) -> bool:
    return isinstance(value, bytes) and _digest(key, value) == digest


def _digest(key: bytes, value: bytes) -> bytes:
    # With the key: a crash may leave an index that leads to another entry.
    return hashlib.sha256(key + value).digest()
