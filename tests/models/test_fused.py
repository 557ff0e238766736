"""Quicker operations on TensorFlow beside Keras' own, and how they are stored."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmark.runtime.paths import ROOT
from models import paper_cnn
from models._backend import load_keras


@pytest.fixture(scope="module")
def tf() -> Any:
    if load_keras().backend.backend() != "tensorflow":
        pytest.skip("they are for TensorFlow; other backends keep Keras' own")
    import tensorflow

    return tensorflow


def normalisations(shape: tuple[int, ...]) -> dict[str, Any]:
    from models._fused import BatchNormalization

    rng = np.random.default_rng(1)
    kinds = {"ours": BatchNormalization, "keras": load_keras().layers.BatchNormalization}
    layers = {name: kind(momentum=0.9) for name, kind in kinds.items()}
    weights = [rng.uniform(0.5, 1.5, shape[-1]) for _ in range(4)]
    for layer in layers.values():
        layer.build(shape)
        layer.set_weights(weights)
    return layers


@pytest.mark.parametrize("shape", [(4, 2, 2, 3), (20, 30, 30, 8), (6, 5, 4, 3, 7)])
def test_batch_normalisation_is_keras_own(tf: Any, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    x = tf.constant(rng.normal(3, 2, shape).astype(np.float32))
    upstream = tf.constant(rng.normal(size=shape).astype(np.float32))
    found: dict[str, list[Any]] = {}
    for name, layer in normalisations(shape).items():
        with tf.GradientTape() as tape:
            tape.watch(x)
            output = layer(x, training=True)
            loss = tf.reduce_sum(output * upstream)
        gradients = tape.gradient(loss, [x, *(w.value for w in layer.trainable_weights)])
        statistics = [w.numpy() for w in layer.non_trainable_weights]
        found[name] = [output, *gradients, *statistics, layer(x, training=False)]
    assert len(found["ours"]) == 7
    for ours, keras in zip(found["ours"], found["keras"], strict=True):
        # float32: sums over up to 18,000 values of either sign
        np.testing.assert_allclose(ours, keras, rtol=1e-4, atol=2e-4)


def test_sums_over_an_image_stack_are_exact(tf: Any) -> None:
    """The paper's first layer: 20 x 122 x 122 values a channel, clipped at 0 as by relu.

    Keras' own is off by 8e-5 to 5e-4 of the output's norm and TensorFlow's FusedBatchNormV3 by 1e-4
    to 5e-4, as the processor adds up.
    """
    shape = (20, 122, 122, 4)
    rng = np.random.default_rng(0)
    x = np.maximum(rng.normal(0.03, 0.3, shape), 0).astype(np.float32)
    layer = normalisations(shape)["ours"]
    gamma, beta = (weight.numpy() for weight in layer.trainable_weights)
    exact = x.astype(np.float64)
    centred = exact - exact.mean(axis=(0, 1, 2))
    sd = np.sqrt(exact.var(axis=(0, 1, 2)) + layer.epsilon)
    expected = gamma * centred / sd + beta
    # 24 bits, and sums of three times 122 terms at most, were they added one by one
    assert np.linalg.norm(layer(x, training=True) - expected) < 1e-6 * np.linalg.norm(expected)


def test_sums_are_matrix_products(tf: Any) -> None:
    x = tf.TensorSpec((4, 5, 5, 3))
    kinds = {}
    for name, layer in normalisations((4, 5, 5, 3)).items():
        graph = tf.function(lambda x, layer=layer: layer(x, training=True)).get_concrete_function(x)
        kinds[name] = {operation.type for operation in graph.graph.get_operations()}
    assert "BatchMatMulV2" in kinds["ours"]
    assert "Mean" in kinds["keras"]
    assert kinds["ours"].isdisjoint({"Mean", "FusedBatchNormV3"})


def test_other_inputs_and_frozen_layers_are_left_to_keras(tf: Any) -> None:
    rng = np.random.default_rng(0)
    flat = normalisations((6, 3))
    x = rng.normal(size=(6, 3)).astype(np.float32)
    np.testing.assert_array_equal(*(layer(x, training=True) for layer in flat.values()))
    frozen = normalisations((6, 2, 2, 3))
    x = rng.normal(size=(6, 2, 2, 3)).astype(np.float32)
    for layer in frozen.values():
        layer.trainable = False
    np.testing.assert_array_equal(*(layer(x, training=True) for layer in frozen.values()))


@pytest.mark.parametrize("decay", [None, 0.5])
def test_adam_is_keras_own(tf: Any, decay: float | None) -> None:
    from models._fused import Adam

    keras = load_keras()
    start = np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32)
    after = []
    theirs = keras.optimizers.Adam if decay is None else keras.optimizers.AdamW
    for kind in (Adam, theirs):
        rng = np.random.default_rng(1)
        variable, optimiser = keras.Variable(start), kind(0.01, weight_decay=decay)
        for _ in range(5):
            gradient = tf.constant(rng.normal(size=start.shape).astype(np.float32))
            optimiser.apply_gradients([(gradient, variable)])
        after.append(variable.numpy())
        assert int(optimiser.iterations) == 5
    assert np.abs(after[0] - start).max() > 0.01
    # float32: a step is .01, and rounding is of the order of 1e-7
    np.testing.assert_allclose(*after, rtol=0, atol=1e-6)


def test_a_stored_network_predicts_in_a_new_process(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    X, y = rng.uniform(size=(8, 24, 24, 1)).astype(np.float32), np.arange(8) % 2
    model = paper_cnn.build(0, epochs=1, batch_size=4)
    model.fit(X, y, np.arange(8).astype(str))
    (tmp_path / "model.pkl").write_bytes(pickle.dumps((model, X)))
    code = (
        "import pathlib, pickle, sys, numpy\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "model, X = pickle.loads((folder / 'model.pkl').read_bytes())\n"
        "numpy.save(folder / 'p.npy', model.predict_proba(X))\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, check=True)
    # another process, the same numbers but for the order of threads' sums
    np.testing.assert_allclose(np.load(tmp_path / "p.npy"), model.predict_proba(X), atol=1e-6)
