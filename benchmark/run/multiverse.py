"""The multiverse: the same arms under every label rule and split that one could defend.

A universe is one choice of aggregation, minimum of readers, treatment of 3, and split. Its arms
are trained and tested as in a run of its own; features are extracted once for all, and universes
that come to the same labels and splits share their fits. Beside that, the run's own models are
re-scored on the nodules and labels of every other label rule, which tells an easier test from
a better model.

Steegen et al., Perspectives on Psychological Science 2016, for the idea and the name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from benchmark.cohort.labels import Cohort, LabelRule, assemble
from benchmark.cohort.splits import Split, SplitRule, check_splits, make_splits
from benchmark.columns import MULTIVERSE_TABLE, UNIVERSE_TABLE, arm_of, by_arm
from benchmark.config import Config
from benchmark.plugins.arms import Arm
from benchmark.roi import RoiDataset, RoiRecord
from benchmark.run.loop import Bench, fit_and_test
from benchmark.run.results import FeatureTable, Fits
from benchmark.run.supervision import records_to_extract
from benchmark.runtime.failures import Failure
from benchmark.runtime.seeds import derive_seed
from benchmark.statistics.cases import cases
from benchmark.statistics.comparisons import lift
from benchmark.statistics.scoring import NONE, metric_interval, resample

TRAINED, RESCORED = "trained", "re-scored"
"""Models of a row: trained in its universe, or the run's own."""


@dataclass(frozen=True, eq=False)
class Universe:
    """One choice of label rule and split, with the nodules that it makes.

    Attributes
    ----------
    label : LabelRule or None
        None where the dataset carries labels, which no rule changes.
    rule : SplitRule
    own : bool
        Whether the run itself uses these.
    cohort : Cohort
    splits : tuple of Split
    """

    label: LabelRule | None
    rule: SplitRule
    own: bool
    cohort: Cohort
    splits: tuple[Split, ...]

    @property
    def factors(self) -> dict[str, str]:
        """The choices, as columns of ``multiverse.csv``."""
        return _factors(self.label, self.rule)

    @property
    def content(self) -> tuple[Any, ...]:
        """Equal where nothing that is trained or tested differs."""
        return self.rule, tuple(self.cohort.roi_ids.tolist()), tuple(self.cohort.labels.tolist())


def universes(dataset: RoiDataset, config: Config) -> tuple[list[Universe], list[Failure]]:
    """Every universe that a configuration spans, and why those that cannot run do not.

    Raises
    ------
    ValueError
        For an external validation and for a given split, which leave nothing to vary.
    """
    if config.test_dataset or config.splits.scheme == "given":
        what = "--test-dataset" if config.test_dataset else "splits.scheme = given"
        raise ValueError(f"--multiverse draws splits of its own, and {what} leaves none to draw")
    given = all(record.label is not None for record in dataset.records)
    found, skipped = [], []
    for label, rule in product(_label_rules(config, given), _split_rules(config)):
        own = label in (None, config.label) and rule == config.splits
        try:
            cohort = assemble(dataset, label or config.label)
            splits = tuple(make_splits(cohort, rule, config.seed))
            check_splits(splits, cohort, leaky=rule.leaky)
        except ValueError as error:
            described = ", ".join(_factors(label, rule).values())
            skipped.append(Failure("skipped", "multiverse", f"{described}: {error}"))
        else:
            found.append(Universe(label, rule, own, cohort, splits))
    return found, skipped


def further_records(
    every: Sequence[Universe], cohort: Cohort, arms: Sequence[Arm] = ()
) -> list[RoiRecord]:
    """ROIs that some universe uses and ``cohort`` lacks, in order of ``roi_id``.

    With ``arms``, those too that they learn from there.
    """
    used = {r.roi_id: r for universe in every for r in records_to_extract(universe.cohort, arms)}
    known = {record.roi_id for record in cohort.records}
    return [used[roi_id] for roi_id in sorted(used.keys() - known)]


def explore(
    every: Sequence[Universe],
    run: Fits,
    tables: Mapping[str, FeatureTable],
    arms: Sequence[Arm],
    bench: Bench,
    config: Config,
) -> tuple[pd.DataFrame, pd.DataFrame, list[Failure]]:
    """Train and test the arms in every universe; re-score the run's models.

    Parameters
    ----------
    every : sequence of Universe
        The run's own among them.
    run : Fits
        Of the run, which is the own universe's.
    tables : mapping of str to FeatureTable
        Of the ROIs of all universes.
    arms, bench, config
        The run's; no models are kept.

    Returns
    -------
    DataFrame
        Columns of ``MULTIVERSE_TABLE``, one row a (universe, arm).
    DataFrame
        Predictions of all universes: as in ``predictions.parquet``, after ``universe`` and
        ``models``.
    list of Failure
    """
    bench = replace(bench, pack=None)
    done: dict[tuple[Any, ...], Fits] = {u.content: run for u in every if u.own}
    rows: list[tuple[Any, ...]] = []
    stored, failures = [], []

    def keep(number: int, universe: Universe, models: str, predictions: pd.DataFrame) -> None:
        stored.append(predictions.assign(universe=number, models=models))
        scored = _score(predictions, config)
        rows.extend((number, models, *universe.factors.values(), universe.own, *s) for s in scored)

    for number, universe in enumerate(every):
        if universe.content not in done:
            done[universe.content] = fits = fit_and_test(
                tables, universe.cohort, universe.splits, arms, bench,
                f"Universe {number + 1} of {len(every)}",
            )  # fmt: skip
            failures += fits.failures
        keep(number, universe, TRAINED, done[universe.content].prediction_table)

    own = next(u for u in every if u.own)
    others = [(n, u) for n, u in enumerate(every) if u.rule == own.rule and not u.own]
    if others:
        wide, failed = _predict_all(own, every, tables, arms, bench)
        failures += failed
        for number, universe in others:
            labels = pd.Series(universe.cohort.labels, index=universe.cohort.roi_ids)
            tested = wide[wide["roi_id"].isin(labels.index)]
            relabelled = tested.assign(y_true=labels.loc[tested["roi_id"]].to_numpy())
            keep(number, universe, RESCORED, relabelled)
    predictions = pd.concat(stored, ignore_index=True)[UNIVERSE_TABLE.columns]
    return MULTIVERSE_TABLE.frame(rows), predictions, failures


def _factors(label: LabelRule | None, rule: SplitRule) -> dict[str, str]:
    given = dict.fromkeys(("aggregation", "min_readers", "indeterminate"), "given")
    chosen = given if label is None else {name: str(getattr(label, name)) for name in given}
    return {**chosen, "scheme": rule.scheme, "group": rule.group}


def _label_rules(config: Config, given: bool) -> list[LabelRule | None]:
    if given:
        return [None]
    spanned = config.multiverse
    rules = product(spanned.aggregation, spanned.min_readers, spanned.indeterminate)
    return list(dict.fromkeys([config.label, *(LabelRule(*rule) for rule in rules)]))


def _split_rules(config: Config) -> list[SplitRule]:
    schemes = product(config.multiverse.scheme, config.multiverse.group)
    others = (replace(config.splits, scheme=scheme, group=group) for scheme, group in schemes)
    return list(dict.fromkeys([config.splits, *others]))


def _score(predictions: pd.DataFrame, config: Config) -> Iterator[tuple[Any, ...]]:
    """The columns of ``MULTIVERSE_TABLE`` from ``n_rois`` on, an arm at a time."""
    lifts = lift(predictions, config.bootstrap, config.seed)
    scored = {}
    for name, frame in by_arm(predictions).items():
        arm = cases(frame)
        found = resample(arm, config.bootstrap, config.seed, ["auc"])["auc"]
        ends, _ = metric_interval("auc", found, config.bootstrap)
        n_malignant = len(np.unique(arm.roi[arm.y_true == 1]))
        counts = arm.n_rois, n_malignant, arm.n_patients
        scored[name] = (*counts, *arm_of(frame)), found.value, ends
    ranks = pd.Series({arm: -auc for arm, (_, auc, _) in scored.items()}).rank()
    for name, (about, auc, ends) in scored.items():
        difference, around = lifts[name][:2] if name in lifts else (np.nan, NONE)
        yield (
            *about, auc, ends.low, ends.high,
            difference, around.low, around.high, ranks[name],
        )  # fmt: skip


def _predict_all(
    own: Universe,
    every: Sequence[Universe],
    tables: Mapping[str, FeatureTable],
    arms: Sequence[Arm],
    bench: Bench,
) -> tuple[pd.DataFrame, list[Failure]]:
    """The run's own fits, made again, on the tested ROIs of all label rules."""
    further = further_records(every, own.cohort)
    cohort = replace(
        own.cohort,
        records=(*own.cohort.records, *further),
        # Labels of further ROIs are put in afterwards, those of each rule; none is trained on.
        labels=np.concatenate([own.cohort.labels, np.zeros(len(further), np.int64)]),
        patients=np.concatenate([own.cohort.patients, [r.patient_id for r in further]]),
    )
    widened = _widened(own, further, bench.seed)
    fits = fit_and_test(tables, cohort, widened, arms, bench, "Re-scoring")
    return fits.prediction_table, fits.failures


def _widened(own: Universe, further: Sequence[RoiRecord], seed: int) -> list[Split]:
    """The splits with further ROIs to test: each with its patient, others in a fold by chance."""
    patient_of = {r.roi_id: r.patient_id for r in own.cohort.records}
    widened = []
    for repeat in sorted({split.repeat for split in own.splits}):
        splits = [split for split in own.splits if split.repeat == repeat]
        tested_in = {
            patient_of[roi_id]: number
            for number, split in enumerate(splits)
            for roi_id in split.test
        }
        trained_only = set(patient_of.values()) - tested_in.keys()
        added: list[list[str]] = [[] for _ in splits]
        for record in further:
            if record.patient_id not in trained_only:
                by_chance = derive_seed(seed, "further", record.patient_id) % len(splits)
                added[tested_in.get(record.patient_id, by_chance)].append(record.roi_id)
        widened += [
            replace(split, test=(*split.test, *more))
            for split, more in zip(splits, added, strict=True)
        ]
    return widened
