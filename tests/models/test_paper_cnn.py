"""The paper's CNN: its layers, its training, and the three Keras backends."""

from __future__ import annotations

import pickle
import random
from threading import Event, Thread
from typing import Any

import numpy as np
import pytest

from models import paper_cnn
from models._backend import compile_network, load_keras
from models._keras import KerasClassifier, balanced_weights
from models._population import use_population_statistics
from tests.helpers.backends import on_backend
from tests.helpers.images import images


@pytest.fixture(scope="module")
def network() -> Any:
    return paper_cnn.network(load_keras(), (124, 124, 1), dropout=0.3, augment=True)


def test_parameter_count(network: Any) -> None:
    assert network.count_params() == 1_441_218


def test_layers_are_the_papers(network: Any) -> None:
    names = [type(layer).__name__ for layer in network.layers]
    block = ["Conv2D", "BatchNormalization", "MaxPooling2D"]
    assert names == [
        *["RandomRotation", "RandomFlip", "RandomZoom"],
        *(block * 3),
        *["Flatten", "Dense", "Dropout", "Dense"],
    ]
    convolutions = [layer for layer in network.layers if type(layer).__name__ == "Conv2D"]
    assert [layer.filters for layer in convolutions] == [32, 64, 64]
    for layer in convolutions:
        assert layer.kernel_size == (3, 3)
        assert layer.padding == "valid"
        assert layer.activation.__name__ == "relu"
    pools = [layer for layer in network.layers if type(layer).__name__ == "MaxPooling2D"]
    assert {layer.pool_size for layer in pools} == {(2, 2)}
    hidden, dropout, out = network.layers[-3:]
    assert (hidden.units, hidden.activation.__name__) == (128, "relu")
    assert dropout.rate == 0.3
    assert (out.units, out.activation.__name__) == (2, "softmax")


def test_defaults_are_the_papers() -> None:
    model = paper_cnn.build(0)
    assert (model.epochs, model.batch_size, model.learning_rate) == (50, 20, 0.001)
    assert model.class_weights
    assert model.validation_fraction == 0
    assert paper_cnn.FEATURES == "voxels2d_box"


def test_a_training_step_is_traced_once() -> None:
    """TensorFlow traces a step again where its first trace made a variable: most of a short fit."""
    keras, traced = load_keras(), []

    def loss(told: Any, output: Any) -> Any:
        traced.append(told.shape)
        return keras.ops.mean((told - output) ** 2, axis=-1)

    small = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    compile_network(
        keras, small, keras.optimizers.Adam(), loss, [keras.metrics.CategoricalAccuracy("accuracy")]
    )
    small.fit(np.ones((8, 3)), np.ones((8, 2)), batch_size=4, epochs=2, verbose=0)
    assert len(traced) == 1
    assert small.jit_compile is False


def test_many_networks_in_a_process_bring_no_advice_on_tracing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """TensorFlow counts by line of code, so a run of many arms is told off for each."""
    keras = load_keras()
    for _ in range(8):
        network = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2)])
        compile_network(keras, network)
        network.predict(np.zeros((1, 1)), verbose=0)
    assert "retracing" not in caplog.text


def test_draws_of_other_threads_change_nothing() -> None:
    """A Dask worker's event loop draws from Python's global generator while a network is made."""
    X, y, groups = images(24, seed=0)

    def fitted() -> Any:
        model = paper_cnn.build(3, epochs=1)
        model.fit(X, y, groups)
        return model.predict_proba(X)

    alone = fitted()
    done = Event()

    def draw() -> None:
        while not done.wait(0.0005):
            random.random()

    thread = Thread(target=draw)
    thread.start()
    try:
        np.testing.assert_array_equal(fitted(), alone)
    finally:
        done.set()
        thread.join()


def test_augmentation_works_in_training_alone(network: Any) -> None:
    # 124 pixels on purpose: what is fed to the first convolution, with and without training.
    X = images(4, 0, side=124)[0]
    keras = load_keras()
    to_numpy = keras.ops.convert_to_numpy
    trained = still = X
    for layer in network.layers[:3]:
        trained = to_numpy(layer(trained, training=True))
        still = to_numpy(layer(still, training=False))
    np.testing.assert_array_equal(still, X)
    assert np.abs(trained - X).max() > 0.05
    predict = [network.predict(X, verbose=0) for _ in range(2)]
    np.testing.assert_array_equal(*predict)


def test_prediction_uses_the_mean_statistics_of_the_training_batches() -> None:
    X = images(24, 0)[0]
    keras = load_keras()
    small = paper_cnn.network(keras, X.shape[1:], dropout=0.3, augment=True)
    to_numpy = keras.ops.convert_to_numpy
    before = {w.path: to_numpy(w).copy() for w in small.weights}
    use_population_statistics(keras, small, X, batch_size=6)

    convolution, normalisation = small.layers[3:5]
    activations = to_numpy(convolution(X)).reshape(4, 6, -1, 32)
    expected = activations.mean(axis=(1, 2)).mean(axis=0), activations.var(axis=(1, 2)).mean(axis=0)
    # float32 sums over 5,400 pixels
    np.testing.assert_allclose(
        to_numpy(normalisation.moving_mean), expected[0], rtol=1e-4, atol=1e-6
    )
    np.testing.assert_allclose(
        to_numpy(normalisation.moving_variance), expected[1], rtol=1e-3, atol=1e-6
    )
    assert normalisation.momentum == 0.99
    for weight in small.weights:
        if "moving" not in weight.path and "seed" not in weight.path:
            np.testing.assert_array_equal(to_numpy(weight), before[weight.path])


def test_a_second_channel_is_seen_and_moves_with_the_first() -> None:
    """What ``voxels2d_box_mask`` feeds: the image and, as second channel, the mask."""
    keras = load_keras()
    two = paper_cnn.network(keras, (124, 124, 2), dropout=0.3, augment=True)
    assert two.count_params() == 1_441_218 + 3 * 3 * 32
    X = np.repeat(images(4, 0, side=124)[0], 2, axis=-1)
    moved = X
    for layer in two.layers[:3]:
        moved = keras.ops.convert_to_numpy(layer(moved, training=True))
    assert np.abs(moved - X).max() > 0.05
    np.testing.assert_array_equal(moved[..., 0], moved[..., 1])

    X, y, groups = images(20, 0)
    mask = np.zeros_like(X)
    mask[:, 8:24, 8:24] = 1
    model = paper_cnn.build(0, epochs=1)
    model.fit(np.concatenate([X, mask], axis=-1), y, groups)
    shown, hidden = (
        model.predict_proba(np.concatenate([X, m], axis=-1)) for m in (mask, np.zeros_like(mask))
    )
    assert np.abs(shown - hidden).max() > 1e-4
    with pytest.raises(ValueError, match=r"images of shape \(32, 32, 1\); fitted were"):
        model.predict_proba(X)


def test_weights_are_balanced() -> None:
    assert balanced_weights(np.array([0, 0, 0, 1])) == {0: 4 / 6, 1: 2.0}


def test_class_weights_reach_the_loss() -> None:
    X, y, groups = images(24, 0)
    keep = np.flatnonzero((y == 0) | (np.arange(24) < 8))  # 12 benign, 4 malignant
    losses = []
    for weighted in (True, False):
        model = paper_cnn.build(1, epochs=1, augment=False, class_weights=weighted)
        model.fit(X[keep], y[keep], groups[keep])
        losses.append(model.history_[0]["loss"])
    assert abs(losses[0] - losses[1]) > 1e-3


def test_history_and_progress_are_kept() -> None:
    model = paper_cnn.build(0, epochs=3)
    calls: list[tuple[int, int]] = []
    assert model.history_ == []  # present before fit, as the harness expects
    model.on_epoch = lambda done, total: calls.append((done, total))
    model.fit(*images(20, 0))
    assert [set(row) for row in model.history_] == [{"epoch", "loss", "accuracy"}] * 3
    assert [row["epoch"] for row in model.history_] == [1, 2, 3]
    assert calls == [(1, 3), (2, 3), (3, 3)]
    assert model.device_ == paper_cnn.device()


def test_validation_patients_are_not_fitted(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, np.ndarray] = {}
    original = KerasClassifier._train

    def spy(self: Any, keras: Any, X: Any, y: Any, fitted: Any, held_out: Any) -> Any:
        seen.update(fitted=fitted, held_out=held_out)
        return original(self, keras, X, y, fitted, held_out)

    monkeypatch.setattr(KerasClassifier, "_train", spy)
    X, y, _ = images(40, 0)
    groups = np.array([f"p{i // 4}" for i in range(40)])
    y = np.arange(40) // 4 % 2
    model = paper_cnn.build(0, epochs=2, validation_fraction=0.2)
    model.fit(X, y, groups)
    assert set(groups[seen["fitted"]]).isdisjoint(groups[seen["held_out"]])
    assert len(set(groups[seen["held_out"]])) == 2  # one of 5 patients of either kind
    assert set(model.history_[0]) == {"epoch", "loss", "accuracy", "val_loss", "val_accuracy"}


def test_a_loss_that_is_not_finite_names_the_epoch() -> None:
    model = paper_cnn.build(0, epochs=5, learning_rate=1e38)
    with pytest.raises(FloatingPointError, match=r"epoch \d of 5"):
        model.fit(*images(20, 0))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, "epochs is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"learning_rate": -1.0}, r"learning_rate is -1\.0"),
        ({"validation_fraction": 1.0}, r"validation_fraction is 1\.0"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        paper_cnn.build(0, **settings).fit(*images(20, 0))


def test_mixed_precision_convolves_in_bfloat16_and_keeps_float32() -> None:
    X, y, groups = images(20, 0)
    model = paper_cnn.build(0, epochs=1, mixed_precision=True)
    model.fit(X, y, groups)
    network = model._network
    moved, (hidden, dropout, out) = network.layers[:3], network.layers[-3:]
    computed = [*network.layers[3:-3], hidden, dropout]
    assert {layer.compute_dtype for layer in computed} == {"bfloat16"}
    assert {layer.compute_dtype for layer in (*moved, out)} == {"float32"}
    assert {weight.dtype for weight in network.weights} == {"float32"}
    plain = paper_cnn.build(0, epochs=1)
    plain.fit(X, y, groups)
    assert not np.array_equal(plain.predict_proba(X), model.predict_proba(X))
    assert np.isfinite(model.heat_maps(X)).all()
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))


def test_images_that_are_too_small_are_refused() -> None:
    X, y, groups = images(20, 0)
    with pytest.raises(ValueError, match="at least 22 pixels"):
        paper_cnn.build(0).fit(X[:, :20], y, groups)


CHILD = """
import json, sys
import numpy as np
from models import paper_cnn
from tests.helpers.images import images
X_new, y_new, _ = images(40, 1)
outputs = []
for _ in range(2):
    model = paper_cnn.build(3, epochs=6, batch_size=8)
    model.fit(*images(48, 0))
    outputs.append(model.predict_proba(X_new))
mixed = paper_cnn.build(3, epochs=6, batch_size=8, mixed_precision=True)
mixed.fit(*images(48, 0))
outputs.append(mixed.predict_proba(X_new))
print(json.dumps({
    "equal": bool((outputs[0] == outputs[1]).all()),
    "accuracy": [float(((p[:, 1] >= 0.5) == y_new).mean()) for p in outputs[1:]],
}))
"""


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_every_backend_learns_and_repeats(backend: str) -> None:
    answer = on_backend(backend, CHILD)
    assert answer["equal"], "two fits with one seed differ"
    assert min(answer["accuracy"]) > 0.9  # a square 3 SD brighter than the noise around it
