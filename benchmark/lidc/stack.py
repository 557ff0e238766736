"""The files of one LIDC-IDRI scan, in the order of the slices that the database lists.

A slice may be wanting: it has no file, or none that can be used. What then uses it is left out, and
the rest of the scan stays. Slices belong together where they are turned alike and none is moved
within its plane; those that differ from most of the scan cannot be used.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmark.formats.dicom_pixels import hounsfield, read_words
from benchmark.formats.dicom_series import WRONG_GEOMETRY, Slice, Unusable, read_slice
from benchmark.lidc.annotations import Nodule

SIZE_PX = 512
"""Rows and columns of the slices that the outlines were drawn on."""

_Z_TOLERANCE_MM = 0.05  # positions are rounded in some files; slices are 0.45 mm apart or more
_SPACING_TOLERANCE = 1e-3  # relative
_AXIAL = 0.9999  # cosine between a slice's normal and the patient's long axis, at least
_TURN_TOLERANCE = 1e-3  # of each cosine of ImageOrientationPatient
_SHIFT_TOLERANCE_MM = 0.1  # a fifth of the smallest pixels


class MissingSeriesError(ValueError):
    """No file of a scan's folder is of its series."""


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
        The file of each slice; None where there is none that can be used.
    unusable : mapping of int to Unusable
        The file of each slice that has files, of which none can be used.
    ambiguous : set of int
        Slices that have several files with different pixels.
    even : ndarray of bool, shape (slices - 1,)
        True where a slice and the next are both there, at the scan's usual distance.
    spacing_mm : float
    """

    slices: list[Slice | None]
    unusable: Mapping[int, Unusable]
    ambiguous: set[int]
    even: NDArray[np.bool_]
    spacing_mm: float


@dataclass(frozen=True)
class Files:
    """What the files of a scan's folder turned out to be.

    Attributes
    ----------
    placed : list of Slice or Unusable
        Files of the series whose place is known.
    unreadable : list of str
        Names of other files, and why they cannot be read; they may belong to the series.
    """

    placed: list[Slice | Unusable]
    unreadable: list[str]


def read_headers(paths: Sequence[Path], series_instance_uid: str) -> Files:
    """Read the headers of a scan's files.

    Raises
    ------
    MissingSeriesError
        Where all files can be read, and none is of the series.
    """
    placed, unreadable = [], []
    for path in sorted(paths):
        try:
            file = read_slice(path, series_instance_uid)
        except (ValueError, OSError) as error:
            unreadable.append(f"{path.name}: {error}")
            continue
        if file is not None:
            placed.append(file)
    if not placed and not unreadable:
        raise MissingSeriesError(f"none of {len(paths)} files in its folder is of it")
    return Files(placed, unreadable)


def stack_slices(files: Files, nodule: Nodule) -> tuple[Stack, list[LeftOut]]:
    """Put files at the slices that the database lists.

    Of several usable files at a place, the first by name stands for them, if their HU are equal;
    else the slice is ambiguous.
    """
    zs = np.array(nodule.slice_zs_mm)
    places: list[list[Slice | Unusable]] = [[] for _ in zs]
    unknown = []
    for file in files.placed:
        nearest = int(np.abs(zs - file.z_mm).argmin())
        if abs(zs[nearest] - file.z_mm) <= _Z_TOLERANCE_MM:
            places[nearest].append(_checked(file, nodule))
        else:
            unknown.append(file.z_mm)
    places = _without_outliers(places)
    usable = [[file for file in place if isinstance(file, Slice)] for place in places]
    unusable = {
        index: file
        for index, place in enumerate(places)
        for file in place[:1]
        if isinstance(file, Unusable) and not usable[index]
    }
    ambiguous = {index for index, copies in enumerate(usable) if not _same_hu(copies)}
    left_out = _cases(zs, places, unusable, ambiguous, files.unreadable)
    if unknown:
        left_out.append(_of_series("slices unknown to the database", unknown, ""))
    return _stack(
        [copies[0] if copies else None for copies in usable], unusable, ambiguous, nodule
    ), left_out


def without(stack: Stack, broken: Mapping[int, Unusable], nodule: Nodule) -> Stack:
    """The stack where some more slices cannot be used."""
    slices = [None if index in broken else file for index, file in enumerate(stack.slices)]
    return _stack(slices, {**stack.unusable, **broken}, stack.ambiguous, nodule)


def name_unusable(unusable: Mapping[int, Unusable]) -> list[LeftOut]:
    """A case of the series for each reason why slices cannot be used."""
    cases = []
    for reason in sorted({file.reason for file in unusable.values()}):
        of_it = [file for file in unusable.values() if file.reason == reason]
        first = of_it[0]
        more = f" cannot be used; {first.path.name}: {first.detail}"
        cases.append(_of_series(reason, [file.z_mm for file in of_it], more))
    return cases


def _stack(
    slices: list[Slice | None],
    unusable: Mapping[int, Unusable],
    ambiguous: set[int],
    nodule: Nodule,
) -> Stack:
    present = np.array([file.z_mm if file else np.nan for file in slices])
    gaps = np.diff(present)
    known = gaps[~np.isnan(gaps)]
    spacing = round(float(np.median(known)), 6) if len(known) else nodule.slice_spacing_mm
    even = np.abs(gaps - spacing) <= _Z_TOLERANCE_MM  # False beside a missing slice
    return Stack(slices, unusable, ambiguous, even, spacing)


def _cases(
    zs: NDArray[np.float64],
    places: Sequence[Sequence[Slice | Unusable]],
    unusable: Mapping[int, Unusable],
    ambiguous: set[int],
    unreadable: Sequence[str],
) -> list[LeftOut]:
    """What is to be said of the series, whether it costs a nodule or not."""
    missing = [z for z, place in zip(zs, places, strict=True) if not place]
    copied = [float(z) for z, place in zip(zs, places, strict=True) if len(place) > 1]
    left_out = name_unusable(unusable)
    if missing:
        left_out.append(_of_series("missing slices", missing, f" of {len(zs)}"))
    if missing and unreadable:  # otherwise they cannot have been of the series
        text = f"{len(unreadable)} of its files may hold missing slices; {unreadable[0]}"
        left_out.append(LeftOut("unreadable file", text, n_nodules=0, failed=True))
    if copied:
        more = f", {len(ambiguous)} with other pixels"
        left_out.append(_of_series("duplicate slices", copied, more))
    lines = Counter(
        (file.slope, file.intercept)
        for place in places
        for file in place
        if isinstance(file, Slice)
    )
    if len(lines) > 1:
        text = ", ".join(
            f"{slope:g} x + {intercept:g} ({n})" for (slope, intercept), n in lines.most_common(4)
        )
        text = f"{len(lines)} lines from stored values to HU, each applied to its slices: {text}"
        left_out.append(LeftOut("different rescaling", text, n_nodules=0))
    return left_out


def _of_series(reason: str, zs_mm: Sequence[float], more: str) -> LeftOut:
    at = ", ".join(f"{z:g}" for z in sorted(zs_mm)[:4]) + (", ..." if len(zs_mm) > 4 else "")
    return LeftOut(reason, f"{len(zs_mm)}{more}; z = {at} mm", n_nodules=0)


def _checked(file: Slice | Unusable, nodule: Nodule) -> Slice | Unusable:
    """The file, unusable where its geometry is not the database's."""
    if isinstance(file, Unusable):
        return file
    if (file.rows, file.columns) != (SIZE_PX, SIZE_PX):
        return _misplaced(
            file,
            f"{file.rows} x {file.columns} pixels; the outlines were drawn on "
            f"{SIZE_PX} x {SIZE_PX}",
        )
    expected = nodule.pixel_spacing_mm
    for spacing in file.pixel_spacing_mm or ():
        if abs(spacing - expected) > _SPACING_TOLERANCE * expected:
            return _misplaced(file, f"pixels of {spacing} mm; the database says {expected} mm")
    across, down = file.orientation[:3], file.orientation[3:]
    if abs(across[0] * down[1] - across[1] * down[0]) < _AXIAL:
        return _misplaced(file, f"orientation {file.orientation}; slices must be axial")
    return file


def _without_outliers(
    places: Sequence[Sequence[Slice | Unusable]],
) -> list[list[Slice | Unusable]]:
    """The files, those unusable that are turned or moved against most of them."""
    usable = [file for place in places for file in place if isinstance(file, Slice)]
    if not usable:
        return [list(place) for place in places]
    most = Counter((file.orientation, file.position_mm[:2]) for file in usable).most_common(1)
    ((orientation, corner), _) = most[0]

    def compared(file: Slice | Unusable) -> Slice | Unusable:
        if isinstance(file, Unusable):
            return file
        if not np.allclose(file.orientation, orientation, rtol=0, atol=_TURN_TOLERANCE):
            return _misplaced(
                file, f"orientation {file.orientation}; most slices of the scan have {orientation}"
            )
        if not np.allclose(file.position_mm[:2], corner, rtol=0, atol=_SHIFT_TOLERANCE_MM):
            return _misplaced(
                file,
                f"first pixel at {file.position_mm[:2]} mm in the plane; most slices of the scan "
                f"have it at {corner} mm",
            )
        return file

    return [[compared(file) for file in place] for place in places]


def _misplaced(file: Slice, detail: str) -> Unusable:
    return Unusable(file.path, file.z_mm, WRONG_GEOMETRY, detail)


def _same_hu(copies: Sequence[Slice]) -> bool:
    if len(copies) < 2:
        return True
    try:
        first, *others = (hounsfield(copy, read_words(copy, range(SIZE_PX))) for copy in copies)
    except (ValueError, OSError):
        return False
    return all(
        np.array_equal(first.hu, other.hu)
        and np.array_equal(first.padded | first.dubious, other.padded | other.dubious)
        for other in others
    )
