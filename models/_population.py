"""Statistics that batch normalisation predicts with, averaged over the training batches."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def use_population_statistics(
    keras: Any, network: Any, images: NDArray[Any], batch_size: int
) -> None:
    """Set what batch normalisation predicts with to its mean over the training batches.

    Ioffe & Szegedy 2015, algorithm 2, on the images without augmentation, as prediction sees
    them. Keras predicts with running means instead, which lag behind the weights: after 30
    epochs of 500 nodules the paper's network ranked unseen nodules hardly better than chance
    with those, and well with these. Training itself uses neither.

    Parameters
    ----------
    keras : module
    network : keras.Sequential
    images : ndarray, shape (n, rows, columns, channels)
    batch_size : int
    """
    kinds = keras.layers.BatchNormalization
    last = max((i for i, la in enumerate(network.layers) if isinstance(la, kinds)), default=-1)
    layers = network.layers[: last + 1]
    momenta = {layer: layer.momentum for layer in layers if isinstance(layer, kinds)}
    for done, batch in enumerate(np.array_split(images, -(-len(images) // batch_size))):
        x = batch.astype(np.float32, copy=False)
        for layer in layers:
            if layer in momenta:
                layer.momentum = done / (done + 1)  # makes the running mean a plain mean
            x = layer(x, training=layer in momenta)
    for layer, momentum in momenta.items():
        layer.momentum = momentum
