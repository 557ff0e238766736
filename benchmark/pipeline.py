"""One run from dataset to run folder: open, check, label, split, run, score, write."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from benchmark import harness, records, registry, scoring
from benchmark.cohort import Cohort, assemble
from benchmark.config import Arm, Config
from benchmark.datasets import manifest
from benchmark.report import write_tables
from benchmark.roi import Roi, RoiDataset, RoiRecord
from benchmark.splits import check_splits, make_splits


def open_dataset(name: str, jobs: int, progress: harness.Progress) -> RoiDataset:
    """A dataset by plug-in name, or by the path of a manifest or its folder.

    Raises
    ------
    ValueError
        Where there is neither.
    """
    if name in registry.names("datasets") and name != "manifest":
        module = registry.load("datasets", name)
        opened: RoiDataset = module.open_dataset(jobs, progress)
        return opened
    path = Path(name)
    if not path.exists():
        built_in = [n for n in registry.names("datasets") if n != "manifest"]
        raise ValueError(
            f"dataset '{name}': no such file or folder, nor one of {', '.join(built_in)}"
        )
    return manifest.open_dataset(path)


def execute(
    config: Config,
    arms: Sequence[Arm],
    out: Path,
    *,
    jobs: int,
    require_gpu: bool,
    progress: harness.Progress,
) -> records.RunFolder:
    """Run a configuration and write its folder.

    Everything that can be refused is refused before the first file is written.

    Raises
    ------
    ValueError
        For unusable input.
    """
    records.check_new(out)
    if require_gpu:
        _require_gpu(arms)
    started, clock = datetime.now(UTC), time.perf_counter()
    dataset = open_dataset(config.dataset, jobs, progress)
    cohort = assemble(dataset, config.label)
    splits = make_splits(cohort, config.splits, config.seed)
    check_splits(splits, cohort, leaky=config.splits.leaky)
    fingerprint = check_voxels(dataset, cohort, jobs, progress)

    results = harness.run(
        dataset,
        cohort,
        splits,
        arms,
        {arm.features: registry.load("features", arm.features).extract for arm in arms},
        lambda arm, seed: registry.load("models", arm.model).build(
            seed, jobs=jobs, **config.models.get(arm.model, {})
        ),
        seed=config.seed,
        threshold=config.threshold,
        jobs=jobs,
        progress=progress,
    )
    predictions = records.prediction_table(results)
    metrics = scoring.score(predictions, config.bootstrap, config.seed)
    environment = {
        "started": started.isoformat(timespec="seconds"),
        "wall_s": time.perf_counter() - clock,
        "jobs": jobs,
        "dataset": {
            "name": dataset.name,
            "intensities": dataset.intensities,
            "fingerprint": fingerprint,
            "cohort": cohort.describe(),
            "n_rois": len(cohort.records),
            "n_patients": len(set(cohort.patients.tolist())),
            "n_malignant": int(cohort.labels.sum()),
            "excluded": cohort.excluded,
        },
        "protocol": {
            "label": cohort.protocol,
            "split": config.splits.describe(),
            "leaky": config.splits.leaky,
            "threshold": _describe_threshold(config.threshold),
        },
        **records.describe_machine(),
    }
    resolved = replace(config, arms=tuple(map(str, arms)))
    with records.new_folder(out) as draft:
        records.write_run(draft, resolved, environment, splits, results, predictions, metrics)
        write_tables(records.read_run(draft), ("md", "tex"))
    return records.read_run(out)


def check_voxels(dataset: RoiDataset, cohort: Cohort, jobs: int, progress: harness.Progress) -> str:
    """Read every ROI of the cohort, which checks it, and hash what was read.

    Returns
    -------
    str
        SHA-256 over ids, patients, labels and voxels: the dataset's fingerprint.

    Raises
    ------
    ValueError
        For the first ROI, in order of ``roi_id``, that breaks the contract.
    """
    from joblib import Parallel, delayed

    parallel = Parallel(n_jobs=jobs, return_as="generator", batch_size=16)
    hashes = parallel(delayed(_content_hash)(dataset.read, r) for r in cohort.records)
    digest = hashlib.sha256()
    rows = zip(cohort.records, cohort.labels.tolist(), hashes, strict=True)
    for number, (record, label, content) in enumerate(rows, start=1):
        digest.update(f"{record.roi_id}\t{record.patient_id}\t{label}\t{content}\n".encode())
        progress.update("Checking ROIs", number, len(cohort.records))
    return digest.hexdigest()


def _content_hash(read: Callable[[RoiRecord], Roi], record: RoiRecord) -> str:
    return read(record).content_hash()


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
                f"--require-gpu: {model} finds no GPU; install requirements/gpu.txt on a "
                "machine with an NVIDIA driver, or leave the option out"
            )
