"""The phantom: real outlines and ratings, painted voxels that resemble the real ones."""

from __future__ import annotations

import csv
import importlib.util
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from benchmark.datasets import _scene, phantom
from benchmark.datasets.manifest import open_dataset
from benchmark.lidc.annotations import CHARACTERISTICS, consensus_masks, nodules, reader_ratings
from benchmark.runtime.paths import ROOT

N, SEED = 13, 3  # 13: more than one batch of twelve

# Mean HU inside the mask by median texture, of nodules not calcified: column "nodule", rows
# "real" of `python -m scripts.calibrate_phantom ../shared/data/lidc_crops`.
REAL_HU = {1: -651, 2: -564, 3: -450, 4: -345, 5: -218}
REAL_CALCIFIED_HU = 242
# What the phantom promises; nodules of one texture differ by about 130 HU among themselves.
TOLERANCE_HU = 75


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "manifest.csv").open(newline="") as handle:
        return list(csv.DictReader(handle))


def files_of(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


@pytest.fixture(scope="session")
def built(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("phantom") / "rois"
    phantom.build(out, N, SEED)
    return out


@pytest.fixture(scope="module")
def by_id():
    return {nodule.nodule_id: nodule for nodule in nodules()}


def test_every_roi_can_be_read(built):
    dataset = open_dataset(built)
    assert len(dataset.records) == N
    assert dataset.intensities == "synthetic"
    for record in dataset.records:
        roi = dataset.read(record)
        assert roi.image.min() >= -1024
        assert roi.record.intensities == "synthetic"


def test_manifest_says_what_the_database_says(built, by_id):
    rows = rows_of(built)
    assert [row["roi_id"] for row in rows] == sorted(row["roi_id"] for row in rows)
    for row in rows:
        nodule = by_id[row["roi_id"]]
        assert row["patient_id"] == nodule.patient_id
        assert row["malignancy_ratings"] == " ".join(map(str, nodule.malignancy_ratings))
        assert row["intensities"] == "synthetic"
        assert row["pylidc_annotation_id"] == str(nodule.annotation_ids[0])
        assert row["series_instance_uid"] == nodule.series_instance_uid
        assert row["n_readers"] in ("3", "4")
        assert row["n_readers"] == str(len(nodule.annotation_ids))
        for name in ("pixel_spacing_mm", "slice_spacing_mm", "slice_thickness_mm"):
            assert float(row[name]) == getattr(nodule, name)
        ratings = reader_ratings(nodule.annotation_ids[0])
        for name in CHARACTERISTICS:
            assert row[name] == " ".join(map(str, ratings[name]))


def test_outline_spacing_and_margins(built, by_id):
    dataset = open_dataset(built)
    chosen = [by_id[record.roi_id] for record in dataset.records]
    outlines = consensus_masks(chosen)
    for record, nodule, outline in zip(dataset.records, chosen, outlines, strict=True):
        roi = dataset.read(record)
        in_plane = nodule.pixel_spacing_mm
        assert roi.spacing_mm == pytest.approx((nodule.slice_spacing_mm, in_plane, in_plane))
        drawn, real = np.argwhere(roi.mask), np.argwhere(outline.mask)
        np.testing.assert_array_equal(drawn - drawn.min(axis=0), real - real.min(axis=0))
        below, above = drawn.min(axis=0), roi.mask.shape - drawn.max(axis=0) - 1
        assert below[0] == above[0] == 2
        assert min(*below[1:], *above[1:]) >= 10
        assert (np.abs(below - above) <= 1).all()
        for size, tight in zip(roi.mask.shape[1:], np.ptp(drawn, axis=0)[1:] + 1, strict=True):
            assert size * in_plane >= 40
            assert size == max(np.ceil(40 / in_plane), tight + 20)


def test_files_say_that_they_are_synthetic(built):
    for row in rows_of(built):
        image = nib.load(built / row["image"])
        assert image.get_data_dtype() == np.int16
        assert nib.load(built / row["mask"]).get_data_dtype() == np.uint8
        assert b"SYNTHETIC" in image.header["descrip"].item()
    readme = (built / "README.txt").read_text()
    for phrase in ("SYNTHETIC", "CC BY 3.0", "Armato", "10.1118/1.3528204"):
        assert phrase in readme


def test_same_arguments_same_bytes_in_any_number_of_processes(built, tmp_path):
    phantom.build(tmp_path / "again", N, SEED, jobs=2)
    assert files_of(tmp_path / "again") == files_of(built)


def test_smaller_sample_is_a_part_of_the_larger(built, tmp_path):
    phantom.build(tmp_path / "few", 5, SEED)
    larger = files_of(built)
    for name, content in files_of(tmp_path / "few").items():
        if name.endswith(".gz"):
            assert content == larger[name]
    assert all(row in rows_of(built) for row in rows_of(tmp_path / "few"))


def test_seed_changes_nodules_and_voxels(by_id):
    ids = [{nodule.nodule_id for nodule in phantom.sample(240, seed)} for seed in (0, 1)]
    assert len(ids[0] & ids[1]) < 120
    nodule = phantom.sample(1, SEED)[0]
    outline = consensus_masks([nodule])[0]
    first, second = (phantom.render(nodule, outline, seed)[0] for seed in (0, 1))
    assert (first != second).mean() > 0.9


def test_the_default_sample_has_many_patients():
    assert len({nodule.patient_id for nodule in phantom.sample(240, 0)}) > 150


def test_malignancy_ratings_leave_no_trace_in_the_voxels(built, tmp_path, monkeypatch):
    real = nodules()
    other = tuple(
        replace(nodule, malignancy_ratings=tuple(6 - r for r in nodule.malignancy_ratings))
        for nodule in real
    )
    monkeypatch.setattr(phantom, "nodules", lambda: other)
    phantom.build(tmp_path / "turned", N, SEED)
    before, after = files_of(built), files_of(tmp_path / "turned")
    assert before["manifest.csv"] != after["manifest.csv"]
    del before["manifest.csv"], after["manifest.csv"]
    assert before == after


def test_texture_and_calcification_set_the_density(monkeypatch):
    nodule = phantom.sample(1, SEED)[0]
    outline = consensus_masks([nodule])[0]

    def mean_hu(texture: int, calcification: int) -> float:
        ratings = {"texture": (texture,) * 3, "calcification": (calcification,) * 3}
        monkeypatch.setattr(phantom, "reader_ratings", lambda first: ratings)
        hu, mask = phantom.render(nodule, outline, SEED)
        return float(hu[mask].mean())

    densities = [mean_hu(1, 6), mean_hu(3, 6), mean_hu(5, 6), mean_hu(5, 3)]
    # The steps of the real nodules are 200, 230 and 460 HU; each keeps at least a part.
    assert np.diff(densities).min() > 75
    assert mean_hu(5, 6) < mean_hu(5, 5) < mean_hu(5, 3)


@pytest.mark.parametrize("texture", [1, 2, 3, 4, 5, "calcified"])
def test_density_is_that_of_real_nodules(texture):
    wanted = [
        nodule for nodule in phantom.sample(1378, 0) if group_of(nodule) == texture
    ][:50]  # fmt: skip
    means = []
    for nodule, outline in zip(wanted, consensus_masks(wanted), strict=True):
        hu, mask = phantom.render(nodule, outline, 0)
        means.append(hu[mask].mean())
    expected = REAL_CALCIFIED_HU if texture == "calcified" else REAL_HU[texture]
    assert np.mean(means) == pytest.approx(expected, abs=TOLERANCE_HU)


def group_of(nodule) -> int | str:
    ratings = reader_ratings(nodule.annotation_ids[0])
    if np.median(ratings["calcification"]) < 6:
        return "calcified"
    return int(np.median(ratings["texture"]) + 0.5)


def test_density_is_that_of_the_same_nodules_in_the_real_crops(lidc_crops):
    path = ROOT / "scripts" / "calibrate_phantom.py"
    spec = importlib.util.spec_from_file_location("calibrate_phantom", path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    table = script.compare(lidc_crops, n=160, seed=1)
    groups = [group for _, group in table.groupby(["calcified", "texture"]) if len(group) >= 8]
    assert len(groups) >= 3
    for group in groups:
        difference = group["phantom_nodule"] - group["real_nodule"]
        # Calcified nodules differ by 300 HU: a few of them settle a mean to no better than this.
        uncertainty = 2 * difference.std() / np.sqrt(len(group))
        name = group[["calcified", "texture"]].iloc[0].to_dict()
        assert abs(difference.mean()) < max(TOLERANCE_HU, uncertainty), name
    for name, tolerance in (("lung", 30), ("noise", 10), ("edge", 100)):
        # Surroundings are plausible, not matched: within what patients differ by.
        difference = table[f"phantom_{name}"].mean() - table[f"real_{name}"].mean()
        assert abs(difference) < tolerance, name


@pytest.mark.parametrize("n", [0, -1, 1379])
def test_impossible_number_of_nodules(tmp_path, n):
    with pytest.raises(ValueError, match=f"n is {n}; it must be 1 to 1378"):
        phantom.build(tmp_path / "out", n)
    assert not list(tmp_path.iterdir())


def test_what_is_there_is_not_overwritten(tmp_path):
    (tmp_path / "kept.txt").write_text("mine")
    for taken in (tmp_path, tmp_path / "kept.txt"):
        with pytest.raises(ValueError, match="exists already and is not an empty folder"):
            phantom.build(taken, 1)
    assert files_of(tmp_path) == {"kept.txt": b"mine"}


def test_empty_folder_is_filled_and_progress_is_told(tmp_path):
    told = []
    out = tmp_path / "deep" / "empty"
    out.mkdir(parents=True)
    phantom.build(out, 2, SEED, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (2, 2)
    assert len(rows_of(out)) == 2
    assert [path.name for path in out.parent.iterdir()] == ["empty"]


def test_nothing_half_written_stays(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(phantom, "_write_manifest", fail)
    with pytest.raises(OSError, match="disk full"):
        phantom.build(tmp_path / "out", 1, SEED)
    assert not list(tmp_path.iterdir())


def test_the_embedded_default_is_rendered_once(tmp_path, monkeypatch):
    rendered, told = [], []

    class Watching:
        def update(self, task, done, total):
            told.append((task, done, total))

    def build(folder, **settings):
        rendered.append(folder)
        few(folder, 2, **settings)

    few = phantom.build
    monkeypatch.setattr(phantom, "CACHE", tmp_path)
    monkeypatch.setattr(phantom, "build", build)
    first, second = (phantom.open_dataset(1, Watching()) for _ in range(2))
    assert [path.parent for path in rendered] == [tmp_path]
    assert told == [("Rendering phantom", 2, 2)]
    assert first.name == second.name == "phantom"
    assert [r.roi_id for r in first.records] == [r.roi_id for r in second.records]
    assert first.intensities == "synthetic"


def test_a_lung_without_vessels():
    grid = _scene.Grid((4, 5, 6), (2.0, 1.0, 1.0))
    mask = np.zeros(grid.shape, bool)
    mask[2, 2, 2] = True
    none = next(seed for seed in range(99) if np.random.default_rng(seed).random() >= 0.6)
    assert not _scene.vessels(grid, mask, np.random.default_rng(none), per_cm3=0).any()
    one = next(seed for seed in range(99) if np.random.default_rng(seed).random() < 0.6)
    assert _scene.vessels(grid, mask, np.random.default_rng(one), per_cm3=0).any()
