"""Networks and images with a square to be found, and heat maps that every backend must agree on."""

from __future__ import annotations

from typing import Any

import numpy as np

from models import _gradcam, paper_cnn
from models._backend import load_keras

SIDE = 40


CORNER = slice(4, 16)  # the planted square: off the centre, where no bias to the middle finds it


def planted(n: int, seed: int) -> tuple[Any, Any, Any]:
    """Noise; malignant images carry a bright square near one corner. A patient each."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    X = rng.normal(0.4, 0.1, (n, SIDE, SIDE, 1)).astype(np.float32)
    X[y == 1, CORNER, CORNER] += 0.35
    return np.clip(X, 0, 1), y, np.array([f"p{i}" for i in range(n)])


def network_3d(keras: Any) -> Any:
    """Its first channel answers to brightness, and brightness speaks for malignancy."""
    layers = keras.layers
    network = keras.Sequential(
        [
            keras.Input((12, 16, 16, 1)),
            layers.Conv3D(2, 3, activation="relu"),
            layers.GlobalAveragePooling3D(),
            layers.Dense(2, activation="softmax"),
        ]
    )
    kernel = np.zeros((3, 3, 3, 1, 2), np.float32)
    kernel[..., 0] = 1 / 27
    network.set_weights(
        [kernel, np.zeros(2, np.float32), np.array([[-2, 3], [0, 0]], np.float32), np.zeros(2)]
    )
    return network


def maps_of_fixed_networks() -> list[Any]:
    """Heat maps in 2D and in 3D, scaled to a maximum of 1; weights and images are fixed."""
    keras = load_keras()
    X = planted(4, 0)[0]
    plane = paper_cnn.network(keras, X.shape[1:], dropout=0.3, augment=True)
    rng = np.random.default_rng(0)
    plane.set_weights([rng.random(w.shape) / w.size**0.5 for w in plane.get_weights()])
    plane.layers[-1].set_weights([np.tile([0.0, 1.0], (128, 1)), np.zeros(2)])
    volumes = rng.random((2, 12, 16, 16, 1)).astype(np.float32)
    maps = [
        _gradcam.heat_maps(keras, plane, X, batch_size=3),
        _gradcam.heat_maps(keras, network_3d(keras), volumes, batch_size=3),
    ]
    return [one / one.max() for one in maps]
