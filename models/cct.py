"""Compact convolutional transformer, after Keras' example: convolutions make tokens of an image.

Source: Hassani et al. 2021, "Escaping the big data paradigm with compact transformers" (arXiv
2104.05704), as Keras' own example writes it (keras.io, "Compact Convolutional Transformers"):
convolution (3 x 3, no bias), border of zeros and max pooling (3 x 3, stride 2) in stages, learnt
positions, two blocks of two heads as wide as the tokens, stochastic depth rising to .1, dropout .1,
sequence pooling; AdamW .001 / .0001 and label smoothing .1.

Deviations: the example has two stages of 64 and 128 channels for 32 pixels, here are three of 16,
32 and 64, so that 124 pixels give 256 tokens; 0.12 million weights in place of 0.4. Images come in
batches of 20, with the augmentation and class weights of the paper's CNN. The example keeps the
epoch with the best validation accuracy; here the last one counts. Its 30 epochs are 10,000 steps,
here 900 on 600 nodules; nothing was tuned. The original's own training schedule was not followed.

It takes any 2D or 2.5D input, whose channels are those of the first convolution.
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

CHANNELS = (16, 32, 64)
"""Of the tokeniser's stages; the last is the width of the tokens."""

BLOCKS = 2
HEADS = 2


def build(
    seed: int,
    *,
    jobs: int = 1,
    epochs: Count = 30,
    batch_size: Count = 20,
    learning_rate: Positive = 0.001,
    weight_decay: AtLeastZero = 0.0001,
    label_smoothing: ShareBelowOne = 0.1,
    dropout: ShareBelowOne = 0.1,
    stochastic_depth: ShareBelowOne = 0.1,
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
    label_smoothing : float
    dropout : float
        Share of attention weights and of dense outputs dropped.
    stochastic_depth : float
        Share of images whose tokens skip a branch of the last block; none skip the first's.
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
        partial(network, dropout=dropout, stochastic_depth=stochastic_depth, augment=augment),
        seed=seed,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        class_weights=class_weights,
        validation_fraction=validation_fraction,
        weight_decay=weight_decay,
        label_smoothing=label_smoothing,
    )


def network(
    keras: Any,
    shape: tuple[int, ...],
    *,
    dropout: float,
    stochastic_depth: float,
    augment: bool,
) -> Any:
    """The uncompiled network for images of a shape (rows, columns, channels).

    Raises
    ------
    ValueError
        For volumes.
    """
    check_images(shape)
    from models._attention import EncoderBlock, Positions, SequencePooling

    layers, width = keras.layers, CHANNELS[-1]
    stack = [keras.Input(shape), *(augmentation(keras) if augment else [])]
    for channels in CHANNELS:
        stack += [
            layers.Conv2D(
                channels, 3, use_bias=False, activation="relu", kernel_initializer="he_normal"
            ),
            layers.ZeroPadding2D(),
            layers.MaxPooling2D(3, 2, padding="same"),
        ]
    stack += [layers.Reshape((-1, width)), Positions()]
    for block in range(BLOCKS):
        skipped = stochastic_depth * block / (BLOCKS - 1)
        stack.append(EncoderBlock(HEADS, width, (width, width), dropout, skipped))
    stack += [
        layers.LayerNormalization(epsilon=1e-5),
        SequencePooling(),
        layers.Dense(2, activation="softmax"),
    ]
    return keras.Sequential(stack)
