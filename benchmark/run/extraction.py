"""Features of every ROI, each set extracted once a ROI; the only timed code beside fitting."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from benchmark.plugins.arms import Arm
from benchmark.plugins.contracts import Extract, Value
from benchmark.roi import Roi, RoiDataset, RoiRecord, UnavailableError
from benchmark.run.results import Extraction, FeatureTable
from benchmark.runtime.failures import Failure, describe_error
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


class FeatureCache(Protocol):
    """Cache of what earlier runs extracted."""

    def recall_features(self, name: str, records: Sequence[RoiRecord]) -> dict[str, Extracted]:
        """Features by ROI id; ids that are not known are absent."""

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
    cache: FeatureCache | None = None,
) -> Extraction:
    """Extract the feature sets that the arms are fed, each once a ROI.

    Returns
    -------
    Extraction
        Tables of those sets that gave something; failures say why others did not.
    """
    found = Extraction({}, [], [])
    for name in dict.fromkeys(name for arm in arms for name in arm.feature_sets):
        what, extracted = f"Extracting {name}", []
        for outcome in _extract_all(dataset, records, name, extractors[name], workers, cache):
            extracted.append(outcome)
            progress.update(what, len(extracted), len(records))
        _collect(name, extracted, found)
    return found


_CHUNK = 8  # ROIs handed to a worker at a time: few enough for smooth progress
_warm: set[Extract] = set()


def _extract_all(
    dataset: RoiDataset,
    records: Sequence[RoiRecord],
    name: str,
    extract: Extract,
    workers: Workers,
    cache: FeatureCache | None,
) -> Iterator[Extracted]:
    known = cache.recall_features(name, records) if cache else {}
    yield from known.values()
    missing = [record for record in records if record.roi_id not in known]
    chunks = [missing[start : start + _CHUNK] for start in range(0, len(missing), _CHUNK)]
    work = partial(_extract_chunk, dataset.read, extract)
    for chunk, extracted in zip(chunks, workers.map(work, chunks), strict=True):
        if cache:
            cache.keep_features(name, chunk, extracted)
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


def _collect(name: str, extracted: list[Extracted], found: Extraction) -> None:
    """Put one feature set's table, or why there is none, with what was found so far."""
    extracted.sort(key=lambda each: each.roi_id)
    unavailable = [each for each in extracted if each.unavailable]
    if unavailable:
        found.failures.append(
            Failure("skipped", "extract", unavailable[0].unavailable, features=name)
        )
        return
    for each in extracted:
        if each.error:
            found.failures.append(
                Failure("failed", "extract", each.error, features=name, roi_id=each.roi_id)
            )
    good = [each for each in extracted if each.value is not None]
    found.timings.append(
        {
            "arm": "", "model": "", "features": name, "stage": "extract", "repeat": -1, "fold": -1,
            "seconds": sum(each.seconds for each in good), "n_rois": len(good),
            "n_cached": sum(each.cached for each in good), "device": "cpu",
        }
    )  # fmt: skip
    if not good:
        return
    try:
        values = _stack(name, good)
    except ValueError as error:
        found.failures.append(Failure("failed", "extract", str(error), features=name))
        return
    first = good[0].value
    columns = () if isinstance(first, np.ndarray) else tuple(cast("dict[str, float]", first))
    rows = {each.roi_id: row for row, each in enumerate(good)}
    found.tables[name] = FeatureTable(rows, values, columns)


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
