"""Grad-CAM: it finds what decides, in 2D and 3D, on two backends, and learning shows in it."""

from __future__ import annotations

import importlib.util
import pickle
from typing import Any

import numpy as np
import pytest

from models import _gradcam, paper_cnn
from models._backend import load_keras
from tests.helpers.backends import on_backend
from tests.helpers.networks import CORNER, SIDE, maps_of_fixed_networks, network_3d, planted


@pytest.fixture(scope="module")
def fitted() -> Any:
    model = paper_cnn.build(3, epochs=8, batch_size=8, augment=False)
    model.fit(*planted(48, 0))
    return model


def test_the_planted_square_is_found(fitted: Any) -> None:
    X, y, _ = planted(20, 1)
    before = fitted.predict_proba(X)
    assert ((before[:, 1] >= 0.5) == y).mean() > 0.9
    maps = fitted.heat_maps(X)
    assert maps.shape == X.shape[:-1]
    assert (maps >= 0).all()
    heat = maps[y == 1]
    inside = heat[:, CORNER, CORNER].sum(axis=(1, 2)) / heat.sum(axis=(1, 2))
    # The square is 9 % of the image, and each cell of the last convolution sees 18 pixels.
    assert np.median(inside) > 0.27
    peaks = np.array([np.unravel_index(one.argmax(), one.shape) for one in heat])
    assert (peaks < SIDE / 2).all(axis=1).mean() > 0.9  # a quarter of the image; chance 0.25
    # Looking changed nothing.
    np.testing.assert_array_equal(fitted.predict_proba(X), before)


def test_a_map_by_hand_in_3d() -> None:
    """Conv -> global mean -> dense: the weight of a channel is its dense weight over the cells."""
    keras = load_keras()
    network = network_3d(keras)
    X = np.zeros((2, 12, 16, 16, 1), np.float32)
    X[0, 2:5, 9:12, 1:4] = 1.0
    maps = _gradcam.heat_maps(keras, network, X, batch_size=1)
    assert maps.shape == (2, 10, 14, 14)
    assert np.unravel_index(maps[0].argmax(), maps[0].shape) == (2, 9, 1)
    # Activation 1 in the middle of the cube; log-odds weigh it 3 - (-2), shared by all cells.
    assert maps[0].max() == pytest.approx(5 / (10 * 14 * 14), rel=1e-5)
    assert not maps[1].any()
    stretched = _gradcam.stretch(maps, X.shape[1:-1])
    assert stretched.shape == X.shape[:-1]
    peak = np.unravel_index(stretched[0].argmax(), stretched[0].shape)
    assert np.abs(np.array(peak) - (3, 10, 2)).max() <= 1


def test_layers_need_not_follow_each_other() -> None:
    """A shortcut around the last convolution leaves its gradient as it is."""
    keras = load_keras()
    layers = keras.layers
    image = keras.Input((8, 8, 1))
    last = layers.Conv2D(1, 1, use_bias=False, kernel_initializer="ones")
    joined = layers.Add()([last(image), image])
    output = layers.Dense(2, activation="softmax")(layers.GlobalAveragePooling2D()(joined))
    network = keras.Model(image, output)
    network.layers[-1].set_weights([np.array([[0.0, 64.0]]), np.zeros(2)])
    X = np.random.default_rng(0).random((3, 8, 8, 1)).astype(np.float32)
    # d log-odds / d cell is 64 / 64, the activation is the image itself.
    np.testing.assert_allclose(
        _gradcam.heat_maps(keras, network, X, batch_size=2), X[..., 0], rtol=1e-6
    )


def test_a_network_without_convolution_is_refused() -> None:
    keras = load_keras()
    network = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, activation="softmax")])
    with pytest.raises(ValueError, match="Grad-CAM needs a convolution"):
        _gradcam.heat_maps(keras, network, np.zeros((1, 4), np.float32), batch_size=1)


def test_maps_change_with_the_weights(fitted: Any) -> None:
    X, y, _ = planted(20, 1)
    likeness = fitted.randomised_rank_correlation(X[y == 1], draws=3, seed=0)
    assert likeness.shape == (10,)
    assert np.nanmean(likeness) < 0.5
    np.testing.assert_array_equal(
        likeness, fitted.randomised_rank_correlation(X[y == 1], draws=3, seed=0)
    )


def test_maps_that_do_not_depend_on_weights_are_told() -> None:
    """With one channel and no choice of weights, shuffling changes nothing: correlation 1."""
    a = np.random.default_rng(0).random((2, 5, 5))
    others = np.stack([3 * a[0] + 1, -a[1]])
    np.testing.assert_allclose(_gradcam.rank_correlation(a, others), [1, -1])
    blank = np.zeros((2, 5, 5))
    assert _gradcam.rank_correlation(a, blank).tolist() == [0, 0]
    assert np.isnan(_gradcam.rank_correlation(blank, a)).all()


def test_a_pickled_network_predicts_and_explains_alike(fitted: Any) -> None:
    X = planted(10, 2)[0]
    fitted.on_epoch = lambda done, total: None  # cannot be pickled, and need not be
    stored = pickle.dumps(fitted)
    again = pickle.loads(stored)
    np.testing.assert_array_equal(again.predict_proba(X), fitted.predict_proba(X))
    np.testing.assert_array_equal(again.heat_maps(X), fitted.heat_maps(X))
    assert again.threshold_ == fitted.threshold_
    assert again.on_epoch is None
    # Weights in float32 and little else; the optimiser's state would make it three times that.
    assert len(stored) < 4 * fitted._network.count_params() + 50_000
    unfitted = pickle.loads(pickle.dumps(paper_cnn.build(0)))
    assert not hasattr(unfitted, "threshold_")


CHILD = """
import json, sys
from tests.helpers.networks import maps_of_fixed_networks
print(json.dumps([one.tolist() for one in maps_of_fixed_networks()]))
"""


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_backends_agree(backend: str) -> None:
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed here, so its Keras backend is not compared")
    answer = on_backend(backend, CHILD)
    for maps, ours in zip(answer, maps_of_fixed_networks(), strict=True):
        assert np.ptp(ours) > 0.01
        # float32 sums over thousands of products, on a scale where the maximum is 1.
        np.testing.assert_allclose(maps, ours, rtol=0, atol=1e-4)
