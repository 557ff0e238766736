"""Local processes and a real Dask scheduler do the same work, also where a worker is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
from distributed import Client, LocalCluster

from benchmark import pipeline
from benchmark.config import load_config, select_arms
from benchmark.runtime import provenance
from benchmark.runtime.paths import ROOT
from benchmark.runtime.provenance import identity
from benchmark.runtime.workers import (
    ClusterWorkers,
    LocalWorkers,
    Workers,
    _each,
    open_workers,
    spread,
)
from tests.helpers.command_line import invoke, refused
from tests.helpers.volumes import WriteManifest


class Silent:
    def update(self, task: str, done: float, total: float) -> None:
        """Nobody watches."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as started:
        yield started


@pytest.fixture
def remote(cluster: LocalCluster) -> Iterator[ClusterWorkers]:
    with Client(cluster) as client:
        yield ClusterWorkers(client)


def square(number: int) -> int:
    return number * number


def worker_of(number: int) -> int:
    return os.getpid()


@pytest.mark.parametrize("batch", [1, 7])
def test_results_come_in_the_order_asked(remote: ClusterWorkers, batch: int) -> None:
    expected = [square(number) for number in range(50)]
    for workers in (LocalWorkers(1), LocalWorkers(2), remote):
        assert list(workers.map(square, range(50), batch=batch)) == expected
        assert list(workers.map(square, [], batch=batch)) == []


def test_processes_begin_before_a_result_is_asked_for(tmp_path: Path) -> None:
    workers, files = LocalWorkers(2), [tmp_path / "a", tmp_path / "b"]
    begun = workers.map(Path.touch, files)
    assert list(workers.map(square, range(9))) == [square(number) for number in range(9)]
    deadline = time.monotonic() + 60
    while not all(file.exists() for file in files):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert list(begun) == [None, None]


def test_the_cluster_shares_the_work(remote: ClusterWorkers) -> None:
    processes = set(remote.map(worker_of, range(40)))
    assert os.getpid() not in processes
    assert len(processes) == 2
    assert set(spread(remote, worker_of, range(3))) <= processes
    assert set(spread(None, worker_of, range(3))) == {os.getpid()}


def test_items_are_taken_as_they_are_needed(remote: ClusterWorkers) -> None:
    taken = []

    def items() -> Iterator[int]:
        for number in range(100_000):
            taken.append(number)
            yield number

    results = remote.map(square, items(), batch=2)
    assert [next(results) for _ in range(5)] == [0, 1, 4, 9, 16]
    assert len(taken) < 100
    results.close()


def failing(number: int) -> int:
    raise RuntimeError(f"cannot do {number}")


def test_what_a_task_raises_is_raised(remote: ClusterWorkers) -> None:
    with pytest.raises(RuntimeError, match="cannot do 3"):
        list(remote.map(failing, [3]))


def test_a_worker_with_another_program_is_refused_whenever_it_joins() -> None:
    assert _each(square, [3], identity()) == [9]
    with pytest.raises(ValueError, match="a worker runs other code, packages or another KERAS_BA"):
        _each(square, [3], ("other",))


def test_workers_on_a_machine_like_this_one_are_not_told_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in os.environ.items():  # what Keras set in this process by now
        if f"{name}={value}" not in provenance._VARIABLES and name.startswith(provenance._PREFIXES):
            monkeypatch.delenv(name)
    with open_workers(1, "local:1") as alike:
        assert alike.machines() == []
    monkeypatch.setenv("TF_ANYTHING", "1")
    with open_workers(1, "local:1") as other:
        assert ["TF_ANYTHING=1" in found for found in other.machines()] == [True]


def slow(number: int) -> int:
    time.sleep(0.5)
    return number


@pytest.mark.parametrize("call", ["map", "machines", "describe"])
def test_a_scheduler_lost_between_tasks_is_told_in_a_line(call: str) -> None:
    started = scheduler(1)
    with (
        pytest.raises(ValueError, match="the scheduler was lost"),
        started as address,
        open_workers(1, address) as workers,
    ):
        assert list(workers.map(square, [3])) == [9]
        started.processes[0].kill()
        started.processes[0].wait()
        time.sleep(1)
        if call == "map":
            list(workers.map(square, [3]))
        else:
            getattr(workers, call)()


def test_a_lost_scheduler_is_told_in_a_line() -> None:
    started = scheduler(1)
    with (
        pytest.raises(ValueError, match=r"the scheduler was lost .*--resume goes on from here"),
        started as address,
        open_workers(1, address) as workers,
    ):
        results = workers.map(slow, range(100))
        assert next(results) == 0
        started.processes[0].kill()
        list(results)


SETTINGS = ["bootstrap.samples=100", "splits.scheme=kfold", "splits.folds=3"]
ARMS = '--set=arms=["size_only", "logistic:radiomics"]'


def run(root: Path, out: Path, workers: Workers, progress: Any) -> None:
    config = load_config("quick", [*SETTINGS, f"dataset={root}", ARMS.removeprefix("--set=")])
    pipeline.execute(
        config, select_arms(config), out, workers=workers, store=None,
        require_gpu=False, explore=False, progress=progress,
    )  # fmt: skip


def same(one: Path, other: Path) -> None:
    tables = [pd.read_parquet(out / "predictions.parquet") for out in (one, other)]
    pd.testing.assert_frame_equal(*tables, check_exact=True)
    for name in ("metrics", "comparisons", "strata", "ranks", "training"):
        texts = [(out / f"{name}.csv").read_text() for out in (one, other)]
        assert texts[0] == texts[1], name


class Killer:
    """Kills a worker once in each of the tasks named, when it has begun."""

    def __init__(self, cluster: LocalCluster, *tasks: str) -> None:
        self.cluster, self.tasks = cluster, tasks
        self.killed: dict[str, int] = {}

    def update(self, task: str, done: float, total: float) -> None:
        if task in self.tasks and task not in self.killed and 0 < done < total:
            alive = {each.pid for each in self.cluster.workers.values()} - {*self.killed.values()}
            self.killed[task] = min(alive)
            os.kill(self.killed[task], signal.SIGKILL)


def test_killed_workers_change_nothing(write_manifest: WriteManifest, tmp_path: Path) -> None:
    root = write_manifest(40)
    run(root, tmp_path / "local", LocalWorkers(1), Silent())
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        killer = Killer(cluster, "Extracting radiomics", "Training")
        run(root, tmp_path / "cluster", ClusterWorkers(client), killer)
        assert set(killer.killed) == {"Extracting radiomics", "Training"}
        deadline = time.monotonic() + 30
        while {*killer.killed.values()} & {each.pid for each in cluster.workers.values()}:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    same(tmp_path / "local", tmp_path / "cluster")


def test_a_run_on_a_cluster_of_its_own(write_manifest: WriteManifest, tmp_path: Path) -> None:
    root = write_manifest()
    arguments = ["run", "--dataset", root, ARMS, "--no-cache", *(f"--set={s}" for s in SETTINGS)]
    assert invoke(*arguments, "--out", tmp_path / "local", "--jobs", "1") == 0
    assert invoke(*arguments, "--out", tmp_path / "cluster", "--cluster", "local:2") == 0
    same(tmp_path / "local", tmp_path / "cluster")
    assert (
        '"workers": "Dask, 2 workers on 1 machine'
        in (tmp_path / "cluster" / "environment.json").read_text()
    )


def test_a_running_scheduler_is_used(write_manifest: WriteManifest, tmp_path: Path) -> None:
    root = write_manifest()
    arguments = ["run", "--dataset", root, ARMS, *(f"--set={s}" for s in SETTINGS)]
    assert invoke(*arguments, "--out", tmp_path / "local", "--jobs", "1", "--no-cache") == 0
    with scheduler(workers=1) as address:
        out = tmp_path / "cluster"
        assert invoke(*arguments, "--out", out, "--no-cache", "--cluster", address) == 0
    same(tmp_path / "local", out)


def ending(number: int) -> int:
    if number == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_a_killed_local_worker_is_told_in_a_line_and_others_take_its_place() -> None:
    workers = LocalWorkers(2)
    with pytest.raises(
        ValueError, match=r"^a worker process was killed .* with --out and --resume"
    ):
        list(workers.map(ending, range(20)))
    assert list(workers.map(square, range(5))) == [0, 1, 4, 9, 16]


def listening() -> set[tuple[str, int]]:
    """Addresses that this process and those that it started listen at."""
    ours = {psutil.Process().pid} | {p.pid for p in psutil.Process().children(recursive=True)}
    return {
        tuple(c.laddr) for c in psutil.net_connections("inet")
        if c.pid in ours and c.status == psutil.CONN_LISTEN
    }  # fmt: skip


def test_a_cluster_of_its_own_listens_on_this_machine_alone() -> None:
    """Nor does it take, or miss, the port that another cluster on this machine may have."""
    before = listening()
    with warnings.catch_warnings(), open_workers(1, "local:1") as first:
        warnings.simplefilter("error")
        with open_workers(1, "local:1") as own:
            assert list(own.map(square, [2])) == list(first.map(square, [2])) == [4]
        assert 8787 not in {port for _, port in listening() - before}
    with open_workers(1, "local:1") as own:
        of_its_own = {address for address, _ in listening() - before}
        assert of_its_own
        assert of_its_own <= {"127.0.0.1", "::1"}
        assert list(own.map(square, [2])) == [4]


class scheduler:  # noqa: N801
    """``dask scheduler`` and ``dask worker`` as a user starts them, in the project's root."""

    def __init__(
        self, workers: int, *options: str, cwd: Path = ROOT, env: Mapping[str, str] | None = None,
        root: Path = ROOT,
    ) -> None:  # fmt: skip
        self.n_workers, self.options, self.cwd = workers, options, cwd
        self.root = root
        self.env = os.environ | {"PYTHONPATH": str(cwd)} | dict(env or {})
        self.processes: list[subprocess.Popen[str]] = []

    def __enter__(self) -> str:
        start = [sys.executable, "-m", "distributed.cli.dask_scheduler"]
        process = subprocess.Popen(
            [*start, "--port", "0", "--host", "127.0.0.1", "--no-dashboard"],
            stderr=subprocess.PIPE, text=True, cwd=self.root,
            env=os.environ | {"PYTHONPATH": str(self.root)},
        )  # fmt: skip
        self.processes.append(process)
        assert process.stderr is not None
        address = ""
        for line in process.stderr:
            if "Scheduler at:" in line:
                address = line.split()[-1]
                break
        for _ in range(self.n_workers):
            command = [sys.executable, "-m", "distributed.cli.dask_worker", address]
            options = self.options or ("--nthreads", "1")
            self.processes.append(
                subprocess.Popen(
                    [*command, *options, "--no-dashboard"], cwd=self.cwd,
                    stderr=subprocess.DEVNULL, text=True,
                    env=self.env,
                )
            )  # fmt: skip
        with Client(address) as client:
            if self.n_workers:
                client.wait_for_workers(self.n_workers, timeout=60)
        return address

    def __exit__(self, *_: object) -> None:
        for process in reversed(self.processes):
            process.terminate()
            process.wait(timeout=30)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "the scheduler has no workers"),
        (("--nthreads", "2"), "has 2 threads; start workers with --nthreads 1"),
    ],
)
def test_unsuited_workers_are_refused(options: tuple[str, ...], message: str) -> None:
    with (
        scheduler(1 if options else 0, *options) as address,
        pytest.raises(ValueError, match=message),
        open_workers(1, address),
    ):
        pass


def test_workers_on_another_backend_are_refused() -> None:
    with (
        scheduler(1, env={"KERAS_BACKEND": "jax"}) as address,
        pytest.raises(ValueError, match="another KERAS_BACKEND than this process"),
        open_workers(1, address),
    ):
        pass


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("root", "the scheduler cannot import this project"),
        ("cwd", "the workers cannot import this project"),
    ],
)
def test_who_cannot_import_this_project_is_refused(
    tmp_path: Path, place: str, message: str
) -> None:
    elsewhere: dict[str, Any] = {place: tmp_path}
    with (
        scheduler(1, **elsewhere) as address,
        pytest.raises(ValueError, match=message),
        open_workers(1, address),
    ):
        pass


@pytest.mark.parametrize(
    ("cluster", "message"),
    [
        ("local:0", "write local:N, N at least 1, or tcp://host:port"),
        ("local", "write local:N"),
        ("http://somewhere", "write local:N"),
        ("tcp://127.0.0.1:9", "no scheduler answers there"),
    ],
)
def test_other_addresses_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], cluster: str, message: str
) -> None:
    assert message in refused(capsys, "run", "--out", tmp_path / "run", "--cluster", cluster)
    assert not (tmp_path / "run").exists()
