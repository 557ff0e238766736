"""Contents of a cohort's ROIs: each read once, which checks it, hashed and measured."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from benchmark.cohort import near_duplicates, roi_table
from benchmark.cohort.labels import Cohort
from benchmark.roi import Roi, RoiDataset, RoiRecord
from benchmark.runtime.progress import Progress
from benchmark.runtime.workers import Workers


@dataclass(frozen=True, eq=False)
class Checked:
    """Findings from reading every ROI of a cohort.

    Attributes
    ----------
    fingerprint : str
        SHA-256 over ids, patients, labels and voxels.
    single_slice : bool
        Every ROI is one slice thick.
    measured : tuple of RoiExtent
        In the order of the cohort's records, as are
    thumbnails : tuple of ndarray
        By which near-duplicates are found; empty where there are too many ROIs to seek them. And
    digests : tuple of str
        Of each ROI's content.
    """

    fingerprint: str
    single_slice: bool
    measured: tuple[roi_table.RoiExtent, ...]
    thumbnails: tuple[near_duplicates.Descriptor, ...]
    digests: tuple[str, ...]


def check_voxels(
    dataset: RoiDataset, cohort: Cohort, workers: Workers, progress: Progress
) -> Checked:
    """Read every ROI of the cohort, which checks it, and hash what was read.

    Raises
    ------
    ValueError
        For the first ROI, in order of ``roi_id``, that breaks the contract; where no ROI has a
        negative value.
    """
    digest = hashlib.sha256()
    single_slice = True
    sought = not near_duplicates.too_many(len(cohort.records))
    measured, thumbnails, digests = [], [], []
    contents = read_all(dataset, cohort.records, workers, progress)
    rows = zip(cohort.records, cohort.labels.tolist(), contents, strict=True)
    for record, label, content in rows:
        identity = f"{record.roi_id}\t{record.patient_id}\t{label}\t{content.digest}\n"
        digest.update(identity.encode())
        single_slice &= content.n_slices == 1
        measured.append(content.measured)
        if sought:
            thumbnails.append(content.thumbnail)
        digests.append(content.digest)
    if not any(each.negative for each in measured):
        raise ValueError(
            f"dataset '{dataset.name}': no image has a negative value, though air and lung are "
            "below -500 HU; these are stored values or grey values, and HU are needed"
        )
    return Checked(
        digest.hexdigest(), single_slice, tuple(measured), tuple(thumbnails), tuple(digests)
    )


@dataclass(frozen=True, eq=False, slots=True)
class Content:
    """Findings from reading one ROI."""

    digest: str
    n_slices: int
    measured: roi_table.RoiExtent
    thumbnail: near_duplicates.Descriptor


def read_all(
    dataset: RoiDataset, records: Sequence[RoiRecord], workers: Workers, progress: Progress
) -> Iterator[Content]:
    """Read ROIs in their order, which checks them.

    Raises
    ------
    ValueError
        For the first ROI that breaks the contract.
    """
    contents = workers.map(partial(_content, dataset.read), records, batch=16)
    for number, content in enumerate(contents, start=1):
        yield content
        progress.update(f"Checking {dataset.name}", number, len(records))


def _content(read: Callable[[RoiRecord], Roi], record: RoiRecord) -> Content:
    roi = read(record)
    return Content(
        roi.content_hash(),
        roi.image.shape[0],
        roi_table.measure(roi),
        near_duplicates.descriptor(roi),
    )
