"""A look at a ROI dataset before it is trusted: counts, sizes, labels, duplicates, pictures."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.audit import stability
from benchmark.audit.contact_sheet import draw
from benchmark.cohort import near_duplicates
from benchmark.cohort.hounsfield import doubt
from benchmark.cohort.labels import LabelRule, assemble
from benchmark.datasets import manifest
from benchmark.formats.files import DEFAULT_ACCESS, Access
from benchmark.plugins import modifiers, registry
from benchmark.plugins.contracts import Extract
from benchmark.report.tables.table import Table
from benchmark.roi import CANONICAL_MARGIN_MM, OBLIQUE_DEG, Roi, RoiDataset, RoiRecord
from benchmark.runtime.folders import check_new, new_folder, write_text
from benchmark.runtime.progress import Progress
from benchmark.runtime.workers import LocalWorkers
from benchmark.stored_table import csv_text

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
JSON_NAME, SHEET_NAME = "audit.json", "contact_sheet.png"
STABILITY_NAME = "stability.csv"
_EXAMPLES = 3  # ROIs named on the terminal; audit.json names all


@dataclass(frozen=True)
class AuditedRoi:
    """One ROI's part of the audit; ``error`` alone is set where the ROI cannot be read."""

    roi_id: str
    error: str = ""
    n_slices: int = 0
    slice_spacing_mm: float = 0.0
    pixel_spacing_mm: float = 0.0
    volume_mm3: float = 0.0
    equivalent_diameter_mm: float = 0.0
    in_plane_mm: float = 0.0
    hu_low: float = 0.0
    hu_high: float = 0.0
    touches_in_plane: bool = False
    touches_along_z: bool = False
    margin_mm: float = 0.0
    obliquity_deg: float = 0.0
    doubt: str = ""
    image_hash: str = ""
    content_hash: str = ""
    thumbnail: near_duplicates.Descriptor | None = None


DISTRIBUTIONS = {
    "n_slices": ("slices", ""),
    "slice_spacing_mm": ("slice spacing", "mm"),
    "pixel_spacing_mm": ("pixel spacing", "mm"),
    "in_plane_mm": ("smaller in-plane side", "mm"),
    "volume_mm3": ("nodule volume", "mm3"),
    "equivalent_diameter_mm": ("equivalent diameter", "mm"),
    "hu_low": ("lowest voxel", "HU"),
    "hu_high": ("highest voxel", "HU"),
}
"""Measures whose quantiles are stored, with their names and units on the terminal."""

_LISTS = (
    "single_slice", "mask_touches_in_plane_border", "mask_touches_first_or_last_slice",
    "image_ends_near_mask", "oblique", "hardly_hu",
    "same_content", "same_image_other_mask", "same_image_in_several_patients", "near_duplicates",
    "near_duplicates_in_several_patients",
    "patients_with_several_scans", "unreadable",
)  # fmt: skip


def audit_rois(
    path: Path,
    out: Path,
    jobs: int,
    progress: Progress,
    features: str | None = None,
    access: Access = DEFAULT_ACCESS,
) -> tuple[dict[str, Any], list[Table]]:
    """Audit a manifest or its folder, and write ``audit.json`` and ``contact_sheet.png``.

    Parameters
    ----------
    path : Path
        A manifest or a folder that holds one; nothing is written there.
    out : Path
        New folder.
    jobs : int
    progress : Progress
    features : str, optional
        Feature set whose stability over masks is measured too, into ``stability.csv``; this
        takes minutes.
    access : Access, optional

    Returns
    -------
    findings : dict
        The content of ``audit.json``.
    tables : list of Table
        The same for a terminal.

    Raises
    ------
    ValueError
        Where there is no usable manifest, or ``out`` exists. Voxels that cannot be read are
        part of the findings.
    """
    check_new(out)
    if features is not None:
        _extractors(features)
    dataset = manifest.open_dataset(path, access)
    ordered = sorted(dataset.records, key=lambda r: r.roi_id)
    measured: list[AuditedRoi] = []
    for one in LocalWorkers(jobs).map(partial(measure, dataset.read), ordered, batch=16):
        measured.append(one)
        progress.update("Reading ROIs", len(measured), len(ordered))
    findings = {"dataset": dataset.name, "manifest": str(path), **find(dataset, measured)}
    shown = tables(findings)
    agreement = None
    if features is not None:
        readable = [r for r in ordered if r.roi_id not in findings["unreadable"]]
        if len(findings["single_slice"]) == len(readable):
            features = registry.load_feature_set(features).planar or features
        agreement, more = stability.run(dataset, readable, _extractors(features), jobs, progress)
        findings["stability"] = {"features": features, **more}
        shown += stability.tables(agreement, more)
    with new_folder(out) as draft:
        (draft / JSON_NAME).write_text(json.dumps(findings, indent=1) + "\n", encoding="utf-8")
        draw(dataset, _by_size(dataset, measured), draft / SHEET_NAME)
        if agreement is not None:
            write_text(draft / STABILITY_NAME, csv_text(agreement))
    return findings, shown


def measure(read: Callable[[RoiRecord], Roi], record: RoiRecord) -> AuditedRoi:
    """Read and measure one ROI."""
    try:
        roi = read(record)
    except ValueError as error:
        return AuditedRoi(record.roi_id, error=str(error))
    edges = [roi.mask.take((0, -1), axis=axis).any() for axis in range(3)]
    spacing_mm = roi.spacing_mm
    sides_mm = [n * s for n, s in zip(roi.image.shape, spacing_mm, strict=True)]
    image_hash = hashlib.sha256(repr((roi.image.shape, spacing_mm)).encode())
    image_hash.update(np.ascontiguousarray(roi.image).tobytes())
    return AuditedRoi(
        roi_id=record.roi_id,
        n_slices=roi.image.shape[0],
        slice_spacing_mm=spacing_mm[0],
        pixel_spacing_mm=max(spacing_mm[1:]),
        volume_mm3=roi.volume_mm3,
        equivalent_diameter_mm=roi.equivalent_diameter_mm,
        in_plane_mm=min(sides_mm[1:]),
        hu_low=float(roi.image.min()),
        hu_high=float(roi.image.max()),
        touches_in_plane=bool(edges[1] or edges[2]),
        touches_along_z=bool(edges[0]),
        margin_mm=roi.margin_mm,
        obliquity_deg=roi.obliquity_deg,
        doubt=doubt(roi.image, roi.mask),
        image_hash=image_hash.hexdigest(),
        content_hash=roi.content_hash(),
        thumbnail=near_duplicates.descriptor(roi),
    )


def find(dataset: RoiDataset, measured: Sequence[AuditedRoi]) -> dict[str, Any]:
    """The findings, in plain values; every list names all ROIs or patients concerned."""
    readable = [m for m in measured if not m.error]
    by_image, by_content = _groups(readable, "image_hash"), _groups(readable, "content_hash")
    patient_of = {r.roi_id: r.patient_id for r in dataset.records}
    scans: dict[str, set[str]] = defaultdict(set)
    for record in dataset.records:
        scans[record.patient_id].add(record.attributes.get("series_instance_uid", ""))
    nodules = Counter(patient_of.values())
    similar = [
        [pair.roi_a, pair.roi_b]
        for pair in near_duplicates.find(
            [m.roi_id for m in readable],
            [m.thumbnail for m in readable if m.thumbnail is not None],
        )
    ]
    readers = Counter(len(r.malignancy_ratings) for r in dataset.records if r.label is None)
    return {
        "n_rois": len(measured),
        "n_patients": len(nodules),
        "intensities": dataset.intensities,
        "rois_per_patient": _distribution(list(nodules.values())),
        "labels": _labels(dataset),
        "readers": {str(n): readers[n] for n in sorted(readers)},
        "distributions": {
            name: _distribution([getattr(m, name) for m in readable]) for name in DISTRIBUTIONS
        },
        "single_slice": [m.roi_id for m in readable if m.n_slices == 1],
        "mask_touches_in_plane_border": [m.roi_id for m in readable if m.touches_in_plane],
        "mask_touches_first_or_last_slice": [m.roi_id for m in readable if m.touches_along_z],
        "image_ends_near_mask": [m.roi_id for m in readable if m.margin_mm < CANONICAL_MARGIN_MM],
        "oblique": [m.roi_id for m in readable if m.obliquity_deg > OBLIQUE_DEG],
        "hardly_hu": {m.roi_id: m.doubt for m in readable if m.doubt},
        "same_content": by_content,
        "same_image_other_mask": [g for g in by_image if g not in by_content],
        "same_image_in_several_patients": [
            group for group in by_image if len({patient_of[i] for i in group}) > 1
        ],
        "near_duplicates": similar,
        "near_duplicates_in_several_patients": [
            pair for pair in similar if len({patient_of[i] for i in pair}) > 1
        ],
        "patients_with_several_scans": sorted(p for p, s in scans.items() if len(s) > 1),
        "unreadable": {m.roi_id: m.error for m in measured if m.error},
    }


def tables(findings: dict[str, Any]) -> list[Table]:
    """The findings for a terminal."""
    labels = findings["labels"]
    rows: list[tuple[str, ...]] = [
        ("ROIs", "", str(findings["n_rois"])),
        ("patients", _most(findings["rois_per_patient"]), str(findings["n_patients"])),
        ("malignant", labels["protocol"], str(labels["n_malignant"])),
        ("benign", "", str(labels["n_benign"])),
        *(("left out", why, str(n)) for why, n in labels["excluded"].items()),
        *(("rated", f"by {n}", str(count)) for n, count in findings["readers"].items()),
    ]
    for key in _LISTS:
        rows.append((key.replace("_", " "), _examples(findings[key]), str(len(findings[key]))))
    shares = ("min", *(f"{q:.0%}" for q in QUANTILES[1:-1]), "max")
    spread = [
        (name, unit, *(f"{value:.4g}" for value in findings["distributions"][key]))
        for key, (name, unit) in DISTRIBUTIONS.items()
        if findings["distributions"][key]
    ]
    notes = [
        f"Unreadable: {reason}" for reason in list(findings["unreadable"].values())[:_EXAMPLES]
    ]
    notes += [
        f"Hardly HU: {roi_id}: {reason}"
        for roi_id, reason in list(findings["hardly_hu"].items())[:_EXAMPLES]
    ]
    title = f"Audit of {findings['dataset']}"
    return [
        Table(title, ("what", "which", "number"), rows, []),
        Table("Distributions, of readable ROIs", ("measure", "unit", *shares), spread, notes),
    ]


def _extractors(features: str) -> dict[str, Extract]:
    """A feature set with its own mask and with perturbed ones.

    Raises
    ------
    ValueError
        Where the feature set takes no mask modifiers, or has one already.
    """
    if modifiers.split(features)[1]:
        raise ValueError(
            f"--features {features}: stability compares masks by itself; name the feature set "
            f"without its modifier, '{modifiers.split(features)[0]}'"
        )
    names = {stability.OWN: features}
    names |= {change: modifiers.join(features, change) for change in stability.PERTURBATIONS}
    return {mask: registry.load_feature_set(name).extract for mask, name in names.items()}


def _labels(dataset: RoiDataset) -> dict[str, Any]:
    """Balance of the labels under the default rule, or the reason why there is none."""
    try:
        cohort = assemble(dataset, LabelRule())
    except ValueError as error:
        return {"protocol": str(error), "n_malignant": 0, "n_benign": 0, "excluded": {}}
    malignant = int(cohort.labels.sum())
    return {
        "protocol": cohort.protocol,
        "n_malignant": malignant,
        "n_benign": len(cohort.labels) - malignant,
        "excluded": cohort.excluded,
    }


def _groups(measured: Sequence[AuditedRoi], attribute: str) -> list[list[str]]:
    """Groups of two or more ROI ids that share a value."""
    found: dict[str, list[str]] = defaultdict(list)
    for one in measured:
        found[getattr(one, attribute)].append(one.roi_id)
    return [ids for ids in found.values() if len(ids) > 1]


def _distribution(values: Sequence[float]) -> list[float]:
    """Values at ``QUANTILES``; empty where there are none."""
    return [float(v) for v in np.quantile(values, QUANTILES)] if len(values) else []


def _by_size(dataset: RoiDataset, measured: Sequence[AuditedRoi]) -> list[RoiRecord]:
    size = {m.roi_id: m.volume_mm3 for m in measured if not m.error}
    readable = [r for r in dataset.records if r.roi_id in size]
    return sorted(readable, key=lambda r: (size[r.roi_id], r.roi_id))


def _most(rois_per_patient: Sequence[float]) -> str:
    return f"{rois_per_patient[-1]:.0f} ROIs at most" if rois_per_patient else ""


def _examples(names: Sequence[str] | Sequence[Sequence[str]]) -> str:
    shown = [n if isinstance(n, str) else " = ".join(n) for n in list(names)[:_EXAMPLES]]
    return ", ".join(shown) + (", ..." if len(names) > _EXAMPLES else "")
