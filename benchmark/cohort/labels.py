"""Label rules: from readers' suspicion ratings to labels.

A label made here is what radiologists suspected, not pathology. How the ratings are
aggregated, and what happens to the indeterminate ones, moves the AUC of every model:
the rule belongs beside every result (``Cohort.protocol``). Labels that a dataset carries come
from where it says (``RoiRecord.source``), which stands there as well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean, median
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge
from numpy.typing import NDArray

from benchmark.roi import RoiDataset, RoiRecord

INDETERMINATE = 3
"""Midpoint of the 1-5 suspicion scale."""

AS_GIVEN = "as given by the dataset"
"""Words in ``Cohort.protocol`` where every label is the dataset's own."""


@dataclass(frozen=True)
class LabelRule:
    """Rule by which ratings become labels.

    Attributes
    ----------
    aggregation : {"median", "mean"}
        How a nodule's ratings are combined.
    min_readers : int
        Nodules rated by fewer readers are left out.
    indeterminate : {"drop", "benign", "malignant"}
        Treatment of an aggregate of exactly 3; above 3 is malignant, below 3 benign.
    """

    aggregation: Literal["median", "mean"] = "median"
    min_readers: Annotated[int, Ge(1)] = 3
    indeterminate: Literal["drop", "benign", "malignant"] = "drop"

    def aggregate(self, ratings: tuple[int, ...]) -> float:
        """Mean or median of the ratings, on the 1-5 scale."""
        return fmean(ratings) if self.aggregation == "mean" else float(median(ratings))

    def describe(self) -> str:
        fate = {
            "drop": "dropped",
            "benign": "counted as benign",
            "malignant": "counted as malignant",
        }[self.indeterminate]
        return (
            f"label: {self.aggregation} of the readers' malignancy ratings > 3, "
            f"at least {self.min_readers} readers, exactly 3 {fate}"
        )


@dataclass(frozen=True, eq=False)
class Cohort:
    """The labelled ROIs that a run uses, in order of ``roi_id``.

    Attributes
    ----------
    records : tuple of RoiRecord
    labels : ndarray, shape (n_rois,), int64
        0 benign, 1 malignant.
    patients : ndarray, shape (n_rois,), str
    excluded : dict of str to int
        Reason -> number of ROIs left out.
    protocol : str
        The label rule in words.
    left_out : tuple of RoiRecord
        ROIs with ratings that the rule leaves out, in order of ``roi_id``.
    """

    records: tuple[RoiRecord, ...]
    labels: NDArray[np.int64]
    patients: NDArray[np.str_]
    excluded: dict[str, int]
    protocol: str
    left_out: tuple[RoiRecord, ...] = ()

    @property
    def roi_ids(self) -> NDArray[np.str_]:
        return np.array([r.roi_id for r in self.records])

    def describe(self) -> str:
        text = (
            f"{len(self.records)} ROIs of {len(set(self.patients))} patients, "
            f"{int(self.labels.sum())} malignant"
        )
        left_out = ", ".join(f"{n} {why}" for why, n in self.excluded.items() if n)
        return f"{text}; left out: {left_out}" if left_out else text


def assemble(dataset: RoiDataset, rule: LabelRule) -> Cohort:
    """Apply the rule; a dataset that carries labels ignores it, and the protocol says so.

    Raises
    ------
    ValueError
        Where no ROI, or ROIs of one class only, are left.
    """
    excluded: dict[str, int] = {}
    kept: list[tuple[RoiRecord, int]] = []
    left_out: list[RoiRecord] = []
    n_given = sum(r.label is not None for r in dataset.records)
    for record in sorted(dataset.records, key=lambda r: r.roi_id):
        label: int | None = record.label
        reason = ""
        if label is None:
            label, reason = _label(record.malignancy_ratings, rule)
        if label is None:
            excluded[reason] = excluded.get(reason, 0) + 1
            if record.malignancy_ratings:
                left_out.append(record)
        else:
            kept.append((record, label))

    if n_given == len(dataset.records):
        protocol = f"label: {AS_GIVEN} (the label rule is ignored)"
    elif n_given:
        protocol = f"{rule.describe()}; {n_given} ROIs carry a label of their own, used as given"
    else:
        protocol = rule.describe()
    if any(record.label is not None and record.source for record, _ in kept):
        protocol += f"; {describe_sources(Counter(record.source for record, _ in kept))}"

    labels = np.array([label for _, label in kept], dtype=np.int64)
    if len(set(labels.tolist())) < 2:
        present = {0: "benign", 1: "malignant"}
        found = f"only {present[int(labels[0])]} ones" if len(labels) else "none"
        raise ValueError(
            f"dataset '{dataset.name}' has {len(kept)} usable ROIs, {found} ({protocol}); "
            "both benign and malignant ROIs are needed"
        )
    return Cohort(
        records=tuple(record for record, _ in kept),
        labels=labels,
        patients=np.array([record.patient_id for record, _ in kept]),
        excluded=excluded,
        protocol=protocol,
        left_out=tuple(left_out),
    )


def describe_sources(counts: Mapping[str, int]) -> str:
    """What labels rest on, in words; several sources with the ROIs of each.

    Parameters
    ----------
    counts : mapping of str to int
        ROIs by ``RoiRecord.source``.
    """
    if len(counts) == 1:
        return f"label source: {source_name(next(iter(counts)))}"
    listed = ", ".join(f"{source_name(source)} {n}" for source, n in sorted(counts.items()))
    return f"label sources: {listed} ROIs"


def source_name(source: str) -> str:
    """Name of a label source in tables."""
    return source or "not stated"


def _label(ratings: tuple[int, ...], rule: LabelRule) -> tuple[int | None, str]:
    if len(ratings) < rule.min_readers:
        return None, f"with fewer than {rule.min_readers} readers"
    value = rule.aggregate(ratings)
    if value != INDETERMINATE:
        return int(value > INDETERMINATE), ""
    if rule.indeterminate == "drop":
        return None, "indeterminate"
    return int(rule.indeterminate == "malignant"), ""
