"""Inputs of a run: datasets opened, labelled, split, read once and described."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from benchmark.cohort import external, ids, near_duplicates, roi_table, slices
from benchmark.cohort.labels import Cohort, assemble
from benchmark.cohort.splits import Split, check_splits, make_splits
from benchmark.config import Config
from benchmark.datasets import manifest
from benchmark.formats.files import DEFAULT_ACCESS, Access
from benchmark.plugins import registry
from benchmark.plugins.contracts import DatasetPlugin
from benchmark.plugins.foreign import contained
from benchmark.roi import Roi, RoiDataset, RoiRecord
from benchmark.runtime.failures import describe_error
from benchmark.runtime.progress import Progress
from benchmark.runtime.workers import Workers


@dataclass(frozen=True, eq=False)
class Material:
    """Inputs of a run, checked and described.

    Attributes
    ----------
    dataset, cohort, splits
    rois : DataFrame
        One row a ROI, as ``benchmark.cohort.roi_table`` makes them.
    near_duplicates : DataFrame
        Pairs of ROIs of the same pixels: roi_a, roi_b, similarity; empty where they were not
        sought, which ``not_done`` then says.
    single_slice : bool
        Every ROI is one slice thick.
    protocol : str
        The split in words.
    environment : dict
        Entries of ``environment.json``: ``dataset``, and in external validation also
        ``training_dataset`` and ``test_dataset``.
    contents : dict of str to str
        ROI id -> digest of voxels, masks and spacing.
    """

    dataset: RoiDataset
    cohort: Cohort
    splits: list[Split]
    rois: pd.DataFrame
    near_duplicates: pd.DataFrame
    single_slice: bool
    protocol: str
    environment: dict[str, dict[str, Any]]
    contents: dict[str, str]


def open_dataset(
    name: str, jobs: int, progress: Progress, access: Access = DEFAULT_ACCESS
) -> RoiDataset:
    """A dataset by plug-in name, or by the path of a manifest, its folder or a plug-in's file.

    Manifests and their folders may lie on a file system of fsspec's (``s3://bucket/rois``).

    Raises
    ------
    ValueError
        Where there is none of that name, or its ids are unusable (``benchmark.cohort.ids``).
    """
    plugin = registry.find_dataset(name)
    if plugin is not None:
        opened = _opened(plugin, name, jobs, progress)
        try:
            ids.check(opened.records)
        except ValueError as error:
            raise ValueError(f"dataset '{name}': {error}") from error
        return opened
    if "://" in name:
        return manifest.open_at(name, access)
    path = Path(name)
    if not path.is_file() and not path.is_dir():
        built_in = ", ".join(registry.named_datasets())
        raise ValueError(f"dataset '{name}': no such file or folder, nor one of {built_in}")
    return manifest.open_dataset(path, access)


def _opened(plugin: DatasetPlugin, name: str, jobs: int, progress: Progress) -> RoiDataset:
    try:
        with contained():
            opened = plugin.open(name, jobs, progress)
    except ValueError:
        raise
    except Exception as error:  # a plug-in may raise anything
        raise ValueError(f"dataset '{name}' cannot be opened: {describe_error(error)}") from error
    if not isinstance(opened, RoiDataset):
        raise ValueError(
            f"dataset '{name}' is a {type(opened).__name__}; open_dataset must give a RoiDataset"
        )
    return replace(opened, read=_Read(name, opened.read))


@dataclass(frozen=True)
class _Read:
    """A plug-in's way to the voxels, whose errors are told as those of bad input."""

    dataset: str
    read: Callable[[RoiRecord], Roi]

    def __call__(self, record: RoiRecord) -> Roi:
        try:
            with contained():
                roi = self.read(record)
        except ValueError:
            raise
        except Exception as error:  # a plug-in may raise anything
            raise ValueError(f"{self._of(record)}: {describe_error(error)}") from error
        if not isinstance(roi, Roi):
            raise ValueError(f"{self._of(record)}: read gave {type(roi).__name__}, and not a Roi")
        return roi

    def _of(self, record: RoiRecord) -> str:
        return f"dataset '{self.dataset}', roi_id '{record.roi_id}'"


def refuse_remote(config: Config) -> None:
    """Refuse datasets on other machines, which a stranger's configuration may name."""
    for name in (config.dataset, config.test_dataset):
        if "://" in name or name.startswith(("//", "\\\\")):
            raise ValueError(
                f"config.toml names the dataset '{name}', which is not on this machine's disks; "
                "if you trust who made the run folder, --trust lets it be contacted"
            )


def prepare(config: Config, workers: Workers, progress: Progress) -> Material:
    """Open, label, split and check what a configuration names.

    Raises
    ------
    ValueError
        For unusable input.
    """

    access = Access(config.limits.roi_voxels, config.allow_outside)

    def opened(name: str) -> RoiDataset:
        dataset = open_dataset(name, workers.jobs, progress, access)
        return slices.cut(dataset, config.slices, workers, progress) if config.slices else dataset

    dataset = opened(config.dataset)
    cohort = assemble(dataset, config.label)
    if config.test_dataset:
        test = opened(config.test_dataset)
        return _external((dataset, cohort), (test, assemble(test, config.label)), workers, progress)
    splits = make_splits(cohort, config.splits, config.seed)
    check_splits(splits, cohort, leaky=config.splits.leaky)
    checked = check_voxels(dataset, cohort, workers, progress)
    protocol = config.splits.describe(patients_known=not dataset.unnamed_patients_of)
    if config.splits.scheme != "given" and all(r.given_split for r in cohort.records):
        protocol += "; the dataset's own split goes unused (splits.scheme = given)"
    environment = {"dataset": _describe(dataset, cohort, checked.fingerprint)}
    rois = roi_table.table(cohort, checked.measured)
    return Material(
        dataset=dataset,
        cohort=cohort,
        splits=splits,
        rois=rois,
        near_duplicates=_duplicates(cohort, checked.thumbnails),
        single_slice=checked.single_slice,
        protocol=protocol,
        environment=environment,
        contents=dict(zip(cohort.roi_ids.tolist(), checked.digests, strict=True)),
    )


def _external(
    training: tuple[RoiDataset, Cohort],
    test: tuple[RoiDataset, Cohort],
    workers: Workers,
    progress: Progress,
) -> Material:
    joined = external.join(training, test)
    check_splits([joined.split], joined.cohort, leaky=False)
    checked = [check_voxels(*side, workers, progress) for side in (training, test)]
    both = hashlib.sha256("".join(c.fingerprint for c in checked).encode()).hexdigest()
    environment = {"dataset": _describe(joined.dataset, joined.cohort, both)}
    environment["training_dataset"] = _describe(*training, checked[0].fingerprint)
    environment["test_dataset"] = _describe(*test, checked[1].fingerprint)
    environment["dataset"]["cohort"] = ". ".join(
        [
            f"training on {training[0].name}, {training[1].describe()}",
            f"Testing on {external.test_name(training[0], test[0])}, {test[1].describe()}",
            *joined.dataset.notes,
        ]
    )
    digests = [digest for side in checked for digest in side.digests]
    return Material(
        dataset=joined.dataset,
        cohort=joined.cohort,
        splits=[joined.split],
        rois=roi_table.table(joined.cohort, [m for c in checked for m in c.measured]),
        near_duplicates=_duplicates(joined.cohort, [t for c in checked for t in c.thumbnails]),
        single_slice=all(c.single_slice for c in checked),
        protocol=external.describe(training[0], test[0]),
        environment=environment,
        contents=dict(zip(joined.cohort.roi_ids.tolist(), digests, strict=True)),
    )


def _duplicates(cohort: Cohort, thumbnails: Sequence[near_duplicates.Descriptor]) -> pd.DataFrame:
    left_out = near_duplicates.too_many(len(thumbnails))
    pairs = [] if left_out else near_duplicates.find(cohort.roi_ids.tolist(), thumbnails)
    return pd.DataFrame(map(asdict, pairs), columns=[f.name for f in fields(near_duplicates.Pair)])


def _describe(dataset: RoiDataset, cohort: Cohort, fingerprint: str) -> dict[str, Any]:
    return {
        "name": dataset.name,
        "intensities": dataset.intensities,
        "fingerprint": fingerprint,
        "cohort": ". ".join([cohort.describe(), *dataset.notes]),
        "n_rois": len(cohort.records),
        "n_patients": len(set(cohort.patients.tolist())),
        "patients_known": not dataset.unnamed_patients_of,
        "n_malignant": int(cohort.labels.sum()),
        "excluded": cohort.excluded,
    }


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
        By which near-duplicates are found, and
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
    measured, thumbnails, digests = [], [], []
    contents = read_all(dataset, cohort.records, workers, progress)
    rows = zip(cohort.records, cohort.labels.tolist(), contents, strict=True)
    for record, label, content in rows:
        identity = f"{record.roi_id}\t{record.patient_id}\t{label}\t{content.digest}\n"
        digest.update(identity.encode())
        single_slice &= content.n_slices == 1
        measured.append(content.measured)
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


@dataclass(frozen=True, eq=False)
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
