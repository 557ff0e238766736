"""A child process for work that may hang or crash, without what it would take along.

It is started anew where it was ended, and otherwise does one piece of work after the other.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import IO, TypeVar

from benchmark.processes.parent import follow, make_workers_follow

Result = TypeVar("Result")

_START = (
    "import sys; sys.path[:] = {path!r}; from benchmark.processes import child; child.serve({pid})"
)
_HEADER = 8  # bytes of a message's length


class Child:
    """A process that does what it is handed."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def call(self, work: Callable[[], Result], limit_s: float) -> Result:
        """The result of ``work``, which must not raise.

        Parameters
        ----------
        work : callable
            Picklable, as is its result.
        limit_s : float
            Seconds from when it is handed over, imports included; the process is then ended.

        Raises
        ------
        TimeoutError
            Where it took longer.
        ChildProcessError
            Where the process ended by itself.
        """
        found: list[bytes] = []
        process = self._running()
        message = pickle.dumps(work)

        def exchange() -> None:
            try:
                _send(_pipe(process.stdin), message)
                found.append(_receive(_pipe(process.stdout)))
            except OSError:  # the process is no more
                found.append(b"")

        talk = threading.Thread(target=exchange, daemon=True)
        talk.start()
        talk.join(limit_s)
        late = talk.is_alive()
        if not late and found[0]:
            result: Result = pickle.loads(found[0])
            return result
        self.end()
        if late:
            raise TimeoutError(f"it took longer than {limit_s:g} s and was ended")
        raise ChildProcessError(f"its process ended by itself ({_ending(process.wait())})")

    def end(self) -> None:
        """End the process and those that it started."""
        if self._process is not None:
            _kill(self._process)
            self._process.wait()
            self._process = None

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            start = _START.format(path=sys.path, pid=os.getpid())
            self._process = subprocess.Popen(
                [sys.executable, "-c", start],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                start_new_session=True,  # a group of its own, which can be ended as a whole
            )  # fmt: skip
            _receive(_pipe(self._process.stdout))
        return self._process


def serve(parent: int) -> None:
    """Do what comes on stdin, one piece after the other, and answer on stdout."""
    follow(parent)
    make_workers_follow()
    asked, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the work prints is no answer
    _send(answers, b"ready")
    while message := _receive(asked):
        _send(answers, pickle.dumps(pickle.loads(message)()))


def _send(pipe: IO[bytes], message: bytes) -> None:
    pipe.write(len(message).to_bytes(_HEADER) + message)
    pipe.flush()


def _receive(pipe: IO[bytes]) -> bytes:
    """The next message; empty where the other side has ended."""
    size = int.from_bytes(pipe.read(_HEADER))
    message = pipe.read(size)
    return message if len(message) == size else b""


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise BrokenPipeError("the process was started without pipes")
    return pipe


def _kill(process: subprocess.Popen[bytes]) -> None:
    try:
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    except ProcessLookupError:
        pass  # it has ended, and what it started follows it


def _ending(status: int) -> str:
    return signal.Signals(-status).name if status < 0 else f"exit status {status}"
