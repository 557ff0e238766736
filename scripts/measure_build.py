"""Speed and memory of ``build lidc``, and whether kills leave a trace.

    python -m scripts.measure_build [--scans N] [--kills N] [--work DIR]

Writes true DICOM series of N of LIDC-IDRI's scans, evenly spread over the numbers of slices
that its scans have, with noise for voxels (about 0.1 GB a scan, removed afterwards). Then, all
in one run:

- the whole command ``python -m benchmark build lidc``, its start included, against a loop that
  reads the same files with pydicom's ``pixel_array`` in one process that runs already; the two
  take turns, and the medians are compared;
- the memory that the build takes, over that of a build of one short scan;
- a build killed at random moments and resumed, against one that was not disturbed.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pydicom

from benchmark.lidc.annotations import Nodule, nodules
from benchmark.runtime.paths import ROOT
from tests.helpers.lidc_dicom import SIZE, files_of, write_series

TURNS = 5


def choose(n: int) -> list[Nodule]:
    """A nodule each of ``n`` scans, from the shortest to the longest but a twentieth."""
    scans = {nodule.scan_id: nodule for nodule in nodules()}
    by_length = sorted(scans.values(), key=lambda nodule: len(nodule.slice_zs_mm))
    places = np.linspace(0, 0.95 * (len(by_length) - 1), n).astype(int)
    return [by_length[place] for place in places]


def write_scans(dicom: Path, scans: list[Nodule]) -> list[Path]:
    rng = np.random.default_rng(0)
    tissue = rng.normal(-600, 300, (SIZE, SIZE)).astype(np.int64)
    paths = []
    for scan in scans:
        # The noise of neighbouring slices differs, or they would compress too well.
        paths += write_series(
            dicom,
            scan,
            lambda index: np.clip(tissue + rng.integers(-32, 32, tissue.shape), -1000, 3000),
        )
    return paths


def command(dicom: Path, out: Path, scans: list[Nodule], jobs: int = 2) -> list[str]:
    patients = ",".join(sorted({scan.patient_id for scan in scans}))
    options = ["--dicom", str(dicom), "--out", str(out), "--patients", patients]
    return [sys.executable, "-m", "benchmark", "build", "lidc", *options, "--jobs", str(jobs)]


def seconds_of_build(arguments: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(arguments, cwd=ROOT, check=True, capture_output=True)
    return time.perf_counter() - start


def seconds_of_loop(paths: list[Path]) -> float:
    start = time.perf_counter()
    for path in paths:
        _ = pydicom.dcmread(path).pixel_array
    return time.perf_counter() - start


def measure_rate(dicom: Path, work: Path, scans: list[Nodule], paths: list[Path]) -> None:
    builds, loops = [], []
    for _ in range(TURNS):
        shutil.rmtree(work / "rois", ignore_errors=True)
        loops.append(seconds_of_loop(paths))
        builds.append(seconds_of_build(command(dicom, work / "rois", scans)))
    build, loop = statistics.median(builds), statistics.median(loops)
    print(f"{len(scans)} scans, {len(paths)} slices, {TURNS} turns, medians")
    print(f"  pydicom loop, one process: {loop:.2f} s ({min(loops):.2f} to {max(loops):.2f})")
    print(f"  build lidc --jobs 2: {build:.2f} s ({min(builds):.2f} to {max(builds):.2f})")
    print(f"  rate of the build over that of the loop: {loop / build:.2f}", flush=True)


def peak_mb(arguments: list[str]) -> float:
    """Peak of resident memory of a command, MB."""
    code = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, "
        "capture_output=True); print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    # Kilobytes, on macOS bytes.
    return int(done.stdout) / (1e6 if sys.platform == "darwin" else 1e3)


def measure_memory(dicom: Path, work: Path, scans: list[Nodule]) -> None:
    sizes = {}
    for name, scan in (("shortest", scans[0]), ("longest", scans[-1])):
        n_rois = sum(nodule.scan_id == scan.scan_id for nodule in nodules())
        peak = peak_mb(command(dicom, work / name, [scan], jobs=1))
        sizes[name] = peak
        what = f"one scan of {len(scan.slice_zs_mm)} slices, {n_rois} nodules"
        print(f"peak memory, {what}: {peak:.0f} MB")
    print(f"  longest over shortest: {sizes['longest'] - sizes['shortest']:.0f} MB", flush=True)


def measure_kills(dicom: Path, work: Path, scans: list[Nodule], n_kills: int) -> None:
    seconds_of_build(command(dicom, work / "undisturbed", scans))
    expected = files_of(work / "undisturbed")
    draw = random.Random(0)
    out = work / "killed"
    stood = []
    for _ in range(n_kills):
        # At random, but not all in the start, which is most of the time.
        n_before = n_whole(out) + draw.randint(0, 1)
        running = subprocess.Popen(
            command(dicom, out, scans),
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while n_whole(out) < n_before and running.poll() is None:
            time.sleep(0.001)
        time.sleep(draw.uniform(0, 0.06))
        running.send_signal(signal.SIGKILL)
        killed = running.wait() == -signal.SIGKILL
        stood.append(f"{n_whole(out)}" if killed else f"{n_whole(out)} (had ended)")
    subprocess.run(command(dicom, out, scans), cwd=ROOT, check=True, capture_output=True)
    print(f"{n_kills} kills; scans built after each: {', '.join(stood)}")
    print(f"  byte-identical to an undisturbed build: {files_of(out) == expected}")


def n_whole(out: Path) -> int:
    return len(list((out / "rois").glob("[!.]*")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--scans", type=int, default=20)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--work", type=Path, help="Where to write; default: a temporary folder.")
    arguments = parser.parse_args()
    scans = choose(arguments.scans)
    print(f"cores: {os.cpu_count()}, load {os.getloadavg()[0]:.1f}", flush=True)
    with tempfile.TemporaryDirectory(dir=arguments.work) as work:
        dicom = Path(work, "dicom")
        paths = write_scans(dicom, scans)
        measure_rate(dicom, Path(work), scans, paths)
        measure_memory(dicom, Path(work), scans)
        measure_kills(dicom, Path(work), scans, arguments.kills)


if __name__ == "__main__":
    main()
