"""Supervision: which ROIs and which readings each arm may learn from, split by split."""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.cohort.labels import Cohort
from benchmark.cohort.splits import Split
from benchmark.plugins.arms import LABELS, LEFT_OUT_TOO, Arm
from benchmark.plugins.contracts import Readings
from benchmark.roi import RoiRecord


def records_to_extract(cohort: Cohort, arms: Sequence[Arm]) -> list[RoiRecord]:
    """ROIs whose features the arms need: the cohort's, then those that some arm learns from too."""
    wanted = any(arm.supervision == LEFT_OUT_TOO for arm in arms)
    return [*cohort.records, *(cohort.left_out if wanted else ())]


def cannot_learn(arm: Arm, cohort: Cohort) -> str:
    """Why an arm cannot learn from a cohort; empty where it can."""
    if arm.supervision == LABELS:
        return ""
    silent = [r.roi_id for r in cohort.records if not r.malignancy_ratings]
    if not silent:
        return ""
    return (
        f"{arm.model} learns from readers' ratings, and roi_id '{silent[0]}' has none "
        f"({len(silent)} of {len(cohort.records)} have none)"
    )


def left_out_to_learn_from(arm: Arm, split: Split, cohort: Cohort) -> list[RoiRecord]:
    """ROIs without a label that an arm learns from on a split.

    They are those that the label rule leaves out, of patients who are trained on and of whom no
    ROI is tested.
    """
    if arm.supervision != LEFT_OUT_TOO:
        return []
    patient_of = dict(zip(cohort.roi_ids.tolist(), cohort.patients.tolist(), strict=True))
    trained, tested = ({patient_of[i] for i in ids} for ids in (split.train, split.test))
    return [r for r in cohort.left_out if r.patient_id in trained - tested]


def readings_of(arm: Arm, records: Sequence[RoiRecord]) -> Readings | None:
    """Readings of the training rows, for an arm that learns from them; else None."""
    if arm.supervision == LABELS:
        return None
    return Readings(
        tuple(record.malignancy_ratings for record in records),
        tuple(record.attributes for record in records),
    )
