"""The paper's CNN: three 3 x 3 convolutions, 1.4 million parameters, 124 x 124 input.

"Deep Learning for Lung Nodule Classification in CT Images" (UPV). The paper leaves open the
kernels (here 3 x 3, valid), the pooling (2 x 2) and how far it augments: here rotation
within 36 degrees, zoom within 10 %, flips along both axes, edges repeated outwards.
"""

from __future__ import annotations

from functools import partial
from typing import Literal

from models._backend import device, load_keras
from models._initial import Initial, Trained, unavailable
from models._keras import KerasClassifier
from models._paper_network import network
from models._rules import Count, Positive, ShareBelowOne
from models._vectorised import fit_together

__all__ = ["FEATURES", "build", "device", "fit_together", "network", "unavailable"]

FEATURES = "voxels2d_box"


def build(
    seed: int,
    *,
    jobs: int = 1,
    epochs: Count = 50,
    batch_size: Count = 20,
    learning_rate: Positive = 0.001,
    dropout: ShareBelowOne = 0.3,
    augment: bool = True,
    class_weights: bool = True,
    validation_fraction: ShareBelowOne = 0.0,
    mixed_precision: bool = False,
    batch_statistics: Literal["population", "running"] = "population",
    weights: str = "",
    weights_sha256: str = "",
    trained: Trained = "all",
) -> KerasClassifier:
    """The paper's network and training; the defaults are the paper's.

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
        Share of the 128 units dropped, in [0, 1).
    augment : bool
        Rotate, flip and zoom training images at random.
    class_weights : bool
        Balance the classes in the loss.
    validation_fraction : float
        Share of the training patients held out for validation curves and for the threshold.
        0, the paper's: all are fitted, and the threshold, chosen on fitted images, is
        optimistic.
    mixed_precision : bool
        Convolve and multiply in bfloat16; weights, batch statistics, logits and loss stay
        float32. Meant for GPUs.
    batch_statistics : {"population", "running"}
        What batch normalisation predicts with: means over all training batches once training is
        done (Ioffe & Szegedy 2015, algorithm 2), or the running means that Keras keeps while the
        weights still move (momentum .99), as the paper's framework would have done.
    weights : str
        Path of a file that ``save_weights`` of Keras wrote for this network (``.weights.h5``), to
        start from; empty for weights drawn by the seed. Nothing tells whether the patients that
        they were trained on are tested here: that is the user's to know.
    weights_sha256 : str
        Checksum of that file; needed with it.
    trained : {"all", "last_block"}
        ``last_block`` trains what comes after the last pooling that a convolution follows, and
        leaves the rest as it was loaded.
    """
    load_keras()  # here, so that no import falls into a timed fit
    return KerasClassifier(
        partial(network, dropout=dropout, augment=augment, mixed_precision=mixed_precision),
        seed=seed,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        class_weights=class_weights,
        validation_fraction=validation_fraction,
        batch_statistics=batch_statistics,
        initial=Initial(weights, weights_sha256, trained),
    )
