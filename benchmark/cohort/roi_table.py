"""Table of ROIs, one row each: what readers and scan say of it; strata are made from it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import pandas as pd

from benchmark.cohort.hounsfield import doubt
from benchmark.cohort.labels import Cohort
from benchmark.columns import ROI_TABLE
from benchmark.roi import Roi, RoiRecord


@dataclass(frozen=True, slots=True)
class RoiExtent:
    """Extent of a ROI, from its voxels, and what is unusual in them.

    Attributes
    ----------
    equivalent_diameter_mm : float
        Of the sphere of the mask's volume; NaN in a dataset without masks.
    slice_spacing_mm : float
        Distance between slices.
    margin_mm : float
        Least image around the mask's box; NaN in a dataset without masks.
    obliquity_deg : float
        Angle between the voxels' axes and the patient's.
    doubt : str
        Reason to doubt that values are HU; empty where there is none.
    negative : bool
        Some voxel is below 0 HU.
    """

    equivalent_diameter_mm: float
    slice_spacing_mm: float
    margin_mm: float = math.nan
    obliquity_deg: float = 0.0
    doubt: str = ""
    negative: bool = True


def measure(roi: Roi) -> RoiExtent:
    """Extent of a ROI."""
    diameter, margin = math.nan, math.nan
    if roi.has_mask:
        diameter, margin = roi.equivalent_diameter_mm, roi.margin_mm
    return RoiExtent(
        diameter, roi.spacing_mm[0], margin, roi.obliquity_deg,
        doubt(roi.image, roi.outline), bool((roi.image < 0).any()),
    )  # fmt: skip


def table(cohort: Cohort, measured: Sequence[RoiExtent]) -> pd.DataFrame:
    """Characteristics of a cohort's ROIs, unrounded.

    Parameters
    ----------
    cohort : Cohort
    measured : sequence of RoiExtent
        Measures in the order of ``cohort.records``.

    Returns
    -------
    DataFrame
        Columns of ``ROI_TABLE``; NaN where the dataset does not say. The slice thickness is the
        manifest's ``slice_thickness_mm`` (that of the reconstruction), else the distance
        between slices. ``malignancy_range`` is the highest less the lowest of two or more
        ratings.
    """
    rows = [
        (
            record.roi_id, record.patient_id, label, voxels.equivalent_diameter_mm,
            _number(record.attributes.get("slice_thickness_mm", ""), voxels.slice_spacing_mm),
            *_malignancy(record), _number(record.attributes.get("texture", ""), math.nan),
            voxels.margin_mm, voxels.obliquity_deg, voxels.doubt, record.source,
        )
        for record, label, voxels in zip(
            cohort.records, cohort.labels.tolist(), measured, strict=True
        )
    ]  # fmt: skip
    return ROI_TABLE.frame(rows)


def _malignancy(record: RoiRecord) -> tuple[float, float]:
    ratings = record.malignancy_ratings
    if not ratings:
        return math.nan, math.nan
    spread = float(max(ratings) - min(ratings)) if len(ratings) > 1 else math.nan
    return fmean(ratings), spread


def _number(text: str, otherwise: float) -> float:
    """Mean of the numbers in a manifest's cell; such cells are free text in users' files."""
    try:
        values = [float(word) for word in text.split()]
    except ValueError:
        return otherwise
    return fmean(values) if values else otherwise
