"""Convolution and attention: the paper's CNN with self-attention over the cells of its last map.

The paper names hybrids of convolution and attention as future work and gives none, so every choice
is ours. The three convolutions, each with batch normalisation and pooling, are ``paper_cnn``'s. The
13 x 13 cells of the last map are 169 tokens of 64 values; with learnt positions added they go
through one block of self-attention (normalised before, four heads of 16, added to what came in;
Vaswani et al. 2017) without dense layers of its own. What follows is ``paper_cnn``'s head, of 125
units in place of 128, which pays for the attention: 1,436,345 weights beside 1,441,218.

Training is ``paper_cnn``'s but for its 20 epochs: those of the authors' published scripts, where
the paper's text has 50, for which two cores take too long. Nothing was tuned.

Grad-CAM looks at the last convolution: through the attention a cell also speaks for what other
cells hold, so its map says less of the place than ``paper_cnn``'s.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from models._backend import device, load_keras
from models._keras import KerasClassifier
from models._paper_network import FILTERS, augmentation, convolutions, head
from models._rules import Count, Positive, ShareBelowOne

__all__ = ["FEATURES", "build", "device"]

FEATURES = "voxels2d_box"

HEADS = 4
UNITS = 125


def build(
    seed: int,
    *,
    jobs: int = 1,
    epochs: Count = 20,
    batch_size: Count = 20,
    learning_rate: Positive = 0.001,
    dropout: ShareBelowOne = 0.3,
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
    learning_rate : float
        Of Adam.
    dropout : float
        Share of the 125 units dropped, in [0, 1).
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
        partial(network, dropout=dropout, augment=augment),
        seed=seed,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        class_weights=class_weights,
        validation_fraction=validation_fraction,
    )


def network(keras: Any, shape: tuple[int, ...], *, dropout: float, augment: bool) -> Any:
    """The uncompiled network for images of a shape (rows, columns, channels).

    Raises
    ------
    ValueError
        For images too small for the three poolings.
    """
    from models._attention import EncoderBlock, Positions

    width = FILTERS[-1]
    return keras.Sequential(
        [
            keras.Input(shape),
            *(augmentation(keras) if augment else []),
            *convolutions(keras, shape),
            keras.layers.Reshape((-1, width)),
            Positions(),
            EncoderBlock(HEADS, width // HEADS, ()),
            *head(keras, UNITS, dropout),
        ]
    )
