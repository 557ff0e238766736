"""External validation: two datasets joined, one to train on and one to test on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from benchmark.cohort import ids
from benchmark.cohort.labels import Cohort
from benchmark.cohort.splits import Split
from benchmark.roi import Roi, RoiDataset, RoiRecord

SCHEME = "external"
"""Scheme of the split between two datasets, and of its predictions."""


@dataclass(frozen=True, eq=False)
class Joined:
    """Two datasets as one, and the one split between them."""

    dataset: RoiDataset
    cohort: Cohort
    split: Split


@dataclass(frozen=True)
class _Loader:
    """Reads a record by the dataset that it came from; picklable."""

    training: RoiDataset
    test: RoiDataset
    original_id: Mapping[str, str]
    """Own ids of the test ROIs, by the id that they have here."""

    def __call__(self, record: RoiRecord) -> Roi:
        original = self.original_id.get(record.roi_id)
        if original is None:
            return self.training.read(record)
        # Read under its own id, which its dataset's messages name, then known by the new one.
        roi = self.test.read(replace(record, roi_id=original))
        return replace(roi, record=record)


def join(training: tuple[RoiDataset, Cohort], test: tuple[RoiDataset, Cohort]) -> Joined:
    """Join two labelled datasets.

    Where the same ``roi_id`` occurs in both, every test ROI is called ``DATASET/roi_id``.

    Raises
    ------
    ValueError
        Where a patient is in both, or where that cannot be ruled out: two ids may be one, or a
        dataset does not say which patients it holds.
    """
    (training_set, training_cohort), (test_set, test_cohort) = training, test
    _refuse_shared_patients(training, test)
    ours = {r.roi_id for r in (*training_cohort.records, *training_cohort.left_out)}
    clash = ours & set(test_cohort.roi_ids.tolist())
    prefix = f"{test_name(training_set, test_set)}/" if clash else ""
    renamed = tuple(replace(r, roi_id=prefix + r.roi_id) for r in test_cohort.records)
    original_id = {r.roi_id: r.roi_id.removeprefix(prefix) for r in renamed}

    records = training_cohort.records + renamed
    cohort = Cohort(
        records=records,
        labels=np.concatenate([training_cohort.labels, test_cohort.labels]),
        patients=np.concatenate([training_cohort.patients, test_cohort.patients]),
        excluded={},
        protocol=_protocol(training, test),
        left_out=training_cohort.left_out,  # no patient of the other side is among them
    )
    dataset = RoiDataset(
        name=f"{training_set.name}, tested on {test_name(training_set, test_set)}",
        records=records,
        read=_Loader(training_set, test_set, original_id),
        notes=tuple(dict.fromkeys(training_set.notes + test_set.notes)),
    )
    train_ids = tuple(training_cohort.roi_ids.tolist())
    return Joined(dataset, cohort, Split(SCHEME, 0, 0, train_ids, tuple(original_id)))


def describe(training: RoiDataset, test: RoiDataset) -> str:
    """The protocol's line about the split."""
    return (
        f"split: external validation, trained on all of {training.name} and tested on all of "
        f"{test_name(training, test)}, no patient in both"
    )


def test_name(training: RoiDataset, test: RoiDataset) -> str:
    """The test dataset's name, told apart from the training dataset's."""
    return test.name if test.name != training.name else f"{test.name} (test)"


def _refuse_shared_patients(
    training: tuple[RoiDataset, Cohort], test: tuple[RoiDataset, Cohort]
) -> None:
    shared = sorted(set(training[1].patients.tolist()) & set(test[1].patients.tolist()))
    if shared:
        others = f" and {len(shared) - 1} others are" if len(shared) > 1 else " is"
        raise ValueError(
            f"patient '{shared[0]}'{others} in both '{training[0].name}' and '{test[0].name}'; "
            "external validation needs other patients (rename them where they are different "
            "people of the same id)"
        )
    try:
        ids.check_apart(training[1].patients.tolist(), test[1].patients.tolist())
    except ValueError as error:
        raise ValueError(f"'{training[0].name}' and '{test[0].name}': {error}") from error
    for (unnamed, _), (other, cohort) in ((training, test), (test, training)):
        collection = unnamed.unnamed_patients_of
        if collection and (
            other.unnamed_patients_of == collection
            or any(patient.startswith(collection) for patient in cohort.patients.tolist())
        ):
            raise ValueError(
                f"'{unnamed.name}' holds patients of {collection} without their ids, and "
                f"'{other.name}' holds patients of {collection} too: that none is in both cannot "
                "be ruled out"
            )


def _protocol(training: tuple[RoiDataset, Cohort], test: tuple[RoiDataset, Cohort]) -> str:
    ours, theirs = training[1].protocol, test[1].protocol
    if ours == theirs:
        return ours
    name = test_name(training[0], test[0])
    return f"{ours} ({training[0].name}); {theirs.removeprefix('label: ')} ({name})"
