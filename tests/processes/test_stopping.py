"""Ctrl-C and SIGTERM end the program at once, with one line and no worker left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from benchmark.runtime.paths import ROOT

PROGRAM = """
import sys
sys.path.insert(0, {root!r})
from benchmark.processes import stopping
try:
    stopping.handle()
    stopping.on_stop("what is done is kept")
    {begin}
    print("ready", flush=True)
    {work}
except stopping.Stopped:
    stopping.end()
"""
IN_PYTHON = "while True: pass"
IN_C = "import ctypes; [ctypes.CDLL(None).sleep(100) for _ in range(100)]"
DEAF = """exec('''
while True:
    try:
        while True: pass
    except BaseException: pass
''')"""
WAITING = "import threading; threading.Event().wait()"
WORKERS = (
    "import time; from benchmark.runtime.workers import LocalWorkers; "
    "it = LocalWorkers(2).map(time.sleep, [0, 0, 100, 100]); next(it)"
)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("begin", "work"),
    [("pass", IN_PYTHON), ("pass", IN_C), ("pass", DEAF), ("pass", WAITING), (WORKERS, "list(it)")],
    ids=["Python", "C", "deaf", "waiting", "workers"],
)
def test_a_signal_ends_any_work(number: int, begin: str, work: str, tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(PROGRAM.format(root=str(ROOT), begin=begin, work=work))
    ends(number, [sys.executable, str(script)], "interrupted; what is done is kept\n")


def ends(number: int, command: list[str], line: str) -> None:
    """The command, once it has said that it is ready, ends by a signal to its whole group."""
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
        start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    started = psutil.Process(process.pid).children(recursive=True)
    start = time.monotonic()
    os.killpg(process.pid, number)  # as a terminal does
    _, told = process.communicate(timeout=60)
    # Asked for are 2 s; a loaded machine may take a little longer to start the thread.
    assert time.monotonic() - start < 2.5
    assert process.returncode == 130
    assert told == line
    _, left = psutil.wait_procs(started, timeout=2)
    assert not left


SHUTTING_DOWN = """
import atexit, os, signal, sys, time
sys.path.insert(0, {root!r})
from benchmark.processes import stopping
try:
    stopping.handle()
    atexit.register(lambda: time.sleep(60))
    atexit.register(lambda: print("ready", flush=True))
    try:
        print("made")
        sys.exit({code})
    except SystemExit as ended:
        stopping.done(ended.code)
        raise
except stopping.Stopped:
    stopping.end()
"""


@pytest.mark.parametrize(
    ("code", "status", "said"), [("None", 0, ""), ("1", 1, ""), ("'no'", 1, "no\n")]
)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_after_the_work_ends_python_without_a_word(
    number: int, code: str, status: int, said: str, tmp_path: Path
) -> None:
    """Python joins threads and workers before it ends, which takes a while."""
    script = tmp_path / "program.py"
    script.write_text(SHUTTING_DOWN.format(root=str(ROOT), code=code))
    process = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert [process.stdout.readline() for _ in range(2)] == ["made\n", "ready\n"]
    os.killpg(process.pid, number)
    rest, told = process.communicate(timeout=5)
    assert (rest, told) == ("", said)
    assert process.returncode == status


SIGINT_BLOCKED = """
import os, sys
sys.path.insert(0, {root!r})
from benchmark.processes import stopping
if __name__ == "__main__":
    stopping.handle()
    import psutil
    from benchmark.runtime.workers import open_workers
    with open_workers({jobs}, {cluster!r}) as workers:
        list(workers.map(abs, [0] * 4))
        for child in psutil.Process().children(recursive=True):
            if not any("resource_tracker" in part for part in child.cmdline()):
                status = open(f"/proc/{{child.pid}}/status").read()
                print(int(status.partition("SigBlk:")[2].split()[0], 16) >> 1 & 1, flush=True)
    os._exit(0)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux' /proc")
@pytest.mark.parametrize(("jobs", "cluster"), [(2, ""), (1, "local:2")], ids=["joblib", "Dask"])
def test_workers_are_not_told_of_a_terminals_signal(
    jobs: int, cluster: str, tmp_path: Path
) -> None:
    """Else a worker that hears Ctrl-C before it is killed writes of it to the terminal."""
    script = tmp_path / "program.py"
    script.write_text(SIGINT_BLOCKED.format(root=str(ROOT), jobs=jobs, cluster=cluster))
    told = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=120, check=True
    )
    assert told.stdout.split() == ["1", "1"]


def test_a_run_says_how_it_goes_on(tmp_path: Path) -> None:
    """While a cluster of its own starts and extracts; workers must say nothing either."""
    out = tmp_path / "run"
    program = (
        "import sys, threading, time, runpy\n"
        "from benchmark.cli import terminal\n"
        "class Ready:\n"
        "    def update(self, task, done, total):\n"
        "        if task.startswith('Extracting') and done == 1: print('ready', flush=True)\n"
        "from contextlib import nullcontext\n"
        "terminal.progress = lambda: nullcontext(Ready())\n"
        f"sys.argv = ['benchmark', 'run', '--no-cache', '--out', {str(out)!r}, '--cluster',"
        " 'local:2', '--models', 'logistic']\n"
        "if __name__ == '__main__': runpy.run_module('benchmark', run_name='__main__')\n"
    )
    script = tmp_path / "program.py"
    script.write_text(f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{program}")
    ends(
        signal.SIGINT, [sys.executable, str(script)],
        f"interrupted; what is done is kept, and the same command with --out {out} --resume "
        "goes on from there\n",
    )  # fmt: skip
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []
