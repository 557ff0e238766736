"""The store that runs share: bounded, never trusted, safe under several runs at once."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.runtime import store
from benchmark.runtime.paths import ROOT
from benchmark.runtime.store import Store, open_store


def key(number: int) -> bytes:
    return hashlib.sha256(str(number).encode()).digest()


def test_values_come_back_and_others_do_not(tmp_path: Path) -> None:
    store = Store(tmp_path / "a" / "b.sqlite")
    store.put({key(1): b"one", key(2): b""})
    store.put({key(1): b"uno"})
    many = [key(number) for number in range(1200)]  # more than one query takes
    assert store.get(many) == {key(1): b"uno", key(2): b""}
    store.close()
    assert Store(tmp_path / "a" / "b.sqlite").get(many) == {key(1): b"uno", key(2): b""}


def test_a_changed_entry_is_thrown_away(tmp_path: Path) -> None:
    path = tmp_path / "store"
    store = Store(path)
    store.put({key(1): b"one", key(2): b"two"})
    store.close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE entries SET value = ? WHERE key = ?", [b"onE", key(1)])
    store = Store(path)
    assert store.get([key(1), key(2)]) == {key(2): b"two"}
    assert (store.damaged, store.problem) == (1, "")
    store.put({key(1): b"one"})
    assert store.get([key(1)]) == {key(1): b"one"}


def test_a_value_under_another_key_is_thrown_away(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    store.put({key(1): b"one", key(2): b"two"})
    store.close()
    with sqlite3.connect(tmp_path / "store") as connection:
        connection.execute(  # as where an index leads to another row
            "UPDATE entries SET (value, digest) = (SELECT value, digest FROM entries WHERE key = ?)"
            "WHERE key = ?", [key(2), key(1)],
        )  # fmt: skip
    store = Store(tmp_path / "store")
    assert store.get([key(1), key(2)]) == {key(2): b"two"}
    assert (store.damaged, store.problem) == (1, "")


def test_a_file_that_another_run_replaced_is_opened_again(tmp_path: Path) -> None:
    one, other = (Store(tmp_path / "store") for _ in range(2))
    one.put({key(1): b"one"})
    other.put({key(2): b"two"})
    one._remove()
    other.put({key(3): b"three"})
    one.put({key(4): b"four"})
    assert other.get([key(3), key(4)]) == {key(3): b"three", key(4): b"four"}
    assert (one.problem, other.problem) == ("", "")


@pytest.mark.parametrize("where", ["all", "middle"])
def test_a_damaged_file_is_begun_anew(tmp_path: Path, where: str) -> None:
    path = tmp_path / "store"
    store = Store(path)
    entries = {key(number): bytes([number]) * 5000 for number in range(50)}
    store.put(entries)
    store.close()
    content = bytearray(path.read_bytes())
    damaged = slice(0, None) if where == "all" else slice(4096, len(content) // 2)
    content[damaged] = b"\x5a" * len(content[damaged])
    path.write_bytes(content)
    store = Store(path)
    found = store.get(list(entries))
    assert found.items() <= entries.items()
    assert len(found) < len(entries)
    assert store.damaged > 0
    store.put(entries)
    assert store.get(list(entries)) == entries
    assert store.problem == ""


def test_what_was_used_longest_ago_makes_room(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", limit=200_000)
    for number in range(15):
        store.put({key(number): bytes(1000)})
    store.get([key(0)])
    for number in range(15, 400):
        store.put({key(number): bytes(1000)})
        store.get([key(0)])
    kept = store.get([key(number) for number in range(400)])
    assert 100 <= len(kept) <= 200
    assert key(0) in kept
    assert key(399) in kept
    assert key(1) not in kept


@pytest.mark.parametrize("size", [10, 3000])
def test_stores_at_once_keep_to_the_limit_together(tmp_path: Path, size: int) -> None:
    limit = 400_000
    stores = [Store(tmp_path / "store", limit=limit) for _ in range(3)]
    for number in range(3000):
        stores[number % 3].put({key(number): bytes(size)})
    assert (tmp_path / "store").stat().st_size < 1.1 * limit
    found = stores[0].get([key(number) for number in range(3000)])
    assert len(found) * (size + 200) > 0.5 * limit
    assert key(2999) in found


_WRITER = """
import sys
from pathlib import Path
from benchmark.runtime.store import Store
store = Store(Path(sys.argv[1]), limit=60_000)
for number in range(int(sys.argv[3])):
    store.put({f"{sys.argv[2]}{number}".encode(): bytes([number % 256]) * 1000})
    store.get([f"{other}{number}".encode() for other in "abc"])
    if number == 20:
        print("begun", flush=True)
assert store.problem == "" and store.damaged == 0, (store.problem, store.damaged)
print("done")
"""


def test_processes_at_once_and_one_killed(tmp_path: Path) -> None:
    path = tmp_path / "store"
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(path), name, n], cwd=ROOT,
            stdout=subprocess.PIPE, text=True,
        )
        for name, n in (("a", "250"), ("b", "250"), ("c", "100000000"))
    ]  # fmt: skip
    doomed = writers.pop()
    assert doomed.stdout is not None
    assert doomed.stdout.readline() == "begun\n"  # and it goes on for long
    doomed.kill()
    assert [writer.communicate(timeout=60)[0] for writer in writers] == ["begun\ndone\n"] * 2
    store = Store(path)
    found = store.get([f"{name}{n}".encode() for name in "abc" for n in range(250)])
    assert all(value == bytes([int(k[1:]) % 256]) * 1000 for k, value in found.items())
    assert {b"a249", b"b249"} & found.keys()  # of whoever was last
    assert (store.damaged, store.problem) == (0, "")


def test_a_store_that_cannot_be_written_does_without(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    store = Store(tmp_path / "file" / "store")
    store.put({key(1): b"one"})
    assert store.get([key(1)]) == {}
    assert "file" in store.problem


def test_a_schema_that_is_no_text_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "store"
    store = Store(path)
    store.put({key(1): b"one"})
    store.close()
    content = path.read_bytes()
    assert content.count(b"CREATE TABLE entries") == 1
    path.write_bytes(content.replace(b"CREATE TABLE entries", b"CREATE TABLE \xff\xfetries"))
    store = Store(path)
    store.put({key(2): b"two"})
    assert store.get([key(1), key(2)]) == {key(2): b"two"}
    assert (store.damaged, store.problem) == (1, "")


def test_what_is_no_plain_file_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "target").write_text("precious")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    (tmp_path / "device").symlink_to("/dev/zero")
    for name in ("folder", "fifo", "link", "device"):
        before = (tmp_path / name).lstat()
        store = Store(tmp_path / name)
        store.put({key(1): b"one"})
        assert store.get([key(1)]) == {}
        assert "is no plain file" in store.problem
        assert (tmp_path / name).lstat().st_ino == before.st_ino
    assert (tmp_path / "target").read_text() == "precious"


def test_a_lock_is_waited_for_and_then_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert store._WAIT_S <= 10
    monkeypatch.setattr(store, "_WAIT_S", 0.2)
    Store(tmp_path / "store").close()
    holder = sqlite3.connect(tmp_path / "store", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    blocked = Store(tmp_path / "store")
    assert "locked, by another process and for 0.2 s" in blocked.problem
    assert blocked.get([key(1)]) == {}
    holder.close()


def test_the_limit_is_a_setting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(store.SIZE_VARIABLE, "0.5")
    monkeypatch.setenv(store.FOLDER_VARIABLE, str(tmp_path))
    assert store.limit_bytes() == 500_000_000
    assert store.location().parent == tmp_path
    monkeypatch.setenv(store.SIZE_VARIABLE, "much")
    with pytest.raises(ValueError, match="LUNG_NODULE_CACHE_GB is 'much'; it must be"):
        store.limit_bytes()


def test_a_runs_own_store_is_there_until_the_run_is_complete(tmp_path: Path) -> None:
    folder, path = tmp_path / "run", tmp_path / ".run.resume"
    with pytest.raises(KeyboardInterrupt), open_store(folder) as store:
        store.put({key(1): b"one"})
        raise KeyboardInterrupt
    assert path.is_file()
    with open_store(folder, keep=True) as store:
        assert store.get([key(1)]) == {key(1): b"one"}
    assert not path.exists()
    with pytest.raises(KeyboardInterrupt), open_store(folder) as store:
        store.put({key(1): b"one"})
        raise KeyboardInterrupt
    with open_store(folder) as store:
        assert store.get([key(1)]) == {}
