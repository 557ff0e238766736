"""Networks that start from a file of weights: what is loaded, trained and refused."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmark.plugins.arms import Arm
from benchmark.plugins.builder import Builder
from models import dense3d, paper_cnn
from models._backend import load_keras
from models._initial import Initial, last_block
from tests.helpers.images import images

SIDE = 32
BRIEF = {"epochs": 1, "augment": False}


def weights_file(path: Path, **settings: Any) -> tuple[str, str]:
    """Weights of a paper_cnn that was trained for a while, and their checksum."""
    model = paper_cnn.build(5, epochs=8, learning_rate=0.0003, **settings)
    model.fit(*images(60, seed=0))
    return saved(model._network, path)


def saved(network: Any, path: Path) -> tuple[str, str]:
    network.save_weights(path)
    return str(path), hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    return weights_file(tmp_path_factory.mktemp("weights") / "mine.weights.h5")


def kernels(model: Any) -> list[Any]:
    return [layer.get_weights() for layer in model._network.layers if layer.get_weights()]


def test_training_goes_on_from_the_file(trained: tuple[str, str]) -> None:
    weights, checksum = trained
    X, y, groups = images(60, seed=0)
    begun = paper_cnn.build(1, weights=weights, weights_sha256=checksum, **BRIEF)
    begun.fit(X, y, groups)
    fresh = paper_cnn.build(1, **BRIEF)
    fresh.fit(X, y, groups)
    assert begun.history_[0]["loss"] < 0.2 < fresh.history_[0]["loss"]


@pytest.mark.parametrize("batch_statistics", ["population", "running"])
def test_the_last_block_alone_is_trained(trained: tuple[str, str], batch_statistics: str) -> None:
    weights, checksum = trained
    model = paper_cnn.build(
        1, weights=weights, weights_sha256=checksum, trained="last_block",
        batch_statistics=batch_statistics, **BRIEF,
    )  # fmt: skip
    before = paper_cnn.network(load_keras(), (SIDE, SIDE, 1), dropout=0.3, augment=False)
    before.load_weights(weights)
    model.fit(*images(60, seed=3))
    of_file = [layer.get_weights() for layer in before.layers if layer.get_weights()]
    # Convolution and normalisation twice, as they were; then once more, and two dense layers.
    for place, (was, now) in enumerate(zip(of_file, kernels(model), strict=True)):
        same = [np.array_equal(a, b) for a, b in zip(was, now, strict=True)]
        assert all(same) if place < 4 else not any(same), place

    X = images(20, seed=4)[0]
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))


def test_the_last_block_of_a_dense_network_follows_its_last_transition() -> None:
    model = dense3d.build(0, blocks=(1, 2))
    network = model.make_network(load_keras(), (16, 16, 16, 1))
    before, behind = network.layers[last_block(network) - 1], network.layers[last_block(network) :]
    assert type(before).__name__ == "AveragePooling3D"
    assert sum(type(layer).__name__ == "Conv3D" for layer in behind) == 4


def test_a_dense_network_starts_from_its_file(tmp_path: Path) -> None:
    keras = load_keras()
    other = dense3d.build(7, blocks=(1, 1)).make_network(keras, (16, 16, 16, 1))
    weights, checksum = saved(other, tmp_path / "dense.weights.h5")
    model = dense3d.build(0, blocks=(1, 1), weights=weights, weights_sha256=checksum)
    started = model.untrained(keras, (16, 16, 16, 1))
    for a, b in zip(started.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("made", "asked"),
    [
        ((16, 16, 16, 1), (16, 16, 16, 2)),
        ((16, 16, 16, 2), (16, 16, 16, 1)),
    ],
    ids=["a channel more", "a channel less"],
)
def test_weights_for_other_images_are_refused(
    tmp_path: Path, made: tuple[int, ...], asked: tuple[int, ...]
) -> None:
    keras = load_keras()
    weights, checksum = saved(
        dense3d.build(0, blocks=(1,)).make_network(keras, made), tmp_path / "x.weights.h5"
    )
    model = dense3d.build(0, blocks=(1,), weights=weights, weights_sha256=checksum)
    with pytest.raises(ValueError, match="is not of this network on images of shape"):
        model.untrained(keras, asked)


@pytest.mark.parametrize(("made", "asked"), [((1, 1), (1,)), ((1,), (1, 1)), ((2, 1), (1, 2))])
def test_weights_of_another_network_are_refused(
    tmp_path: Path, made: tuple[int, ...], asked: tuple[int, ...]
) -> None:
    """Also where each of its layers finds a layer of its name and shape in the file."""
    keras = load_keras()
    shape = (16, 16, 16, 1)
    weights, checksum = saved(
        dense3d.build(0, blocks=made).make_network(keras, shape), tmp_path / "x.weights.h5"
    )
    model = dense3d.build(0, blocks=asked, weights=weights, weights_sha256=checksum)
    with pytest.raises(ValueError, match="is not of this network"):
        model.untrained(keras, shape)


def test_a_file_with_more_than_the_network_is_refused(tmp_path: Path) -> None:
    """Keras passes over layers that only the file has."""
    keras = load_keras()
    layers = [keras.Input((4,)), keras.layers.Dense(3), keras.layers.Dense(3)]
    weights, checksum = saved(keras.Sequential(layers), tmp_path / "more.weights.h5")
    network = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    network.load_weights(weights)  # without complaint
    with pytest.raises(ValueError, match="it holds 4 arrays, of 2 that are needed"):
        Initial(weights, checksum).start(network)


def test_a_file_that_is_damaged_is_refused(trained: tuple[str, str], tmp_path: Path) -> None:
    cut = tmp_path / "cut.weights.h5"
    cut.write_bytes(Path(trained[0]).read_bytes()[:-5000])
    checksum = hashlib.sha256(cut.read_bytes()).hexdigest()
    network = paper_cnn.network(load_keras(), (SIDE, SIDE, 1), dropout=0.3, augment=False)
    with pytest.raises(ValueError, match="is not of this network on images of shape"):
        Initial(str(cut), checksum).start(network)


def test_what_is_lacking_is_said_before_anything_is_trained(trained: tuple[str, str]) -> None:
    weights, checksum = trained
    arm = Arm("paper_cnn", "voxels2d_box", "mine")

    def told(**settings: str) -> str:
        return Builder({"paper_cnn": settings}, 1).unavailable(arm)

    assert told() == ""
    assert told(weights=weights, weights_sha256=checksum.upper()) == ""
    assert "there is no file 'lost.weights.h5'" in told(weights="lost.weights.h5")
    assert "ends in .weights.h5" in told(weights="mine.keras", weights_sha256=checksum)
    assert f"printed by: sha256sum {weights}" in told(weights=weights)
    assert f"has the SHA-256 {checksum}, not 00" in told(weights=weights, weights_sha256="00")
    assert "no weights are" in told(weights_sha256=checksum)
    assert "no weights are" in told(trained="last_block")
    with pytest.raises(ValueError, match="no file"):
        paper_cnn.build(0, weights="lost.weights.h5").untrained(load_keras(), (SIDE, SIDE, 1))
