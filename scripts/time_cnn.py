"""The training of a network beside a plain PyTorch, channels-last replica: images a second.

    python -m scripts.time_cnn DATASET [--model NAME] [--torch-python PATH] [--images N] [...]

Both sides train the same network on the same images (the model's features and the paper's label
rule, the first N nodules) with the same batch size, optimiser, loss, class weights and, for planes,
augmentation (3D networks want ``--no-augment``), taking turns, each in a process of its own with
``--threads`` threads. ``steady`` is the median epoch from the second on, so without compilation;
``processor`` is its processor time, which other work on the machine hardly disturbs, but with more
than one thread PyTorch's includes waiting; ``whole fit`` is all that is done from the images to a
fitted model, once libraries are imported: for ours that includes compilation, the statistics of
batch normalisation and the threshold, of which the replica (``torch_cnn.py``) has none. Of
``cmixnet`` one network is trained, and no booster. Where the sides differ in the number of
trainable weights, nothing is timed. ``others`` are the cores that other processes kept busy.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from importlib.metadata import version
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.cohort.labels import LabelRule, assemble
from benchmark.datasets import manifest
from benchmark.plugins import registry
from benchmark.plugins.contracts import Readings
from benchmark.runtime import provenance
from benchmark.runtime.paths import ROOT


def write_images(dataset: Path, n: int, path: Path, model: str) -> None:
    """Images, columns beside them (none for most models) and what ``multitask`` is told."""
    found = manifest.open_dataset(dataset)
    cohort = assemble(found, LabelRule(aggregation="mean"))
    if len(cohort.records) < n:
        raise SystemExit(f"'{dataset}' has {len(cohort.records)} labelled ROIs, fewer than {n}")
    chosen, records = import_module(f"models.{model}"), cohort.records[:n]
    rois = [found.read(record) for record in records]
    names = chosen.FEATURES if isinstance(chosen.FEATURES, tuple) else (chosen.FEATURES,)
    values = [list(map(registry.load_feature_set(name).extract, rois)) for name in names]
    columns = [list(each.values()) for each in values[1]] if len(names) > 1 else [[]] * n
    y, told = cohort.labels[:n], np.empty((n, 0), np.float32)
    readings = Readings(
        tuple(r.malignancy_ratings for r in records), tuple(r.attributes for r in records)
    )
    if model == "multitask":
        told = chosen.build(0).told(y, readings, np.arange(n))
    np.savez(
        path, X=np.stack(values[0]), y=y, groups=cohort.patients[:n], columns=np.array(columns),
        told=told, readings=json.dumps([readings.ratings, [dict(a) for a in readings.attributes]]),
    )  # fmt: skip


def train(arguments: argparse.Namespace) -> dict[str, Any]:
    """Our side of the race; ``torch_cnn.py`` reports the same of the other."""
    with np.load(arguments.dataset) as stored:
        X, y, groups = stored["X"], stored["y"], stored["groups"]
        columns, (ratings, attributes) = stored["columns"], json.loads(str(stored["readings"]))
    build = import_module(f"models.{arguments.model}").build
    settings = {"epochs": arguments.epochs, "augment": arguments.augment}
    if "validation_fraction" in signature(build).parameters:
        settings["validation_fraction"] = 0.0
    model = build(arguments.seed, **settings)
    told: dict[str, Any] = {}
    if arguments.model == "cmixnet":
        model = model.network(seed=arguments.seed)  # one of its networks, without the boosters
    elif arguments.model == "multitask":
        told["readings"] = Readings(tuple(map(tuple, ratings)), tuple(attributes))
    ends: list[tuple[float, float]] = []
    start = time.perf_counter()

    def note(_done: int, _total: int) -> None:
        ends.append((time.perf_counter() - start, time.process_time()))

    model.on_epoch = note
    model.fit({"images": X, "columns": columns} if columns.size else X, y, groups, **told)
    fit_s = time.perf_counter() - start
    backend = os.environ["KERAS_BACKEND"]
    versions = {package: version(package) for package in ("keras", backend)}
    weights = sum(int(np.prod(each.shape)) for each in model._network.trainable_weights)
    about = {"versions": versions, "weights": weights}
    return {"ends_s": ends, "fit_s": fit_s, **model.history_[-1], **about}


def busy_s() -> tuple[float, float]:
    """Processor seconds of the whole machine so far, NaN where unknown; of our children."""
    ours = resource.getrusage(resource.RUSAGE_CHILDREN)
    stat = Path("/proc/stat")
    ticks = stat.read_text().split("\n", 1)[0].split()[1:] if stat.is_file() else []
    # user, nice, system, idle, iowait, irq, softirq
    machine = sum(int(ticks[i]) for i in (0, 1, 2, 5, 6)) if ticks else float("nan")
    return machine / os.sysconf("SC_CLK_TCK"), ours.ru_utime + ours.ru_stime


def race(arguments: argparse.Namespace, images: Path) -> None:
    threads = str(arguments.threads)
    settings = ["--epochs", str(arguments.epochs), "--seed", str(arguments.seed)]
    settings += ["--model", arguments.model]
    settings += [] if arguments.augment else ["--no-augment"]
    ours = [sys.executable, "-m", "scripts.time_cnn", str(images), "--train", *settings]
    replica = [str(ROOT / "scripts" / "torch_cnn.py"), str(images), "--threads", threads]
    sides = {"torch": [arguments.torch_python, *replica, *settings], "ours": ours}
    environment = {**os.environ, "TF_NUM_INTRAOP_THREADS": threads, "OMP_NUM_THREADS": threads}
    rates: dict[str, list[tuple[float, float, float]]] = {side: [] for side in sides}
    others: list[float] = []
    weights: set[int] = set()
    for turn in range(arguments.turns):
        for side, command in sides.items():
            clock, before = time.perf_counter(), busy_s()
            done = subprocess.run(
                command, env=environment, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
            )
            machine, own = (b - a for a, b in zip(before, busy_s(), strict=True))
            others.append(max(0.0, machine - own) / (time.perf_counter() - clock))
            found = json.loads(done.stdout.splitlines()[-1])
            steady, processor = np.median(np.diff(found["ends_s"], axis=0), axis=0)
            seconds = np.array([steady, processor, found["fit_s"] / arguments.epochs])
            rates[side].append(tuple(arguments.images / seconds))
            weights.add(found["weights"])
            if len(weights) > 1:
                raise SystemExit(f"the sides have {weights} trainable weights: not one network")
            if turn == 0:
                versions = ", ".join(f"{p} {v}" for p, v in found["versions"].items())
                print(
                    f"{side}: {versions}; {found['weights']} weights, last loss {found['loss']:.3f}"
                )
    for column, label in enumerate(("steady", "processor", "whole fit")):
        theirs, mine = (np.array(rates[side])[:, column] for side in sides)
        ratios = mine / theirs
        print(
            f"{label}: torch {np.median(theirs):.1f} and ours {np.median(mine):.1f} images/s, "
            f"ours / torch {np.median(ratios):.2f} ({', '.join(f'{r:.2f}' for r in ratios)})"
        )
    pairs = (f"{a:.2f} and {b:.2f}" for a, b in zip(others[::2], others[1::2], strict=True))
    print(f"others: {'; '.join(pairs)} cores")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--torch-python", default=sys.executable, help="interpreter with torch")
    parser.add_argument("--model", default="paper_cnn", help="one that torch_cnn.py has")
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--epochs", type=int, default=4, help="at least 2; the first is start-up")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-augment", dest="augment", action="store_false")
    parser.add_argument("--train", action="store_true", help="our side only, on written images")
    arguments = parser.parse_args()
    if arguments.train:
        print(json.dumps(train(arguments)))
        return
    print(
        f"{arguments.model}, {arguments.images} images, {arguments.epochs} epochs, "
        f"{arguments.threads} threads, seed {arguments.seed}, "
        f"augmentation {'on' if arguments.augment else 'off'}; "
        f"{provenance.processor()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    )
    with tempfile.TemporaryDirectory() as work:
        images = Path(work) / "images.npz"
        write_images(arguments.dataset, arguments.images, images, arguments.model)
        race(arguments, images)


if __name__ == "__main__":
    main()
