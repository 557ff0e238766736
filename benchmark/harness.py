"""The loop: extract, fit, predict. The only timed code.

Models and feature sets come in as callables. Exactly one call stands between two readings
of the clock; reading files, importing and writing results are outside.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from benchmark.cohort import Cohort
from benchmark.config import Arm
from benchmark.progress import Progress
from benchmark.roi import Roi, RoiDataset, RoiRecord, UnavailableError
from benchmark.seeds import derive_seed
from benchmark.splits import Split

Extract = Callable[[Roi], "dict[str, float] | NDArray[np.float32]"]


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
"""Builds the model of an arm from a seed."""


@dataclass(frozen=True)
class Failure:
    """Something that did not run, and why.

    ``status`` is ``failed``, or ``skipped`` where the dataset lacks what a feature set needs.
    Fields that do not apply are empty or -1.
    """

    status: str
    stage: str
    reason: str
    model: str = ""
    features: str = ""
    roi_id: str = ""
    repeat: int = -1
    fold: int = -1


@dataclass
class Results:
    """Rows of the run folder's tables, whose columns ``benchmark.records`` states.

    ``features`` are the tables that the models were fed, by name of the feature set.
    """

    predictions: list[dict[str, Any]] = field(default_factory=list)
    timings: list[dict[str, Any]] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)
    training: list[dict[str, Any]] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    features: dict[str, FeatureTable] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """One feature set of a cohort.

    Attributes
    ----------
    rows : dict of str to int
        ROI id -> row of ``values``; ROIs that failed are absent.
    values : ndarray, shape (n, p) float64 or (n, rows, columns, channels) float32
    columns : tuple of str
        Names of the columns; empty for images.
    """

    rows: dict[str, int]
    values: NDArray[Any]
    columns: tuple[str, ...] = ()


def extract(
    dataset: RoiDataset,
    records: Sequence[RoiRecord],
    arms: Sequence[Arm],
    extractors: dict[str, Extract],
    *,
    jobs: int,
    progress: Progress,
    results: Results,
) -> dict[str, FeatureTable]:
    """The feature sets that the arms are fed, each extracted once a ROI.

    Returns
    -------
    dict of str to FeatureTable
        Without the sets that gave nothing; ``results`` takes the reasons and the timings.
    """
    tables: dict[str, FeatureTable] = {}
    for name in dict.fromkeys(arm.features for arm in arms):
        table = _extract_all(dataset, records, name, extractors[name], jobs, progress, results)
        if table is not None:
            tables[name] = table
    results.features |= tables
    return tables


def fit_and_test(
    tables: Mapping[str, FeatureTable],
    cohort: Cohort,
    splits: Sequence[Split],
    arms: Sequence[Arm],
    build: Build,
    *,
    seed: int,
    threshold: float | str,
    progress: Progress,
    results: Results,
    task: str = "Training",
    keep: Callable[[Fitted, Split], None] | None = None,
) -> None:
    """Fit and test every arm whose features there are on every split; fill ``results``.

    Whatever fails is recorded and the rest goes on. ``task`` names the work for ``progress``;
    ``keep`` is handed every model that was tested.
    """
    runnable = [arm for arm in arms if arm.features in tables]
    total = len(runnable) * len(splits)
    for number, (arm, split) in enumerate((a, s) for a in runnable for s in splits):

        def on_epoch(done: int, epochs: int, started: int = number) -> None:
            progress.update(task, started + done / epochs, total)

        progress.update(task, number, total)
        table = tables[arm.features]
        stage = "fit"
        try:
            fitted = fit(arm, split, table, cohort, build, seed, on_epoch)
            predict(fitted, split, table, cohort, threshold, results)
            if keep is not None:
                stage = "keep"
                keep(fitted, split)
        except Exception as error:  # any model may raise anything; the record says what
            results.failures.append(
                Failure(
                    "failed", stage, describe_error(error), arm.model, arm.features,
                    repeat=split.repeat, fold=split.fold,
                )
            )  # fmt: skip
        progress.update(task, number + 1, total)


def _extract_all(
    dataset: RoiDataset,
    records: Sequence[RoiRecord],
    name: str,
    extract: Extract,
    jobs: int,
    progress: Progress,
    results: Results,
) -> FeatureTable | None:
    task = f"Extracting {name}"
    total = len(records)
    outcomes: list[_Outcome] = []
    for outcome in _outcomes(dataset, records, extract, jobs):
        outcomes.append(outcome)
        progress.update(task, len(outcomes), total)
    outcomes.sort(key=lambda o: o.roi_id)

    unavailable = [o for o in outcomes if o.unavailable]
    if unavailable:
        results.failures.append(
            Failure("skipped", "extract", unavailable[0].unavailable, features=name)
        )
        return None
    for outcome in outcomes:
        if outcome.error:
            results.failures.append(
                Failure("failed", "extract", outcome.error, features=name, roi_id=outcome.roi_id)
            )
    good = [o for o in outcomes if o.value is not None]
    results.timings.append(
        {
            "model": "", "features": name, "stage": "extract", "repeat": -1, "fold": -1,
            "seconds": sum(o.seconds for o in good), "n_rois": len(good), "device": "cpu",
        }
    )  # fmt: skip
    if not good:
        return None
    try:
        values = _stack(name, good)
    except ValueError as error:
        results.failures.append(Failure("failed", "extract", str(error), features=name))
        return None
    first = good[0].value
    columns = () if isinstance(first, np.ndarray) else tuple(cast("dict[str, float]", first))
    return FeatureTable({o.roi_id: i for i, o in enumerate(good)}, values, columns)


@dataclass(frozen=True, eq=False)
class _Outcome:
    roi_id: str
    seconds: float
    value: dict[str, float] | NDArray[np.float32] | None = None
    error: str = ""
    unavailable: str = ""


_CHUNK = 8  # ROIs handed to a worker at a time: few enough for smooth progress
_warm: set[Extract] = set()


def _outcomes(
    dataset: RoiDataset, records: Sequence[RoiRecord], extract: Extract, jobs: int
) -> Iterator[_Outcome]:
    from joblib import Parallel, delayed

    chunks = [records[i : i + _CHUNK] for i in range(0, len(records), _CHUNK)]
    parallel = Parallel(n_jobs=min(jobs, len(chunks)), return_as="generator_unordered")
    for outcomes in parallel(delayed(_extract_chunk)(dataset.read, c, extract) for c in chunks):
        yield from outcomes


def _extract_chunk(
    read: Callable[[RoiRecord], Roi], records: Iterable[RoiRecord], extract: Extract
) -> list[_Outcome]:
    return [_extract_one(read(record), extract) for record in records]


def _extract_one(roi: Roi, extract: Extract) -> _Outcome:
    roi_id = roi.record.roi_id
    try:
        if extract not in _warm:  # a process's first call imports libraries; it does not count
            extract(roi)
            _warm.add(extract)
        start = time.perf_counter()
        value = extract(roi)
        seconds = time.perf_counter() - start
    except UnavailableError as error:
        return _Outcome(roi_id, 0.0, unavailable=str(error))
    except Exception as error:  # an extractor may raise anything; the record says what
        return _Outcome(roi_id, 0.0, error=describe_error(error))
    return _Outcome(roi_id, seconds, value)


def _stack(name: str, outcomes: Sequence[_Outcome]) -> NDArray[Any]:
    first = outcomes[0].value
    if isinstance(first, np.ndarray):
        return np.stack([cast("NDArray[np.float32]", o.value) for o in outcomes])
    columns = list(cast("dict[str, float]", first))
    rows = []
    for outcome in outcomes:
        value = cast("dict[str, float]", outcome.value)
        if list(value) != columns:
            raise ValueError(
                f"feature set '{name}' gives other columns for roi_id '{outcome.roi_id}' than "
                f"for '{outcomes[0].roi_id}'; they must be the same for every ROI"
            )
        rows.append([value[column] for column in columns])
    return np.array(rows, dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Fitted:
    """A trained model.

    Attributes
    ----------
    arm : Arm
    model : Model
    seconds : float
        That training took.
    n_rois : int
        Trained on.
    """

    arm: Arm
    model: Model
    seconds: float
    n_rois: int


def fit_seed(arm: Arm, split: Split, seed: int) -> int:
    """The seed of an arm's model on a split, from the run's."""
    return derive_seed(seed, arm.model, arm.features, split.scheme, split.repeat, split.fold)


def fit(
    arm: Arm,
    split: Split,
    table: FeatureTable,
    cohort: Cohort,
    build: Build,
    seed: int,
    on_epoch: Callable[[int, int], None],
) -> Fitted:
    """Train an arm on a split's training ROIs; what the model raises is passed on."""
    X, train = _side(split.train, table, cohort)
    model = build(arm, fit_seed(arm, split, seed))
    if isinstance(model, ReportsEpochs):
        model.on_epoch = on_epoch
    start = time.perf_counter()
    model.fit(X, cohort.labels[train], cohort.patients[train])
    return Fitted(arm, model, time.perf_counter() - start, len(train))


def predict(
    fitted: Fitted,
    split: Split,
    table: FeatureTable,
    cohort: Cohort,
    threshold: float | str,
    results: Results,
) -> None:
    """Predict a split's test ROIs; ``results`` takes predictions, timings and history.

    Untimed, the training ROIs are predicted too: their AUC is kept for the train-test gap.

    Raises
    ------
    ValueError
        Where predictions are not finite or of another shape; ``results`` then stays as it was.
    """
    from sklearn.metrics import roc_auc_score

    model = fitted.model
    X, tested = _side(split.test, table, cohort)
    start = time.perf_counter()
    probabilities = model.predict_proba(X)
    predict_s = time.perf_counter() - start
    X_train, trained = _side(split.train, table, cohort)
    on_training = model.predict_proba(X_train)[:, 1]

    if probabilities.shape != (len(tested), 2) or not np.isfinite(probabilities).all():
        raise ValueError(
            f"predict_proba gave shape {probabilities.shape} with "
            f"{int((~np.isfinite(probabilities)).sum())} values that are not finite; "
            f"({len(tested)}, 2) finite ones are needed"
        )
    where = {"model": fitted.arm.model, "features": fitted.arm.features}
    place = {"repeat": split.repeat, "fold": split.fold}
    cut = model.threshold_ if threshold == "train" else float(threshold)
    for row, index in enumerate(tested):
        results.predictions.append(
            {
                "roi_id": cohort.records[index].roi_id,
                "patient_id": cohort.records[index].patient_id,
                **where, "scheme": split.scheme, **place,
                "y_true": int(cohort.labels[index]),
                "y_prob": float(probabilities[row, 1]),
                "threshold": cut,
            }
        )  # fmt: skip
    auc = float(roc_auc_score(cohort.labels[trained], on_training))
    results.training.append({**where, **place, "auc": auc, "n_rois": len(trained)})
    device = getattr(model, "device_", "cpu")
    calls = (("fit", fitted.seconds, fitted.n_rois), ("predict", predict_s, len(tested)))
    for stage, seconds, n in calls:
        results.timings.append(
            {**where, "stage": stage, **place, "seconds": seconds, "n_rois": n, "device": device}
        )
    if isinstance(model, ReportsEpochs):
        results.history += [{**where, **place, **epoch} for epoch in model.history_]


def _side(
    ids: Sequence[str], table: FeatureTable, cohort: Cohort
) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Features of those ROIs that have them, and their places in the cohort."""
    position = {roi_id: i for i, roi_id in enumerate(cohort.roi_ids.tolist())}
    present = [i for i in ids if i in table.rows]
    values = table.values[[table.rows[i] for i in present]]
    return values, np.array([position[i] for i in present], dtype=np.intp)


def describe_error(error: Exception) -> str:
    """An exception's type and message on one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
