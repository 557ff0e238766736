"""What a run works on: each ROI's measurements, digest and thumbnail are its own."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from benchmark.cohort.contents import check_voxels
from benchmark.cohort.labels import LabelRule, assemble
from benchmark.cohort.splits import SplitRule
from benchmark.config import Config
from benchmark.plugins import registry
from benchmark.roi import Roi, RoiDataset, RoiRecord
from benchmark.run.inputs import Material, open_dataset, prepare
from benchmark.runtime.workers import LocalWorkers
from tests.helpers.volumes import WriteManifest, ball, write_volume


class Told:
    def __init__(self) -> None:
        self.said: list[tuple[str, float, float]] = []

    def update(self, task: str, done: float, total: float) -> None:
        self.said.append((task, done, total))


def made(config: Config) -> Material:
    return prepare(config, LocalWorkers(1), Told())


def own_rois(material: Material) -> None:
    """Every row of every table is of the ROI that it names."""
    cohort = material.cohort
    assert material.rois.roi_id.tolist() == cohort.roi_ids.tolist()
    assert material.rois.patient_id.tolist() == cohort.patients.tolist()
    assert material.rois.y_true.tolist() == cohort.labels.tolist()
    rois = [material.dataset.read(record) for record in cohort.records]
    diameters = [roi.equivalent_diameter_mm for roi in rois]
    assert len(set(diameters)) > len(rois) / 4  # else nothing would show that rows are exchanged
    assert material.rois.equivalent_diameter_mm.tolist() == diameters
    assert material.contents == {roi.record.roi_id: roi.content_hash() for roi in rois}


def test_one_dataset(write_manifest: WriteManifest) -> None:
    root = write_manifest(24, change={i: {"roi_id": f"r{24 - i:02}"} for i in range(24)})
    material = made(Config(dataset=str(root), splits=SplitRule(scheme="kfold", folds=3), seed=5))
    own_rois(material)
    assert [split.fold for split in material.splits] == [0, 1, 2]
    assert not material.single_slice
    about = material.environment["dataset"]
    assert (about["n_rois"], about["n_patients"], about["n_malignant"]) == (24, 22, 12)
    assert about["patients_known"] is True
    assert about["cohort"] == "24 ROIs of 22 patients, 12 malignant"
    assert material.protocol == "split: stratified 3-fold, grouped by patient, 1 repeat"
    other = made(Config(dataset=str(root), splits=SplitRule(scheme="kfold", folds=3), seed=6))
    assert other.splits != material.splits
    assert other.environment == material.environment


def test_two_datasets(write_manifest: WriteManifest) -> None:
    """The test side's ids come first in the alphabet, and two of its ROIs are copies."""
    training = write_manifest(16, folder="z")
    names = {i: {"roi_id": f"a{9 - i}", "patient_id": f"q{i}"} for i in range(10)}
    test = write_manifest(10, folder="a", change=names)
    rng = np.random.default_rng(0)
    for i, other in ((2, 14), (7, 9)):
        # The others are too small to tell.
        noise = gaussian_filter(rng.normal(-400, 400, (5, 40, 44)), 0.8).astype(np.int16)
        for folder, n in ((test, i), (training, other)):
            write_volume(folder / f"images/r{n}.nii.gz", noise)
            write_volume(folder / f"masks/r{n}.nii.gz", ball(noise.shape, i).astype(np.uint8))
    material = made(Config(dataset=str(training), test_dataset=str(test)))
    own_rois(material)
    (split,) = material.splits
    assert split.scheme == "external"
    assert {roi[0] for roi in split.train} == {"r"}
    assert {roi[0] for roi in split.test} == {"a"}
    pairs = {(pair.roi_a, pair.roi_b) for pair in material.near_duplicates.itertuples()}
    assert pairs == {("a7", "r14"), ("a2", "r9")}
    prints = {name: about["fingerprint"] for name, about in material.environment.items()}
    joined = prints["training_dataset"] + prints["test_dataset"]
    assert prints["dataset"] == hashlib.sha256(joined.encode()).hexdigest()
    assert material.environment["training_dataset"]["n_rois"] == 16
    assert material.environment["test_dataset"]["n_rois"] == 10


def read(record: RoiRecord) -> Roi:
    size = 2 + int(record.roi_id[1:]) % 5
    mask = np.zeros((1 if record.attributes.get("flat") else 2, 9, 8), bool)
    mask[0, :size, :3] = True
    image = np.full(mask.shape, float(record.attributes.get("hu", "-800")), np.float32)
    return Roi(record, image, mask, (2.5, 0.5, 0.8))


def checked(records: tuple[RoiRecord, ...], jobs: int = 1, told: Told | None = None):
    dataset = RoiDataset("d", records, read)
    cohort = assemble(dataset, LabelRule())
    return check_voxels(dataset, cohort, LocalWorkers(jobs), told or Told())


RECORDS = tuple(RoiRecord(f"r{i:02}", f"p{i}", label=i % 2) for i in range(40))


@pytest.mark.parametrize(
    "change",
    [
        {"roi_id": "r99"},
        {"patient_id": "q"},
        {"label": 0},
        {"attributes": {"hu": "1"}},
    ],
    ids=str,
)
def test_the_fingerprint_follows_ids_labels_and_voxels(change: dict[str, object]) -> None:
    other = (*RECORDS[:39], replace(RECORDS[39], **change))
    assert checked(other).fingerprint != checked(RECORDS).fingerprint


def test_the_fingerprint_ignores_order_and_what_voxels_do_not_depend_on() -> None:
    told = (*RECORDS[:39], replace(RECORDS[39], attributes={"site": "here"}))
    assert checked(RECORDS[::-1]).fingerprint == checked(RECORDS).fingerprint
    assert checked(told).fingerprint == checked(RECORDS).fingerprint


def test_one_thicker_roi_makes_all_volumes() -> None:
    flat = tuple(replace(record, attributes={"flat": "yes"}) for record in RECORDS)
    assert checked(flat).single_slice is True
    for place in (0, 20, 39):
        assert checked((*flat[:place], RECORDS[place], *flat[place + 1 :])).single_slice is False


def test_what_was_read_is_in_the_cohorts_order_in_any_number_of_processes() -> None:
    told = Told()
    one, two = checked(RECORDS[::-1], told=told), checked(RECORDS, jobs=2)
    assert told.said == [("Checking d", n, 40) for n in range(1, 41)]
    assert one.digests == two.digests == tuple(read(r).content_hash() for r in RECORDS)
    assert one.measured == two.measured
    sizes = [m.equivalent_diameter_mm for m in one.measured]
    assert sizes == [read(record).equivalent_diameter_mm for record in RECORDS]
    assert {m.slice_spacing_mm for m in one.measured} == {2.5}
    np.testing.assert_array_equal(one.thumbnails, two.thumbnails)


def test_slices_are_cut_of_either_dataset(write_manifest: WriteManifest) -> None:
    names = {i: {"patient_id": f"q{i}"} for i in range(8)}
    training, test = write_manifest(8), write_manifest(8, folder="other", change=names)
    material = made(Config(dataset=str(training), test_dataset=str(test), slices=2))
    (split,) = material.splits
    assert (len(split.train), len(split.test)) == (16, 16)
    assert material.single_slice
    assert all("@" in roi_id for roi_id in material.cohort.roi_ids)


def test_ids_of_every_source_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dataset that is opened by name has no manifest whose reader would look at them."""
    mnist = registry.load_dataset("nodulemnist3d")
    for patient, message in (
        ("P7", "patient ids 'p7' and 'P7' may be one"),
        ("x\n", "patient_id is .*; it must be 'x'"),
    ):
        rows = (RoiRecord("a", "p7", label=0), RoiRecord("b", patient, label=1))
        found = replace(mnist, open_dataset=lambda jobs, progress, r=rows: RoiDataset("d", r, len))
        monkeypatch.setattr(registry, "find_dataset", lambda name, plugin=found: plugin)
        with pytest.raises(ValueError, match=rf"^dataset 'nodulemnist3d': .*{message}"):
            open_dataset("nodulemnist3d", 1, Told())


def test_an_unknown_dataset_names_those_that_are_known(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="dataset 'nowhere': no such file or folder, nor one of l"):
        open_dataset("nowhere", 1, Told())


def test_a_dataset_without_a_negative_value_is_refused() -> None:
    """One image below 0 is enough: a small ROI may lie in soft tissue as a whole."""
    stored = tuple(replace(r, attributes={"hu": str(10 * n)}) for n, r in enumerate(RECORDS))
    with pytest.raises(ValueError, match="dataset 'd': no image has a negative value"):
        checked(stored)
    one = (*stored[:39], replace(RECORDS[39], attributes={"hu": "-5"}))
    assert [each.negative for each in checked(one).measured] == [False] * 39 + [True]


def gives(found: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the dataset ``own`` be what a plug-in gives, or raises."""

    def open_own(jobs: int, progress: object) -> object:
        if isinstance(found, Exception):
            raise found
        return found

    plugin = replace(registry.load_dataset("phantom"), open_dataset=open_own)
    monkeypatch.setattr(registry, "find_dataset", lambda name: plugin)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (KeyError("label"), "dataset 'own' cannot be opened: KeyError: 'label'"),
        (ValueError("as it is"), "^as it is$"),
        ([], "dataset 'own' is a list; open_dataset must give a RoiDataset"),
    ],
)
def test_what_a_plugin_may_do_when_it_is_opened(
    monkeypatch: pytest.MonkeyPatch, found: object, message: str
) -> None:
    gives(found, monkeypatch)
    with pytest.raises(ValueError, match=message):
        open_dataset("own", 1, Told())


def test_what_a_plugin_may_do_when_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(record: RoiRecord) -> object:
        raised = {"a": ZeroDivisionError("no size"), "b": ValueError("as it is")}
        if record.roi_id in raised:
            raise raised[record.roi_id]
        return None

    records = tuple(RoiRecord(roi_id, "p", 1) for roi_id in "abc")
    gives(RoiDataset("own", records, read), monkeypatch)
    opened = open_dataset("own", 1, Told())
    for record, message in zip(
        records,
        (
            "dataset 'own', roi_id 'a': ZeroDivisionError: no size",
            "^as it is$",
            "dataset 'own', roi_id 'c': read gave NoneType, and not a Roi",
        ),
        strict=True,
    ):
        with pytest.raises(ValueError, match=message):
            opened.read(record)
