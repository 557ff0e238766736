"""A build of LIDC-IDRI is killed, and goes on: same bytes, nothing half written, nothing twice."""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from benchmark.lidc import build
from benchmark.lidc.annotations import nodules, read_outlines
from benchmark.lidc.build import build_dataset
from benchmark.lidc.write import SCAN_FILE, Options, ScanJob, build_scan
from benchmark.runtime.folders import reserved
from benchmark.runtime.paths import ROOT
from tests.helpers.lidc_dicom import (
    SHORT,
    SIZE,
    Quiet,
    files_of,
    flat,
    left_out,
    nodules_of,
    rows_of,
    write_series,
)

N_SCANS, N_KILLS = 8, 10

# A build that kills itself so many seconds after it began, or after its first scan.
_BUILD = """
import os, signal, sys, threading
from pathlib import Path
from benchmark.lidc import build
from benchmark.lidc.build import build_dataset
from benchmark.lidc.annotations import nodules
dicom, out, patients, delay, workers, begun = sys.argv[1:]
strike = threading.Timer(float(delay), os.kill, (os.getpid(), signal.SIGKILL))
class Watched:
    def update(self, task, done, total):
        if begun and done == 1:
            strike.start()
if __name__ == "__main__":
    nodules()
    if workers:
        build._SCANS_A_WORKER = 1
    if not begun:
        strike.start()
    build_dataset(Path(dicom), Path(out), Watched(), jobs=2, patients=patients)
    os._exit(0)
"""


def scans_in(out: Path) -> dict[str, int]:
    """Folders of whole scans, and when they were written."""
    found = (out / "rois").glob("[!.]*")
    return {path.name: (path / "scan.json").stat().st_mtime_ns for path in found}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """DICOM of eight short scans, the patients, a build, and how long it took."""
    root = tmp_path_factory.mktemp("resume")
    scans = {n.scan_id: n for n in nodules() if len(n.slice_zs_mm) < 100}
    chosen = sorted(scans.values(), key=lambda n: len(n.slice_zs_mm))[:N_SCANS]
    planes = [np.random.default_rng(i).integers(-1000, 400, (SIZE, SIZE)) for i in range(8)]
    for scan in chosen:
        write_series(root / "dicom", scan, lambda index: planes[index % 8] + index)
    patients = ",".join(scan.patient_id for scan in chosen)
    start = time.perf_counter()
    build_dataset(root / "dicom", root / "rois", Quiet(), jobs=1, patients=patients)
    return root / "dicom", patients, root / "rois", time.perf_counter() - start


def killed_build(
    dicom: Path, out: Path, patients: str, delay_s: float, workers: bool, begun: bool
) -> bool:
    """Whether the build was killed before it ended."""
    flags = ["workers" if workers else "", "begun" if begun else ""]
    arguments = [dicom, out, patients, str(delay_s), *flags]
    done = subprocess.run([sys.executable, "-c", _BUILD, *arguments], cwd=ROOT, check=False)
    assert done.returncode in (0, -9)
    return done.returncode == -9


def check_whole(out: Path) -> None:
    """Every scan's folder holds all that it should, or is not there."""
    for folder in (out / "rois").glob("[!.]*"):
        content = json.loads((folder / "scan.json").read_text())
        for row in content["rows"]:
            for column in ("image", "mask"):
                assert len(gzip.decompress((out / row[column]).read_bytes())) > 352


@pytest.mark.parametrize(("workers", "n_kills"), [(False, N_KILLS), (True, 3)])
def test_killed_and_resumed(workers, n_kills, undisturbed, tmp_path):
    dicom, patients, expected, seconds = undisturbed
    out = tmp_path / "rois"
    draw = random.Random(n_kills)
    kills, partly, attempts = 0, 0, 0
    seen: dict[str, int] = {}
    while kills < n_kills:
        attempts += 1
        assert attempts <= 3 * n_kills, "builds end before they are killed"
        begun = attempts % 2 == 1 and len(seen) < N_SCANS
        delay_s = draw.uniform(0, seconds / (2 * N_SCANS) if begun else seconds / 4)
        kills += killed_build(dicom, out, patients, delay_s, workers, begun)
        check_whole(out)
        now = scans_in(out)
        assert seen.items() <= now.items()  # what is there is not written again
        partly += 0 < len(now) < N_SCANS
        seen = now
    with reserved(out, new=False):  # as the command does, which takes away half-written files
        build_dataset(dicom, out, Quiet(), jobs=1, patients=patients)
    assert seen.items() <= scans_in(out).items()
    assert files_of(out) == files_of(expected)
    assert partly, "no kill came while scans were being written"


def test_parallel_and_serial_give_the_same_bytes(undisturbed, tmp_path, monkeypatch):
    dicom, patients, expected, _ = undisturbed
    monkeypatch.setattr(build, "_SCANS_A_WORKER", 1)
    build_dataset(dicom, tmp_path / "rois", Quiet(), jobs=2, patients=patients)
    assert files_of(tmp_path / "rois") == files_of(expected)


def test_what_a_killed_build_left_lying_is_removed(undisturbed, tmp_path):
    dicom, patients, expected, _ = undisturbed
    out = tmp_path / "rois"
    (out / "rois" / ".LIDC-IDRI-0078-1-0a1b2c3d").mkdir(parents=True)
    (out / "rois" / ".LIDC-IDRI-0078-1-0a1b2c3d" / "half.nii.gz").write_bytes(b"half")
    (out / "build.json").write_bytes((expected / "build.json").read_bytes())
    build_dataset(dicom, out, Quiet(), jobs=1, patients=patients)
    assert files_of(out) == files_of(expected)


def test_killed_before_the_options_were_written(undisturbed, tmp_path):
    dicom, patients, expected, _ = undisturbed
    (tmp_path / "rois").mkdir()
    (tmp_path / "rois" / ".build.json-0123abcd").write_text("{")
    with reserved(tmp_path / "rois", new=False):
        build_dataset(dicom, tmp_path / "rois", Quiet(), jobs=1, patients=patients)
    assert files_of(tmp_path / "rois") == files_of(expected)


@pytest.fixture
def built(undisturbed, tmp_path):
    """A copy of the build, with the DICOM files, the patients and a nodule's image in it."""
    dicom, patients, expected, _ = undisturbed
    out = tmp_path / "rois"
    shutil.copytree(expected, out)
    image = sorted((out / "rois").glob("*/*_image.nii.gz"))[0]
    return dicom, patients, out, image


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip(path: Path) -> None:
    """The same size."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGES = {"gone": Path.unlink, "cut": cut, "flipped": flip}


@pytest.mark.parametrize("name", ["image", "scan.json", "SHA256SUMS"])
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=list(DAMAGES))
def test_damaged_files_are_built_again(damage, name, built, undisturbed):
    dicom, patients, out, image = built
    hit = image if name == "image" else image.with_name(name)
    before = scans_in(out)
    damage(hit)
    done = build_dataset(dicom, out, Quiet(), jobs=1, patients=patients)
    assert files_of(out) == files_of(undisturbed[2])
    assert done.n_rebuilt == 1
    lines = [line for line in done.describe() if "built again" in line]
    assert lines[0].startswith("  built again, files missing or damaged: 1 scans (")
    assert image.parent.name in lines[0]
    after = scans_in(out)
    assert {scan for scan in before if after[scan] != before[scan]} == {image.parent.name}
    again = build_dataset(dicom, out, Quiet(), jobs=1, patients=patients)
    assert (again.n_rebuilt, again.damaged) == (0, ())


@pytest.mark.parametrize("asked", [True, False], ids=["asked for", "of others"])
def test_damaged_files_whose_dicom_is_gone_leave_the_manifest(asked, built, tmp_path):
    dicom, patients, out, image = built
    image.unlink()
    patient = image.name.partition("_")[0]
    others = [name for name in patients.split(",") if name != patient]
    (tmp_path / "dicom").mkdir()
    for name in others:
        (tmp_path / "dicom" / name).symlink_to(dicom / name)
    wanted = patients if asked else ",".join(others)
    done = build_dataset(tmp_path / "dicom", out, Quiet(), jobs=1, patients=wanted)
    assert done.failed
    assert done.n_rebuilt == 0
    (row,) = left_out(out, "damaged files")
    assert (row["patient_id"], row["status"]) == (patient, "failed")
    assert f"{image.parent.name}/{image.name}: missing or changed" in row["detail"]
    assert {row["patient_id"] for row in rows_of(out)} == set(others)
    assert build_dataset(dicom, out, Quiet(), jobs=1, patients=patients).n_rebuilt == 1
    assert {row["patient_id"] for row in rows_of(out)} == {patient, *others}


def test_a_build_of_another_format_is_refused(built):
    dicom, patients, out, _ = built
    options = json.loads((out / "build.json").read_text())
    (out / "build.json").write_text(json.dumps(options | {"format": 1}))
    with pytest.raises(ValueError, match="begun with format = 1 and cannot go on with 2"):
        build_dataset(dicom, out, Quiet(), jobs=1, patients=patients)


def job(folder: Path, builder: int) -> ScanJob:
    scan = nodules_of(SHORT)
    return ScanJob(
        target=folder / "rois/scan",
        paths=tuple(write_series(folder / "dicom", scan[0], flat)),
        nodules=tuple(scan),
        outlines=tuple(read_outlines(scan)),
        options=Options(),
        builder=builder,
    )


def test_a_scan_that_an_orphaned_worker_has_finished_is_kept(tmp_path: Path) -> None:
    task = job(tmp_path, os.getpid())
    assert build_scan(task) == (task.nodules[0].scan_id, None)
    before = files_of(task.target)
    assert build_scan(task) == (task.nodules[0].scan_id, None)
    assert files_of(task.target) == before
    (task.target / SCAN_FILE).unlink()
    with pytest.raises(ValueError, match="exists already"):
        build_scan(task)


def test_a_worker_whose_build_was_killed_writes_nothing(tmp_path: Path, monkeypatch) -> None:
    task = job(tmp_path, os.getpid() + 1)
    monkeypatch.setattr(os, "getppid", lambda: 1)
    with pytest.raises(RuntimeError, match="has been killed"):
        build_scan(task)
    assert not task.target.exists()
