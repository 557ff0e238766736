"""One run from dataset to run folder: open, check, label, split, run, score, write."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from benchmark.config import Config
from benchmark.plugins import registry
from benchmark.plugins.builder import Builder, extractors, fits_together
from benchmark.plugins.contracts import Arm
from benchmark.report.document import write_tables
from benchmark.roi import RoiDataset
from benchmark.run import folder, multiverse, stored_models
from benchmark.run.cache import Memory
from benchmark.run.extraction import extract
from benchmark.run.inputs import Material, prepare, read_all
from benchmark.run.loop import Bench, fit_and_test
from benchmark.run.results import Results
from benchmark.runtime import provenance, reference
from benchmark.runtime.folders import check_new, new_folder
from benchmark.runtime.progress import Progress
from benchmark.runtime.store import Store
from benchmark.runtime.workers import Workers
from benchmark.statistics import comparisons, scoring, strata


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
) -> folder.RunFolder:
    """Run a configuration and write its folder; ``explore`` adds the multiverse.

    Everything that can be refused is refused before the first file is written. What ``store``
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
    material = prepare(config, workers, progress)
    if material.single_slice:
        arms = _planar(arms, material)

    every: list[multiverse.Universe] = []
    results = Results(failures=material.not_done)
    if explore:
        every, skipped = multiverse.universes(material.dataset, config)
        results.failures += skipped
    further = multiverse.further_records(every, material.cohort)
    read = read_all(material.dataset, further, workers, progress)  # which checks them
    contents = material.contents | {
        record.roi_id: content.digest for record, content in zip(further, read, strict=True)
    }
    memory = None
    if store is not None:
        memory = Memory(store, contents, config.models, workers.machines())

    reference_s = reference.measure()
    features = extract(
        material.dataset,
        [*material.cohort.records, *further],
        arms,
        extractors(arms),
        workers=workers,
        progress=progress,
        results=results,
        memory=memory,
    )
    bench = Bench(
        Builder(config.models, workers.jobs), config.seed, config.threshold, workers, progress,
        memory, stored_models.pack if config.keep_models else None,
        fits_together if config.fit_together else None,
    )  # fmt: skip
    fit_and_test(features, material.cohort, material.splits, arms, bench, results)
    reference_s += reference.measure()
    _refuse_nothing(results, material.dataset)
    predictions = folder.prediction_table(results)
    stored = {"predictions": predictions}
    tables = _statistics(config, predictions, material, workers)
    if every:
        tables["multiverse"], stored["multiverse"], failures = multiverse.explore(
            every, results, features, arms, bench, config
        )
        results.failures += failures
    environment = {
        "started": started.isoformat(timespec="seconds"),
        "wall_s": time.perf_counter() - clock,
        "jobs": workers.jobs,
        "workers": workers.describe(),
        "cache": memory.describe() if memory is not None else None,
        "reference_s": reference_s,
        **material.environment,
        "protocol": {
            "label": material.cohort.protocol,
            "split": material.protocol,
            "leaky": config.splits.leaky and not config.test_dataset,
            "threshold": _describe_threshold(config.threshold),
        },
        **folder.describe_machine(),
    }
    resolved = replace(config, arms=tuple(map(str, arms)))
    with new_folder(out) as draft:
        folder.write_run(draft, resolved, environment, material.splits, results, stored, tables)
        stored_models.write(draft, results.models)
        write_tables(folder.read_run(draft), ("md", "tex"))
    return folder.read_run(out)


def _statistics(
    config: Config, predictions: pd.DataFrame, material: Material, workers: Workers
) -> dict[str, pd.DataFrame]:
    given = predictions, config.bootstrap, config.seed
    resampled = scoring.resample_arms(*given, workers)
    tables = {
        "metrics": scoring.score(*given, resampled),
        "comparisons": comparisons.compare(*given, material.splits, resampled),
        "ranks": comparisons.rank_stability(*given),
        "rois": material.rois,
        "near_duplicates": material.near_duplicates,
        "strata": strata.stratify(
            predictions, material.rois, config.bootstrap, config.seed, workers
        ),
    }
    if len(material.splits) > 1:
        tables["split_metrics"] = scoring.score_splits(predictions, material.splits)
    return tables


def _planar(arms: Sequence[Arm], material: Material) -> list[Arm]:
    """The arms with feature sets of one slice in place of those of volumes."""
    replaced: dict[str, str] = {}
    for arm in arms:
        planar = getattr(registry.load("features", arm.features), "PLANAR", None)
        if planar is not None:
            replaced[arm.features] = planar
    if replaced:
        material.environment["dataset"]["cohort"] += (
            f". Every ROI is a single slice: {', '.join(replaced.values())} in place of "
            f"{', '.join(replaced)}"
        )
    return list(dict.fromkeys(Arm(a.model, replaced.get(a.features, a.features)) for a in arms))


def _refuse_nothing(results: Results, dataset: RoiDataset) -> None:
    skipped = [f for f in results.failures if f.status == "skipped"]
    if not results.predictions and len(skipped) == len(results.failures):
        reasons = "; ".join(f"{f.features or f.stage}: {f.reason}" for f in skipped)
        raise ValueError(
            f"no arm can run on dataset '{dataset.name}' ({reasons}); name arms that can, as in "
            "--set 'arms=[\"paper_cnn:voxels2d_fixed\"]'"
        )


def _describe_threshold(threshold: float | str) -> str:
    if threshold == "train":
        return "threshold: chosen by each model on its training patients (Youden's J)"
    return f"threshold: {threshold:g} for every model"


def _require_gpu(arms: Sequence[Arm]) -> None:
    devices = {}
    for arm in arms:
        device = getattr(registry.load("models", arm.model), "device", None)
        if device is not None:
            devices[arm.model] = device()
    if not devices:
        raise ValueError("--require-gpu: none of the models to run can use a GPU")
    for model, device in devices.items():
        if device == "cpu":
            raise ValueError(
                f"--require-gpu: {model} finds no GPU; use 'tox -e gpu' on a machine with an "
                "NVIDIA driver, or leave the option out"
            )
