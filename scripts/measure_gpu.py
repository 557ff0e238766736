"""What only a GPU shows of the networks: training, mixed precision, fits as one program, features.

    python -m scripts.measure_gpu [--dataset DATASET] [--out results/gpu.md] [--limit 600]

One command for a machine with a GPU, on any dataset that ``run`` takes (the embedded phantom, whose
intensities are synthetic, by default). Each part is a process of its own, on TensorFlow or on JAX,
one after the other:

plain, mixed:  the paper profile's training of the paper's CNN (its epochs, batch and augmentation)
               on 70 % of the patients, without and with ``mixed_precision``; AUC of the others.
together:      the fits of five folds and five seeds one by one and as one JAX program.
frozen:        nodules a second through ``imagenet2d``.

Seconds are of the whole, compilation included; ``steady`` is of the median epoch from the second
on. All parts together take at most ``--limit`` seconds: a part that has not ended by then is a row
that says so. On a machine without a GPU it does the same on the processor, and the table says cpu.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmark.cli import terminal
from benchmark.cohort.labels import LabelRule, assemble
from benchmark.config import load_config
from benchmark.plugins import registry
from benchmark.run.inputs import open_dataset
from benchmark.runtime import provenance
from benchmark.runtime.paths import ROOT

PAPER = load_config("paper", []).models["paper_cnn"]
FOLDS = SEEDS = 5
TESTED = 0.3


class Part(NamedTuple):
    """A process: what it does, with which backend of Keras."""

    name: str
    backend: str

    def __str__(self) -> str:
        return f"{self.name}:{self.backend}"


PARTS = (
    Part("plain", "tensorflow"), Part("mixed", "tensorflow"),
    Part("plain", "jax"), Part("mixed", "jax"), Part("together", "jax"),
    Part("frozen", "tensorflow"), Part("frozen", "jax"),
)  # fmt: skip


def write_images(arguments: argparse.Namespace, path: Path) -> None:
    """Images of the paper's CNN and labels of ``--rois`` nodules, and where they came from."""
    dataset, records, labels, patients = _cohort(arguments)
    extract = registry.load_feature_set("voxels2d_box").extract
    X = np.stack([extract(dataset.read(record)) for record in records])
    np.savez(path, X=X, y=labels, groups=patients)


def _cohort(arguments: argparse.Namespace) -> tuple[Any, Any, Any, Any]:
    with terminal.progress() as progress:
        dataset = open_dataset(arguments.dataset, 1, progress)
    cohort = assemble(dataset, LabelRule(aggregation="mean"))
    n = min(arguments.rois, len(cohort.records))
    return dataset, cohort.records[:n], cohort.labels[:n], cohort.patients[:n]


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """One part, in its own process, on written images."""
    from models._backend import device, load_keras

    load_keras()
    parts = {"plain": _paper, "mixed": _paper, "together": _together, "frozen": _frozen}
    return {"device": device(), **parts[arguments.part](arguments)}


def _paper(arguments: argparse.Namespace) -> dict[str, Any]:
    from sklearn.metrics import roc_auc_score

    from models import paper_cnn

    X, y, groups = _stored(arguments.images)
    tested = np.isin(groups, _drawn(groups))
    settings = PAPER | {"epochs": arguments.epochs, "mixed_precision": arguments.part == "mixed"}
    model = paper_cnn.build(0, **settings)
    clock, ends = time.perf_counter(), []
    model.on_epoch = lambda _done, _total: ends.append(time.perf_counter())
    model.fit(X[~tested], y[~tested], groups[~tested])
    seconds = time.perf_counter() - clock
    epoch = float(np.median(np.diff(ends))) if len(ends) > 1 else float("nan")
    p = model.predict_proba(X[tested])[:, 1]
    return {
        "seconds": seconds,
        "rate": float((~tested).sum() / epoch),
        "auc": float(roc_auc_score(y[tested], p)),
        "what": f"{(~tested).sum()} images, {arguments.epochs} epochs, tested on {tested.sum()}",
    }


def _drawn(groups: Any) -> Any:
    """Patients of the tested side, by a fixed seed."""
    patients = np.unique(groups)
    return np.random.default_rng(0).permutation(patients)[: round(TESTED * len(patients))]


def _together(arguments: argparse.Namespace) -> dict[str, Any]:
    from models import paper_cnn
    from models._vectorised import fit_together

    X, y, groups = _stored(arguments.images)
    fold = np.unique(groups, return_inverse=True)[1] % FOLDS
    chosen = [(seed, fold != tested) for seed in range(SEEDS) for tested in range(FOLDS)]
    chosen = chosen[: arguments.fits]
    tasks = [(X[rows], y[rows], groups[rows]) for _, rows in chosen]
    settings = PAPER | {"epochs": arguments.fit_epochs}
    seconds = []
    for together in (False, True):
        models = [paper_cnn.build(seed, **settings) for seed, _ in chosen]
        clock = time.perf_counter()
        if together:
            fit_together(models, tasks)
        else:
            for model, task in zip(models, tasks, strict=True):
                model.fit(*task)
        seconds.append(time.perf_counter() - clock)
    return {
        "seconds": seconds[1],
        "one_by_one": seconds[0],
        "what": f"{len(tasks)} fits of {len(tasks[0][0])} images, {arguments.fit_epochs} epochs",
    }


def _frozen(arguments: argparse.Namespace) -> dict[str, Any]:
    extract = registry.load_feature_set("imagenet2d").extract
    dataset, records, _, _ = _cohort(arguments)
    rois = [dataset.read(record) for record in records]
    extract(rois[0])  # loads the weights and compiles
    clock = time.perf_counter()
    for roi in rois:
        extract(roi)
    seconds = time.perf_counter() - clock
    return {"seconds": seconds, "rate": len(rois) / seconds, "what": f"{len(rois)} nodules"}


def _stored(path: Path) -> tuple[Any, Any, Any]:
    with np.load(path) as stored:
        return stored["X"], stored["y"], stored["groups"]


def results(arguments: argparse.Namespace, images: Path) -> Iterator[tuple[Part, dict[str, Any]]]:
    """Every part with what it measured, or with the reason why it did not."""
    end = time.monotonic() + arguments.limit
    for part in PARTS:
        if arguments.parts and str(part) not in arguments.parts.split(","):
            continue
        if find_spec(part.backend) is None:
            yield part, {"missing": f"{part.backend} is not installed here"}
            continue
        command = [sys.executable, "-m", "scripts.measure_gpu", *sys.argv[1:]]
        command += ["--part", part.name, "--images", str(images)]
        environment = {**os.environ, "KERAS_BACKEND": part.backend}
        try:
            done = subprocess.run(
                command, env=environment, cwd=ROOT, capture_output=True, text=True,
                timeout=max(0.1, end - time.monotonic()), check=True,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            yield part, {"missing": f"not done in the {arguments.limit:.0f} s of all parts"}
        except subprocess.CalledProcessError as error:
            yield part, {"missing": (error.stderr.strip().splitlines() or ["failed"])[-1]}
        else:
            yield part, json.loads(done.stdout.splitlines()[-1])


def table(found: list[tuple[Part, dict[str, Any]]]) -> list[str]:
    """The results as a Markdown table."""
    lines = [
        "| part | backend | device | what | seconds | steady, a second | AUC |",
        "|---|---|---|---|---:|---:|---:|",
    ]
    for part, got in found:
        if "missing" in got:
            lines.append(f"| {part.name} | {part.backend} | - | not measured: {got['missing']} "
                         "| - | - | - |")  # fmt: skip
            continue
        seconds = f"{got['seconds']:.1f}"
        if "one_by_one" in got:
            speed_up = got["one_by_one"] / got["seconds"]
            seconds += f"; one by one {got['one_by_one']:.1f}, {speed_up:.2f} times"
        rate = f"{got['rate']:.1f}" if "rate" in got else "-"
        auc = f"{got['auc']:.3f}" if "auc" in got else "-"
        lines.append(f"| {part.name} | {part.backend} | {got['device']} | {got['what']} "
                     f"| {seconds} | {rate} | {auc} |")  # fmt: skip
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--dataset", default="phantom")
    parser.add_argument("--out", type=Path, help="write the table here too, with the command")
    parser.add_argument("--limit", type=float, default=600, help="seconds for all parts")
    parser.add_argument("--rois", type=int, default=600)
    parser.add_argument("--epochs", type=int, default=PAPER["epochs"])
    parser.add_argument("--fits", type=int, default=FOLDS * SEEDS)
    parser.add_argument("--fit-epochs", type=int, default=10)
    parser.add_argument("--parts", help=f"some of {','.join(map(str, PARTS))}")
    alone = parser.add_argument_group("a part alone, on the backend of KERAS_BACKEND")
    alone.add_argument("--part", choices=sorted({part.name for part in PARTS}))
    alone.add_argument("--images", type=Path)
    arguments = parser.parse_args()
    if arguments.part:
        print(json.dumps(measure(arguments)))
        return
    with tempfile.TemporaryDirectory() as work:
        images = Path(work) / "images.npz"
        write_images(arguments, images)
        lines = table(list(results(arguments, images)))
    print("\n".join(lines))
    if arguments.out:
        arguments.out.write_text("\n".join([
            "# What a GPU changes", "",
            f"    python -m scripts.measure_gpu {' '.join(sys.argv[1:])}".rstrip(), "",
            f"Dataset `{arguments.dataset}`, seed 0; {provenance.processor()}, {os.cpu_count()} "
            "cores. What each part is: `scripts/measure_gpu.py`.", "", *lines, "",
        ]))  # fmt: skip


if __name__ == "__main__":
    main()
