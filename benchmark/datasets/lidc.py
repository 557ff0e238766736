"""LIDC-IDRI from your DICOM files: ``python -m benchmark build lidc``, then its ROI_DIR."""

from __future__ import annotations

from benchmark.roi import RoiDataset
from benchmark.runtime.progress import Progress


def open_dataset(jobs: int, progress: Progress) -> RoiDataset:
    """Refuse, as this project does not know where the DICOM files are."""
    raise ValueError(
        "dataset 'lidc' has to be built from DICOM files: python -m benchmark build lidc "
        "--dicom DIR --out ROI_DIR; then name ROI_DIR as the dataset"
    )
