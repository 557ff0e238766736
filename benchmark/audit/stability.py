"""Stability of features when the mask changes: over perturbed masks, and over readers.

There are two comparisons, each with one ICC(2,1) a feature: ``perturbed`` compares the ROI's own
mask with its perturbed ones, ``readers`` the first three readers' masks where there are three.
A feature can agree well here and still tell nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from benchmark.plugins.contracts import Extract
from benchmark.report.tables.table import Table, with_interval
from benchmark.roi import Roi, RoiDataset, RoiRecord
from benchmark.runtime.progress import Progress
from benchmark.runtime.workers import LocalWorkers
from benchmark.statistics.icc import WORDS, icc_2_1, word

PERTURBATIONS = ("dilated", "eroded", "shifted")
"""Mask modifiers whose masks are compared with the ROI's own."""

N_READERS = 3
MIN_ROIS = 2
OWN = "own"
_LEAST_STABLE = 5
_EXAMPLES = 3  # ROIs named on the terminal; all are in the findings


@dataclass(frozen=True)
class MaskFeatures:
    """One ROI's features by mask, and the reasons why some masks have none.

    Attributes
    ----------
    roi_id : str
    features : dict of str to dict
        Features by mask: ``own``, the perturbations, and ``reader 1`` to ``reader 3``.
    failed : dict of str to str
        The reason of failure, by mask.
    few_readers : bool
        True where the ROI has fewer than three readers' masks.
    """

    roi_id: str
    features: dict[str, dict[str, float]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    few_readers: bool = False


def run(
    dataset: RoiDataset,
    records: Sequence[RoiRecord],
    extractors: Mapping[str, Extract],
    jobs: int,
    progress: Progress,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Extract from every mask and compare.

    Parameters
    ----------
    dataset : RoiDataset
    records : sequence of RoiRecord
        ROIs that can be read.
    extractors : mapping of str to callable
        The extractor of ``own`` and of each perturbation.
    jobs : int
    progress : Progress

    Returns
    -------
    table : DataFrame
        One row a comparison and feature: icc, ci_low, ci_high (95 %), agreement in words.
    findings : dict
        Plain values: ROIs compared, and the reason by id for those that were not.

    Raises
    ------
    ValueError
        Where fewer than ``MIN_ROIS`` ROIs can be compared, and for images, whose pixels are not
        named features.
    """
    measured: list[MaskFeatures] = []
    work = partial(measure, dataset.read, extractors=extractors)
    for one in LocalWorkers(jobs).map(work, records, batch=4):
        measured.append(one)
        progress.update("Changing masks", len(measured), len(records))

    comparisons = {"perturbed": list(extractors)}
    if any(not one.few_readers for one in measured):
        comparisons["readers"] = _readers()
    tables, n_rois = [], {}
    for name, masks in comparisons.items():
        complete = [one for one in measured if all(mask in one.features for mask in masks)]
        n_rois[name] = len(complete)
        if len(complete) >= MIN_ROIS:
            tables.append(_compare(name, complete, masks).assign(intensities=dataset.intensities))
    if not tables:
        reasons = (
            f"{one.roi_id}: {next(iter(one.failed.values()))}" for one in measured if one.failed
        )
        raise ValueError(
            f"stability over masks: {n_rois['perturbed']} of {len(measured)} ROIs have features "
            f"from all of {', '.join(extractors)}; {MIN_ROIS} are needed at least "
            f"({next(reasons, 'none failed')})"
        )
    findings = {
        "masks": comparisons,
        "n_rois": n_rois,
        "failed": {one.roi_id: one.failed for one in measured if one.failed},
        f"with_fewer_than_{N_READERS}_readers_masks": [
            one.roi_id for one in measured if one.few_readers
        ],
    }
    return pd.concat(tables, ignore_index=True), findings


def measure(
    read: Callable[[RoiRecord], Roi], record: RoiRecord, extractors: Mapping[str, Extract]
) -> MaskFeatures:
    """One ROI's features from each of its masks.

    Raises
    ------
    ValueError
        Where the features are an image.
    """
    roi = read(record)
    subjects = {name: (extract, roi) for name, extract in extractors.items()}
    few_readers = len(roi.reader_outlines) < N_READERS
    if not few_readers:
        for name, mask in zip(_readers(), roi.reader_outlines, strict=False):
            subjects[name] = (extractors[OWN], replace(roi, outline=mask))
    measured = MaskFeatures(record.roi_id, few_readers=few_readers)
    for name, (extract, subject) in subjects.items():
        try:
            value = extract(subject)
        except Exception as error:  # an extractor may raise anything; the findings say what
            reason = " ".join(str(error).split())
            measured.failed[name] = f"{type(error).__name__}: {reason}"
            continue
        if not isinstance(value, dict):
            raise ValueError(
                "stability over masks compares features by name, and this feature set gives an "
                f"image of shape {value.shape}; name another one, such as radiomics"
            )
        measured.features[name] = value
    return measured


def tables(table: pd.DataFrame, findings: Mapping[str, Any]) -> list[Table]:
    """The stability for a terminal: words by class of features, and the least stable ones."""
    number = Counter(zip(table["comparison"], table["class"], table["agreement"], strict=True))
    kinds = dict.fromkeys((comparison, family) for comparison, family, _ in number)
    counts = [(*kind, *(str(number[*kind, w]) for w in WORDS)) for kind in kinds]
    least: list[tuple[str, ...]] = []
    for name in findings["masks"]:
        lowest = table[table["comparison"] == name].nsmallest(_LEAST_STABLE, "icc")
        for feature, *icc in lowest[["feature", "icc", "ci_low", "ci_high"]].values.tolist():
            least.append((name, feature, with_interval(*icc)))
    notes = [
        f"{name}: {', '.join(masks)}; {findings['n_rois'][name]} ROIs"
        + (", too few to compare" if findings["n_rois"][name] < MIN_ROIS else "")
        for name, masks in findings["masks"].items()
    ]
    notes.append(
        "ICC(2,1), absolute agreement: poor < .5 <= moderate < .75 <= good < .9 <= excellent (Koo "
        "and Li 2016), by the estimate; intervals take ROIs as independent."
    )
    failed = findings["failed"]
    if failed:
        shown = [
            f"{roi_id}, {mask}: {reason}"
            for roi_id, reasons in list(failed.items())[:_EXAMPLES]
            for mask, reason in reasons.items()
        ]
        notes.append(f"Failed and left out: {len(failed)} ROIs ({'; '.join(shown)})")
    return [
        Table("Features over masks, by class", ("comparison", "class", *WORDS), counts, notes),
        Table("Least stable", ("comparison", "feature", "ICC [95 %]"), least, []),
    ]


def _readers() -> list[str]:
    return [f"reader {number}" for number in range(1, N_READERS + 1)]


def _compare(
    comparison: str, measured: Sequence[MaskFeatures], masks: Sequence[str]
) -> pd.DataFrame:
    names = list(measured[0].features[masks[0]])
    values = np.array([[[one.features[m][f] for f in names] for m in masks] for one in measured])
    agreement = icc_2_1(values)
    return pd.DataFrame(
        {
            "comparison": comparison,
            "feature": names,
            "class": [_family(name) for name in names],
            "icc": agreement.icc,
            "ci_low": agreement.low,
            "ci_high": agreement.high,
            "agreement": [word(icc) for icc in agreement.icc],
            "n_rois": len(measured),
            "n_masks": len(masks),
        }
    )


def _family(feature: str) -> str:
    """The class in a pyradiomics feature's name: ``shape`` of ``original_shape_Sphericity``."""
    return feature.split("_")[1] if feature.count("_") >= 2 else ""
