"""Stopping: Ctrl-C and SIGTERM end the program at once, in whatever it is doing.

The main thread unwinds, which removes drafts and closes files. Where it is slow to do so, in a
call into C or while it waits for others, a thread ends the process all the same: what is kept is
kept in transactions.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from typing import Never

import psutil

STATUS = 130
GRACE_S = 1.0

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_words = ["interrupted; the same command does it again"]
_begun = threading.Event()
_done: list[int] = []
_ending = threading.Lock()


class Stopped(BaseException):
    """The user wants the program to end; a plug-in's own KeyboardInterrupt is another thing."""


def handle() -> None:
    """Let signals end the program; called once, in the main thread.

    A terminal sends Ctrl-C to worker processes too. They inherit that the main thread blocks it,
    so that they say nothing; here, one thread takes it.
    """
    told, tells = os.pipe()
    os.set_blocking(tells, False)
    # Written to by the signal itself, while Python's handlers wait for a call into C to return.
    signal.set_wakeup_fd(tells, warn_on_full_buffer=False)
    for number in _SIGNALS:
        signal.signal(number, _raise)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    threading.Thread(target=_end_late, args=(told,), daemon=True).start()


def on_stop(kept: str) -> None:
    """State in words what is kept of the work from now on, and how it goes on."""
    _words[0] = f"interrupted; {kept}"


def done(status: object) -> None:
    """Let a signal end the process without a word from now on, as the work is done.

    Parameters
    ----------
    status : object
        What the program exits with, as ``SystemExit`` has it.
    """

    def leave(number: int, frame: object) -> Never:
        _end_children()
        os._exit(_done[0])

    _done.append(status if isinstance(status, int) else int(status is not None))
    for number in _SIGNALS:
        signal.signal(number, leave)
    sys.stdout.flush()
    sys.stderr.flush()


def end() -> Never:
    """End the process and those that it started at once, with a line unless its work is done."""
    _ending.acquire()  # never released: of two threads, one says the line
    _end_children()
    if _done:
        os._exit(_done[0])
    clear = "\x1b[?25h\r\x1b[K" if os.isatty(2) else ""  # a bar hides the cursor
    os.write(2, f"{clear}{_words[0]}\n".encode())
    os._exit(STATUS)


def _raise(number: int, frame: object) -> None:
    if not _begun.is_set():
        _begun.set()
        logging.disable()  # Dask tells of every worker that is lost
        _end_children()
        raise Stopped


def _end_children() -> None:
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # it may have ended meanwhile
            if not any("resource_tracker" in part for part in child.cmdline()):  # it cleans up
                child.kill()


def _end_late(told: int) -> None:
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    while os.read(told, 1)[0] not in _SIGNALS:
        pass
    if hasattr(signal, "pthread_kill"):  # wakes the main thread where it waits
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
    time.sleep(GRACE_S)
    end()
