"""Series in a folder of DICOM files, in any layout.

``PatientID/StudyInstanceUID/SeriesInstanceUID`` is recognised by its names alone. In any other
layout headers tell: three headers of a folder where these name one series, otherwise all. Where a
series is still missing in the end, all headers are read. Links are followed, and no folder is
looked into twice.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from benchmark.formats.dicom_header import read_fields
from benchmark.runtime.progress import Progress

_COLLECTION_FOLDERS = ("", "LIDC-IDRI", "lidc_idri")
_SUFFIXES = {"", ".dcm", ".dicom", ".ima"}


@dataclass(frozen=True)
class SeriesKey:
    """Identifiers of a series that is looked for."""

    patient_id: str
    study_instance_uid: str
    series_instance_uid: str


def find_series(
    folder: Path, wanted: Sequence[SeriesKey], progress: Progress
) -> dict[str, tuple[Path, ...]]:
    """Files that may belong to each series, by SeriesInstanceUID, sorted by path.

    A folder may mix files of several patients or series. Other series, hidden files and files
    whose names cannot be DICOM's are passed over; a folder may still hold files of another series.
    Files that cannot be read may belong to each series that has a file beside them.

    Parameters
    ----------
    folder : Path
    wanted : sequence of SeriesKey
    progress : Progress
        Where names do not suffice, it is told how many folders have been looked into.

    Raises
    ------
    ValueError
        Where ``folder`` is not a folder.
    """
    if not folder.is_dir():
        raise ValueError(f"--dicom '{folder}' is not a folder; name the one that holds the DICOM")
    found: dict[str, tuple[Path, ...]] = {}
    taken: set[tuple[int, int]] = set()
    for key in wanted:
        below = Path(key.patient_id, key.study_instance_uid, key.series_instance_uid)
        for collection in _COLLECTION_FOLDERS:
            place = folder / collection / below
            if place.is_dir():
                with os.scandir(place) as entries:
                    files = sorted(e.path for e in entries if _may_be(e.name) and e.is_file())
                if files:
                    found[key.series_instance_uid] = tuple(map(Path, files))
                    taken.add(_identity(place))
                    break
    rest = [key for key in wanted if key.series_instance_uid not in found]
    return found | _search(folder, rest, taken, progress) if rest else found


def names_digest(paths: Iterable[Path]) -> str:
    """SHA-256 of the files' names; it changes where a file came or went."""
    names = sorted(path.name for path in paths)
    return hashlib.sha256("\n".join(names).encode()).hexdigest()


def _search(
    folder: Path, wanted: Sequence[SeriesKey], taken: Set[tuple[int, int]], progress: Progress
) -> dict[str, tuple[Path, ...]]:
    places = []
    seen: set[tuple[int, int]] = set()
    for root, below, files in os.walk(folder, followlinks=True):
        here = _identity(Path(root))
        if here in seen:
            below.clear()  # a link to a folder above would lead round and round
            continue
        seen.add(here)
        below[:] = sorted(name for name in below if not name.startswith("."))
        kept = sorted(filter(_may_be, files))
        if kept and here not in taken:
            places.append((Path(root), kept))
    found: dict[str, list[Path]] = {key.series_instance_uid: [] for key in wanted}
    probed: list[tuple[Path, list[str]]] = []
    for done, (where, names) in enumerate(places, 1):
        probes = {_series(where / names[i]) for i in (0, len(names) // 2, -1)}
        if len(probes) == 1 and probes <= found.keys():
            (series,) = found.keys() & probes
            found[series] += [where / name for name in names]
            probed.append((where, names))
        else:
            _sort(where, names, found)
        progress.update("Finding series", done, len(places))
    # Where series are mixed, three headers may agree by chance.
    absent: dict[str, list[Path]] = {series: paths for series, paths in found.items() if not paths}
    if absent:
        for done, (where, names) in enumerate(probed, 1):
            _sort(where, names, absent)
            progress.update("Finding missing series", done, len(probed))
    return {series: tuple(paths) for series, paths in found.items() if paths}


def _sort(where: Path, names: Iterable[str], found: Mapping[str, list[Path]]) -> None:
    """Add each file to its series, if that series is looked for."""
    unreadable, here = [], set()
    for name in names:
        series = _series(where / name)
        if series is None:
            unreadable.append(where / name)
        elif series in found:
            found[series].append(where / name)
            here.add(series)
    for series in here:
        found[series] += unreadable


def _series(path: Path) -> str | None:
    """SeriesInstanceUID; empty where the file is not DICOM, None where it cannot be read."""
    try:
        fields = read_fields(path)
    except (ValueError, OSError):
        return None
    return fields["SeriesInstanceUID"] if fields else ""


def _identity(folder: Path) -> tuple[int, int]:
    """What a folder is, by whatever name or link it is reached."""
    status = folder.stat()
    return status.st_dev, status.st_ino


def _may_be(name: str) -> bool:
    if name.startswith(".") or name == "DICOMDIR":
        return False
    suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122  # hundreds of thousands of names
    # A name may be the UID of its image, whose last number looks like a suffix.
    return suffix in _SUFFIXES or suffix[1:].isdecimal()
