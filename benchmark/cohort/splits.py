"""Splits into training and test ROIs, the same for every model, stored as ROI ids."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Gt, Le, Lt
from numpy.typing import NDArray

from benchmark.cohort.ids import row_of
from benchmark.cohort.labels import Cohort
from benchmark.roi import GIVEN_SPLITS
from benchmark.runtime.seeds import derive_seed


@dataclass(frozen=True)
class SplitRule:
    """Rule by which ROIs are divided.

    Attributes
    ----------
    scheme : {"holdout", "kfold", "given"}
        ``given`` takes the dataset's own column ``split``: rows of ``train`` and ``val`` train,
        rows of ``test`` are tested.
    group : {"patient", "none"}
        ``patient`` keeps all of a patient's ROIs on one side. ``none`` is the paper's
        nodule-level split: patients leak from training into test.
    test_size : float
        Share of ROIs tested, for ``holdout``.
    folds : int
        Number of folds, for ``kfold``.
    repeats : int
        How often the whole scheme is drawn again.
    """

    scheme: Literal["holdout", "kfold", "given"] = "holdout"
    group: Literal["patient", "none"] = "patient"
    test_size: Annotated[float, Gt(0), Lt(1)] = 0.3
    folds: Annotated[int, Ge(2)] = 5
    repeats: Annotated[int, Ge(1), Le(1000)] = 1

    def __post_init__(self) -> None:
        if self.scheme == "given" and self.repeats > 1:
            raise ValueError(
                f"splits.repeats is {self.repeats}; a given split cannot be drawn again, set 1"
            )

    @property
    def leaky(self) -> bool:
        """True if a patient may stand on both sides."""
        return self.group == "none"

    def describe(self, *, patients_known: bool = True) -> str:
        """The protocol's line; ``patients_known`` is False where patient ids are not published."""
        what = {
            "kfold": f"stratified {self.folds}-fold",
            "holdout": f"stratified hold-out, {self.test_size:.0%} tested",
            "given": "the dataset's own, train and val against test",
        }[self.scheme]
        if self.leaky:
            how = "by ROI (LEAKY: a patient's ROIs may stand on both sides)"
        elif not patients_known:
            how = "patients unknown, perhaps on both sides"
        else:
            how = "grouped by patient"
        return f"split: {what}, {how}, {self.repeats} repeat{'s' if self.repeats > 1 else ''}"


@dataclass(frozen=True)
class Split:
    """One division into training and test ROIs.

    Attributes
    ----------
    scheme : str
        The rule's scheme, or ``external`` where training and test are two datasets.
    repeat, fold : int
    train, test : tuple of str
        ROI ids.
    """

    scheme: str
    repeat: int
    fold: int
    train: tuple[str, ...]
    test: tuple[str, ...]


def make_splits(cohort: Cohort, rule: SplitRule, seed: int) -> list[Split]:
    """Draw the splits; the order of the rows changes nothing.

    Grouped schemes use scikit-learn's ``StratifiedGroupKFold`` (stratified with
    ``shuffle=True`` from 1.8 on); the grouped hold-out joins the folds that make up
    ``test_size`` (3 of 10 for 0.3).

    Raises
    ------
    ValueError
        Where patients or cases are too few, where a side lacks a class, or where ``given`` is
        asked for and the dataset has no split.
    """
    splits = []
    for repeat in range(rule.repeats):
        # The test size is part of the name only where it matters, so that a k-fold
        # does not change with a setting that it ignores.
        random_state = derive_seed(seed, "split", rule.scheme, rule.group, repeat)
        for fold, test in enumerate(_test_sides(cohort, rule, random_state)):
            splits.append(_split(cohort, rule, repeat, fold, test))
    return splits


def _test_sides(cohort: Cohort, rule: SplitRule, random_state: int) -> list[NDArray[np.intp]]:
    from sklearn.model_selection import train_test_split

    if rule.scheme == "given":
        return [_given_test_side(cohort)]
    if rule.scheme == "kfold":
        return _folds(cohort, rule, rule.folds, random_state)
    if rule.leaky:
        _, test = train_test_split(
            np.arange(len(cohort.labels)),
            test_size=rule.test_size,
            stratify=cohort.labels,
            random_state=random_state,
        )
        return [np.sort(test)]
    share = Fraction(rule.test_size).limit_denominator(20)
    if not 0 < share < 1:
        raise ValueError(
            f"splits.test_size is {rule.test_size}; a hold-out grouped by patient is made of "
            "twentieths and coarser shares, so use a value from 0.05 to 0.95"
        )
    folds = _folds(cohort, rule, share.denominator, random_state)
    return [np.sort(np.concatenate(folds[: share.numerator]))]


def _given_test_side(cohort: Cohort) -> NDArray[np.intp]:
    for record in cohort.records:
        if record.given_split not in GIVEN_SPLITS:
            raise ValueError(
                f"roi_id '{record.roi_id}'{row_of(record)}: split is '{record.given_split}'; "
                f"splits.scheme=given needs a column split that says {', '.join(GIVEN_SPLITS)} of "
                "every ROI"
            )
    return np.flatnonzero([record.given_split == "test" for record in cohort.records])


def _folds(cohort: Cohort, rule: SplitRule, n: int, random_state: int) -> list[NDArray[np.intp]]:
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    unit = "ROIs" if rule.leaky else "patients"
    for value, name in ((0, "benign"), (1, "malignant")):
        members = cohort.labels == value
        available = int(members.sum()) if rule.leaky else len(set(cohort.patients[members]))
        if available < n:
            raise ValueError(
                f"{available} {unit} with {name} ROIs; this split makes {n} folds and needs at "
                f"least one in each: set splits.folds or splits.test_size to suit"
            )
    columns = np.zeros((len(cohort.labels), 1))
    if rule.leaky:
        plain = StratifiedKFold(n, shuffle=True, random_state=random_state)
        return [test for _, test in plain.split(columns, cohort.labels)]
    grouped = StratifiedGroupKFold(n, shuffle=True, random_state=random_state)
    return [test for _, test in grouped.split(columns, cohort.labels, groups=cohort.patients)]


def _split(
    cohort: Cohort, rule: SplitRule, repeat: int, fold: int, test: NDArray[np.intp]
) -> Split:
    tested = np.zeros(len(cohort.labels), dtype=bool)
    tested[test] = True
    for side, members in (("test", tested), ("training", ~tested)):
        classes = set(cohort.labels[members].tolist())
        if len(classes) < 2:
            raise ValueError(
                f"repeat {repeat} fold {fold}: the {side} side has ROIs of one class only; "
                "use fewer folds or another splits.test_size"
            )
    ids = cohort.roi_ids
    return Split(rule.scheme, repeat, fold, tuple(ids[~tested]), tuple(ids[tested]))


def check_splits(splits: Sequence[Split], cohort: Cohort, *, leaky: bool) -> None:
    """Refuse splits that name unknown ROIs, overlap, or share patients undeclared.

    Raises
    ------
    ValueError
        Naming the split and the first offender.
    """
    patient_of = dict(zip(cohort.roi_ids.tolist(), cohort.patients.tolist(), strict=True))
    for split in splits:
        where = f"repeat {split.repeat} fold {split.fold}"
        unknown = sorted({*split.train, *split.test} - patient_of.keys())
        if unknown:
            raise ValueError(f"{where}: roi_id '{unknown[0]}' is not in the cohort")
        both = sorted(set(split.train) & set(split.test))
        if both:
            raise ValueError(f"{where}: roi_id '{both[0]}' is on both sides")
        shared = {patient_of[i] for i in split.train} & {patient_of[i] for i in split.test}
        if shared and not leaky:
            raise ValueError(
                f"{where}: patient '{min(shared)}' and {len(shared) - 1} others are on both "
                "sides; only splits.group=none declares a leaky scheme"
            )


def leaked(splits: Sequence[Split], patient_of: Mapping[str, str]) -> tuple[int, int]:
    """Count ROIs tested, over all splits, and those whose patient's other ROIs were trained on."""
    tested = with_patient = 0
    for split in splits:
        trained = {patient_of[roi_id] for roi_id in split.train}
        tested += len(split.test)
        with_patient += sum(patient_of[roi_id] in trained for roi_id in split.test)
    return tested, with_patient


def split_table(splits: Sequence[Split], cohort: Cohort) -> list[dict[str, str | int]]:
    """The splits as rows, one a (split, ROI), for whoever trains elsewhere.

    Returns
    -------
    list of dict
        ``roi_id``, ``patient_id``, ``repeat``, ``fold``, ``side`` (``train`` or ``test``) and
        ``label`` (0 benign, 1 malignant).
    """
    about = {
        record.roi_id: {"roi_id": record.roi_id, "patient_id": record.patient_id, "label": label}
        for record, label in zip(cohort.records, cohort.labels.tolist(), strict=True)
    }
    columns = ("roi_id", "patient_id", "repeat", "fold", "side", "label")
    rows = (
        about[roi_id] | {"repeat": split.repeat, "fold": split.fold, "side": side}
        for split in splits
        for side, members in (("train", split.train), ("test", split.test))
        for roi_id in members
    )
    return [{name: row[name] for name in columns} for row in rows]


def write_splits(path: Path, splits: Sequence[Split]) -> None:
    """Write ``splits.json``: a list of {scheme, repeat, fold, train, test}."""
    path.write_text(json.dumps([asdict(split) for split in splits], indent=1) + "\n")
