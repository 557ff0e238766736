"""The paper's CNN, pretrained on nodules that the label rule leaves out, then trained on labels.

The paper names transfer from pretrained medical models as future work. Weights of one whose
training patients are known to be none of those tested here were not at hand, so the network is
pretrained on the same collection: on nodules of training patients that have no label (few
readers, or a mean rating of 3), to predict the readers' mean rating and the means of LIDC-IDRI's
eight characteristics (squared error in SDs of those nodules, each weighing the square root of its
number of readers). Then its last layer is replaced, and the whole network is trained on the
labels, with the same learning rate and nothing frozen. Every choice is ours, and nothing was
tuned.

Ten epochs each, fixed beforehand: together the 20 of the authors' published scripts, where the
paper's text has 50, for which two cores take too long. Everything else is ``paper_cnn``'s. Where
nothing is left out, nothing is pretrained. The training curves are those of the labels;
``pretraining_`` has the losses before.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models._backend import device, load_keras, seeded
from models._keras import KerasClassifier
from models._paper_network import network
from models._ratings import NO_LABEL, targets
from models._reader_targets import (
    CHARACTERISTICS,
    ReadingsWithAttributes,
    characteristics,
    squared_error,
    standardised,
    with_outputs,
)
from models._rules import Count, Positive, ShareBelowOne
from models._training import Floats, check_rows

__all__ = ["FEATURES", "SUPERVISION", "build", "device"]

FEATURES = "voxels2d_box"
SUPERVISION = "ratings+left_out"

N_TARGETS = 1 + len(CHARACTERISTICS)


def build(
    seed: int,
    *,
    jobs: int = 1,
    pretraining_epochs: Count = 10,
    epochs: Count = 10,
    batch_size: Count = 20,
    learning_rate: Positive = 0.001,
    dropout: ShareBelowOne = 0.3,
    augment: bool = True,
    class_weights: bool = True,
    validation_fraction: ShareBelowOne = 0.0,
) -> TransferClassifier:
    """The paper's network, trained twice.

    Parameters
    ----------
    seed : int
        Of weights, order, augmentation, dropout and held-out patients.
    jobs : int
        Changes nothing: the backend takes the cores that it finds.
    pretraining_epochs, epochs : int
        On readings of nodules without a label, then on labels.
    batch_size : int
    learning_rate : float
        Of Adam, both times.
    dropout : float
        Share of the 128 units dropped, in [0, 1).
    augment : bool
        Rotate, flip and zoom training images at random.
    class_weights : bool
        Balance the classes in the loss of the labels.
    validation_fraction : float
        As in ``paper_cnn``; patients held out are not pretrained on either.
    """
    load_keras()  # here, so that no import falls into a timed fit
    return TransferClassifier(
        pretraining_epochs,
        make_network=partial(network, dropout=dropout, augment=augment),
        seed=seed,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        class_weights=class_weights,
        validation_fraction=validation_fraction,
    )


class TransferClassifier(KerasClassifier):
    """A ``KerasClassifier`` whose weights begin with what readers said of unlabelled nodules.

    Attributes
    ----------
    pretraining_ : list of dict
        One an epoch of pretraining: epoch (from 1), loss; empty where nothing was left out.
    """

    pretraining_: list[dict[str, float]]

    def __init__(self, pretraining_epochs: int, **training: Any) -> None:
        super().__init__(**training)
        self.pretraining_epochs = pretraining_epochs

    def fit(  # type: ignore[override]  # it is a ``LearnsFromReadings``
        self,
        X: NDArray[Any],
        y: NDArray[Any],
        groups: NDArray[Any],
        *,
        readings: ReadingsWithAttributes,
    ) -> None:
        """Pretrain on rows without a label, then train on the others.

        Parameters
        ----------
        X, groups : ndarray
            As in ``KerasClassifier.fit``.
        y : ndarray, shape (n,)
            0 benign, 1 malignant, ``NO_LABEL`` where the label rule leaves the ROI out.
        readings : ReadingsWithAttributes
            At least one rating of each row.

        Raises
        ------
        ValueError, FloatingPointError
            As in ``KerasClassifier.fit``; also where a row has no rating.
        """
        check_rows(X, y, groups, ndim=4)
        labelled, others = np.flatnonzero(y != NO_LABEL), np.flatnonzero(y == NO_LABEL)
        images, labels, patients = X[labelled], y[labelled], groups[labelled]
        fitted, held_out = self.check_and_split(images, labels, patients)
        others = others[~np.isin(groups[others], patients[held_out])]
        told, weights = self._told(y, readings)
        self.pretraining_ = []
        keras = load_keras()
        with seeded(keras, self.seed):
            trained = self.untrained(keras, X.shape[1:])
            if others.size:
                values, known = standardised(told, others)
                known *= weights[:, None] / weights[others].mean()
                self._pretrain(keras, trained, X[others], values[others], known[others])
            self.fit_labels(keras, trained, images, labels, fitted, held_out)
        self.accept(keras, trained, images, labels, fitted, held_out)

    @staticmethod
    def _told(y: NDArray[Any], readings: ReadingsWithAttributes) -> tuple[Floats, Floats]:
        """Mean rating and characteristics of each row, shape (n, 9), and its weight."""
        _, means, weights = targets(readings, y, "ratings+left_out")
        return np.column_stack([means, characteristics(readings)]), weights

    def _pretrain(
        self, keras: Any, trained: Any, X: NDArray[Any], values: Floats, known: Floats
    ) -> None:
        """Train all but the last layer of a network on readings of nodules without a label."""
        wide = with_outputs(keras, trained, N_TARGETS)

        def loss(told: Any, output: Any) -> Any:
            return squared_error(keras, told[:, :N_TARGETS], output, told[:, N_TARGETS:])

        self.compile(keras, wide, loss)
        wide.fit(
            X.astype(np.float32, copy=False),
            np.hstack([values, known]).astype(np.float32),
            batch_size=self.batch_size,
            epochs=self.pretraining_epochs,
            callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=self._record_pretraining)],
            verbose=0,
        )

    def _record_pretraining(self, epoch: int, logs: Mapping[str, float]) -> None:
        loss = float(logs["loss"])
        if not np.isfinite(loss):
            raise FloatingPointError(
                f"epoch {epoch + 1} of {self.pretraining_epochs} of pretraining: loss is {loss}; "
                f"try a learning_rate below {self.learning_rate}"
            )
        self.pretraining_.append({"epoch": float(epoch + 1), "loss": loss})
