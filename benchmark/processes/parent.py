"""Parents: a worker process ends soon after the process that started it, however that ended."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_LOOK_S = 0.5


def follow(parent: int) -> None:
    """End this process once its parent has ended; Ctrl-C is the parent's to handle.

    Parameters
    ----------
    parent : int
        Process id of the one that started this one. On Windows nothing tells of its end.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_after, args=(parent,), daemon=True).start()


def _end_after(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_S)
    os._exit(1)


def make_workers_follow() -> None:
    """Let joblib's worker processes follow this one, whoever in it asks joblib for them."""
    from joblib.parallel import BACKENDS, register_parallel_backend

    loky: Any = BACKENDS["loky"]
    if loky.__name__ == _NAME:
        return

    def configure(self: Any, *args: Any, **settings: Any) -> Any:
        start_trackers()
        started = {"initializer": follow, "initargs": (os.getpid(),)}
        return loky.configure(self, *args, **started | settings)

    register_parallel_backend("loky", type(_NAME, (loky,), {"configure": configure}))


def start_trackers() -> None:
    """Start the trackers of workers' semaphores before the first worker.

    They clean up after a stopped run, in silence. Whoever starts one has Ctrl-C unblocked by it,
    and so have the workers that it starts thereafter: what this thread blocks is put back.
    """
    from multiprocessing import resource_tracker as of_multiprocessing

    from joblib.externals.loky.backend import resource_tracker as of_loky

    given = os.environ.get("PYTHONWARNINGS")
    os.environ["PYTHONWARNINGS"] = "ignore"
    with _signals_as_they_are():
        of_multiprocessing.ensure_running()
        of_loky.ensure_running()
    if given is None:
        del os.environ["PYTHONWARNINGS"]
    else:
        os.environ["PYTHONWARNINGS"] = given


@contextmanager
def _signals_as_they_are() -> Iterator[None]:
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


_NAME = "FollowingLokyBackend"
