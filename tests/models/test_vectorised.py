"""Fits trained together on JAX, beside the same fits one by one."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from typing import Any

import numpy as np
import pytest

from benchmark.runtime.paths import ROOT
from models import paper_cnn
from models._backend import load_keras
from models._keras import KerasClassifier
from models._vectorised import fit_together
from tests.helpers.backends import QUICK_XLA

SIDE = 12
BATCH = 4

# Rounding, grown over a dozen steps of Adam: ten times the largest difference seen, 4e-5. Seeds
# mixed up, or filling that counts, move probabilities by more.
TOLERANCE = 4e-4


def network(keras: Any, shape: tuple[int, ...], *, augment: bool, dropout: float = 0.3) -> Any:
    """Every kind of layer that the paper's network has, small enough to compile in seconds."""
    from models._fused import BatchNormalization

    layers = keras.layers
    moved = [layers.RandomRotation(0.1), layers.RandomFlip(), layers.RandomZoom(0.1)]
    return keras.Sequential([
        keras.Input(shape),
        *(moved if augment else []),
        layers.Conv2D(4, 3, activation="relu"),
        BatchNormalization(),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dense(8, activation="relu"),
        layers.Dropout(dropout),
        layers.Dense(2, activation="softmax"),
    ])  # fmt: skip


def classifier(seed: int, **settings: Any) -> KerasClassifier:
    given: dict[str, Any] = {
        "epochs": 3, "batch_size": BATCH, "learning_rate": 0.0003, "class_weights": True,
        "validation_fraction": 0.0, "augment": True, "dropout": 0.3,
    }  # fmt: skip
    given |= settings
    make = partial(network, augment=given.pop("augment"), dropout=given.pop("dropout"))
    return KerasClassifier(make, seed=seed, **given)


def tasks() -> list[Any]:
    """Three overlapping training sets of different sizes: 16 images, 13 and 11; 2 a patient."""
    rng = np.random.default_rng(0)
    y = np.arange(20) // 2 % 2
    X = rng.normal(0.4, 0.1, (20, SIDE, SIDE, 1)).astype(np.float32)
    X[y == 1, 3:9, 3:9] += 0.3
    groups = np.array([f"p{i // 2}" for i in range(20)])
    chosen = [np.arange(16), np.arange(3, 16), np.arange(9, 20)]
    return [(X[rows], y[rows], groups[rows]) for rows in chosen]


CASES: dict[str, dict[str, Any]] = {
    "augmented, held out": {"validation_fraction": 0.3},
    "plain, unweighted": {"augment": False, "class_weights": False},
}


def compare() -> None:
    """In a process of its own, as a backend is chosen once a process."""
    new = np.random.default_rng(1).uniform(size=(9, SIDE, SIDE, 1)).astype(np.float32)
    for case, settings in CASES.items():
        alone = [classifier(seed, **settings) for seed in (0, 1, 2)]
        for model, task in zip(alone, tasks(), strict=True):
            model.fit(*task)
        for unroll in (False, True):
            together = [classifier(seed, **settings) for seed in (0, 1, 2)]
            epochs: list[int] = []
            together[1].on_epoch = lambda done, _total, epochs=epochs: epochs.append(done)
            fit_together(together, tasks(), unroll=unroll)
            assert epochs == [1, 2, 3]
            for one, other in zip(alone, together, strict=True):
                where = f"{case}, unroll {unroll}, seed {one.seed}"
                p, q = one.predict_proba(new), other.predict_proba(new)
                furthest = float(np.abs(p - q).max())
                print(where, furthest)
                assert furthest < TOLERANCE, where
                assert abs(one.threshold_ - other.threshold_) < TOLERANCE, where
                assert other.device_ == one.device_
                assert len(one.history_) == len(other.history_) == 3
                for a, b in zip(one.history_, other.history_, strict=True):
                    assert list(a) == list(b), where
                    np.testing.assert_allclose(list(a.values()), list(b.values()), atol=TOLERANCE)
                # Not all weights: the bias of a convolution that clips nothing has no effect after
                # batch normalisation, and a gradient of rounding alone, which Adam makes large.
                for first, second in zip(one._network.weights, other._network.weights, strict=True):
                    if "seed" in first.path:
                        np.testing.assert_array_equal(first.numpy(), second.numpy())
                    elif "variance" in first.path:
                        np.testing.assert_allclose(first.numpy(), second.numpy(), atol=TOLERANCE)
            # Otherwise the three are one fit, and nothing would show mixed-up seeds.
            spread = [model.predict_proba(new)[:, 1] for model in together]
            assert np.abs(spread[0] - spread[1]).max() > 10 * TOLERANCE


def refuse() -> None:
    given = tasks()[:2]
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("epochs differs", {"epochs": 4}),
        ("batch_size differs", {"batch_size": 5}),
        ("model 1 has another network", {"dropout": 0.1}),
    ]
    for message, settings in wrong:
        with pytest.raises(ValueError, match=message):
            fit_together([classifier(0), classifier(1, **settings)], given)
    with pytest.raises(ValueError, match="1 models and 2 tasks"):
        fit_together([classifier(0)], given)
    with pytest.raises(FloatingPointError, match=r"epoch \d of 9"):
        fit_together([classifier(s, epochs=9, learning_rate=1e38) for s in (0, 1)], given)

    def plain(keras: Any, shape: tuple[int, ...]) -> Any:
        layers = keras.layers
        stack = [layers.BatchNormalization(), layers.Flatten(), layers.Dense(2, "softmax")]
        return keras.Sequential([keras.Input(shape), *stack])

    model = classifier(0)
    model.make_network = plain
    with pytest.raises(ValueError, match="Keras' own batch normalisation"):
        fit_together([model], given[:1])


@pytest.mark.parametrize("check", ["compare", "refuse"])
def test_on_jax(check: str) -> None:
    pytest.importorskip("jax", reason="jax is not installed, and fits together need it")
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"from tests.models import test_vectorised; test_vectorised.{check}()",
        ],
        cwd=ROOT,
        env={**os.environ, "KERAS_BACKEND": "jax", "XLA_FLAGS": QUICK_XLA},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_other_backends_are_refused() -> None:
    if load_keras().backend.backend() == "jax":
        pytest.skip("runs on jax, the one backend that can")
    with pytest.raises(ValueError, match="set KERAS_BACKEND=jax"):
        fit_together([paper_cnn.build(0)], tasks()[:1])
