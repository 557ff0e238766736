"""Grad-CAM heat maps of a Keras 3 network, in two or three dimensions, on any backend.

Source: Selvaraju et al. 2017, "Grad-CAM: visual explanations from deep networks via
gradient-based localization", equations 1 and 2. The check by random weights follows Adebayo et
al. 2018, "Sanity checks for saliency maps".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models._population import use_population_statistics
from models._training import Floats

MAPS = "maps"
"""Name of the layer whose output a network pools, where it is more than the last convolution's:
that of a dense network is a few of many channels."""


def heat_maps(keras: Any, network: Any, images: NDArray[np.float32], batch_size: int) -> Floats:
    """Maps of where the last convolution, or what is made of it, speaks for malignancy.

    The maps of the layer that ``last_maps`` finds are weighted by the mean gradient of the
    log-odds of malignancy (malignant less benign logit) and summed; what is negative is set to 0.

    Parameters
    ----------
    keras : module
    network : keras.Model
        Ends in two softmax outputs, benign and malignant.
    images : ndarray, shape (n, [depth,] rows, columns, channels)
    batch_size : int
        Images at a time, for the sake of memory.

    Returns
    -------
    ndarray, shape (n, [depth,] rows, columns) of that layer's output
        At least 0, in units of the log-odds' gradient: compare within a map, not between maps.

    Raises
    ------
    ValueError
        Where the network has no convolution.
    """
    layer = last_maps(keras, network)
    differentiate = _BACKENDS[keras.backend.backend()]
    maps = []
    with _logits(keras, network):
        for batch in np.array_split(images, -(-len(images) // batch_size)):

            def log_odds(batch: NDArray[np.float32] = batch) -> Any:
                output = network(batch, training=False)
                return keras.ops.sum(output[:, 1] - output[:, 0])

            with _watched(layer) as watch:
                activations, gradients = differentiate(log_odds, watch)
            spatial = tuple(range(1, activations.ndim - 1))
            weights = gradients.mean(axis=spatial, keepdims=True)
            maps.append(np.maximum((weights * activations).sum(axis=-1), 0.0))
    return np.concatenate(maps)


def stretch(maps: Floats, shape: tuple[int, ...]) -> Floats:
    """Maps, resampled linearly to images of a shape (without channels).

    As is usual for Grad-CAM, both are taken to cover the same area. Under convolutions without
    padding a map covers a little less, so it is shown too wide: for the paper's network by 7 of
    124 pixels at the border, by none in the middle.
    """
    from scipy.ndimage import zoom

    factors = (1.0, *(new / old for new, old in zip(shape, maps.shape[1:], strict=True)))
    stretched = zoom(maps, factors, order=1, mode="nearest", grid_mode=True)
    return np.asarray(stretched, dtype=np.float64)


def randomised(keras: Any, network: Any, rng: np.random.Generator) -> Any:
    """A copy of the network in which every trainable array's entries have changed places."""
    copy = keras.models.clone_model(network)
    copy.set_weights(network.get_weights())
    for weight in copy.trainable_weights:
        values = np.asarray(keras.ops.convert_to_numpy(weight))
        weight.assign(rng.permutation(values.ravel()).reshape(values.shape))
    return copy


def likeness_to_shuffled(
    keras: Any, network: Any, images: NDArray[np.float32], batch_size: int, draws: int, seed: int
) -> Floats:
    """Likeness of heat maps to those of chance weights: whether they come from what was learnt.

    Adebayo et al. 2018: every trainable array is shuffled, batch normalisation is given the
    shuffled network's own statistics of the images, and the maps are compared by rank.

    Returns
    -------
    ndarray, shape (n,)
        Spearman's correlation, mean over the draws; NaN for blank maps.
    """
    maps = heat_maps(keras, network, images, batch_size)
    rng = np.random.default_rng(seed)
    total = np.zeros(len(images))
    for _ in range(draws):
        shuffled = randomised(keras, network, rng)
        use_population_statistics(keras, shuffled, images, batch_size)
        total += rank_correlation(maps, heat_maps(keras, shuffled, images, batch_size))
    return total / draws


def rank_correlation(maps: Floats, others: Floats) -> Floats:
    """Spearman's correlation of each map with its counterpart, over its cells.

    Parameters
    ----------
    maps, others : ndarray, shape (n, ...)

    Returns
    -------
    ndarray, shape (n,)
        0 where the other map is the same everywhere and the first is not; NaN where the first
        is, because then there was nothing to be changed.
    """
    from scipy.stats import rankdata

    def ranks(values: Floats) -> Floats:
        ranked = rankdata(values.reshape(len(values), -1), axis=1)
        return np.asarray(ranked - ranked.mean(axis=1, keepdims=True))

    first, second = ranks(maps), ranks(others)
    norm = np.sqrt((first**2).sum(axis=1) * (second**2).sum(axis=1))
    correlation = (first * second).sum(axis=1) / np.where(norm > 0, norm, 1.0)
    return np.where(np.ptp(first, axis=1) > 0, correlation, np.nan)


def last_maps(keras: Any, network: Any) -> Any:
    """The layer named ``MAPS``; where there is none, the convolution nearest to the network's end.

    Raises
    ------
    ValueError
        Where there is neither.
    """
    layers = keras.layers
    for layer in network.layers:
        if layer.name == MAPS:
            return layer
    kinds = (
        layers.Conv2D, layers.Conv3D, layers.DepthwiseConv2D, layers.SeparableConv2D,
    )  # fmt: skip
    for layer in reversed(network.layers):
        if isinstance(layer, kinds):
            return layer
    raise ValueError(
        f"the network has none of {', '.join(kind.__name__ for kind in kinds)}; "
        "Grad-CAM needs a convolution"
    )


class _Watch:
    """Adds ``offset`` to a layer's output, and keeps the output that it was added to.

    The gradient by an added zero is the gradient by the output itself; unlike the output it is
    an input, which every backend can differentiate by, however the layers are connected.
    """

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call
        self.offset: Any = 0.0
        self.output: Any = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.output = self._call(*args, **kwargs)
        return self.output + self.offset


@contextmanager
def _watched(layer: Any) -> Iterator[_Watch]:
    watch = _Watch(layer.call)
    layer.call = watch
    try:
        yield watch
    finally:
        del layer.call  # the class's own comes back


@contextmanager
def _logits(keras: Any, network: Any) -> Iterator[None]:
    """The network without its softmax, whose gradient vanishes where it is certain."""
    head = network.layers[-1]
    softmax, head.activation = head.activation, keras.activations.linear
    try:
        yield
    finally:
        head.activation = softmax


_Pair = tuple[Floats, Floats]


def _by_tensorflow(log_odds: Callable[[], Any], watch: _Watch) -> _Pair:
    import tensorflow as tf

    log_odds()
    watch.offset = tf.zeros_like(watch.output)
    with tf.GradientTape() as tape:
        tape.watch(watch.offset)
        total = log_odds()
    return _float64(watch.output), _float64(tape.gradient(total, watch.offset))


def _by_jax(log_odds: Callable[[], Any], watch: _Watch) -> _Pair:
    import jax

    log_odds()
    activations = watch.output

    def shifted(offset: Any) -> Any:
        watch.offset = offset
        return log_odds()

    gradient = jax.grad(shifted)(jax.numpy.zeros_like(activations))
    return _float64(activations), _float64(gradient)


def _by_torch(log_odds: Callable[[], Any], watch: _Watch) -> _Pair:
    import torch

    log_odds()
    watch.offset = torch.zeros_like(watch.output, requires_grad=True)
    (gradient,) = torch.autograd.grad(log_odds(), watch.offset)
    return _float64(watch.output.detach().cpu()), _float64(gradient.cpu())


_BACKENDS = {"tensorflow": _by_tensorflow, "jax": _by_jax, "torch": _by_torch}


def _float64(values: Any) -> Floats:
    return np.asarray(values, dtype=np.float64)
