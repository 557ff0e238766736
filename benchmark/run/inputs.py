"""Inputs of a run: datasets opened, labelled, split, read once and described."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from benchmark.cohort import external, ids, near_duplicates, roi_table, slices
from benchmark.cohort.contents import check_voxels
from benchmark.cohort.labels import Cohort, assemble
from benchmark.cohort.splits import Split, check_splits, make_splits
from benchmark.config import Config
from benchmark.datasets import manifest
from benchmark.formats.files import DEFAULT_ACCESS, Access
from benchmark.plugins import registry
from benchmark.plugins.contracts import DatasetPlugin
from benchmark.plugins.foreign import contained
from benchmark.roi import Roi, RoiDataset, RoiRecord
from benchmark.run.results import FeatureTable
from benchmark.runtime.failures import describe_error
from benchmark.runtime.progress import Progress
from benchmark.runtime.workers import Workers
from benchmark.user_tables.csv_rows import digest
from benchmark.user_tables.features import read_features


@dataclass(frozen=True, eq=False)
class Division:
    """A dataset labelled and split; its voxels are not looked at.

    Attributes
    ----------
    dataset, cohort, splits
    protocol : str
        The split in words.
    sides : tuple of (RoiDataset, Cohort)
        In external validation the training and the test dataset, else the one dataset.
    """

    dataset: RoiDataset
    cohort: Cohort
    splits: list[Split]
    protocol: str
    sides: tuple[tuple[RoiDataset, Cohort], ...]


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
        Entries of ``environment.json``: ``dataset``; in external validation also
        ``training_dataset`` and ``test_dataset``; with tables of the user's, ``user_tables``, the
        SHA-256 of each file.
    contents : dict of str to str
        ROI id -> digest of voxels, masks and spacing.
    feature_tables : dict of str to FeatureTable
        Features that the user made elsewhere, by name.
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
    feature_tables: dict[str, FeatureTable]


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
    """Refuse datasets and tables on other machines, which a stranger's configuration may name."""
    for name in (config.dataset, config.test_dataset, *config.user_tables):
        if "://" in name or name.startswith(("//", "\\\\")):
            raise ValueError(
                f"config.toml names '{name}', which is not on this machine's disks; "
                "if you trust who made the run folder, --trust lets it be contacted"
            )


def divide(config: Config, workers: Workers, progress: Progress) -> Division:
    """Open, label and split what a configuration names.

    Raises
    ------
    ValueError
        For unusable input.
    """
    access = Access(config.limits.roi_voxels, config.allow_outside)

    def side(name: str) -> tuple[RoiDataset, Cohort]:
        dataset = open_dataset(name, workers.jobs, progress, access)
        if config.slices:
            dataset = slices.cut(dataset, config.slices, workers, progress)
        return dataset, assemble(dataset, config.label)

    dataset, cohort = training = side(config.dataset)
    if config.test_dataset:
        test = side(config.test_dataset)
        joined = external.join(training, test)
        check_splits([joined.split], joined.cohort, leaky=False)
        protocol = external.describe(training[0], test[0])
        return Division(joined.dataset, joined.cohort, [joined.split], protocol, (training, test))
    splits = make_splits(cohort, config.splits, config.seed)
    check_splits(splits, cohort, leaky=config.splits.leaky)
    protocol = config.splits.describe(patients_known=not dataset.unnamed_patients_of)
    if config.splits.scheme != "given" and all(r.given_split for r in cohort.records):
        protocol += "; the dataset's own split goes unused (splits.scheme = given)"
    return Division(dataset, cohort, splits, protocol, (training,))


def prepare(config: Config, workers: Workers, progress: Progress) -> Material:
    """Open, label, split and check what a configuration names.

    Raises
    ------
    ValueError
        For unusable input.
    """
    return check(divide(config, workers, progress), config, workers, progress)


def check(division: Division, config: Config, workers: Workers, progress: Progress) -> Material:
    """Read a division's feature tables and every one of its ROIs, which checks them.

    Raises
    ------
    ValueError
        For unusable input.
    """
    dataset, cohort = division.dataset, division.cohort
    tables = {
        name: _feature_table(name, file, division) for name, file in config.feature_tables.items()
    }
    read = {file: digest(Path(file)) for file in config.user_tables}
    checked = [check_voxels(*side, workers, progress) for side in division.sides]
    digests = [each for side in checked for each in side.digests]
    return Material(
        dataset=dataset,
        cohort=cohort,
        splits=division.splits,
        rois=roi_table.table(cohort, [m for c in checked for m in c.measured]),
        near_duplicates=_duplicates(cohort, [t for c in checked for t in c.thumbnails]),
        single_slice=all(c.single_slice for c in checked),
        protocol=division.protocol,
        environment=_environment(division, [c.fingerprint for c in checked])
        | ({"user_tables": read} if read else {}),
        contents=dict(zip(cohort.roi_ids.tolist(), digests, strict=True)),
        feature_tables=tables,
    )


def _feature_table(name: str, file: str, division: Division) -> FeatureTable:
    left_out = [record.roi_id for record in division.cohort.left_out]
    known = {*(record.roi_id for record in division.dataset.records), *left_out}
    found = read_features(name, Path(file), division.cohort.roi_ids.tolist(), known)
    rows = {roi_id: row for row, roi_id in enumerate(found.index.tolist())}
    return FeatureTable(rows, found.to_numpy(), tuple(found.columns))


def _environment(division: Division, fingerprints: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The entries of ``environment.json`` on the dataset, or on both and the two as one."""
    if len(division.sides) == 1:
        return {"dataset": _describe(*division.sides[0], fingerprints[0])}
    training, test = division.sides
    both = hashlib.sha256("".join(fingerprints).encode()).hexdigest()
    joined = _describe(division.dataset, division.cohort, both)
    joined["cohort"] = ". ".join(
        [
            f"training on {training[0].name}, {training[1].describe()}",
            f"Testing on {external.test_name(training[0], test[0])}, {test[1].describe()}",
            *division.dataset.notes,
        ]
    )
    return {
        "dataset": joined,
        "training_dataset": _describe(*training, fingerprints[0]),
        "test_dataset": _describe(*test, fingerprints[1]),
    }


def _duplicates(cohort: Cohort, thumbnails: Sequence[near_duplicates.Descriptor]) -> pd.DataFrame:
    ids = [] if near_duplicates.too_many(len(cohort.records)) else cohort.roi_ids.tolist()
    return near_duplicates.find_table(ids, thumbnails)


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
