"""One run from dataset to run folder: open, check, label, split, run, score, write."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from benchmark.cohort.contents import read_all
from benchmark.cohort.near_duplicates import too_many
from benchmark.cohort.splits import Split
from benchmark.columns import (
    CHOICE_TABLE,
    COMPARISON_TABLE,
    EPOCH_TABLE,
    METRIC_TABLE,
    MULTIVERSE_TABLE,
    NEAR_DUPLICATE_TABLE,
    PREDICTION_TABLE,
    RANK_TABLE,
    ROI_TABLE,
    SPLIT_METRIC_TABLE,
    STRATA_TABLE,
    TIMING_TABLE,
    TRAINING_TABLE,
    UNIVERSE_TABLE,
)
from benchmark.config import Bootstrap, Config
from benchmark.plugins import registry
from benchmark.plugins.arms import Arm
from benchmark.plugins.builder import Builder, extractors, fits_together
from benchmark.plugins.settings import NamedArm
from benchmark.report.document import write_tables
from benchmark.roi import RoiDataset, RoiRecord
from benchmark.run import multiverse, stored_models
from benchmark.run.cache import RunCache, Tables
from benchmark.run.extraction import extract
from benchmark.run.folder import RunFolder, write_run
from benchmark.run.inputs import Division, Material, check, divide
from benchmark.run.loop import Bench, fit_and_test
from benchmark.run.results import Extraction, Fits
from benchmark.run.supervision import records_to_extract
from benchmark.runtime import provenance, reference
from benchmark.runtime.failures import Failure
from benchmark.runtime.folders import check_new, new_folder
from benchmark.runtime.progress import Progress
from benchmark.runtime.store import Store
from benchmark.runtime.workers import Workers
from benchmark.statistics import comparisons, scoring, strata
from benchmark.user_tables.predictions import DEFAULT_THRESHOLD, read_predictions


@dataclass(frozen=True)
class _Explored:
    """The universes of a run, and the failures of those that cannot run."""

    every: list[multiverse.Universe]
    skipped: list[Failure]


def execute(
    config: Config,
    arms: Sequence[Arm],
    out: Path,
    *,
    workers: Workers,
    store: Store | None,
    require_gpu: bool,
    explore: bool,
    progress: Progress,
) -> RunFolder:
    """Run a configuration and write its folder; ``explore`` adds the multiverse.

    Everything that can be refused is refused before the first file is written. Work that ``store``
    remembers is not done again.

    Raises
    ------
    ValueError
        For unusable input, and where no arm can run on it.
    """
    check_new(out)
    provenance.snapshot()  # before any of it is edited
    if require_gpu:
        _require_gpu(arms)
    started, clock = datetime.now(UTC), time.perf_counter()
    division = divide(config, workers, progress)
    external = _external(config, division)
    material = check(division, config, workers, progress)
    if material.single_slice:
        arms = _planar(arms, material)
    explored = _Explored(*multiverse.universes(material.dataset, config)) if explore else None
    further = _further(material, arms, explored)
    cache = _open_cache(config, material, further, store, workers, progress)

    reference_s = reference.measure()
    extracted = extract(
        material.dataset, [*material.cohort.records, *further], arms,
        extractors(arms, material.feature_tables),
        workers=workers, progress=progress, cache=cache, made=material.feature_tables,
    )  # fmt: skip
    bench = _bench(config, workers, progress, cache)
    fits = fit_and_test(extracted.tables, material.cohort, material.splits, arms, bench)
    reference_s += reference.measure()
    failures = [*_not_done(material, explored), *extracted.failures, *fits.failures]
    predictions = fits.prediction_table
    if external.empty:
        _refuse_nothing(fits, failures, material.dataset)
    else:
        predictions = pd.concat([predictions, external], ignore_index=True)

    tables = _tables(config, predictions, material, workers, cache)
    if explored is not None:
        found, predicted, failed = multiverse.explore(
            explored.every, fits, extracted.tables, arms, bench, config
        )
        tables += [(MULTIVERSE_TABLE, found), (UNIVERSE_TABLE, predicted)]
        failures += failed
    environment = {
        "started": started.isoformat(timespec="seconds"),
        "wall_s": time.perf_counter() - clock,
        "reference_s": reference_s,
        **_describe(config, material, workers, cache),
    }
    resolved = replace(config, arms=tuple(map(_as_entry, arms)))
    with new_folder(out) as draft:
        tables += [(PREDICTION_TABLE, predictions), *_rows(extracted, fits)]
        write_run(draft, resolved, environment, material.splits, failures, extracted.tables, tables)
        stored_models.write(draft, fits.models)
        run = RunFolder(draft)
        write_tables(run, ("md", "tex"))
    return run.replaced(path=out)


def _external(config: Config, division: Division) -> pd.DataFrame:
    """Predictions of the arms that were made elsewhere, checked against the splits."""
    rows = [
        row
        for name, file in config.predictions.items()
        for row in read_predictions(
            name, Path(file), division.cohort, division.splits, config.threshold
        )
    ]
    return PREDICTION_TABLE.frame(rows)


def _further(
    material: Material, arms: Sequence[Arm], explored: _Explored | None
) -> list[RoiRecord]:
    """ROIs beside the cohort's of which features are needed, in order of ``roi_id``."""
    others = records_to_extract(material.cohort, arms)[len(material.cohort.records) :]
    if explored is not None:
        others = [*others, *multiverse.further_records(explored.every, material.cohort, arms)]
    return [record for _, record in sorted({r.roi_id: r for r in others}.items())]


def _open_cache(
    config: Config,
    material: Material,
    further: Sequence[RoiRecord],
    store: Store | None,
    workers: Workers,
    progress: Progress,
) -> RunCache | None:
    """The cache of earlier runs; opening it reads the further ROIs, which checks them."""
    read = read_all(material.dataset, further, workers, progress)
    contents = material.contents | {
        record.roi_id: content.digest for record, content in zip(further, read, strict=True)
    }
    return None if store is None else RunCache(store, contents, config.models, workers.machines())


def _bench(config: Config, workers: Workers, progress: Progress, cache: RunCache | None) -> Bench:
    build = Builder(config.models, workers.jobs)
    return Bench(
        build=build,
        seed=config.seed,
        threshold=config.threshold,
        workers=workers,
        progress=progress,
        cache=cache,
        pack=stored_models.pack if config.keep_models else None,
        unavailable=build.unavailable,
        together=fits_together if config.fit_together and not config.limits.fit_s else None,
        limit_s=config.limits.fit_s,
    )


def _not_done(material: Material, explored: _Explored | None) -> list[Failure]:
    """Failures of what was left out before the first feature was extracted."""
    reason = too_many(len(material.cohort.records))
    skipped = [Failure("skipped", "near-duplicates", reason)] if reason else []
    return skipped + (explored.skipped if explored is not None else [])


def _describe(
    config: Config, material: Material, workers: Workers, cache: RunCache | None
) -> dict[str, Any]:
    return {
        "jobs": workers.jobs,
        "workers": workers.describe(),
        "cache": cache.describe() if cache is not None else None,
        **material.environment,
        "protocol": {
            "label": material.cohort.protocol,
            "split": material.protocol,
            "leaky": config.splits.leaky and not config.test_dataset,
            "threshold": _describe_threshold(config),
        },
        **provenance.describe_machine(),
    }


def _as_entry(arm: Arm) -> str | NamedArm:
    entry = arm.as_config()
    return entry if isinstance(entry, str) else NamedArm(**entry)


def _rows(extracted: Extraction, fits: Fits) -> Tables:
    """The tables beside the predictions that extraction and fits leave."""
    rows = [
        (TIMING_TABLE, TIMING_TABLE.frame([*extracted.timings, *fits.timings])),
        (TRAINING_TABLE, TRAINING_TABLE.frame(fits.training)),
    ]
    if fits.choices:
        rows.append((CHOICE_TABLE, CHOICE_TABLE.frame(fits.choices)))
    if fits.epochs:
        rows.append((EPOCH_TABLE, EPOCH_TABLE.frame(fits.epochs)))
    return rows


def _tables(
    config: Config,
    predictions: pd.DataFrame,
    material: Material,
    workers: Workers,
    cache: RunCache | None,
) -> Tables:
    """What is said of the predictions, and of the material beside it."""
    asked = predictions, material.rois, material.splits, config.bootstrap, config.seed
    work_out = partial(_statistics, *asked, workers)
    tables = work_out() if cache is None else cache.tables(*asked, work_out)
    material_tables = [(ROI_TABLE, material.rois), (NEAR_DUPLICATE_TABLE, material.near_duplicates)]
    return [*tables, *material_tables]


def _statistics(
    predictions: pd.DataFrame,
    rois: pd.DataFrame,
    splits: Sequence[Split],
    bootstrap: Bootstrap,
    seed: int,
    workers: Workers,
) -> Tables:
    given = predictions, bootstrap, seed
    resampled = scoring.resample_arms(*given, workers)
    tables = [
        (METRIC_TABLE, scoring.score(*given, resampled)),
        (COMPARISON_TABLE, comparisons.compare(*given, splits, resampled)),
        (RANK_TABLE, comparisons.rank_stability(*given, resampled=resampled)),
        (STRATA_TABLE, strata.stratify(predictions, rois, bootstrap, seed, workers)),
    ]
    if len(splits) > 1:
        tables.append((SPLIT_METRIC_TABLE, scoring.score_splits(predictions, splits)))
    return tables


def _planar(arms: Sequence[Arm], material: Material) -> list[Arm]:
    """The arms with feature sets of one slice in place of those of volumes."""
    replaced: dict[str, str] = {}
    names = dict.fromkeys(name for arm in arms for name in arm.feature_sets)
    for name in (name for name in names if name not in material.feature_tables):
        planar = registry.load_feature_set(name).planar
        if planar:
            replaced[name] = planar
    if replaced:
        material.environment["dataset"]["cohort"] += (
            f". Every ROI is a single slice: {', '.join(replaced.values())} in place of "
            f"{', '.join(replaced)}"
        )
    planar_arms = (
        arm.fed_by("+".join(replaced.get(name, name) for name in arm.feature_sets)) for arm in arms
    )
    return list(dict.fromkeys(planar_arms))


def _refuse_nothing(fits: Fits, failures: Sequence[Failure], dataset: RoiDataset) -> None:
    skipped = [failure for failure in failures if failure.status == "skipped"]
    if not fits.predictions and len(skipped) == len(failures):
        reasons = "; ".join(f"{f.features or f.stage}: {f.reason}" for f in skipped)
        raise ValueError(
            f"no arm can run on dataset '{dataset.name}' ({reasons}); name arms that can, as in "
            "--set 'arms=[\"paper_cnn:voxels2d_fixed\"]'"
        )


def _describe_threshold(config: Config) -> str:
    if config.threshold != "train":
        return f"threshold: {config.threshold:g} for every model"
    chosen = "threshold: chosen by each model on its training patients (Youden's J)"
    if not config.predictions:
        return chosen
    return f"{chosen}; of external arms as their files state, else {DEFAULT_THRESHOLD:g}"


def _require_gpu(arms: Sequence[Arm]) -> None:
    devices = {}
    for arm in arms:
        device = registry.load_model(arm.model).device
        if device is not None:
            devices[arm.model] = device()
    if not devices:
        raise ValueError("--require-gpu: none of the models to run can use a GPU")
    for model, found in devices.items():
        if found == "cpu":
            raise ValueError(
                f"--require-gpu: {model} finds no GPU; use 'tox -e gpu' on a machine with an "
                "NVIDIA driver, or leave the option out"
            )
