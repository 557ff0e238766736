"""Tables of a build of LIDC-IDRI: manifest, cases left out, a summary."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.lidc.annotations import Nodule
from benchmark.lidc.crops import FIELD_OF_VIEW_MM
from benchmark.lidc.stack import LeftOut
from benchmark.lidc.write import Options, columns
from benchmark.runtime import folders

_LEFT_OUT_COLUMNS = [
    "patient_id", "series_instance_uid", "roi_id", "n_nodules", "status", "reason", "detail",
]  # fmt: skip

_README = """\
Nodules of LIDC-IDRI, written by `python -m benchmark build lidc`: image in HU and mask (voxels
that at least {consensus:g} of a nodule's readers outlined), native resolution, {fov:g} mm or more
around the nodule where the scan reaches that far. manifest.csv lists them, left_out.csv says what
is not among them. Ratings are the readers' suspicion, not pathology.

LIDC-IDRI is licensed CC BY 3.0. Cite: S. G. Armato III et al., "The Lung Image Database
Consortium (LIDC) and Image Database Resource Initiative (IDRI): a completed reference database
of lung nodules on CT scans", Medical Physics 38(2), 2011, doi 10.1118/1.3528204, and the
collection at The Cancer Imaging Archive, doi 10.7937/K9/TCIA.2015.LO9QL9SX.
"""


@dataclass(frozen=True)
class Built:
    """Content of a folder after a build.

    Attributes
    ----------
    n_rois, n_patients, n_scans : int
        Counts; scans are those that were read, with or without a usable nodule.
    left_out : tuple of (Nodule, LeftOut)
        Each case left out, with some nodule of the series that it concerns.
    n_rebuilt : int
        Scans that an earlier call built, and whose files were missing or had changed.
    damaged : tuple of str
        Those files.
    """

    n_rois: int
    n_patients: int
    n_scans: int
    left_out: tuple[tuple[Nodule, LeftOut], ...]
    n_rebuilt: int = 0
    damaged: tuple[str, ...] = ()

    @property
    def failed(self) -> bool:
        return any(item.failed for _, item in self.left_out)

    def describe(self) -> list[str]:
        """Lines for a terminal: what there is, and what was left out for each reason."""
        lines = [f"{self.n_rois} ROIs of {self.n_patients} patients from {self.n_scans} scans"]
        for reason in sorted({item.reason for _, item in self.left_out}):
            of_it = [(n, item) for n, item in self.left_out if item.reason == reason]
            series = len({nodule.series_instance_uid for nodule, _ in of_it})
            lost = sum(item.n_nodules for _, item in of_it)
            status = "FAILED" if any(item.failed for _, item in of_it) else "left out"
            lines.append(f"  {status}, {reason}: {lost} nodules in {series} series")
        if self.n_rebuilt:
            names = ", ".join(self.damaged[:4]) + (", ..." if len(self.damaged) > 4 else "")
            lines.append(
                f"  built again, files missing or damaged: {self.n_rebuilt} scans ({names})"
            )
        return lines


def write_tables(
    out: Path,
    options: Options,
    rows: Sequence[Mapping[str, Any]],
    left_out: Sequence[tuple[Nodule, LeftOut]],
) -> None:
    """Write ``README.txt``, ``left_out.csv`` and, last, ``manifest.csv`` into ``out``."""
    readme = _README.format(consensus=options.consensus, fov=FIELD_OF_VIEW_MM)
    folders.write_text(out / "README.txt", readme)
    folders.write_text(out / "left_out.csv", _csv(_LEFT_OUT_COLUMNS, map(_row_left_out, left_out)))
    folders.write_text(out / "manifest.csv", _csv(columns(options), rows))


def _row_left_out(case: tuple[Nodule, LeftOut]) -> dict[str, Any]:
    nodule, item = case
    return {
        "patient_id": nodule.patient_id,
        "series_instance_uid": nodule.series_instance_uid,
        "roi_id": item.roi_id,
        "n_nodules": item.n_nodules,
        "status": "failed" if item.failed else "left out",
        "reason": item.reason,
        "detail": item.detail,
    }


def _csv(names: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
