"""Workers: processes of this machine, or those of a Dask cluster.

Both are asked alike and answer in the order in which they were asked, so that what a run computes
does not depend on who computed it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol, TypeVar

from benchmark.processes.parent import make_workers_follow, start_trackers
from benchmark.runtime.provenance import identity, machine

Item = TypeVar("Item")
Result = TypeVar("Result")

_OTHER = (
    "runs other code, packages or another KERAS_BACKEND than this process, and results would not "
    "be those of one program; start it again"
)
_IN_FLIGHT = 4
"""Batches given to a worker at a time: enough that it never waits, and memory stays bounded."""


class Workers(Protocol):
    """Workers that map a function over items.

    Attributes
    ----------
    jobs : int
        Processes of this machine that a single task may use.
    remote : bool
        Whether tasks leave this process even where there is only one at a time.
    """

    @property
    def jobs(self) -> int: ...

    @property
    def remote(self) -> bool: ...

    def describe(self) -> str:
        """Description in words."""

    def machines(self) -> list[tuple[str, ...]]:
        """Machines that do the work, where they are not as this one."""

    def map(
        self, function: Callable[[Item], Result], items: Iterable[Item], *, batch: int = 1
    ) -> Iterator[Result]:
        """Results in the order of ``items``, which are taken as they are needed.

        Processes may begin before the first result is asked for.

        Parameters
        ----------
        function : callable
            Picklable.
        items : iterable
        batch : int
            Items handed over at a time.
        """


@dataclass(frozen=True)
class LocalWorkers:
    """Processes of this machine."""

    jobs: int
    remote = False

    def __post_init__(self) -> None:
        make_workers_follow()

    def describe(self) -> str:
        return f"{self.jobs} {'process' if self.jobs == 1 else 'processes'} of one machine"

    def machines(self) -> list[tuple[str, ...]]:
        return []

    def map(
        self, function: Callable[[Item], Result], items: Iterable[Item], *, batch: int = 1
    ) -> Iterator[Result]:
        from joblib import Parallel, delayed

        parallel = Parallel(n_jobs=self.jobs, return_as="generator", batch_size=batch)
        with no_worker_lost():
            results = parallel(delayed(function)(item) for item in items)
        return _watched(results)


def _watched(results: Iterator[Result]) -> Iterator[Result]:
    with no_worker_lost():
        yield from results


@contextmanager
def no_worker_lost() -> Iterator[None]:
    """Tell of a process of joblib's that was killed or crashed in one line."""
    from concurrent.futures.process import BrokenProcessPool

    try:
        yield
    except BrokenProcessPool as error:
        raise ValueError(
            "a worker process was killed or crashed, perhaps for want of memory; the same command "
            "goes on from what is done (a run with --no-cache: with --out and --resume)"
        ) from error


class ClusterWorkers:
    """Workers of a Dask cluster, one thread each.

    What a lost worker was doing is done again by another; nothing is kept on a worker that could
    not be computed again.

    Parameters
    ----------
    client : distributed.Client
    """

    jobs = 1
    remote = True

    def __init__(self, client: Any) -> None:
        self._client = client

    def describe(self) -> str:
        workers = self._workers()
        machines = {worker["host"] for worker in workers.values()}
        return f"Dask, {len(workers)} workers on {len(machines)} machines"

    def machines(self) -> list[tuple[str, ...]]:
        with _in_reach():
            found = set(self._client.run(machine).values())
        return sorted(found) if found != {machine()} else []

    def map(
        self, function: Callable[[Item], Result], items: Iterable[Item], *, batch: int = 1
    ) -> Iterator[Result]:
        client = self._client
        # As a task's result the function travels to each worker once, however large what it
        # carries, and is computed again where the worker that held it is lost.
        with _in_reach():
            carried = client.submit(_same, function, pure=False)
        program = identity()
        room = _IN_FLIGHT * max(1, len(self._workers()))
        waiting = iter(items)
        asked: deque[Any] = deque()
        while True:
            while len(asked) < room and (some := list(islice(waiting, batch))):
                with _in_reach():
                    asked.append(client.submit(_each, carried, some, program, pure=False))
            if not asked:
                return
            yield from self._gathered(asked.popleft())

    def _gathered(self, future: Any) -> Sequence[Any]:
        from distributed import KilledWorker

        try:
            with _in_reach():
                results: Sequence[Any] = future.result()
        except KilledWorker as error:
            raise ValueError(
                f"--cluster: a task was lost with every worker that tried it ({error}); do the "
                "workers have enough memory?"
            ) from error
        return results

    def _workers(self) -> dict[str, Any]:
        from distributed.comm.core import CommClosedError

        with _in_reach():
            found: dict[str, Any] = self._client.scheduler_info(n_workers=-1)
            if "workers" not in found:
                raise CommClosedError("no answer")
        return dict(found["workers"])


@contextmanager
def _in_reach() -> Iterator[None]:
    """Tell of a lost scheduler in one way, however Dask tells of it."""
    from concurrent.futures import CancelledError

    from distributed.client import ClosedClientError
    from distributed.comm.core import CommClosedError

    try:
        yield
    except (CancelledError, ClosedClientError, CommClosedError) as error:
        told = " ".join(str(error).split())
        raise ValueError(
            f"--cluster: the scheduler was lost ({told}); --resume goes on from here"
        ) from error


def spread(
    workers: Workers | None, function: Callable[[Item], Result], items: Iterable[Item]
) -> Iterator[Result]:
    """``function`` of each item in their order, by workers where there are any."""
    return workers.map(function, items) if workers else map(function, items)


def _same(function: Callable[[Item], Result]) -> Callable[[Item], Result]:
    return function


def _each(
    function: Callable[[Item], Result], items: Sequence[Item], program: tuple[str, ...]
) -> list[Result]:
    if identity() != program:  # of a worker that joined later
        raise ValueError(f"--cluster: a worker {_OTHER}")
    return [function(item) for item in items]


@contextmanager
def open_workers(jobs: int, cluster: str = "") -> Iterator[Workers]:
    """Processes of this machine, or of a cluster: ``local:N`` or a scheduler's address.

    Parameters
    ----------
    jobs : int
        Processes, without a cluster.
    cluster : str
        ``local:N`` starts a scheduler and N workers on this machine, which end with the block;
        ``tcp://host:port`` (or ``tls://``) is a scheduler that runs.

    Raises
    ------
    ValueError
        Where the address is none, nothing answers there, or the workers cannot be used: they
        need one thread each, and the code and packages of this process.
    """
    if not cluster:
        yield LocalWorkers(jobs)
        return
    kind, _, rest = cluster.partition(":")
    if kind == "local" and rest.isdecimal() and int(rest) > 0:
        from distributed import Client, LocalCluster

        start_trackers()
        with (
            LocalCluster(
                n_workers=int(rest),
                threads_per_worker=1,
                host="127.0.0.1",
                dashboard_address=None,
                # Its server is there without a dashboard, and warns where its usual port is taken.
                scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
            ) as own,
            Client(own) as client,
        ):
            yield ClusterWorkers(client)
    elif kind in ("tcp", "tls") and rest.startswith("//"):
        with _connected(cluster) as client:
            yield ClusterWorkers(client)
    else:
        raise ValueError(f"--cluster '{cluster}': write local:N, N at least 1, or tcp://host:port")


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    from distributed import Client

    try:
        client = Client(address, timeout="10s")
    except (OSError, ValueError) as error:
        raise ValueError(f"--cluster '{address}': no scheduler answers there ({error})") from error
    with client:
        workers = client.scheduler_info(n_workers=-1)["workers"]
        if not workers:
            raise ValueError(f"--cluster '{address}': the scheduler has no workers")
        for name, worker in workers.items():
            if worker["nthreads"] != 1:
                raise ValueError(
                    f"--cluster '{address}': worker {name} has {worker['nthreads']} threads; start "
                    "workers with --nthreads 1 (networks are trained with seeds of the process)"
                )
        try:
            client.run_on_scheduler(identity)
        except Exception as error:
            raise ValueError(
                f"--cluster '{address}': the scheduler cannot import this project ({error}); "
                "start it in its root folder"
            ) from error
        try:
            found = client.run(identity)
        except Exception as error:  # whatever importing this project there raises
            raise ValueError(
                f"--cluster '{address}': the workers cannot import this project ({error}); start "
                "them in its root folder"
            ) from error
        for name, other in found.items():
            if other != identity():
                raise ValueError(f"--cluster '{address}': worker {name} {_OTHER}")
        yield client
