"""A 3D residual network after Jung et al.: the twin of ``dense3d`` with shortcuts.

See ``dense3d`` for the source, its figure (a CPM of .91 in another task) and what is unknown of it.
The stem, the end, augmentation and training are those of ``dense3d``; between stem and end stand
three stages of two pre-activation residual blocks (He et al. 2016, arXiv:1603.05027) of 32, 64 and
128 channels, with stride 2 between: 2.1 million parameters. Blocks and widths are ours.
"""

from __future__ import annotations

from functools import partial

from models._backend import device, load_keras
from models._keras import KerasClassifier
from models._nets3d import network, residual_stages
from models._rules import Count, Counts, Positive, ShareBelowOne

__all__ = ["FEATURES", "SUPERVISION", "build", "device"]

FEATURES = "voxels3d"
SUPERVISION = "labels"


def build(
    seed: int,
    *,
    jobs: int = 1,
    blocks: Counts = (2, 2, 2),
    epochs: Count = 20,
    batch_size: Count = 16,
    learning_rate: Positive = 0.001,
    augment: bool = True,
    class_weights: bool = True,
    validation_fraction: ShareBelowOne = 0.15,
) -> KerasClassifier:
    """The network and its training.

    Parameters
    ----------
    seed, jobs, epochs, batch_size, learning_rate, augment, class_weights, validation_fraction
        As for ``dense3d.build``.
    blocks : tuple of int
        Residual blocks of each stage.
    """
    load_keras()  # here, so that no import falls into a timed fit
    return KerasClassifier(
        partial(network, body=partial(residual_stages, blocks=blocks), augment=augment),
        seed=seed,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        class_weights=class_weights,
        validation_fraction=validation_fraction,
    )
