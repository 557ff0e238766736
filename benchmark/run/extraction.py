"""Features of every ROI, each set extracted once a ROI; the only timed code beside fitting."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from benchmark.plugins.arms import Arm
from benchmark.plugins.contracts import Extract, Value
from benchmark.plugins.foreign import contained
from benchmark.plugins.outputs import checked_features, kind_of
from benchmark.roi import Roi, RoiDataset, RoiRecord, UnavailableError
from benchmark.run.results import Extraction, FeatureTable
from benchmark.runtime.failures import Failure, describe_error
from benchmark.runtime.progress import Progress
from benchmark.runtime.workers import Workers


@dataclass(frozen=True, eq=False, slots=True)
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
    made: Mapping[str, FeatureTable] | None = None,
) -> Extraction:
    """Extract the feature sets that the arms are fed, each once a ROI.

    Those that the user ``made`` elsewhere are taken as they are, by name.

    Returns
    -------
    Extraction
        Tables of those sets that gave something; failures say why others did not.
    """
    found = Extraction({}, [], [])
    for name in dict.fromkeys(name for arm in arms for name in arm.feature_sets):
        if made and name in made:
            found.tables[name] = made[name]
            continue
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
    for array in (roi.image, roi.outline, *roi.reader_outlines):
        if array is not None:  # other feature sets, and the next call, are to see the same ROI
            array.setflags(write=False)
    try:
        with contained():
            if extract not in _warm:  # a process's first call imports libraries; it does not count
                extract(roi)
                _warm.add(extract)
            start = time.perf_counter()
            value = extract(roi)
            seconds = time.perf_counter() - start
        checked = checked_features(value)
    except UnavailableError as error:
        return Extracted(roi_id, 0.0, unavailable=str(error))
    except Exception as error:  # an extractor may raise anything; the record says what
        return Extracted(roi_id, 0.0, error=describe_error(error))
    return Extracted(roi_id, seconds, checked)


def _collect(name: str, extracted: list[Extracted], found: Extraction) -> None:
    """Put one feature set's table, or why there is none, with what was found so far."""
    extracted.sort(key=lambda each: each.roi_id)
    unavailable = [each for each in extracted if each.unavailable]
    if unavailable:
        found.failures.append(
            Failure("skipped", "extract", unavailable[0].unavailable, features=name)
        )
        return
    try:
        good, odd, usual = _alike(name, [each for each in extracted if each.value is not None])
    except ValueError as error:
        found.failures.append(Failure("failed", "extract", str(error), features=name))
        good, odd, usual = [], [], ""
    wrong = [(each.roi_id, each.error) for each in extracted if each.error]
    wrong += [(each.roi_id, f"extract gave {_told(each)}; most ROIs have {usual}") for each in odd]
    for roi_id, why in sorted(wrong):
        found.failures.append(Failure("failed", "extract", why, features=name, roi_id=roi_id))
    found.timings.append(
        {
            "arm": "", "model": "", "features": name, "stage": "extract", "repeat": -1, "fold": -1,
            "seconds": sum(each.seconds for each in good), "n_rois": len(good),
            "n_cached": sum(each.cached for each in good), "device": "cpu",
        }
    )  # fmt: skip
    if not good:
        return
    first = good[0].value
    values: NDArray[Any]
    if isinstance(first, np.ndarray):
        columns: tuple[str, ...] = ()
        values = np.stack([cast("NDArray[Any]", each.value) for each in good])
    else:
        columns = tuple(cast("dict[str, float]", first))
        rows = [list(cast("dict[str, float]", each.value).values()) for each in good]
        values = np.array(rows, dtype=np.float64)
    place_of = {each.roi_id: row for row, each in enumerate(good)}
    found.tables[name] = FeatureTable(place_of, values, columns)


def _alike(name: str, given: Sequence[Extracted]) -> tuple[list[Extracted], list[Extracted], str]:
    """ROIs whose features are of the kind that most have, the others, and that kind in words."""
    kinds = Counter(kind_of(cast("Value", each.value)) for each in given)
    if not kinds:
        return [], [], ""
    (usual, count), *_ = kinds.most_common(1)
    alike: list[Extracted] = []
    others: list[Extracted] = []
    for each in given:
        (alike if kind_of(cast("Value", each.value)) == usual else others).append(each)
    if count <= len(others):
        raise ValueError(
            f"feature set '{name}' gives other columns for roi_id '{others[0].roi_id}' than for "
            f"'{alike[0].roi_id}', and no kind is that of most ROIs; they must be the same for all"
        )
    return alike, others, _told(alike[0])


def _told(each: Extracted) -> str:
    """The kind of a ROI's features, in words."""
    if isinstance(each.value, np.ndarray):
        return f"an array of {each.value.dtype} and shape {each.value.shape}"
    names = list(cast("dict[str, float]", each.value))
    return f"{len(names)} features ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
