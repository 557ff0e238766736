"""An ensemble of checkpoints after Jung et al.: one training of ``dense3d``, best epochs averaged.

Jung et al. 2018 (BMC Med Imaging 18:48) use one; their figure (see ``dense3d``) is of another
task, and over which of their networks they average could not be verified. The method is that of
Chen, Lundberg and Lee (arXiv:1710.03282): train once, keep the weights of every epoch, rank the
epochs on held-out data, average the predictions of the best k.

Here the network is that of ``dense3d``, trained once; it is not Jung et al.'s pair of networks.
What ranks is the loss, without class weights, on nodules of held-out training **patients**; it is
computed with batch normalisation's running means. The weights that are kept then get means over
all training batches. The threshold is chosen on the same held-out patients, with the averaged
predictions, and is a little optimistic. Heat maps are those of the first-ranked checkpoint.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models import dense3d
from models._backend import device, load_keras
from models._keras import KerasClassifier
from models._nets3d import linked_blocks, network
from models._rules import Count, Counts, Positive, ProperShare
from models._training import Floats

__all__ = ["FEATURES", "SUPERVISION", "build", "device"]

FEATURES = "voxels3d"
SUPERVISION = "labels"


class CheckpointEnsemble(KerasClassifier):
    """A network of which the ``members`` epochs with the lowest held-out loss predict together."""

    def __init__(self, *args: Any, members: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.members = members

    def untrained(self, keras: Any, shape: tuple[int, ...]) -> Any:
        """As a KerasClassifier; the network's weights are kept at the end of each epoch."""
        self._in_training = super().untrained(keras, shape)
        self._checkpoints: list[list[NDArray[Any]]] = []
        return self._in_training

    def record(self, epoch: int, logs: Mapping[str, float]) -> None:
        """Add an epoch to the history, and its weights to the checkpoints."""
        super().record(epoch, logs)
        self._checkpoints.append(self._in_training.get_weights())

    def settle(self, keras: Any, network: Any, images: NDArray[Any]) -> None:
        """Keep the best epochs, of equals the first, each with its own statistics."""
        losses = [epoch["val_loss"] for epoch in self.history_]
        best = np.argsort(losses, kind="stable")[: self.members]
        self._kept = []
        for epoch in best:
            network.set_weights(self._checkpoints[epoch])
            super().settle(keras, network, images)
            self._kept.append(network.get_weights())
        del self._checkpoints, self._in_training

    def predict_proba(self, X: NDArray[Any]) -> Floats:
        """Mean of the checkpoints' probabilities, shape (n, 2)."""
        found = []
        for weights in reversed(self._kept):  # the first-ranked last, which heat maps are made of
            self._network.set_weights(weights)
            found.append(super().predict_proba(X))
        return np.asarray(np.mean(found, axis=0))


def build(
    seed: int,
    *,
    jobs: int = 1,
    members: Count = 5,
    blocks: Counts = (4, 4, 4),
    epochs: Count = 20,
    batch_size: Count = 16,
    learning_rate: Positive = 0.001,
    augment: bool = True,
    class_weights: bool = True,
    validation_fraction: ProperShare = 0.15,
) -> CheckpointEnsemble:
    """The network, its training, and the number of its checkpoints that predict.

    Parameters
    ----------
    seed, jobs, blocks, epochs, batch_size, learning_rate, augment, class_weights
        As for ``dense3d.build``.
    members : int
        Checkpoints that are averaged; all where there are fewer epochs.
    validation_fraction : float
        Share of the training patients held out to rank the epochs and to choose the threshold.
    """
    load_keras()  # here, so that no import falls into a timed fit
    body = partial(linked_blocks, blocks=blocks, k1=0, k2=dense3d.GROWTH)
    return CheckpointEnsemble(
        partial(network, body=body, augment=augment),
        members=members,
        seed=seed,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        class_weights=class_weights,
        validation_fraction=validation_fraction,
    )
