"""Vision transformer for small data sets, after Keras' example: shifted patches, local attention.

Source: Lee, Lee & Song 2021, "Vision transformer for small-size datasets" (arXiv 2112.13492), as
Keras' own example writes it (keras.io, "Train a Vision Transformer on small datasets"): 72 x 72
pixels, patches of 6 with four shifted copies, normalised and projected to a width of 64, learnt
positions, eight blocks of four heads, in which no token attends to itself and the temperature is
learnt; dropout .1; AdamW .001 / .0001.

Images are resized to 72 x 72 in the network (bilinear), whatever their size: of 124 pixels a
third of the resolution is lost.

Deviations: a head is 16 wide, so that four are as wide as the tokens, as in the paper (64 each in
the example). The tokens are averaged, and one dense layer with dropout .3 decides; the example's
two of 2,048 and 1,024 units would have 21 million weights beside the .3 million of the rest. The
learning rate is constant, where the example has a warm-up and a cosine. Augmentation, class
weights and batches of 20 are those of the paper's CNN. Attention is written from Keras' public
layers and operations, where the example overrides a private method. Epochs were fixed beforehand
at 20, those of the authors' published scripts of the CNN (the example has 50); nothing was tuned.

It has no convolution, so there is no Grad-CAM: ``heat_maps`` refuses and says so.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from models._backend import device, load_keras
from models._keras import KerasClassifier
from models._paper_network import augmentation, check_images
from models._rules import AtLeastZero, Count, Positive, ShareBelowOne

__all__ = ["FEATURES", "build", "device"]

FEATURES = "voxels2d_box"

SIDE = 72
"""Pixels that images are resized to."""

PATCH = 6
WIDTH = 64
HEADS = 4


def build(
    seed: int,
    *,
    jobs: int = 1,
    epochs: Count = 20,
    batch_size: Count = 20,
    learning_rate: Positive = 0.001,
    weight_decay: AtLeastZero = 0.0001,
    blocks: Count = 8,
    dropout: ShareBelowOne = 0.1,
    augment: bool = True,
    class_weights: bool = True,
    validation_fraction: ShareBelowOne = 0.0,
) -> KerasClassifier:
    """The network and its training, for a fixed number of epochs.

    Parameters
    ----------
    seed : int
        Of weights, order, augmentation, dropout and held-out patients.
    jobs : int
        Changes nothing: the backend takes the cores that it finds.
    epochs, batch_size : int
    learning_rate, weight_decay : float
        Of AdamW.
    blocks : int
    dropout : float
        Share of attention weights and of dense outputs dropped in the blocks.
    augment : bool
        Rotate, flip and zoom training images at random.
    class_weights : bool
        Balance the classes in the loss.
    validation_fraction : float
        As in ``paper_cnn``.
    """
    load_keras()  # here, so that no import falls into a timed fit
    from models import _attention  # noqa: F401

    return KerasClassifier(
        partial(network, blocks=blocks, dropout=dropout, augment=augment),
        seed=seed,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        class_weights=class_weights,
        validation_fraction=validation_fraction,
        weight_decay=weight_decay,
    )


def network(
    keras: Any, shape: tuple[int, ...], *, blocks: int, dropout: float, augment: bool
) -> Any:
    """The uncompiled network for images of a shape (rows, columns, channels).

    Raises
    ------
    ValueError
        For volumes.
    """
    check_images(shape)
    from models._attention import EncoderBlock, Positions, ShiftedPatches

    layers = keras.layers
    encoder = [
        EncoderBlock(HEADS, WIDTH // HEADS, (2 * WIDTH, WIDTH), dropout, local=True)
        for _ in range(blocks)
    ]
    return keras.Sequential(
        [
            keras.Input(shape),
            layers.Resizing(SIDE, SIDE),
            *(augmentation(keras) if augment else []),
            ShiftedPatches(PATCH),
            layers.LayerNormalization(epsilon=1e-6),
            layers.Dense(WIDTH),
            Positions(),
            *encoder,
            layers.LayerNormalization(epsilon=1e-6),
            layers.GlobalAveragePooling1D(),
            layers.Dropout(0.3),
            layers.Dense(2, activation="softmax"),
        ]
    )
