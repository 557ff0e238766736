"""The loop: fit and test every arm on every split; with the extraction, the only timed code.

Models come in as callables. Exactly one call stands between two readings of the clock; reading
files, importing and writing results are outside.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from benchmark.cohort import Cohort
from benchmark.config import Arm
from benchmark.outcomes import Failure, FeatureTable, Results, describe_error
from benchmark.progress import Progress
from benchmark.seeds import derive_seed
from benchmark.splits import Split
from benchmark.workers import Workers


class Model(Protocol):
    """What a file in models/ builds.

    Attributes
    ----------
    threshold_ : float
        After ``fit``: the decision threshold on P(malignant), chosen on training patients.
    """

    threshold_: float

    def fit(self, X: NDArray[Any], y: NDArray[np.int64], groups: NDArray[np.str_]) -> None:
        """Fit on arrays of shape (n, p) or (n, rows, columns, channels); groups: patients."""

    def predict_proba(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """Probabilities of benign and malignant, shape (n, 2)."""


@runtime_checkable
class ReportsEpochs(Protocol):
    """A model that trains in epochs, and says so."""

    on_epoch: Callable[[int, int], None] | None
    history_: list[dict[str, float]]


Build = Callable[[Arm, int], Model]
"""Builds the model of an arm from a seed; picklable."""

FitTogether = Callable[
    [Sequence[Model], Sequence[tuple[NDArray[Any], NDArray[np.int64], NDArray[np.str_]]]], None
]
"""Fits models, each to its (X, y, groups), as their ``fit`` would one by one."""

Pack = Callable[[Model], bytes]
"""Makes a file of a fitted model."""


@dataclass(frozen=True, eq=False)
class Task:
    """An arm to fit and test on a split.

    Attributes
    ----------
    arm : Arm
    split : Split
    seed : int
        The model's.
    train, test : ndarray of int
        Rows of the feature table.
    y, groups : ndarray, shape (n_train,)
        Labels and patients of the training rows.
    places : ndarray of int, shape (n_test,)
        Of the test rows in the cohort.
    kept : bool
        Whether the fitted model is wanted.
    """

    arm: Arm
    split: Split
    seed: int
    train: NDArray[np.intp]
    test: NDArray[np.intp]
    y: NDArray[np.int64]
    groups: NDArray[np.str_]
    places: NDArray[np.intp]
    kept: bool


@dataclass(frozen=True, eq=False)
class Tested:
    """What fitting and testing an arm on a split gave.

    Attributes
    ----------
    probabilities : ndarray, shape (n_test,), float64
        P(malignant) of the test rows.
    threshold : float
        The model's own.
    training_auc : float
        On the rows that were fitted.
    fit_s, predict_s : float
    device : str
    history : list of dict
        Of models that train in epochs.
    packed : bytes
        The fitted model where it was wanted, else empty.
    cached : bool
        From an earlier run, whose times these are.
    """

    probabilities: NDArray[np.float64]
    threshold: float
    training_auc: float
    fit_s: float
    predict_s: float
    device: str
    history: list[dict[str, float]]
    packed: bytes
    cached: bool = False


class Memory(Protocol):
    """What earlier runs fitted and tested."""

    def recall_fit(self, task: Task, table: FeatureTable) -> Tested | None:
        """None where it is not known."""

    def keep_fit(self, task: Task, table: FeatureTable, tested: Tested) -> None:
        """Remember it."""


@dataclass(frozen=True)
class Bench:
    """How arms are fitted and tested, whatever on.

    Attributes
    ----------
    build : callable
    seed : int
        The run's.
    threshold : float or "train"
    workers : Workers
        Remote ones fit and test; local ones serve inside a model, and fits take turns.
    progress : Progress
    memory : Memory, optional
    pack : callable, optional
        Packs the models of repeat 0, which ``Results`` then keeps.
    together : callable, optional
        What fits an arm's models all at once, in this process; None for an arm that cannot.
    """

    build: Build
    seed: int
    threshold: float | str
    workers: Workers
    progress: Progress
    memory: Memory | None = None
    pack: Pack | None = None
    together: Callable[[Arm], FitTogether | None] | None = None


def fit_and_test(
    tables: Mapping[str, FeatureTable],
    cohort: Cohort,
    splits: Sequence[Split],
    arms: Sequence[Arm],
    bench: Bench,
    results: Results,
    task: str = "Training",
) -> None:
    """Fit and test every arm whose features there are on every split; fill ``results``.

    Whatever fails is recorded and the rest goes on. ``task`` names the work for the progress.
    """
    runnable = [arm for arm in arms if arm.features in tables]
    place_of = {roi_id: place for place, roi_id in enumerate(cohort.roi_ids.tolist())}
    tasks = [
        _task(arm, split, tables[arm.features], cohort, place_of, bench)
        for arm in runnable
        for split in splits
    ]
    outcomes = _outcomes(tables, tasks, bench, task)
    for number, (each, outcome) in enumerate(zip(tasks, outcomes, strict=True), start=1):
        if isinstance(outcome, Failure):
            results.failures.append(outcome)
        else:
            _record(each, outcome, cohort, bench.threshold, results)
        bench.progress.update(task, number, len(tasks))


def fit_seed(arm: Arm, split: Split, seed: int) -> int:
    """The seed of an arm's model on a split, from the run's."""
    return derive_seed(seed, arm.model, arm.features, split.scheme, split.repeat, split.fold)


def _task(
    arm: Arm,
    split: Split,
    table: FeatureTable,
    cohort: Cohort,
    place_of: Mapping[str, int],
    bench: Bench,
) -> Task:
    (train, trained), (test, tested) = (
        (
            np.array([table.rows[i] for i in ids if i in table.rows], dtype=np.intp),
            np.array([place_of[i] for i in ids if i in table.rows], dtype=np.intp),
        )
        for ids in (split.train, split.test)
    )
    return Task(
        arm, split, fit_seed(arm, split, bench.seed), train, test,
        y=cohort.labels[trained],
        groups=cohort.patients[trained],
        places=tested,
        kept=bench.pack is not None and split.repeat == 0,
    )  # fmt: skip


def _outcomes(
    tables: Mapping[str, FeatureTable], tasks: Sequence[Task], bench: Bench, name: str
) -> Iterator[Tested | Failure]:
    """In the order of the tasks; arms whose features are alike follow each other."""
    done = 0
    for features, group in groupby(tasks, key=lambda task: task.arm.features):
        table, some = tables[features], list(group)
        known = [bench.memory.recall_fit(t, table) if bench.memory else None for t in some]
        missing = [t for t, found in zip(some, known, strict=True) if found is None]
        work = partial(_fit_and_test, table.values, bench.build, bench.pack)
        fresh = bench.workers.map(work, missing) if bench.workers.remote and missing else None
        fitted = {} if fresh else _fit_together(table.values, missing, bench)
        for each, found in zip(some, known, strict=True):
            if found is not None:
                outcome: Tested | Failure = found
            elif fresh is not None:
                outcome = next(fresh)
            elif id(each) in fitted:
                outcome = fitted[id(each)]
            else:

                def on_epoch(epoch: int, epochs: int, started: int = done) -> None:
                    bench.progress.update(name, started + epoch / epochs, len(tasks))

                bench.progress.update(name, done, len(tasks))
                outcome = work(each, on_epoch)
            if bench.memory and isinstance(outcome, Tested) and not outcome.cached:
                bench.memory.keep_fit(each, table, outcome)
            done += 1
            yield outcome


def _fit_together(
    values: NDArray[Any], tasks: Sequence[Task], bench: Bench
) -> dict[int, Tested | Failure]:
    """Of the arms that can be fitted at once, by the identity of the task."""
    outcomes: dict[int, Tested | Failure] = {}
    for arm, group in groupby(tasks, key=lambda task: task.arm):
        fit = bench.together(arm) if bench.together else None
        own = list(group)
        if fit is None or len(own) < 2:
            continue
        try:
            models = [bench.build(arm, task.seed) for task in own]
            data = [(values[task.train], task.y, task.groups) for task in own]
            start = time.perf_counter()
            fit(models, data)
            share_s = (time.perf_counter() - start) / len(own)
        except Exception as error:  # any model may raise anything; the record says what
            outcomes |= {id(task): _failed(task, "fit", error) for task in own}
        else:
            for task, model in zip(own, models, strict=True):
                outcomes[id(task)] = _test(values, bench.pack, task, model, share_s)
    return outcomes


def _fit_and_test(
    values: NDArray[Any],
    build: Build,
    pack: Pack | None,
    task: Task,
    on_epoch: Callable[[int, int], None] | None = None,
) -> Tested | Failure:
    """Fit an arm on its training rows and predict its test rows."""
    try:
        model, fit_s = _fit(values, build, task, on_epoch)
    except Exception as error:  # any model may raise anything; the record says what
        return _failed(task, "fit", error)
    return _test(values, pack, task, model, fit_s)


def _test(
    values: NDArray[Any], pack: Pack | None, task: Task, model: Model, fit_s: float
) -> Tested | Failure:
    """Predict the test rows.

    Untimed, the training rows are predicted too: their AUC is kept for the train-test gap.
    """
    stage = "predict"
    try:
        probabilities, predict_s = _predict(model, values[task.test])
        training_auc = _auc(task.y, model.predict_proba(values[task.train])[:, 1])
        stage = "keep"
        packed = pack(model) if pack is not None and task.kept else b""
    except Exception as error:  # any model may raise anything; the record says what
        return _failed(task, stage, error)
    return Tested(
        probabilities=probabilities,
        threshold=float(model.threshold_),
        training_auc=training_auc,
        fit_s=fit_s,
        predict_s=predict_s,
        device=str(getattr(model, "device_", "cpu")),
        history=model.history_ if isinstance(model, ReportsEpochs) else [],
        packed=packed,
    )


def _failed(task: Task, stage: str, error: Exception) -> Failure:
    return Failure(
        "failed", stage, describe_error(error), task.arm.model, task.arm.features,
        repeat=task.split.repeat, fold=task.split.fold,
    )  # fmt: skip


def _fit(
    values: NDArray[Any],
    build: Build,
    task: Task,
    on_epoch: Callable[[int, int], None] | None,
) -> tuple[Model, float]:
    X = values[task.train]
    model = build(task.arm, task.seed)
    if isinstance(model, ReportsEpochs):
        model.on_epoch = on_epoch
    start = time.perf_counter()
    model.fit(X, task.y, task.groups)
    return model, time.perf_counter() - start


def _predict(model: Model, X: NDArray[Any]) -> tuple[NDArray[np.float64], float]:
    start = time.perf_counter()
    probabilities = model.predict_proba(X)
    seconds = time.perf_counter() - start
    if probabilities.shape != (len(X), 2) or not np.isfinite(probabilities).all():
        raise ValueError(
            f"predict_proba gave shape {probabilities.shape} with "
            f"{int((~np.isfinite(probabilities)).sum())} values that are not finite; "
            f"({len(X)}, 2) finite ones are needed"
        )
    return np.asarray(probabilities[:, 1], np.float64), seconds


def _auc(y: NDArray[np.int64], scores: NDArray[np.float64]) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(y, scores))


def _record(
    task: Task, tested: Tested, cohort: Cohort, threshold: float | str, results: Results
) -> None:
    where = {"model": task.arm.model, "features": task.arm.features}
    place = {"repeat": task.split.repeat, "fold": task.split.fold}
    cut = tested.threshold if threshold == "train" else float(threshold)
    for index, probability in zip(task.places.tolist(), tested.probabilities.tolist(), strict=True):
        results.predictions.append(
            {
                "roi_id": cohort.records[index].roi_id,
                "patient_id": cohort.records[index].patient_id,
                **where, "scheme": task.split.scheme, **place,
                "y_true": int(cohort.labels[index]),
                "y_prob": probability,
                "threshold": cut,
            }
        )  # fmt: skip
    n_train, n_test = len(task.train), len(task.test)
    results.training.append({**where, **place, "auc": tested.training_auc, "n_rois": n_train})
    calls = (("fit", tested.fit_s, n_train), ("predict", tested.predict_s, n_test))
    for stage, seconds, n in calls:
        results.timings.append(
            {
                **where, "stage": stage, **place, "seconds": seconds, "n_rois": n,
                "n_cached": n if tested.cached else 0, "device": tested.device,
            }
        )  # fmt: skip
    results.history += [{**where, **place, **epoch} for epoch in tested.history]
    if task.kept:
        results.models[task.arm, task.split.fold] = tested.packed
