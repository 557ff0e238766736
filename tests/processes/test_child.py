"""A child process is ended at its limit, and costs its work alone where it crashes."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Iterator
from functools import partial

import psutil
import pytest

from benchmark.processes.child import Child


@pytest.fixture
def child() -> Iterator[Child]:
    started = Child()
    yield started
    started.end()


def test_work_is_done_in_one_other_process(child: Child, capfd: pytest.CaptureFixture[str]) -> None:
    pids = {child.call(os.getpid, 60) for _ in range(3)}
    assert len(pids) == 1
    assert os.getpid() not in pids
    # What it prints is neither an answer nor among the tables on stdout.
    assert child.call(partial(print, "hello", flush=True), 60) is None
    assert capfd.readouterr().out == ""
    assert child.call(partial(bytes, 3_000_000), 60) == bytes(3_000_000)


def spin() -> None:
    """Work in C that no signal handler of Python's would interrupt."""
    ctypes.CDLL(None).pause()
    while True:
        pass


def sleep_with_workers() -> None:
    from joblib import Parallel, delayed

    Parallel(2)(delayed(time.sleep)(100) for _ in range(2))


@pytest.mark.parametrize("work", [spin, sleep_with_workers])
def test_at_the_limit_work_ends_with_all_that_it_started(child: Child, work: object) -> None:
    pid = child.call(os.getpid, 60)
    start = time.monotonic()
    with pytest.raises(TimeoutError, match=r"it took longer than 4 s and was ended"):
        child.call(work, 4)
    assert time.monotonic() - start < 8
    assert not psutil.pid_exists(pid)
    # Loky's workers are of the child's group.
    gone = time.monotonic() + 5
    while any(os.getpgid(p.pid) == pid for p in psutil.process_iter() if alive(p)):
        assert time.monotonic() < gone
        time.sleep(0.1)
    assert child.call(os.getpid, 60) != pid


def alive(process: psutil.Process) -> bool:
    return psutil.pid_exists(process.pid) and process.status() != psutil.STATUS_ZOMBIE


def leave() -> None:
    os._exit(3)


@pytest.mark.parametrize(
    ("work", "how"),
    [
        (leave, "exit status 3"),
        (partial(ctypes.string_at, 0), "SIGSEGV"),
        (partial(signal.raise_signal, signal.SIGKILL), "SIGKILL"),
    ],
)
def test_a_crash_is_told_and_the_next_work_goes_on(child: Child, work: object, how: str) -> None:
    with pytest.raises(ChildProcessError, match=rf"its process ended by itself \({how}\)"):
        child.call(work, 60)
    assert child.call(partial(sum, [1, 2]), 60) == 3


def test_a_child_that_ended_before_it_was_asked_is_told(child: Child) -> None:
    pid = child.call(os.getpid, 60)
    os.kill(pid, signal.SIGKILL)
    gone = time.monotonic() + 5
    while alive(psutil.Process(pid)):
        assert time.monotonic() < gone
        time.sleep(0.01)
    # Larger than a pipe holds, so that handing it over fails.
    with pytest.raises(ChildProcessError, match=r"its process ended by itself \(SIGKILL\)"):
        child.call(partial(len, bytes(1 << 20)), 60)
    assert child.call(partial(sum, [1, 2]), 60) == 3
    child.end()
    child.end()  # there is nothing left to end
