"""Predictions of a model that was trained elsewhere, checked against the splits of a run.

The columns of the CSV are ``roi_id``, ``repeat``, ``fold`` and ``y_prob`` (P(malignant), 0 to 1),
one row for every ROI that each split of the run tests; ``python -m benchmark splits`` writes these
splits. A column ``threshold`` is optional, with one value a split, which must have been chosen on
training patients; without it the threshold is .5. A column ``label`` must agree with the run's
labels. Other columns are not looked at.

What the model was trained on cannot be seen in its predictions. It can be checked, and is, that
none is of a ROI that the run trains on in the same split.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.cohort import ids
from benchmark.cohort.labels import Cohort
from benchmark.cohort.splits import Split
from benchmark.plugins.arms import EXTERNAL, Arm
from benchmark.user_tables.csv_rows import (
    Columns,
    few,
    number,
    prefixed,
    read_table,
    shown,
    whole,
    without_apostrophe,
)

DEFAULT_THRESHOLD = 0.5

_COLUMNS = Columns(("roi_id", "repeat", "fold", "y_prob"), others=frozenset({"threshold", "label"}))

Place = tuple[str, str]
"""A split's repeat and fold, as text."""


@dataclass(frozen=True)
class _Row:
    line: int
    roi_id: str
    place: Place
    cells: Mapping[str, str]

    def __str__(self) -> str:
        repeat, fold = self.place
        return f"row {self.line} (roi_id {shown(self.roi_id)}, repeat {repeat} fold {fold})"


def read_predictions(
    name: str, path: Path, cohort: Cohort, splits: Sequence[Split], threshold: float | str
) -> list[dict[str, Any]]:
    """Read the predictions of an arm.

    Parameters
    ----------
    name : str
        The arm's.
    path : Path
    cohort : Cohort
    splits : sequence of Split
        Those of the run.
    threshold : float or "train"
        The run's threshold on P(malignant) for all arms; ``train`` takes the file's own.

    Returns
    -------
    list of dict
        Rows of ``PREDICTION_TABLE``, in the order of the splits.

    Raises
    ------
    ValueError
        Where rows are missing, doubled, of unknown ROIs or splits, or of ROIs that are trained on,
        and where a probability, a threshold or a label cannot be.
    """
    with prefixed(f"predictions '{name}'"):
        table = read_table(path, _COLUMNS)
        with prefixed(str(path)):
            rows = [
                _Row(
                    line, ids.tidy("roi_id", without_apostrophe(cells["roi_id"])),
                    (whole(cells["repeat"]), whole(cells["fold"])), cells,
                )
                for line, cells in table
            ]  # fmt: skip
            _check_values(rows)
            _check_rows(rows, splits)
            _check_labels(rows, cohort)
            cuts = _thresholds(rows, threshold)
    found = {(row.place, row.roi_id): number(row.cells["y_prob"]) for row in rows}
    arm = Arm(EXTERNAL, "", name, supervision=EXTERNAL)
    return list(_as_stored(arm, found, cuts, cohort, splits))


def _check_values(rows: Sequence[_Row]) -> None:
    _refuse(
        [row for row in rows if not 0 <= number(row.cells["y_prob"]) <= 1],
        "without a y_prob from 0 to 1, written with a decimal point",
        "y_prob",
    )


def _check_rows(rows: Sequence[_Row], splits: Sequence[Split]) -> None:
    """Refuse rows that are not, once each, those of the ROIs that the splits test."""
    split_of = {(str(split.repeat), str(split.fold)): split for split in splits}
    trained = {place: set(split.train) for place, split in split_of.items()}
    tested = {place: set(split.test) for place, split in split_of.items()}
    known = set().union(*trained.values(), *tested.values())
    _refuse(
        [row for row in rows if row.place not in split_of],
        f"of splits that the run lacks (it has {len(splits)}); give it the options that "
        "'splits' was given",
    )
    _refuse(
        [row for row in rows if row.roi_id not in known],
        "of ROIs that the run lacks (it has those that 'splits' writes)",
    )
    _refuse(
        [row for row in rows if row.roi_id in trained[row.place]],
        "of ROIs that the run trains on in that split (leave in those of the side 'test' alone)",
    )
    _refuse(
        [row for row in rows if row.roi_id not in tested[row.place]],
        "of ROIs that are not tested in that split",
    )
    counts = Counter((row.place, row.roi_id) for row in rows)
    _refuse(
        [row for row in rows if counts[row.place, row.roi_id] > 1],
        "of the same ROI and split as another (each has one)",
    )
    missing = [
        f"{roi_id} of repeat {place[0]} fold {place[1]}"
        for place, split in split_of.items()
        for roi_id in split.test
        if (place, roi_id) not in counts
    ]
    if missing:
        raise ValueError(f"{len(missing)} tested ROIs have no row: {few(missing)}")


def _check_labels(rows: Sequence[_Row], cohort: Cohort) -> None:
    label_of = dict(zip(cohort.roi_ids.tolist(), map(str, cohort.labels.tolist()), strict=True))
    _refuse(
        [r for r in rows if whole(r.cells.get("label", "")) not in ("", label_of[r.roi_id])],
        "with another label than the run",
        "label",
    )


def _refuse(rows: Sequence[_Row], what: str, column: str = "") -> None:
    """Refuse rows, if any: how many, and the first, with their values of a column."""
    if rows:
        told = [f"{row} {shown(row.cells[column])}" if column else str(row) for row in rows]
        raise ValueError(f"{len(rows)} row{'s' * (len(rows) > 1)} {what}: {few(told)}")


def _thresholds(rows: Sequence[_Row], threshold: float | str) -> dict[Place, float]:
    """Threshold of each split."""
    if threshold != "train":
        return {row.place: float(threshold) for row in rows}
    stated: dict[Place, str] = {}
    for row in rows:
        text = row.cells.get("threshold", "")
        if text and not 0 <= number(text) <= 1:
            raise ValueError(f"{row}: threshold is {shown(text)}; it must be a number from 0 to 1")
        first = stated.setdefault(row.place, text)
        if text != first:
            raise ValueError(
                f"{row}: threshold is {shown(text)}, and {shown(first)} in an earlier row; "
                "each split has one"
            )
    return {p: number(text) if text else DEFAULT_THRESHOLD for p, text in stated.items()}


def _as_stored(
    arm: Arm,
    found: Mapping[tuple[Place, str], float],
    cuts: Mapping[Place, float],
    cohort: Cohort,
    splits: Sequence[Split],
) -> Iterator[dict[str, Any]]:
    place_of = {roi_id: number for number, roi_id in enumerate(cohort.roi_ids.tolist())}
    for split in splits:
        place = str(split.repeat), str(split.fold)
        for roi_id in split.test:
            yield {
                "roi_id": roi_id,
                "patient_id": cohort.records[place_of[roi_id]].patient_id,
                **arm.columns, "supervision": arm.supervision,
                "scheme": split.scheme, "repeat": split.repeat, "fold": split.fold,
                "y_true": int(cohort.labels[place_of[roi_id]]),
                "y_prob": found[place, roi_id],
                "threshold": cuts[place],
            }  # fmt: skip
