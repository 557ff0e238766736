"""Statistics that batch normalisation predicts with, averaged over the training batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
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
    with those, and well with these. Training itself uses neither. Layers that are not trained keep
    what they have.

    Parameters
    ----------
    keras : module
    network : keras.Model
    images : ndarray, shape (n, [depth,] rows, columns, channels)
    batch_size : int
    """
    kinds = keras.layers.BatchNormalization
    momenta = {la: la.momentum for la in network.layers if isinstance(la, kinds)}
    if not momenta:
        return
    with _by_batch(momenta):
        for done, batch in enumerate(np.array_split(images, -(-len(images) // batch_size))):
            for layer in momenta:
                layer.momentum = done / (done + 1)  # makes the running mean a plain mean
            network(batch.astype(np.float32, copy=False), training=False)
    for layer, momentum in momenta.items():
        layer.momentum = momentum


@contextmanager
def _by_batch(layers: Iterable[Any]) -> Iterator[None]:
    """Let these layers work as in training while the network around them predicts."""

    def in_training(call: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args, **kwargs: call(*args, **(kwargs | {"training": True}))

    for layer in layers:
        layer.call = in_training(layer.call)
    try:
        yield
    finally:
        for layer in layers:
            del layer.call  # the class's own comes back
