"""Nothing that is shared names a patient or a ROI, and everything in it still fits together."""

from __future__ import annotations

import base64
import json
import re
import tomllib
from pathlib import Path

import pandas as pd
import pytest

from benchmark.report.anonymise import Key, anonymise, draw_key
from benchmark.report.document import FORMATS, write_report
from benchmark.report.wording.method_warnings import cautions
from benchmark.run.folder import RunFolder, read_run
from tests.helpers.made_run import gallery, make_run


@pytest.fixture(scope="module")
def shared(reported: RunFolder) -> RunFolder:
    copy, items = anonymise(reported, gallery(reported))
    write_report(copy, [name for name in FORMATS if name != "png"], items)
    return copy


def test_no_id_is_left_in_any_file(reported: RunFolder, shared: RunFolder) -> None:
    """By the part of the ids that no format escapes; pictures inside the page are opened."""
    id_ = re.compile(rb"nodule\d{4}|patient\d{4}")
    files = [path for path in shared.path.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} >= {".html", ".svg", ".csv", ".parquet", ".json", ".tex"}
    for path in files:
        assert not id_.search(path.name.encode())
        content = path.read_bytes()
        inside = re.findall(rb"data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)", content)
        for part in (content, *map(base64.b64decode, inside)):
            assert not id_.search(part), path.name
    assert id_.search((reported.path / "report.html").read_bytes())  # the search can find some


def test_the_copy_is_a_run_that_says_the_same(reported: RunFolder, shared: RunFolder) -> None:
    pd.testing.assert_frame_equal(shared.metrics, reported.metrics)
    pd.testing.assert_frame_equal(shared.comparisons, reported.comparisons)
    arms = ["model", "features"]
    for run in (shared, reported):
        assert run.predictions.roi_id.nunique() == 160
        assert run.predictions.patient_id.nunique() == 80
    old, new = (r.predictions.groupby(arms, sort=False).y_prob.sum() for r in (reported, shared))
    pd.testing.assert_series_equal(old, new)
    known = set(shared.rois.roi_id)
    for split in shared.splits:
        assert {*split.train, *split.test} <= known
    patient_of = dict(zip(shared.rois.roi_id, shared.rois.patient_id, strict=True))
    own = shared.predictions
    assert [patient_of[roi] for roi in own.roi_id] == own.patient_id.tolist()


def test_order_does_not_give_ids_away(reported: RunFolder, shared: RunFolder) -> None:
    assert shared.rois.roi_id.is_monotonic_increasing
    old, new = reported.rois.equivalent_diameter_mm, shared.rois.equivalent_diameter_mm
    assert sorted(old) == sorted(new)
    assert old.tolist() != new.tolist()


def test_pairs_are_in_the_order_of_new_ids(reported: RunFolder, shared: RunFolder) -> None:
    assert len(shared.near_duplicates) == len(reported.near_duplicates) == 2
    pairs = [(pair.roi_a, pair.roi_b) for pair in shared.near_duplicates]
    assert pairs == sorted(map(tuple, map(sorted, pairs)))
    near = [w for run in (reported, shared) for w in cautions(run) if w.startswith("Near-dup")]
    assert len(near) == 2


def test_what_the_gallery_says_names_nobody(reported: RunFolder, shared: RunFolder) -> None:
    _, shown = anonymise(reported, gallery(reported))
    assert shown is not None
    (note,) = shown.notes
    assert re.fullmatch(r"diameter of 'roi-\d+': ValueError: empty", note)


def test_ids_are_drawn_anew_each_time(reported: RunFolder) -> None:
    one, other = draw_key(reported), draw_key(reported)
    assert one.rois.keys() == other.rois.keys()
    assert one.rois != other.rois
    assert len(set(one.rois.values())) == len(one.rois)


def test_paths_lose_their_folders(shared: RunFolder) -> None:
    command = " ".join(shared.environment["command"])
    assert "/home" not in command
    assert "somewhere" not in (shared.path / "config.toml").read_text()
    failures = json.loads((shared.path / "failures.json").read_text())
    assert re.fullmatch(r"ValueError: roi-\d+ of patient-\d+: mask is empty", failures[0]["reason"])
    assert failures[0]["roi_id"].startswith("roi-")


def test_ids_of_digits_do_not_garble_counts() -> None:
    key = Key({"7": "roi-1", "r1": "roi-2", "r1_long": "roi-3"}, {})
    assert key.text("7 ROIs of r1_long, r1, r10 and 17") == "7 ROIs of roi-3, roi-2, r10 and 17"
    assert key.reason("row 7: empty; 0.7 of 17") == "row roi-1: empty; 0.7 of 17"


def test_again_replaces_the_former_copy(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", n=80)
    anonymise(run)
    (run.path / "anonymised" / "stale.txt").write_text("old")
    anonymise(run)
    assert not (run.path / "anonymised" / "stale.txt").exists()


def test_failures_are_in_the_order_of_new_ids_with_their_own_reasons(tmp_path: Path) -> None:
    """Of forty ROIs, each with a number of its own to tell its failure by."""
    run = make_run(tmp_path / "run", n=80)
    ids = run.rois.roi_id.tolist()[:40]
    template = json.loads((run.path / "failures.json").read_text())[0]
    failures = [
        {**template, "roi_id": roi_id, "fold": n, "reason": f"{roi_id} is the culprit"}
        for n, roi_id in enumerate(ids)
    ]
    (run.path / "failures.json").write_text(json.dumps(failures))
    run = read_run(run.path)
    copy, _ = anonymise(run)
    found = json.loads((copy.path / "failures.json").read_text())
    assert len(found) == 40
    new = [failure["roi_id"] for failure in found]
    assert new == sorted(new)
    assert len(set(new)) == 40
    assert [failure["reason"] for failure in found] == [f"{roi} is the culprit" for roi in new]
    diameter = dict(zip(run.rois.roi_id, run.rois.equivalent_diameter_mm, strict=True))
    shared = dict(zip(copy.rois.roi_id, copy.rois.equivalent_diameter_mm, strict=True))
    for failure in found:
        assert shared[failure["roi_id"]] == diameter[ids[failure["fold"]]]
    # By chance, the order of ids would stay in one of 40! cases.
    assert [failure["fold"] for failure in found] != list(range(40))


def test_each_file_of_a_run_is_free_of_ids_that_stand_anywhere_in_it(tmp_path: Path) -> None:
    """In its names and settings, its environment, its failures' reasons and its tables' texts."""
    run = make_run(tmp_path / "run", n=80)
    roi, patient = run.rois.roi_id[5], run.rois.patient_id[5]
    told = f"{roi} of {patient}"
    environment = json.loads((run.path / "environment.json").read_text())
    environment["dataset"]["cohort"] += f". Without {told}"
    environment["protocol"]["label"] += f"; {told} by hand"
    environment["nested"] = [{"deep": [told]}]
    (run.path / "environment.json").write_text(json.dumps(environment))
    config = (run.path / "config.toml").read_text()
    (run.path / "config.toml").write_text(
        config.replace('profile = "quick"', f'profile = "without {told}"')
    )
    copy, _ = anonymise(read_run(run.path))
    names = ("environment.json", "config.toml", "failures.json", "splits.json", "rois.csv")
    for name in names:
        text = (copy.path / name).read_text()
        assert roi not in text, name
        assert patient not in text, name
    shared = json.loads((copy.path / "environment.json").read_text())
    new = dict(zip(copy.rois.roi_id, copy.rois.patient_id, strict=True))
    (found,) = re.findall(r"Without (roi-\d+) of (patient-\d+)$", shared["dataset"]["cohort"])
    assert new[found[0]] == found[1]
    assert shared["nested"] == [{"deep": [f"{found[0]} of {found[1]}"]}]
    assert f"{found[0]} of {found[1]} by hand" in shared["protocol"]["label"]
    assert shared["cores"] == environment["cores"]
    profile = tomllib.loads((copy.path / "config.toml").read_text())["profile"]
    assert profile == f"without {found[0]} of {found[1]}"


def test_rows_and_splits_are_the_same_under_the_new_ids(
    reported: RunFolder, shared: RunFolder
) -> None:
    """ROIs are told by their diameters, of which no two are equal."""
    names = [
        dict(zip(run.rois.equivalent_diameter_mm, run.rois.roi_id, strict=True))
        for run in (reported, shared)
    ]
    new = {old: names[1][mm] for mm, old in names[0].items()}
    assert len(new) == 160
    for old, copy in zip(reported.splits, shared.splits, strict=True):
        assert (copy.scheme, copy.repeat, copy.fold) == (old.scheme, old.repeat, old.fold)
        assert copy.train == tuple(sorted(new[roi] for roi in old.train))
        assert copy.test == tuple(sorted(new[roi] for roi in old.test))
    key = ["model", "features", "repeat", "fold", "roi_id"]
    columns = [*key, "y_true", "y_prob", "threshold"]
    before = reported.predictions.assign(roi_id=reported.predictions.roi_id.map(new))
    pd.testing.assert_frame_equal(
        before[columns].sort_values(key, ignore_index=True),
        shared.predictions[columns].sort_values(key, ignore_index=True),
    )
    pairs = {frozenset((new[p.roi_a], new[p.roi_b])) for p in reported.near_duplicates}
    assert {frozenset((p.roi_a, p.roi_b)) for p in shared.near_duplicates} == pairs


def test_the_gallerys_nodules_are_renamed_as_in_the_tables(reported: RunFolder) -> None:
    shown = gallery(reported)
    copy, anonymous = anonymise(reported, shown)
    assert anonymous is not None
    (old,), (item,) = shown.items, anonymous.items
    about = reported.rois.set_index("roi_id").loc[old.roi_id]
    own = copy.rois.set_index("roi_id").loc[item.roi_id]
    assert own.equivalent_diameter_mm == about.equivalent_diameter_mm
    assert own.patient_id == item.patient_id
    assert item.scores == old.scores
    assert all(re.fullmatch(r"beside roi-\d+", note) for note in item.notes)
