"""Cache of the work of runs: features by content, fits and statistics by all that they depend on.

A feature value is known again by the ROI's voxels, masks, spacing, id and attributes, and the
extractor's code; a fit by the rows that it saw and was tested on, labels, patients, seed, settings
and the model's code; statistics by the predictions, the ROIs' table, splits, resamples, seed and
all of this project's code; everything by package versions, processor and environment as well. Times
that are recalled are those of the run that measured them, and counted as such (``n_cached``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark.cohort.splits import Split
from benchmark.columns import (
    COMPARISON_TABLE,
    METRIC_TABLE,
    RANK_TABLE,
    SPLIT_METRIC_TABLE,
    STRATA_TABLE,
)
from benchmark.config import Bootstrap
from benchmark.plugins.registry import files_of_features, path_of
from benchmark.roi import RoiRecord
from benchmark.run import stored_models
from benchmark.run.extraction import Extracted
from benchmark.run.fitting import Task, Tested
from benchmark.run.results import FeatureTable
from benchmark.runtime import provenance
from benchmark.runtime.failures import Failure
from benchmark.runtime.paths import ROOT
from benchmark.runtime.store import Store
from benchmark.stored_table import StoredTable

Tables = list[tuple[StoredTable, pd.DataFrame]]

_FITTING = ROOT / "benchmark" / "run" / "fitting.py"
_OF_STATISTICS = {
    table.name: table
    for table in (
        METRIC_TABLE, COMPARISON_TABLE, RANK_TABLE, STRATA_TABLE, SPLIT_METRIC_TABLE,
    )
}  # fmt: skip
_WHEREABOUTS = ("image", "mask", "reader_masks", "manifest_row", "split")
"""Attributes that say where a ROI is kept or who trains on it, not what it is."""


@dataclass
class Counts:
    """Counts of what was recalled, and of what had to be done."""

    recalled: int = 0
    done: int = 0


@dataclass
class RunCache:
    """Recalls and keeps the work of runs in a store.

    Attributes
    ----------
    store : Store
    contents : mapping of str to str
        ROI id -> digest of what was read, as ``Roi.content_hash`` gives it.
    settings : mapping of str to dict
        Of models, by name.
    machines : sequence of tuple of str
        Those that do the work, where they are not as this one.
    features, fits, statistics : Counts
        Statistics count as one, done or recalled.
    """

    store: Store
    contents: Mapping[str, str]
    settings: Mapping[str, Mapping[str, Any]]
    machines: Sequence[tuple[str, ...]] = ()
    features: Counts = field(default_factory=Counts)
    fits: Counts = field(default_factory=Counts)
    statistics: Counts = field(default_factory=Counts)

    def recall_features(self, name: str, records: Sequence[RoiRecord]) -> dict[str, Extracted]:
        """Features by ROI id; ids that are not known are absent."""
        keys = {self._feature_key(name, record): record.roi_id for record in records}
        stored = self.store.get(list(keys))
        found = {keys[key]: _unpack_features(keys[key], value) for key, value in stored.items()}
        self.features.recalled += len(found)
        return found

    def keep_features(
        self, name: str, records: Sequence[RoiRecord], extracted: Sequence[Extracted]
    ) -> None:
        """Remember those that have a value."""
        self.features.done += len(extracted)
        if not all(map(provenance.unchanged, files_of_features(name))):
            return
        record_of = {record.roi_id: record for record in records}
        self.store.put(
            {
                self._feature_key(name, record_of[each.roi_id]): _pack_features(each)
                for each in extracted
                if each.value is not None
            }
        )

    def recall_fits(
        self, tasks: Sequence[Task], table: FeatureTable, *, together: bool = False
    ) -> list[Tested | None]:
        """Recall fits; None where one is not known, or its model is wanted and was not kept.

        Fits of tasks ``together`` are those made as this one program, all or none.
        """
        keys = self._fit_keys(tasks, table, together=together)
        stored = self.store.get(keys)
        known = [_unpack_fit(stored[key]) if key in stored else None for key in keys]
        found = [
            None if tested is None or (task.kept and not tested.packed) else tested
            for task, tested in zip(tasks, known, strict=True)
        ]
        if together and None in found:
            return [None] * len(found)
        self.fits.recalled += len(found) - found.count(None)
        return found

    def keep_fits(
        self,
        tasks: Sequence[Task],
        fits: Sequence[Tested | Failure],
        table: FeatureTable,
        *,
        together: bool = False,
    ) -> None:
        """Remember those that succeeded, all at once."""
        keys = self._fit_keys(tasks, table, together=together)
        entries = {
            key: _pack_fit(fit)
            for key, fit in zip(keys, fits, strict=True)
            if isinstance(fit, Tested)
        }
        self.fits.done += len(entries)
        ran = {path_of("models", task.arm.model) for task in tasks} | {_FITTING}
        if all(map(provenance.unchanged, ran)):
            self.store.put(entries)

    def tables(
        self,
        predictions: pd.DataFrame,
        rois: pd.DataFrame,
        splits: Sequence[Split],
        bootstrap: Bootstrap,
        seed: int,
        work_out: Callable[[], Tables],
    ) -> Tables:
        """The tables of statistics on these, recalled or else worked out and remembered."""
        key = _key(
            "statistics", provenance.all_code(), provenance.surroundings(), self.machines,
            _content(predictions), _content(rois), [asdict(split) for split in splits],
            asdict(bootstrap), seed,
        )  # fmt: skip
        stored = self.store.get([key])
        if key in stored:
            self.statistics.recalled += 1
            return _unpack_tables(stored[key])
        tables = work_out()
        self.statistics.done += 1
        if provenance.all_unchanged():
            self.store.put({key: _pack_tables(tables)})
        return tables

    def describe(self) -> dict[str, Any]:
        """For ``environment.json``: what was recalled and what was done."""
        return {
            "features": asdict(self.features),
            "fits": asdict(self.fits),
            "statistics": asdict(self.statistics),
            "damaged": self.store.damaged,
            "problem": self.store.problem,
        }

    def _feature_key(self, name: str, record: RoiRecord) -> bytes:
        attributes = {k: v for k, v in record.attributes.items() if k not in _WHEREABOUTS}
        return _key(
            "features", name, [provenance.digest(file) for file in files_of_features(name)],
            provenance.surroundings(),
            self.machines, self.contents[record.roi_id], record.roi_id, record.malignancy_ratings,
            record.intensities, attributes,
        )  # fmt: skip

    def _fit_keys(
        self, tasks: Sequence[Task], table: FeatureTable, *, together: bool
    ) -> list[bytes]:
        keys = [self._fit_key(task, table) for task in tasks]
        if not together:
            return keys
        company = b"".join(keys)  # on which rounding depends
        return [hashlib.sha256(key + company).digest() for key in keys]

    def _fit_key(self, task: Task, table: FeatureTable) -> bytes:
        model = task.arm.model
        about = _key(
            "fit", model, provenance.digest(path_of("models", model)), provenance.surroundings(),
            self.machines, provenance.digest(_FITTING),
            task.arm.settings_beside(self.settings), task.seed,
            task.y.tolist(), task.groups.tolist(), _readings(task),
        )  # fmt: skip
        rows = (table.digests[row] for side in (task.train, task.test) for row in side)
        return hashlib.sha256(b"".join([about, len(task.train).to_bytes(8), *rows])).digest()


def _readings(task: Task) -> list[Any] | None:
    if task.readings is None:
        return None
    return [task.readings.ratings, [dict(each) for each in task.readings.attributes]]


def _key(*parts: Any) -> bytes:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).digest()


def _content(table: pd.DataFrame) -> str:
    return hashlib.sha256(table.to_parquet(index=False)).hexdigest()


def _pack(about: Mapping[str, Any], *arrays: NDArray[Any] | bytes) -> bytes:
    """A line of JSON, and bytes."""
    blobs = [each if isinstance(each, bytes) else each.tobytes() for each in arrays]
    # Plug-ins may return numpy's numbers.
    line = json.dumps({**about, "sizes": [len(blob) for blob in blobs]}, default=float)
    return b"".join([line.encode(), b"\n", *blobs])


def _unpack(value: bytes) -> tuple[dict[str, Any], list[bytes]]:
    line, _, rest = value.partition(b"\n")
    about = json.loads(line)
    ends = np.cumsum([0, *about["sizes"]]).tolist()
    return about, [rest[start:end] for start, end in pairwise(ends)]


def _pack_features(each: Extracted) -> bytes:
    if isinstance(each.value, np.ndarray):
        about = {"dtype": each.value.dtype.str, "shape": each.value.shape}
        return _pack({"seconds": each.seconds, **about}, each.value)
    return _pack({"seconds": each.seconds, "value": each.value})


def _unpack_features(roi_id: str, value: bytes) -> Extracted:
    about, blobs = _unpack(value)
    if "value" in about:
        return Extracted(roi_id, about["seconds"], about["value"], cached=True)
    (blob,) = blobs
    array = np.frombuffer(blob, about["dtype"]).reshape(about["shape"])
    return Extracted(roi_id, about["seconds"], array, cached=True)


def _pack_fit(tested: Tested) -> bytes:
    about = {
        "threshold": tested.threshold, "training_auc": tested.training_auc,
        "fit_s": tested.fit_s, "predict_s": tested.predict_s, "device": tested.device,
        "epochs": tested.epochs, "choices": tested.choices,
        "signature": stored_models.sign(tested.packed) if tested.packed else "",
    }  # fmt: skip
    return _pack(about, tested.probabilities, tested.packed)


def _unpack_fit(value: bytes) -> Tested:
    about, blobs = _unpack(value)
    del about["sizes"]
    probabilities, packed = blobs
    if not stored_models.is_ours(packed, about.pop("signature", "")):
        packed = b""  # somebody else's, who can write the cache: it is fitted again if wanted
    return Tested(np.frombuffer(probabilities, np.float64), packed=packed, cached=True, **about)


def _pack_tables(tables: Tables) -> bytes:
    rows = {table.name: frame.to_numpy().tolist() for table, frame in tables}
    return _pack({"tables": rows})


def _unpack_tables(value: bytes) -> Tables:
    about, _ = _unpack(value)
    found = ((_OF_STATISTICS[name], rows) for name, rows in about["tables"].items())
    return [(table, table.frame(rows)) for table, rows in found]
