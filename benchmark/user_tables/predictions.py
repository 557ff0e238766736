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
        return f"row {self.line} (roi_id {shown(self.roi_id)})"


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
    wrong = [row for row in rows if not 0 <= number(row.cells["y_prob"]) <= 1]
    if wrong:
        told = few([f"{row}: {shown(row.cells['y_prob'])}" for row in wrong])
        raise ValueError(
            f"{_n(wrong)} a y_prob that is no number from 0 to 1, with a decimal point: {told}"
        )


def _check_rows(rows: Sequence[_Row], splits: Sequence[Split]) -> None:
    """Refuse rows that are not, once each, those of the ROIs that the splits test."""
    split_of = {(str(split.repeat), str(split.fold)): split for split in splits}
    trained = {place: set(split.train) for place, split in split_of.items()}
    tested = {place: set(split.test) for place, split in split_of.items()}
    known = set().union(*trained.values(), *tested.values())
    strange = [row for row in rows if row.place not in split_of]
    if strange:
        told = few([f"{row}: repeat {row.place[0]} fold {row.place[1]}" for row in strange])
        every = few([f"repeat {repeat} fold {fold}" for repeat, fold in split_of])
        raise ValueError(f"{_n(strange)} a split that the run lacks: {told}; it has {every}")
    unknown = [row for row in rows if row.roi_id not in known]
    if unknown:
        raise ValueError(
            f"{_n(unknown)} a roi_id that the run lacks: {few(list(map(str, unknown)))}; the run's "
            "are those that 'splits' writes"
        )
    learnt = [row for row in rows if row.roi_id in trained[row.place]]
    if learnt:
        raise ValueError(
            f"{_n(learnt)} a ROI that the run trains on in that split: "
            f"{few(list(map(_at, learnt)))}; leave in the rows of the side 'test' alone"
        )
    extra = [row for row in rows if row.roi_id not in tested[row.place]]
    if extra:
        raise ValueError(
            f"{_n(extra)} a ROI that is not tested in that split: {few(list(map(_at, extra)))}"
        )
    counts = Counter((row.place, row.roi_id) for row in rows)
    doubled = [row for row in rows if counts[row.place, row.roi_id] > 1]
    if doubled:
        raise ValueError(
            f"{_n(doubled)} the split and roi_id of another row: {few(list(map(_at, doubled)))}"
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
    others = [
        row for row in rows if whole(row.cells.get("label", "")) not in ("", label_of[row.roi_id])
    ]
    if others:
        told = few([f"{row}: {shown(row.cells['label'])}" for row in others])
        raise ValueError(f"{_n(others)} another label than the run: {told}")


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
                f"{_at(row)}: threshold is {shown(text)}, and {shown(first)} in an earlier row; "
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


def _at(row: _Row) -> str:
    return f"{row} in repeat {row.place[0]} fold {row.place[1]}"


def _n(rows: Sequence[_Row]) -> str:
    return f"{len(rows)} rows have" if len(rows) > 1 else "1 row has"
