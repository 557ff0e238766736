"""One arm on one split, or on several at once: fit, predict, time.

Models come in as callables. Exactly one call stands between two readings of the clock; reading
files, importing and writing results are outside.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmark.plugins.arms import NO_LABEL, Arm
from benchmark.plugins.contracts import (
    Build,
    FitTogether,
    Inputs,
    Pack,
    Readings,
    ReportsEpochs,
    take,
)
from benchmark.plugins.foreign import contained
from benchmark.plugins.outputs import (
    checked_probabilities,
    checked_threshold,
    choices_of,
    device_of,
    epochs_of,
)
from benchmark.processes.child import Child
from benchmark.runtime.failures import Failure, describe_error

if TYPE_CHECKING:  # a fit's key in the cache follows what is imported at run time
    from benchmark.cohort.splits import Split


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
        Labels and patients of the training rows; ``NO_LABEL`` where the label rule has none.
    readings : Readings or None
        Of the training rows, for a model that learns from them.
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
    readings: Readings | None = None


@dataclass(frozen=True, eq=False)
class Tested:
    """Outcome of fitting and testing an arm on a split.

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
    epochs : list of dict
        Of models that train in epochs.
    choices : list of dict
        Of models that choose settings on inner folds, as ``ReportsChoices`` states.
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
    epochs: list[dict[str, float]]
    packed: bytes
    choices: list[dict[str, str]] = field(default_factory=list)
    cached: bool = False


def fit_alone(
    values: Inputs,
    build: Build,
    pack: Pack | None,
    task: Task,
    on_epoch: Callable[[int, int], None] | None = None,
) -> Tested | Failure:
    """Fit an arm on its training rows and predict its test rows."""
    try:
        with contained():
            model, fit_s = _fit(values, build, task, on_epoch)
    except Exception as error:  # any model may raise anything; the record says what
        return _failed(task, "fit", error)
    return _test(values, pack, task, model, fit_s)


_child = Child()


def fit_within(
    limit_s: float,
    values: Inputs,
    build: Build,
    pack: Pack | None,
    task: Task,
    on_epoch: Callable[[int, int], None] | None = None,
) -> Tested | Failure:
    """Fit and predict as ``fit_alone`` does, in another process that is ended at the limit.

    A fit that crashes costs itself alone; epochs are not told.
    """
    try:
        return _child.call(partial(fit_alone, values, build, pack, task), limit_s)
    except (TimeoutError, ChildProcessError) as error:
        return _failed(task, "fit", error)


def fit_together(
    values: Inputs,
    build: Build,
    pack: Pack | None,
    together: FitTogether,
    tasks: Sequence[Task],
) -> list[Tested | Failure] | None:
    """Fit an arm on all its tasks at once, whose time they share, and predict one by one.

    Where the fit fails, it warns and gives None.
    """
    try:
        with contained():
            models = [build(task.arm, task.seed) for task in tasks]
            data = [_given(values, task) for task in tasks]
            start = time.perf_counter()
            together(models, data)
            share_s = (time.perf_counter() - start) / len(tasks)
    except Exception as error:  # any model may raise anything
        warnings.warn(
            f"{tasks[0].arm} cannot be fitted together and is fitted one by one: "
            f"{describe_error(error)}",
            RuntimeWarning, stacklevel=1,
        )  # fmt: skip
        return None
    return [
        _test(values, pack, task, model, share_s) for task, model in zip(tasks, models, strict=True)
    ]


def _test(
    values: Inputs, pack: Pack | None, task: Task, model: Any, fit_s: float
) -> Tested | Failure:
    """Predict the test rows.

    Untimed, the training rows are predicted too: their AUC is kept for the train-test gap.
    """
    stage = "predict"
    try:
        with contained():
            probabilities, predict_s = _predict(model, values, task.test)
            labelled = task.y != NO_LABEL
            scores, _ = _predict(model, values, task.train[labelled])
            tested = Tested(
                probabilities=probabilities,
                threshold=checked_threshold(model.threshold_),
                training_auc=_auc(task.y[labelled], scores),
                fit_s=fit_s,
                predict_s=predict_s,
                device=device_of(model),
                epochs=epochs_of(model),
                packed=b"",
                choices=choices_of(model),
            )
            stage = "keep"
            return replace(tested, packed=pack(model)) if pack and task.kept else tested
    except Exception as error:  # any model may raise anything; the record says what
        return _failed(task, stage, error)


def _failed(task: Task, stage: str, error: Exception) -> Failure:
    return Failure(
        "failed", stage, describe_error(error), task.arm.model, task.arm.features,
        repeat=task.split.repeat, fold=task.split.fold, arm=task.arm.name,
    )  # fmt: skip


def _given(values: Inputs, task: Task) -> tuple[Inputs, NDArray[np.int64], NDArray[np.str_]]:
    """What ``fit`` is given: copies, so that a model that writes on them changes nothing else."""
    return take(values, task.train), task.y.copy(), task.groups.copy()


def _fit(
    values: Inputs,
    build: Build,
    task: Task,
    on_epoch: Callable[[int, int], None] | None,
) -> tuple[Any, float]:
    given = _given(values, task)
    told = {} if task.readings is None else {"readings": deepcopy(task.readings)}
    model = build(task.arm, task.seed)
    if isinstance(model, ReportsEpochs):
        model.on_epoch = on_epoch
    start = time.perf_counter()
    model.fit(*given, **told)
    return model, time.perf_counter() - start


def _predict(
    model: Any, values: Inputs, rows: NDArray[np.intp]
) -> tuple[NDArray[np.float64], float]:
    X = take(values, rows)
    start = time.perf_counter()
    probabilities = model.predict_proba(X)
    seconds = time.perf_counter() - start
    return checked_probabilities(probabilities, len(rows)), seconds


def _auc(y: NDArray[np.int64], scores: NDArray[np.float64]) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(y, scores))
