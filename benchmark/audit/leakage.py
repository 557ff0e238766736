"""Leakage audit: the same arms with patients on both sides, and on one side only.

Both schemes are k-folds of the same nodules with as many folds, so that every ROI is tested
once a repeat under each, by models trained on equally many. The schemes differ only in whether
the patient's other ROIs were trained on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import pandas as pd

from benchmark.cohort.splits import SplitRule, leaked, make_splits
from benchmark.columns import LEAKAGE_TABLE, arm_of, by_arm
from benchmark.config import Bootstrap, load_config, select_arms
from benchmark.plugins.builder import Builder, extractors
from benchmark.run.extraction import extract
from benchmark.run.folder import RunFolder
from benchmark.run.inputs import prepare, refuse_remote
from benchmark.run.loop import Bench, fit_and_test
from benchmark.run.supervision import records_to_extract
from benchmark.runtime.failures import Failure
from benchmark.runtime.progress import Progress
from benchmark.runtime.workers import LocalWorkers
from benchmark.statistics.cases import cases
from benchmark.statistics.pairs import subtract
from benchmark.statistics.scoring import resample

LEAKY, GROUPED = "leaky", "grouped"
METRICS = ("auc", "accuracy", "sensitivity", "specificity")


@dataclass(frozen=True, eq=False)
class Leakage:
    """Outcome of the two schemes.

    Attributes
    ----------
    table : DataFrame
        Columns of ``LEAKAGE_TABLE``.
    predictions : DataFrame
        As in ``predictions.parquet``, with a column ``side``: ``leaky`` or ``grouped``.
    rules : dict of str to SplitRule
        The split rule of each side.
    tested, with_patient : int
        ROIs tested under the leaky scheme over all its splits, and how many of them belong to a
        patient whose other ROIs were trained on.
    reused : str
        Side whose predictions are the run's own; empty where both were trained anew.
    failures : list of Failure
    """

    table: pd.DataFrame
    predictions: pd.DataFrame
    rules: dict[str, SplitRule]
    tested: int
    with_patient: int
    reused: str
    failures: list[Failure]


def rules(own: SplitRule) -> dict[str, SplitRule]:
    """The two schemes: the run's own k-fold, or one that tests as large a share at a time."""
    folds = own.folds if own.scheme == "kfold" else max(2, round(1 / own.test_size))
    kfold = replace(own, scheme="kfold", folds=folds)
    return {LEAKY: replace(kfold, group="none"), GROUPED: replace(kfold, group="patient")}


def measure(run: RunFolder, jobs: int, progress: Progress, *, trust: bool = False) -> Leakage:
    """Train a run's arms under the leaky and the grouped scheme, and compare.

    ``trust`` lets a dataset be contacted that is not on this machine's disks.

    Raises
    ------
    ValueError
        For an external validation or a given split, where patients are unknown, and where the
        dataset is no longer the one that the run saw.
    """
    config = load_config(str(run.path / "config.toml"))
    if not trust:
        refuse_remote(config)
    if config.test_dataset or config.splits.scheme == "given":
        raise ValueError(
            f"'{run.path}' was not split by this suite, so there is no leaky scheme to compare with"
        )
    schemes = rules(config.splits)
    workers = LocalWorkers(jobs)
    material = prepare(replace(config, splits=schemes[GROUPED]), workers, progress)
    if material.dataset.unnamed_patients_of:
        raise ValueError(
            f"dataset '{material.dataset.name}' has no patient ids: what crosses from training "
            "into test cannot be told"
        )
    _refuse_another_dataset(run, material.environment["dataset"]["fingerprint"])

    cohort, arms = material.cohort, select_arms(config)
    reused = next((side for side, rule in schemes.items() if rule == config.splits), "")
    extracted = extract(
        material.dataset, records_to_extract(cohort, arms), arms,
        extractors(arms, material.feature_tables),
        workers=workers, progress=progress, made=material.feature_tables,
    )  # fmt: skip
    build = Builder(config.models, jobs)
    bench = Bench(
        build,
        config.seed,
        config.threshold,
        workers,
        progress,
        unavailable=build.unavailable,
        limit_s=config.limits.fit_s,
    )
    failures, frames = list(extracted.failures), {}
    for side, rule in schemes.items():
        if side == reused:
            frames[side] = run.predictions.drop(columns="intensities")
            continue
        splits = make_splits(cohort, rule, config.seed)
        fits = fit_and_test(extracted.tables, cohort, splits, arms, bench, f"Training, {side}")
        failures += fits.failures
        frames[side] = fits.prediction_table
    patient_of = dict(zip(cohort.roi_ids.tolist(), cohort.patients.tolist(), strict=True))
    tested, with_patient = leaked(make_splits(cohort, schemes[LEAKY], config.seed), patient_of)
    predictions = pd.concat(
        [frame.assign(side=side) for side, frame in frames.items()], ignore_index=True
    )
    table = inflation(frames[LEAKY], frames[GROUPED], config.bootstrap, config.seed)
    return Leakage(
        table=table,
        predictions=predictions,
        rules=schemes,
        tested=tested,
        with_patient=with_patient,
        reused=reused,
        failures=failures,
    )


def inflation(
    leaky: pd.DataFrame, grouped: pd.DataFrame, bootstrap: Bootstrap, seed: int
) -> pd.DataFrame:
    """Leaky minus grouped, by arm and metric, on the ROIs that both schemes tested.

    Parameters
    ----------
    leaky, grouped : DataFrame
        As in ``predictions.parquet``.
    bootstrap : Bootstrap
    seed : int

    Returns
    -------
    DataFrame
        Columns of ``LEAKAGE_TABLE``. Intervals are 95 % and resample patients, the same ones on
        both sides. The interval does not include the chance of how the splits fell;
        ``splits.repeats`` averages that out.
    """
    rows = []
    sides = [by_arm(frame) for frame in (leaky, grouped)]
    for arm in (arm for arm in sides[0] if arm in sides[1]):
        ids = set(sides[0][arm]["roi_id"]) & set(sides[1][arm]["roi_id"])
        pair = [cases(side[arm][side[arm]["roi_id"].isin(ids)]) for side in sides]
        one, other = (resample(each, bootstrap, seed, METRICS) for each in pair)
        for metric in METRICS:
            difference, ends, _, p = subtract(one[metric], other[metric], bootstrap)
            rows.append((
                *arm_of(sides[0][arm]), metric, one[metric].value, other[metric].value, difference,
                ends.low, ends.high, p, pair[0].n_rois, pair[0].n_patients,
            ))  # fmt: skip
    return LEAKAGE_TABLE.frame(rows)


def _refuse_another_dataset(run: RunFolder, fingerprint: str) -> None:
    then = run.environment["dataset"]["fingerprint"]
    if then != fingerprint:
        raise ValueError(
            f"dataset '{run.environment['dataset']['name']}' has fingerprint {fingerprint[:12]} "
            f"now and had {then[:12]} in the run '{run.path}'; the audit needs the same nodules"
        )
