"""The layers of the paper's CNN, for it and for the models that add to it."""

from __future__ import annotations

from typing import Any

FILTERS = (32, 64, 64)
MIN_SIDE = 22
"""Pixels that three convolutions and poolings reduce to one."""


def network(
    keras: Any,
    shape: tuple[int, ...],
    *,
    dropout: float,
    augment: bool,
    mixed_precision: bool = False,
) -> Any:
    """The uncompiled network for images of a shape (rows, columns, channels).

    Raises
    ------
    ValueError
        For images too small for the three poolings, and for volumes.
    """
    dtype = "mixed_bfloat16" if mixed_precision else None
    return keras.Sequential(
        [
            keras.Input(shape),
            *(augmentation(keras) if augment else []),
            *convolutions(keras, shape, dtype),
            *head(keras, 128, dropout, dtype),
        ]
    )


def check_images(shape: tuple[int, ...], side: int = 1) -> None:
    """Refuse volumes, and images with a side of fewer pixels.

    Raises
    ------
    ValueError
        Naming the shape.
    """
    if len(shape) != 3 or min(shape[:2]) < side:
        raise ValueError(
            f"images have shape {shape}; (rows, columns, channels) with sides of at least "
            f"{side} pixels are needed"
        )


def augmentation(keras: Any) -> list[Any]:
    """Rotation within 36 degrees, flips, zoom within 10 %; edges are repeated outwards.

    In the network: no slower than in the input pipeline, and the same on every backend.
    """
    layers = keras.layers
    return [
        layers.RandomRotation(0.1, fill_mode="nearest"),
        layers.RandomFlip("horizontal_and_vertical"),
        layers.RandomZoom(0.1, fill_mode="nearest"),
    ]


def convolutions(keras: Any, shape: tuple[int, ...], dtype: str | None = None) -> list[Any]:
    """Three times convolution, batch normalisation and pooling.

    Raises
    ------
    ValueError
        For images too small for the three poolings, and for volumes.
    """
    check_images(shape, MIN_SIDE)
    from models._fused import BatchNormalization

    layers, stack = keras.layers, []
    for filters in FILTERS:
        stack += [
            layers.Conv2D(filters, 3, activation="relu", dtype=dtype),
            BatchNormalization(dtype=dtype),
            layers.MaxPooling2D(dtype=dtype),
        ]
    return stack


def head(keras: Any, units: int, dropout: float, dtype: str | None = None) -> list[Any]:
    """A dense layer on all that comes in, dropout, and softmax of benign and malignant."""
    layers = keras.layers
    return [
        layers.Flatten(dtype=dtype),
        layers.Dense(units, activation="relu", dtype=dtype),
        layers.Dropout(dropout, dtype=dtype),
        layers.Dense(2, activation="softmax"),
    ]
