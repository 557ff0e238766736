"""3D networks: a common stem and end, and between them dense, residual or mixed-link blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from models._gradcam import MAPS

STEM = 32
"""Channels of the first convolution."""

SHIFT = 3
"""Most voxels that a training cube is shifted along each axis."""

MIN_SIDE = 16
"""Voxels that the stem reduces to four."""

Body = Callable[[Any, Any], Any]
"""Given Keras and the stem's output, the maps that are pooled."""


def network(keras: Any, shape: tuple[int, ...], *, body: Body, augment: bool) -> Any:
    """The uncompiled network for cubes of a shape (side, side, side, channels) in [0, 1].

    Voxels are scaled to [-1, 1], convolved (3 x 3 x 3) to 32 channels with stride 2 and max-pooled
    (3 x 3 x 3, stride 2). What the body makes of them goes through BN and ReLU, is averaged over
    space and given to a dense layer of two softmax outputs.

    Raises
    ------
    ValueError
        For what is no cube, or one of too few voxels.
    """
    if len(shape) != 4 or len(set(shape[:3])) > 1 or shape[0] < MIN_SIDE:
        raise ValueError(
            f"images have shape {shape}; cubes (side, side, side, channels) with sides of at "
            f"least {MIN_SIDE} voxels are needed, as voxels3d gives them"
        )
    from models._layers3d import RandomSymmetry

    layers = keras.layers
    image = keras.Input(shape)
    x = RandomSymmetry(SHIFT)(image) if augment else image
    x = layers.Rescaling(2.0, offset=-1.0)(x)
    x = activated(keras, convolution(keras, STEM, 3, strides=2)(x))
    x = body(keras, layers.MaxPooling3D(3, strides=2, padding="same")(x))
    x = layers.GlobalAveragePooling3D()(activated(keras, x, name=MAPS))
    return keras.Model(image, layers.Dense(2, activation="softmax")(x))


def convolution(keras: Any, filters: int, side: int, strides: int = 1) -> Any:
    """A convolution that keeps the size, without bias, as batch normalisation follows."""
    return keras.layers.Conv3D(
        filters,
        side,
        strides=strides,
        padding="same",
        use_bias=False,
        kernel_initializer="he_uniform",
    )


def activated(keras: Any, x: Any, name: str | None = None) -> Any:
    """Batch normalisation and ReLU."""
    from models._fused import BatchNormalization

    return keras.layers.Activation("relu", name=name)(BatchNormalization()(x))


def bottleneck(keras: Any, x: Any, filters: int) -> Any:
    """BN-ReLU-1(4 filters)-BN-ReLU-3(filters): new maps of all that came before."""
    x = convolution(keras, 4 * filters, 1)(activated(keras, x))
    return convolution(keras, filters, 3)(activated(keras, x))


def mixed_link(keras: Any, x: Any, k1: int, k2: int) -> Any:
    """A mixed link layer: k1 channels are added to, k2 are new (see ``_layers3d.MixedLink``)."""
    from models._layers3d import MixedLink

    inner, outer = (bottleneck(keras, x, k) if k else None for k in (k1, k2))
    return MixedLink()(x, inner=inner, outer=outer)


def transition(keras: Any, x: Any) -> Any:
    """BN-ReLU-1 to half of the channels, then the mean of 2 x 2 x 2 voxels."""
    x = convolution(keras, x.shape[-1] // 2, 1)(activated(keras, x))
    return keras.layers.AveragePooling3D(2, padding="same")(x)


def linked_blocks(keras: Any, x: Any, *, blocks: tuple[int, ...], k1: int, k2: int) -> Any:
    """Blocks of mixed link layers with transitions between; with k1 = 0 a DenseNet's."""
    for i, n_layers in enumerate(blocks):
        x = transition(keras, x) if i else x
        for _ in range(n_layers):
            x = mixed_link(keras, x, k1, k2)
    return x


def residual_stages(keras: Any, x: Any, *, blocks: tuple[int, ...]) -> Any:
    """Stages of residual blocks, each of twice the channels and half the side of the one before."""
    for stage, n_blocks in enumerate(blocks):
        for i in range(n_blocks):
            x = residual(keras, x, STEM * 2**stage, strides=2 if stage and not i else 1)
    return x


def residual(keras: Any, x: Any, filters: int, strides: int) -> Any:
    """A pre-activation residual block of two convolutions; a 1 x 1 x 1 one where sizes change."""
    before = activated(keras, x)
    if strides > 1 or x.shape[-1] != filters:
        x = convolution(keras, filters, 1, strides)(before)
    added = convolution(keras, filters, 3, strides)(before)
    return keras.layers.Add()([x, convolution(keras, filters, 3)(activated(keras, added))])
