"""Nothing that is shared names a patient or a ROI, and everything in it still fits together."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from pyarrow import parquet

from benchmark.columns import EXPLANATION_TABLE
from benchmark.report.anonymise import Key, anonymise, draw_key
from benchmark.report.document import FORMATS, write_report
from benchmark.report.gallery.pictures import GalleryFigure
from benchmark.report.wording.method_warnings import cautions
from benchmark.run.folder import RunFolder, read_run
from tests.helpers.made_run import PIXEL, gallery, make_run

HOME = "/".join(("", "home", "johndoe", "StMarys"))


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
    assert shown.notes == ["1 notes are left out, as they may name someone"]


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
    assert failures[0]["reason"] == "ValueError: (left out)"
    assert failures[0]["roi_id"].startswith("roi-")


def test_a_sentence_is_left_out_where_an_id_is_in_it_in_any_spelling() -> None:
    key = Key({"Doe_0001": "roi-1", "r1": "roi-2"}, {}, {}, {"lung study": "the dataset"})
    assert key.said("trained on lung study, 1 fold") == "trained on the dataset, 1 fold"
    for spelling in ("Doe_0001", "doe-0001", "DOE0001", "x.doe 0001.nii"):
        assert key.said(f"without {spelling}") == "(left out)"


def test_again_replaces_the_former_copy(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", n=80)
    anonymise(run)
    (run.path / "anonymised" / "stale.txt").write_text("old")
    anonymise(run)
    assert not (run.path / "anonymised" / "stale.txt").exists()


def test_failures_are_in_the_order_of_new_ids_without_their_reasons(tmp_path: Path) -> None:
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
    assert {failure["reason"] for failure in found} == {"(left out)"}
    diameter = dict(zip(run.rois.roi_id, run.rois.equivalent_diameter_mm, strict=True))
    shared = dict(zip(copy.rois.roi_id, copy.rois.equivalent_diameter_mm, strict=True))
    for failure in found:
        assert shared[failure["roi_id"]] == diameter[ids[failure["fold"]]]
    # By chance, the order of ids would stay in one of 40! cases.
    assert [failure["fold"] for failure in found] != list(range(40))


SECRETS = ("nodule0005", "patient0002", "johndoe", "stmarys", "scan77", "drwho", "madeup")
"""A ROI, a patient, a user, a dataset's folder, a file, an arm's name, a column."""


def plant(folder: Path) -> None:
    """Put all of ``SECRETS`` wherever text can come from."""
    told = f"Scan_77.nii.gz of NODULE-0005, Patient0002 in {HOME}"
    environment = json.loads((folder / "environment.json").read_text())
    environment["dataset"] |= {"name": "StMarys", "cohort": told, "note": told}
    environment["protocol"]["label"] += f"; {told}"
    environment["protocol"]["split"] = "trained on all of StMarys"
    environment |= {
        "nested": [{"deep": [told]}], "cache": {"problem": told}, "workers": told,
        "command": ["python", "-m", "benchmark", "run", "--dataset", HOME],
        "training_dataset": {"name": "StMarys"},
    }  # fmt: skip
    (folder / "environment.json").write_text(json.dumps(environment))
    config = (folder / "config.toml").read_text()
    config = config.replace('profile = "quick"', 'profile = "johndoe"')
    config = config.replace("somewhere/made", HOME).replace(
        '"prior:diameter",', '{name = "DrWho", model = "prior", features = "diameter", '
        'settings = {path = "C:\\\\johndoe"}},'
    )  # fmt: skip
    (folder / "config.toml").write_text(f'madeup = "{told}"\n{config}')
    failures = json.loads((folder / "failures.json").read_text())
    failures[0] |= {"reason": f"ValueError: {told}"}
    failures.append({**failures[0], "roi_id": "", "arm": "DrWho", "model": "prior",
                     "reason": f"FileNotFoundError: {told}"})  # fmt: skip
    (folder / "failures.json").write_text(json.dumps(failures))
    for path in folder.glob("*.csv"):
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        table.replace("prior:diameter", "DrWho").assign(madeup=told).to_csv(path, index=False)
    (folder / "history.csv").unlink()  # its further columns are numbers
    predictions = pd.read_parquet(folder / "predictions.parquet")
    predictions = predictions.replace("prior:diameter", "DrWho").assign(madeup=told)
    predictions.to_parquet(folder / "predictions.parquet", index=False)
    (folder / f"{told.split(maxsplit=1)[0]}.csv").write_text("intensities\nacquired\n")


def texts(content: bytes) -> Iterator[bytes]:
    """A file's bytes, and what is compressed or encoded in it."""
    yield content
    for encoded in re.findall(rb"base64,([A-Za-z0-9+/=]+)", content):
        yield from texts(base64.b64decode(encoded))
    if content.startswith(b"PAR1"):
        table = parquet.read_table(io.BytesIO(content))
        yield repr((table.schema.metadata, table.to_pydict())).encode()
    if content.startswith(b"\x89PNG"):
        with Image.open(io.BytesIO(content)) as picture:
            yield repr(picture.info).encode()


def test_nothing_that_names_someone_is_left_in_any_byte(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", n=80)
    plant(run.path)
    run = read_run(run.path)
    assert {arm.name for arm in run.arms} >= {"DrWho"}
    shown = gallery(run)
    (item,) = shown.items
    told = f"the file of nodule0005 at {HOME}/scan77.nii"
    items = [replace(item, scores={"DrWho": 0.5}, notes=(told,),
                     pictures={"nodule": PIXEL, "DrWho": PIXEL})]  # fmt: skip
    summary = EXPLANATION_TABLE.frame([("DrWho", "prior", "diameter", "size", 0.5, "logit", 9)])
    shown = replace(
        shown, items=items, notes=[told], summary=summary, sanity={"DrWho": 0.5},
        figures=[GalleryFigure("shap-drwho.png", "Mean |SHAP|, DrWho", PIXEL)],
    )  # fmt: skip
    copy, shared = anonymise(run, shown)
    write_report(copy, FORMATS, shared)
    files = [path for path in copy.path.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} >= {".html", ".svg", ".png", ".parquet", ".json"}
    for path in files:
        for part in (path.name.encode(), *texts(path.read_bytes())):
            bare = re.sub(rb"[^a-z0-9]", b"", part.lower())
            assert not [secret for secret in SECRETS if secret.encode() in bare], path.name
    assert copy.environment["protocol"]["split"] == "trained on all of the dataset"
    assert "prior, variant 1" in {arm.name for arm in copy.arms}
    # The search finds what there is.
    found = b"".join(path.read_bytes() for path in run.path.glob("*.*"))
    bare = re.sub(rb"[^a-z0-9]", b"", found.lower())
    assert all(secret.encode() in bare for secret in SECRETS)


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
    assert item.notes == ()
