"""One LIDC-IDRI scan on disk: images, masks and their description appear all at once."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.formats import nifti
from benchmark.formats.dicom_folder import names_digest
from benchmark.lidc.annotations import CHARACTERISTICS, MAX_READERS, Nodule, reader_ratings
from benchmark.lidc.crops import Crop, read_crops
from benchmark.lidc.outlines import Outline
from benchmark.lidc.stack import LeftOut, MissingSeriesError
from benchmark.runtime.folders import new_folder, write_digests

SCAN_FILE = "scan.json"
_DESCRIPTIONS = {"image": "LIDC-IDRI, CC BY 3.0; HU", "mask": "LIDC-IDRI, CC BY 3.0; mask"}
_COLUMNS = (
    "roi_id", "patient_id", "study_instance_uid", "series_instance_uid", "pylidc_annotation_id",
    "malignancy_ratings", "n_readers", "image", "mask", "intensities", "pixel_spacing_mm",
    "slice_spacing_mm", "slice_thickness_mm", "crop_row0", "crop_col0", "crop_slice0",
    *CHARACTERISTICS,
)  # fmt: skip


# The process that began this one; another one adopts it where that was killed.
_PARENT = os.getppid()


@dataclass(frozen=True)
class Options:
    """Options that decide on the files that a build writes.

    Attributes
    ----------
    consensus : float
        Share of a nodule's readers that makes a voxel nodule, in (0, 1].
    single_readers : bool
        True where each reader's mask is written as well.
    """

    consensus: float = 0.5
    single_readers: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.consensus <= 1:
            raise ValueError(f"--consensus is {self.consensus}; it must be above 0 and at most 1")


@dataclass(frozen=True, eq=False)
class ScanJob:
    """Job of building one scan, with all that it takes.

    Attributes
    ----------
    target : Path
        Folder of the scan, ``rois/PATIENT-SCAN``.
    paths : tuple of Path
        Files that may belong to the series.
    nodules : tuple of Nodule
        Nodules of the scan, over-merged clusters among them.
    outlines : tuple
        Outlines of each nodule, as ``annotations.read_outlines`` gives them.
    options : Options
    builder : int
        Process id of the build.
    """

    target: Path
    paths: tuple[Path, ...]
    nodules: tuple[Nodule, ...]
    outlines: tuple[tuple[tuple[Outline, ...], ...], ...]
    options: Options
    builder: int


def columns(options: Options) -> list[str]:
    """Columns of the manifest."""
    return [*_COLUMNS, *(["reader_masks"] if options.single_readers else [])]


def build_scan(task: ScanJob) -> tuple[int, LeftOut | None]:
    """Write the folder of one scan, which must not be there.

    Returns
    -------
    scan_id : int
    problem : LeftOut or None
        The reason why nothing was written.

    Raises
    ------
    OSError
        Where the folder cannot be written.
    """
    _check_builder(task)
    scan_id = task.nodules[0].scan_id
    drawn = [len(nodule.annotation_ids) <= MAX_READERS for nodule in task.nodules]
    kept = [nodule for nodule, keep in zip(task.nodules, drawn, strict=True) if keep]
    outlines = [readers for readers, keep in zip(task.outlines, drawn, strict=True) if keep]
    left_out = [
        LeftOut(
            "over-merged cluster",
            f"{len(nodule.annotation_ids)} annotations of {MAX_READERS} readers: several nodules",
            roi_id=nodule.nodule_id,
        )
        for nodule, keep in zip(task.nodules, drawn, strict=True)
        if not keep
    ]
    crops: list[Crop] = []
    try:
        if kept:
            crops, more = read_crops(task.paths, kept, outlines, task.options.consensus)
            left_out += more
    except MissingSeriesError as error:
        return scan_id, LeftOut("missing series", str(error), n_nodules=len(task.nodules))
    except Exception as error:  # one bad scan never ends the build, whatever is wrong with it
        detail = f"{type(error).__name__}: {' '.join(str(error).split())}"
        return scan_id, LeftOut(
            "unexpected error", detail, n_nodules=len(task.nodules), failed=True
        )
    try:
        with new_folder(task.target) as draft:
            content = {
                "files": names_digest(task.paths),
                "rows": [_write(draft, task.target, crop, task.options) for crop in crops],
                "left_out": [asdict(item) for item in left_out],
            }
            text = json.dumps(content, indent=1) + "\n"
            (draft / SCAN_FILE).write_text(text, encoding="utf-8", newline="\n")
            write_digests(draft)
            _check_builder(task)
    except (OSError, ValueError):
        # A worker that outlived a killed build by a moment may have finished this very scan.
        if not (task.target / SCAN_FILE).is_file():
            raise
    return scan_id, None


def _check_builder(task: ScanJob) -> None:
    if os.getpid() != task.builder and os.getppid() != _PARENT:
        raise RuntimeError("the build that this process worked for has been killed")


def _write(draft: Path, target: Path, crop: Crop, options: Options) -> dict[str, Any]:
    """Write a crop's files into ``draft``; return its row of the manifest."""
    nodule = crop.nodule
    below = Path(target.parent.name, target.name)

    def write(kind: str, voxels: Any) -> str:
        name = f"{nodule.nodule_id}_{kind}.nii.gz"
        what = _DESCRIPTIONS["image" if kind == "image" else "mask"]
        (draft / name).write_bytes(nifti.encode(voxels, crop.grid, what))
        return (below / name).as_posix()

    row = {
        "roi_id": nodule.nodule_id,
        "patient_id": nodule.patient_id,
        "study_instance_uid": nodule.study_instance_uid,
        "series_instance_uid": nodule.series_instance_uid,
        "pylidc_annotation_id": nodule.annotation_ids[0],
        "malignancy_ratings": _joined(nodule.malignancy_ratings),
        "n_readers": len(nodule.annotation_ids),
        "image": write("image", crop.hu),
        "mask": write("mask", crop.mask.view(np.uint8)),
        "intensities": "acquired",
        "pixel_spacing_mm": nodule.pixel_spacing_mm,
        "slice_spacing_mm": crop.grid.spacing_mm[0],
        "slice_thickness_mm": nodule.slice_thickness_mm,
        "crop_row0": crop.corner[1],
        "crop_col0": crop.corner[2],
        "crop_slice0": crop.corner[0],
    }
    ratings: Mapping[str, Sequence[int]] = reader_ratings(nodule.annotation_ids[0])
    row |= {name: _joined(ratings[name]) for name in CHARACTERISTICS}
    if options.single_readers:
        written = (
            write(f"reader{number}", mask.view(np.uint8))
            for number, mask in enumerate(crop.reader_masks, 1)
        )
        row["reader_masks"] = " ".join(written)
    return row


def _joined(ratings: Sequence[int]) -> str:
    return " ".join(map(str, ratings))
