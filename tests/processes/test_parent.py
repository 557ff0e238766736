"""Worker processes end soon after the process that started them was killed."""

from __future__ import annotations

import subprocess
import sys

import psutil
import pytest

from benchmark.runtime.paths import ROOT

LOCAL = """
from benchmark.runtime.workers import LocalWorkers
results = LocalWorkers(2).map(time.sleep, [0.1, 0.1, 0.1, 0.1, {busy}, {busy}])
for _ in range(4):
    next(results)
print("ready", flush=True)
time.sleep(1000)
"""
IN_A_MODEL = """
from joblib import Parallel, delayed, parallel_config
from benchmark.runtime.workers import LocalWorkers
LocalWorkers(2)
with parallel_config("loky", n_jobs=2, inner_max_num_threads=1):
    Parallel()(delayed(time.sleep)(0.1) for _ in range(4))
print("ready", flush=True)
time.sleep(1000)
"""
CHILD = """
import os, time
from functools import partial
from threading import Thread
from benchmark.processes.child import Child
child = Child()
child.call(os.getpid, 60)
Thread(target=child.call, args=(partial(time.sleep, 1000), 2000), daemon=True).start()
print("ready", flush=True)
time.sleep(1000)
"""
CLUSTER = """
from benchmark.runtime.workers import open_workers
if __name__ == "__main__":
    with open_workers(1, "local:2") as workers:
        assert list(workers.map(abs, [1, 2, 3])) == [1, 2, 3]
        print("ready", flush=True)
        time.sleep(1000)
"""


@pytest.mark.parametrize(
    "program",
    [LOCAL.format(busy=0.1), LOCAL.format(busy=1000), IN_A_MODEL, CHILD, CLUSTER],
    ids=["idle", "busy", "in a model", "child", "cluster"],
)
def test_no_worker_outlives_a_killed_parent(program: str, tmp_path: object) -> None:
    script = f"{tmp_path}/program.py"
    with open(script, "w") as file:  # noqa: PTH123
        file.write(f"import sys, time; sys.path.insert(0, {str(ROOT)!r})\n{program}")
    parent = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    assert parent.stdout.readline() == "ready\n"
    started = psutil.Process(parent.pid).children(recursive=True)
    assert started
    parent.kill()
    parent.wait()
    _, left = psutil.wait_procs(started, timeout=10)
    assert not [each for each in left if each.is_running()], left
