"""Transformers' layers against plain NumPy, and the networks made of them on each Keras backend."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

from models import cct, conv_attention, paper_cnn, vit
from models._backend import load_keras
from models._keras import KerasClassifier
from tests.helpers.backends import on_backend
from tests.helpers.images import images

TOLERANCE = 1e-5
"""float32: sums of some dozens of values of the order of 1."""

MODELS = {"cct": cct, "vit": vit, "conv_attention": conv_attention}


@pytest.fixture(scope="module")
def layers() -> Any:
    load_keras()
    from models import _attention

    return _attention


def softmax(x: np.ndarray, axis: int) -> np.ndarray:
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return np.asarray(e / e.sum(axis=axis, keepdims=True))


def random_weights(layer: Any, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    layer.set_weights([rng.normal(0, 0.5, w.shape).astype(np.float32) for w in layer.get_weights()])
    return [np.asarray(w, np.float64) for w in layer.get_weights()]


def tokens(n: int, count: int, width: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(n, count, width)).astype(np.float32)


def test_sequence_pooling_is_a_mean_by_softmax_of_a_linear_map(layers: Any) -> None:
    x, layer = tokens(3, 7, 5), layers.SequencePooling()
    layer.build(x.shape)
    kernel, bias = random_weights(layer)
    expected = [softmax(each @ kernel[:, 0] + bias, 0) @ each for each in x.astype(float)]
    np.testing.assert_allclose(np.asarray(layer(x)), expected, atol=TOLERANCE)


@pytest.mark.parametrize("shape", [(12, 18, 2), (13, 12, 1)])
def test_patches_are_of_the_image_and_of_its_four_shifted_copies(
    layers: Any, shape: tuple[int, int, int]
) -> None:
    image = np.random.default_rng(0).random((2, *shape)).astype(np.float32)
    half, side = 3, 6

    def moved(down: int, right: int) -> np.ndarray:
        """What lies (down, right) of each pixel; zeros from outside."""
        found = np.zeros_like(image)
        n_rows, n_columns = shape[:2]
        for row in range(n_rows):
            for column in range(n_columns):
                y, x = row + down, column + right
                if 0 <= y < n_rows and 0 <= x < n_columns:
                    found[:, row, column] = image[:, y, x]
        return found

    copies = [moved(y, x) for y, x in ((0, 0), (-half, -half), (-half, half), (half, -half))]
    stacked = np.concatenate([*copies, moved(half, half)], axis=-1)
    expected = [
        stacked[:, top : top + side, left : left + side].reshape(2, -1)
        for top in range(0, shape[0] - side + 1, side)
        for left in range(0, shape[1] - side + 1, side)
    ]
    layer = layers.ShiftedPatches(side)
    got = np.asarray(layer(image))
    np.testing.assert_array_equal(got, np.stack(expected, axis=1))
    assert layer.compute_output_shape((None, *shape)) == (None, *got.shape[1:])


def test_local_attention_by_hand(layers: Any) -> None:
    """Head by head and token by token; the diagonal is left out, not masked by a number."""
    x, layer = tokens(2, 6, 4), layers.LocalSelfAttention(heads=2, key_dim=3)
    layer.build(x.shape)
    assert float(np.asarray(layer.temperature)) == pytest.approx(3**0.5)
    named = {w.path: np.asarray(v) for w, v in zip(layer.weights, layer.get_weights(), strict=True)}
    assert sum(w.size for w in named.values()) == 1 + 3 * (4 * 6 + 6) + 6 * 4 + 4
    random_weights(layer)
    layer.temperature.assign(0.7)

    def dense(each: Any, given: np.ndarray) -> np.ndarray:
        kernel, bias = (np.asarray(w, np.float64) for w in each.get_weights())
        return np.asarray(given @ kernel + bias)

    expected = np.zeros_like(x, np.float64)
    for i, image in enumerate(x.astype(float)):
        query, key, value = (dense(each, image) for each in (layer.query, layer.key, layer.value))
        mixed = np.zeros((6, 6))
        for head in range(2):
            part = slice(3 * head, 3 * head + 3)
            for token in range(6):
                others = np.delete(np.arange(6), token)
                weights = softmax(key[others, part] @ query[token, part] / 0.7, 0)
                mixed[token, part] = weights @ value[others, part]
        expected[i] = dense(layer.output_map, mixed)
    np.testing.assert_allclose(np.asarray(layer(x)), expected, atol=TOLERANCE)


@pytest.mark.parametrize("local", [False, True])
def test_a_block_adds_what_its_branches_say_of_normalised_tokens(layers: Any, local: bool) -> None:
    x, block = tokens(2, 5, 4), layers.EncoderBlock(2, 2, (6, 4), local=local)
    block.build(x.shape)
    random_weights(block)

    def normalised(each: Any, given: np.ndarray) -> np.ndarray:
        gamma, beta = each.get_weights()
        centred = given - given.mean(axis=-1, keepdims=True)
        return np.asarray(
            centred / np.sqrt(given.var(axis=-1, keepdims=True) + 1e-5) * gamma + beta
        )

    def gelu(given: np.ndarray) -> np.ndarray:
        from scipy.special import erf

        return np.asarray(given * (1 + erf(given / 2**0.5)) / 2)

    given = normalised(block.before, x).astype(np.float32)
    seen = block.attention(given) if local else block.attention(given, given)
    between = x + np.asarray(seen)
    y = normalised(block.between, between)
    for dense in block.dense[::2]:
        kernel, bias = dense.get_weights()
        y = gelu(y @ kernel + bias)
    np.testing.assert_allclose(np.asarray(block(x)), between + y, atol=10 * TOLERANCE)


def test_stochastic_depth_skips_whole_images_in_training_alone(layers: Any) -> None:
    x = tokens(40, 5, 4)
    block = layers.EncoderBlock(2, 2, (), stochastic_depth=0.5)
    block.build(x.shape)
    random_weights(block)
    branch = np.asarray(block(x, training=False)) - x
    assert np.abs(branch).min(axis=(1, 2)).max() > 0
    np.testing.assert_array_equal(block(x, training=False), block(x, training=False))
    never = layers.EncoderBlock(2, 2, ())
    never.build(x.shape)
    never.set_weights(
        [w for v, w in zip(block.weights, block.get_weights(), strict=True) if "seed" not in v.path]
    )
    np.testing.assert_array_equal(never(x, training=True), block(x, training=False))
    trained = np.asarray(block(x, training=True)) - x
    skipped = np.array([not each.any() for each in trained])
    assert 10 < skipped.sum() < 30  # of 40, each with probability .5: 3.2 SD
    # Those that are kept weigh 1 / .5, so that the mean stays.
    np.testing.assert_allclose(trained[~skipped], 2 * branch[~skipped], atol=TOLERANCE)


def network(name: str, shape: tuple[int, int, int] = (124, 124, 1)) -> Any:
    return MODELS[name].build(0).make_network(load_keras(), shape)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "weights", "of_a_channel"),
    [("cct", 123_475, 9 * 16), ("vit", 289_202, 180 * 66), ("conv_attention", 1_436_345, 9 * 32)],
)
def test_weights_are_counted_and_channels_are_welcome(
    name: str, weights: int, of_a_channel: int
) -> None:
    assert network(name).count_params() == weights
    assert network(name, (124, 124, 3)).count_params() == weights + 2 * of_a_channel


@pytest.mark.parametrize("name", MODELS)
def test_volumes_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"images have shape \(32, 32, 32, 1\); \(rows, columns"):
        network(name, (32, 32, 32, 1))  # type: ignore[arg-type]


def test_the_hybrid_has_about_as_many_weights_as_the_papers_network() -> None:
    papers = paper_cnn.network(load_keras(), (124, 124, 1), dropout=0.3, augment=True)
    assert network("conv_attention").count_params() / papers.count_params() == pytest.approx(
        1, abs=0.004
    )


def test_networks_are_the_ones_that_are_described() -> None:
    kinds = {name: [type(layer).__name__ for layer in network(name).layers] for name in MODELS}
    moved = ["RandomRotation", "RandomFlip", "RandomZoom"]
    stage = ["Conv2D", "ZeroPadding2D", "MaxPooling2D"]
    pooled = ["LayerNormalization", "SequencePooling", "Dense"]
    assert kinds["cct"] == [
        *moved, *stage * 3, "Reshape", "Positions", *["EncoderBlock"] * 2, *pooled
    ]  # fmt: skip
    assert kinds["vit"] == [
        "Resizing", *moved, "ShiftedPatches", "LayerNormalization", "Dense", "Positions",
        *["EncoderBlock"] * 8, "LayerNormalization", "GlobalAveragePooling1D", "Dropout", "Dense",
    ]  # fmt: skip
    stage = ["Conv2D", "BatchNormalization", "MaxPooling2D"]
    assert kinds["conv_attention"] == [
        *moved, *stage * 3, "Reshape", "Positions", "EncoderBlock", "Flatten", "Dense", "Dropout",
        "Dense",
    ]  # fmt: skip
    counted = {
        name: next(each for each in network(name).layers if type(each).__name__ == "Positions")
        for name in MODELS
    }
    shapes = {name: layer.positions.shape for name, layer in counted.items()}
    assert shapes == {"cct": (256, 64), "vit": (144, 64), "conv_attention": (169, 64)}
    blocks = [each for each in network("cct").layers if type(each).__name__ == "EncoderBlock"]
    assert [block.stochastic_depth for block in blocks] == [0.0, 0.1]


def test_decay_and_smoothing_are_those_of_the_papers() -> None:
    keras = load_keras()

    def linear(keras: Any, shape: tuple[int, ...]) -> Any:
        layers = keras.layers
        return keras.Sequential([keras.Input(shape), layers.Flatten(), layers.Dense(2)])

    def untrained(**settings: float) -> Any:
        model = KerasClassifier(
            linear, seed=0, epochs=1, batch_size=20, learning_rate=0.01, class_weights=False,
            validation_fraction=0.0, **settings,
        )  # fmt: skip
        keras.utils.set_random_seed(0)
        return model.untrained(keras, (4, 4, 1))

    X, y, _ = images(20, 0, side=4)
    one_hot = np.eye(2)[y]
    plain, smooth, decayed = (
        untrained(**each) for each in ({}, {"label_smoothing": 0.3}, {"weight_decay": 2.0})
    )
    kernel, bias = (np.asarray(w, np.float64) for w in smooth.get_weights())
    logits = X.reshape(20, -1) @ kernel + bias
    logs = np.log(softmax(logits, 1))
    expected = -(logs * (0.7 * one_hot + 0.15)).sum(axis=1).mean()
    loss = smooth.evaluate(X, one_hot, verbose=0)[0]
    assert loss == pytest.approx(expected, abs=TOLERANCE)
    for network in (plain, decayed):
        network.fit(X, one_hot, batch_size=20, epochs=1, verbose=0)
    moved = plain.get_weights()[0] - decayed.get_weights()[0]
    np.testing.assert_allclose(moved, 0.01 * 2.0 * kernel, atol=TOLERANCE)


@pytest.mark.parametrize("name", MODELS)
def test_a_stored_network_predicts_and_explains_alike(name: str) -> None:
    X, y, groups = images(20, 0)
    shallow = {"blocks": 1} if name == "vit" else {}
    model = MODELS[name].build(0, epochs=6, batch_size=5, **shallow)  # type: ignore[attr-defined]
    model.fit(X, y, groups)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    if name == "vit":
        with pytest.raises(ValueError, match="Grad-CAM needs a convolution"):
            model.heat_maps(X)
        return
    maps = model.heat_maps(X)
    assert maps.shape == X.shape[:-1]
    assert maps.max() > 0
    np.testing.assert_array_equal(again.heat_maps(X), maps)
    likeness = model.randomised_rank_correlation(X, draws=1, seed=0)
    assert np.nanmean(likeness) < 0.9  # shuffled weights show in the maps


CHILD = """
import importlib, json
from tests.helpers.images import images
module = importlib.import_module("models.NAME")
X_new, y_new, _ = images(40, 1)
outputs = []
for _ in range(2):
    model = module.build(3, batch_size=8, SETTINGS)
    model.fit(*images(48, 0))
    outputs.append(model.predict_proba(X_new))
print(json.dumps({
    "equal": bool((outputs[0] == outputs[1]).all()),
    "accuracy": float(((outputs[0][:, 1] >= model.threshold_) == y_new).mean()),
}))
"""


@pytest.mark.backends
@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
@pytest.mark.parametrize(
    ("name", "settings"),
    [("cct", "epochs=12"), ("vit", "epochs=8, blocks=2"), ("conv_attention", "epochs=6")],
)
def test_every_backend_learns_and_repeats(name: str, settings: str, backend: str) -> None:
    answer = on_backend(backend, CHILD.replace("NAME", name).replace("SETTINGS", settings))
    assert answer["equal"], "two fits with one seed differ"
    assert answer["accuracy"] > 0.9  # a square 3 SD brighter than the noise around it
