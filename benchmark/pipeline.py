"""One run from dataset to run folder: open, check, label, split, run, score, write."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from benchmark import (
    comparisons,
    harness,
    multiverse,
    records,
    reference,
    registry,
    scoring,
    strata,
)
from benchmark.config import Arm, Config
from benchmark.folders import check_new, new_folder
from benchmark.material import Material, prepare, read_all
from benchmark.plugins import builder, extractors
from benchmark.progress import Progress
from benchmark.report.document import write_tables
from benchmark.roi import RoiDataset
from benchmark.stored_models import ModelStore


def execute(
    config: Config,
    arms: Sequence[Arm],
    out: Path,
    *,
    jobs: int,
    require_gpu: bool,
    explore: bool,
    progress: Progress,
) -> records.RunFolder:
    """Run a configuration and write its folder; ``explore`` adds the multiverse.

    Everything that can be refused is refused before the first file is written.

    Raises
    ------
    ValueError
        For unusable input, and where no arm can run on it.
    """
    check_new(out)
    if require_gpu:
        _require_gpu(arms)
    started, clock = datetime.now(UTC), time.perf_counter()
    material = prepare(config, jobs, progress)
    if material.single_slice:
        arms = _planar(arms, material)

    every: list[multiverse.Universe] = []
    results = harness.Results()
    if explore:
        every, skipped = multiverse.universes(material.dataset, config)
        results.failures += skipped
    further = multiverse.further_records(every, material.cohort)
    for _ in read_all(material.dataset, further, jobs, progress):
        pass  # reading checks them

    reference_s = reference.measure()
    build = builder(config, jobs)
    features = harness.extract(
        material.dataset,
        [*material.cohort.records, *further],
        arms,
        extractors(arms),
        jobs=jobs,
        progress=progress,
        results=results,
    )
    store = ModelStore()
    harness.fit_and_test(
        features, material.cohort, material.splits, arms, build,
        seed=config.seed, threshold=config.threshold, progress=progress, results=results,
        keep=store.keep if config.keep_models else None,
    )  # fmt: skip
    reference_s += reference.measure()
    _refuse_nothing(results, material.dataset)
    predictions = records.prediction_table(results)
    stored = {"predictions": predictions}
    tables = {
        "metrics": scoring.score(predictions, config.bootstrap, config.seed),
        "comparisons": comparisons.compare(
            predictions, config.bootstrap, config.seed, material.splits
        ),
        "ranks": comparisons.rank_stability(predictions, config.bootstrap, config.seed),
        "rois": material.rois,
        "near_duplicates": material.near_duplicates,
        "strata": strata.stratify(predictions, material.rois, config.bootstrap, config.seed),
    }
    if len(material.splits) > 1:
        tables["split_metrics"] = scoring.score_splits(predictions, material.splits)
    if every:
        tables["multiverse"], stored["multiverse"], failures = multiverse.explore(
            every, results, features, arms, build, config, progress
        )
        results.failures += failures
    environment = {
        "started": started.isoformat(timespec="seconds"),
        "wall_s": time.perf_counter() - clock,
        "jobs": jobs,
        "reference_s": reference_s,
        **material.environment,
        "protocol": {
            "label": material.cohort.protocol,
            "split": material.protocol,
            "leaky": config.splits.leaky and not config.test_dataset,
            "threshold": _describe_threshold(config.threshold),
        },
        **records.describe_machine(),
    }
    resolved = replace(config, arms=tuple(map(str, arms)))
    with new_folder(out) as draft:
        records.write_run(draft, resolved, environment, material.splits, results, stored, tables)
        store.write(draft)
        write_tables(records.read_run(draft), ("md", "tex"))
    return records.read_run(out)


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


def _refuse_nothing(results: harness.Results, dataset: RoiDataset) -> None:
    skipped = [f for f in results.failures if f.status == "skipped"]
    if not results.predictions and len(skipped) == len(results.failures):
        reasons = "; ".join(f"{f.features}: {f.reason}" for f in skipped)
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
