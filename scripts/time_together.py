"""Fits of the paper's CNN trained as one JAX program beside the same fits one by one.

    python -m scripts.time_together DATASET [--fits N] [--images N] [--epochs N] [--float64]

A fit leaves out one of N equal shares of the images (a fold) and has a seed of its own. One by
one, unrolled into one program, and vectorised take turns, each in a process of its own, on JAX.
Times are of training, threshold and compilation, wall and processor; the furthest probability is
between the fits of a way and those one by one, over all images. Nudged is one by one again on
images whose every value is the next float32: what rounding alone does to a fit. With --float64
everything is computed in that precision, where rounding has no weight and ways must agree.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmark.runtime.paths import ROOT
from models import paper_cnn
from models._backend import load_keras
from models._vectorised import fit_together
from scripts.time_cnn import write_images

WAYS = ("one by one", "nudged", "unrolled", "vectorised")


def train(arguments: argparse.Namespace) -> None:
    """One way, on written images; writes seconds and probabilities."""
    if arguments.float64:
        load_keras().config.set_floatx("float64")
    with np.load(arguments.dataset) as stored:
        X, y, groups = stored["X"], stored["y"], stored["groups"]
    if arguments.way == "nudged":
        X = np.nextafter(X, np.float32(2))
    kept = [np.arange(len(y)) % arguments.fits != fold for fold in range(arguments.fits)]
    tasks = [(X[rows], y[rows], groups[rows]) for rows in kept]
    settings = {"epochs": arguments.epochs, "augment": arguments.augment}
    models = [paper_cnn.build(seed, **settings) for seed in range(arguments.fits)]
    clock, processor = time.perf_counter(), time.process_time()
    if arguments.way in WAYS[:2]:
        for model, task in zip(models, tasks, strict=True):
            model.fit(*task)
    else:
        fit_together(models, tasks, unroll=arguments.way == "unrolled")
    seconds = time.perf_counter() - clock, time.process_time() - processor
    p = np.stack([model.predict_proba(X)[:, 1] for model in models])
    np.savez(arguments.write, seconds=seconds, p=p)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--fits", type=int, default=4)
    parser.add_argument("--images", type=int, default=160)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--no-augment", dest="augment", action="store_false")
    parser.add_argument("--float64", action="store_true")
    parser.add_argument("--way", choices=WAYS, help="this way only, on written images")
    parser.add_argument("--write", type=Path)
    arguments = parser.parse_args()
    if arguments.way:
        train(arguments)
        return
    print(f"{arguments.fits} fits; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    seconds: dict[str, list[np.ndarray]] = {way: [] for way in WAYS}
    furthest: dict[str, float] = dict.fromkeys(WAYS, 0.0)
    with tempfile.TemporaryDirectory() as work:
        images, out = Path(work) / "images.npz", Path(work) / "out.npz"
        write_images(arguments.dataset, arguments.images, images)
        settings = ["--fits", str(arguments.fits), "--epochs", str(arguments.epochs)]
        settings += [] if arguments.augment else ["--no-augment"]
        settings += ["--float64"] if arguments.float64 else []
        environment = {**os.environ, "KERAS_BACKEND": "jax"}
        environment |= {"JAX_ENABLE_X64": "1"} if arguments.float64 else {}
        for _ in range(arguments.turns):
            alone = np.empty(0)
            for way in WAYS:
                command = [
                    sys.executable,
                    "-m",
                    "scripts.time_together",
                    str(images),
                    "--way",
                    way,
                    *settings,
                ]
                subprocess.run(
                    [*command, "--write", str(out)], env=environment, cwd=ROOT, check=True
                )
                with np.load(out) as found:
                    seconds[way].append(found["seconds"])
                    alone = found["p"] if way == WAYS[0] else alone
                    furthest[way] = max(furthest[way], float(np.abs(found["p"] - alone).max()))
    for way in WAYS:
        wall, processor = np.median(seconds[way], axis=0)
        ratios = np.array(seconds[WAYS[0]]) / np.array(seconds[way])
        print(
            f"{way}: {wall:.1f} s, speed-up {np.median(ratios[:, 0]):.2f} "
            f"({', '.join(f'{r:.2f}' for r in ratios[:, 0])}); processor {processor:.1f} s, "
            f"{np.median(ratios[:, 1]):.2f}; furthest probability {furthest[way]:.1e}"
        )


if __name__ == "__main__":
    main()
