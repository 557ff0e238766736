"""The loop: fit and test every arm on every split, recall what is known, record the rest.

A model chooses its decision threshold (``models/_threshold.py``); a run may set one for all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Protocol

import numpy as np

from benchmark.cohort.labels import Cohort
from benchmark.cohort.splits import Split
from benchmark.plugins.arms import NO_LABEL, Arm
from benchmark.plugins.contracts import Build, FitTogether, Pack
from benchmark.run.fitting import Task, Tested, fit_alone, fit_together, fit_within
from benchmark.run.results import FeatureTable, Fits, joined
from benchmark.run.supervision import cannot_learn, left_out_to_learn_from, readings_of
from benchmark.runtime.failures import Failure
from benchmark.runtime.progress import Progress
from benchmark.runtime.seeds import derive_seed
from benchmark.runtime.workers import Workers


class FitCache(Protocol):
    """Cache of what earlier runs fitted and tested."""

    def recall_fits(
        self, tasks: Sequence[Task], table: FeatureTable, *, together: bool = False
    ) -> list[Tested | None]:
        """Recall fits, None where one is not known; of tasks fitted ``together``, all or none."""

    def keep_fits(
        self,
        tasks: Sequence[Task],
        fits: Sequence[Tested | Failure],
        table: FeatureTable,
        *,
        together: bool = False,
    ) -> None:
        """Remember those that succeeded."""


@dataclass(frozen=True)
class Bench:
    """Settings with which arms are fitted and tested, whatever on.

    Attributes
    ----------
    build : callable
    seed : int
        The run's.
    threshold : float or "train"
        On P(malignant), for all arms; ``train`` takes each model's own.
    workers : Workers
        Remote ones fit and test; local ones serve inside a model, and fits take turns.
    progress : Progress
    cache : FitCache, optional
    pack : callable, optional
        Packs the models of repeat 0, which ``Fits`` then keeps.
    unavailable : callable, optional
        Says why an arm's model cannot be built here; empty where it can.
    together : callable, optional
        What fits an arm's models all at once, in this process; None for an arm that cannot.
    limit_s : float
        Seconds that a fit may take; 0 sets no limit.
    """

    build: Build
    seed: int
    threshold: float | str
    workers: Workers
    progress: Progress
    cache: FitCache | None = None
    pack: Pack | None = None
    unavailable: Callable[[Arm], str] | None = None
    together: Callable[[Arm], FitTogether | None] | None = None
    limit_s: float = 0.0


def fit_and_test(
    tables: Mapping[str, FeatureTable],
    cohort: Cohort,
    splits: Sequence[Split],
    arms: Sequence[Arm],
    bench: Bench,
    what: str = "Training",
) -> Fits:
    """Fit and test every arm whose features there are on every split.

    Whatever fails is recorded and the rest goes on. ``what`` names the work for the progress.
    """
    found = Fits()
    runnable = [arm for arm in arms if all(name in tables for name in arm.feature_sets)]
    fed = {arm.features: _fed(arm, tables) for arm in runnable}
    place_of = {roi_id: place for place, roi_id in enumerate(cohort.roi_ids.tolist())}
    tasks = []
    for arm in runnable:
        unbuilt = bench.unavailable(arm) if bench.unavailable else ""
        if why := unbuilt or cannot_learn(arm, cohort):
            found.failures.append(
                Failure("skipped", "fit", why, arm.model, arm.features, arm=arm.name)
            )
            continue
        tasks += [_task(arm, split, fed[arm.features], cohort, place_of, bench) for split in splits]
    outcomes = _outcomes(fed, tasks, bench, what)
    for number, (each, outcome) in enumerate(zip(tasks, outcomes, strict=True), start=1):
        if isinstance(outcome, Failure):
            found.failures.append(outcome)
        else:
            _record(each, outcome, cohort, bench.threshold, found)
        bench.progress.update(what, number, len(tasks))
    return found


def fit_seed(arm: Arm, split: Split, seed: int) -> int:
    """The seed of an arm's model on a split, from the run's.

    Two settings of one model on the same features share it, so that nothing else differs.
    """
    return derive_seed(seed, arm.model, arm.features, split.scheme, split.repeat, split.fold)


def _fed(arm: Arm, tables: Mapping[str, FeatureTable]) -> FeatureTable:
    names = arm.feature_sets
    return tables[names[0]] if len(names) == 1 else joined({name: tables[name] for name in names})


def _task(
    arm: Arm,
    split: Split,
    table: FeatureTable,
    cohort: Cohort,
    place_of: Mapping[str, int],
    bench: Bench,
) -> Task:
    (train, trained), (test, tested) = (
        (
            np.array([table.rows[i] for i in ids if i in table.rows], dtype=np.intp),
            np.array([place_of[i] for i in ids if i in table.rows], dtype=np.intp),
        )
        for ids in (split.train, split.test)
    )
    more = [r for r in left_out_to_learn_from(arm, split, cohort) if r.roi_id in table.rows]
    learnt_from = [*(cohort.records[place] for place in trained.tolist()), *more]
    y, groups = cohort.labels[trained], cohort.patients[trained]
    if more:
        train = np.append(train, [table.rows[r.roi_id] for r in more])
        y = np.append(y, [NO_LABEL] * len(more))
        groups = np.append(groups, [r.patient_id for r in more])
    return Task(
        arm=arm, split=split, seed=fit_seed(arm, split, bench.seed), train=train, test=test,
        y=y, groups=groups, places=tested,
        kept=bench.pack is not None and split.repeat == 0,
        readings=readings_of(arm, learnt_from),
    )  # fmt: skip


def _outcomes(
    fed: Mapping[str, FeatureTable], tasks: Sequence[Task], bench: Bench, what: str
) -> Iterator[Tested | Failure]:
    """Yield outcomes in the order of the tasks; arms of the same features follow each other."""
    done = 0
    for features, group in groupby(tasks, key=lambda task: task.arm.features):
        table, some = fed[features], list(group)
        settled = _recalled_or_together(some, table, bench)
        missing = [task for task in some if id(task) not in settled]
        fit = partial(fit_within, bench.limit_s) if bench.limit_s else fit_alone
        work = partial(fit, table.values, bench.build, bench.pack)
        fresh = bench.workers.map(work, missing) if bench.workers.remote and missing else None
        for each in some:
            if id(each) in settled:
                outcome = settled[id(each)]
            elif fresh is not None:
                outcome = next(fresh)
            else:

                def on_epoch(epoch: int, epochs: int, started: int = done) -> None:
                    bench.progress.update(what, started + epoch / epochs, len(tasks))

                bench.progress.update(what, done, len(tasks))
                outcome = work(each, on_epoch)
            if id(each) not in settled and bench.cache:
                bench.cache.keep_fits([each], [outcome], table)
            done += 1
            yield outcome


def _recalled_or_together(
    tasks: Sequence[Task], table: FeatureTable, bench: Bench
) -> dict[int, Tested | Failure]:
    """Outcomes that are known or fitted at once, by the identity of the task.

    An arm that is fitted at once is recalled as the same whole: rounding depends on the company.
    """
    settled: dict[int, Tested | Failure] = {}
    for arm, group in groupby(tasks, key=lambda task: task.arm):
        own = list(group)
        found: Sequence[Tested | Failure | None] | None = None
        if len(own) > 1 and bench.together and not bench.workers.remote:
            found = _together(bench.together(arm), own, table, bench)
        if found is None:
            found = bench.cache.recall_fits(own, table) if bench.cache else [None] * len(own)
        pairs = zip(own, found, strict=True)
        settled |= {id(task): outcome for task, outcome in pairs if outcome is not None}
    return settled


def _together(
    fit: FitTogether | None, tasks: Sequence[Task], table: FeatureTable, bench: Bench
) -> Sequence[Tested | Failure | None] | None:
    """Recalled or fitted as one program; None where they cannot be."""
    if fit is None:
        return None
    known = bench.cache.recall_fits(tasks, table, together=True) if bench.cache else [None]
    if None not in known:
        return known
    fitted = fit_together(table.values, bench.build, bench.pack, fit, tasks)
    if fitted is not None and bench.cache:
        bench.cache.keep_fits(tasks, fitted, table, together=True)
    return fitted


def _record(
    task: Task, tested: Tested, cohort: Cohort, threshold: float | str, found: Fits
) -> None:
    where = task.arm.columns
    place = {"repeat": task.split.repeat, "fold": task.split.fold}
    cut = tested.threshold if threshold == "train" else float(threshold)
    for index, probability in zip(task.places.tolist(), tested.probabilities.tolist(), strict=True):
        found.predictions.append(
            {
                "roi_id": cohort.records[index].roi_id,
                "patient_id": cohort.records[index].patient_id,
                **where, "supervision": task.arm.supervision,
                "scheme": task.split.scheme, **place,
                "y_true": int(cohort.labels[index]),
                "y_prob": probability,
                "threshold": cut,
            }
        )  # fmt: skip
    n_train, n_test = len(task.train), len(task.test)
    n_labelled = int((task.y != NO_LABEL).sum())
    found.training.append({**where, **place, "auc": tested.training_auc, "n_rois": n_labelled})
    calls = (("fit", tested.fit_s, n_train), ("predict", tested.predict_s, n_test))
    for stage, seconds, n in calls:
        found.timings.append(
            {
                **where, "stage": stage, **place, "seconds": seconds, "n_rois": n,
                "n_cached": n if tested.cached else 0, "device": tested.device,
            }
        )  # fmt: skip
    found.epochs.extend({**where, **place, **epoch} for epoch in tested.epochs)
    found.choices.extend({**where, **place, **choice} for choice in tested.choices)
    if task.kept:
        found.models[task.arm, task.split.fold] = tested.packed
