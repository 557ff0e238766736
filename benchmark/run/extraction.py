"""Features of every ROI, each set extracted once a ROI; the only timed code beside fitting."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from benchmark.plugins.contracts import Arm, Extract, Value
from benchmark.roi import Roi, RoiDataset, RoiRecord, UnavailableError
from benchmark.run.results import Failure, FeatureTable, Results, describe_error
from benchmark.runtime.progress import Progress
from benchmark.runtime.workers import Workers


@dataclass(frozen=True, eq=False)
class Extracted:
    """One ROI's features, or why there are none: ``error``, or ``unavailable`` in its dataset.

    ``cached``: from an earlier run, whose ``seconds`` these are.
    """

    roi_id: str
    seconds: float
    value: Value | None = None
    error: str = ""
    unavailable: str = ""
    cached: bool = False


class Memory(Protocol):
    """What earlier runs extracted."""

    def recall_features(self, name: str, records: Sequence[RoiRecord]) -> dict[str, Extracted]:
        """By ROI id, those that are known."""

    def keep_features(
        self, name: str, records: Sequence[RoiRecord], extracted: Sequence[Extracted]
    ) -> None:
        """Remember those that have a value; ``records`` holds theirs, in any order."""


def extract(
    dataset: RoiDataset,
    records: Sequence[RoiRecord],
    arms: Sequence[Arm],
    extractors: Mapping[str, Extract],
    *,
    workers: Workers,
    progress: Progress,
    results: Results,
    memory: Memory | None = None,
) -> dict[str, FeatureTable]:
    """The feature sets that the arms are fed, each extracted once a ROI.

    Returns
    -------
    dict of str to FeatureTable
        Without the sets that gave nothing; ``results`` takes the reasons and the timings.
    """
    tables: dict[str, FeatureTable] = {}
    for name in dict.fromkeys(arm.features for arm in arms):
        task, extracted = f"Extracting {name}", []
        for outcome in _extract_all(dataset, records, name, extractors[name], workers, memory):
            extracted.append(outcome)
            progress.update(task, len(extracted), len(records))
        table = _collect(name, extracted, results)
        if table is not None:
            tables[name] = table
    results.features |= tables
    return tables


_CHUNK = 8  # ROIs handed to a worker at a time: few enough for smooth progress
_warm: set[Extract] = set()


def _extract_all(
    dataset: RoiDataset,
    records: Sequence[RoiRecord],
    name: str,
    extract: Extract,
    workers: Workers,
    memory: Memory | None,
) -> Iterator[Extracted]:
    known = memory.recall_features(name, records) if memory else {}
    yield from known.values()
    missing = [record for record in records if record.roi_id not in known]
    chunks = [missing[start : start + _CHUNK] for start in range(0, len(missing), _CHUNK)]
    work = partial(_extract_chunk, dataset.read, extract)
    for chunk, extracted in zip(chunks, workers.map(work, chunks), strict=True):
        if memory:
            memory.keep_features(name, chunk, extracted)
        yield from extracted


def _extract_chunk(
    read: Callable[[RoiRecord], Roi], extract: Extract, records: Sequence[RoiRecord]
) -> list[Extracted]:
    return [_extract_one(read(record), extract) for record in records]


def _extract_one(roi: Roi, extract: Extract) -> Extracted:
    roi_id = roi.record.roi_id
    try:
        if extract not in _warm:  # a process's first call imports libraries; it does not count
            extract(roi)
            _warm.add(extract)
        start = time.perf_counter()
        value = extract(roi)
        seconds = time.perf_counter() - start
    except UnavailableError as error:
        return Extracted(roi_id, 0.0, unavailable=str(error))
    except Exception as error:  # an extractor may raise anything; the record says what
        return Extracted(roi_id, 0.0, error=describe_error(error))
    return Extracted(roi_id, seconds, value)


def _collect(name: str, extracted: list[Extracted], results: Results) -> FeatureTable | None:
    extracted.sort(key=lambda each: each.roi_id)
    unavailable = [each for each in extracted if each.unavailable]
    if unavailable:
        results.failures.append(
            Failure("skipped", "extract", unavailable[0].unavailable, features=name)
        )
        return None
    for each in extracted:
        if each.error:
            results.failures.append(
                Failure("failed", "extract", each.error, features=name, roi_id=each.roi_id)
            )
    good = [each for each in extracted if each.value is not None]
    results.timings.append(
        {
            "model": "", "features": name, "stage": "extract", "repeat": -1, "fold": -1,
            "seconds": sum(each.seconds for each in good), "n_rois": len(good),
            "n_cached": sum(each.cached for each in good), "device": "cpu",
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
    return FeatureTable({each.roi_id: row for row, each in enumerate(good)}, values, columns)


def _stack(name: str, extracted: Sequence[Extracted]) -> NDArray[Any]:
    first = extracted[0].value
    if isinstance(first, np.ndarray):
        return np.stack([cast("NDArray[np.float32]", each.value) for each in extracted])
    columns = list(cast("dict[str, float]", first))
    rows = []
    for each in extracted:
        value = cast("dict[str, float]", each.value)
        if list(value) != columns:
            raise ValueError(
                f"feature set '{name}' gives other columns for roi_id '{each.roi_id}' than "
                f"for '{extracted[0].roi_id}'; they must be the same for every ROI"
            )
        rows.append([value[column] for column in columns])
    return np.array(rows, dtype=np.float64)
