"""The paper's CNN, learning what readers said as well: their ratings and eight characteristics.

Multi-task learning (Caruana 1997) after no published system: every choice is ours. Beside the
label, the 128 units of ``paper_cnn`` predict how the readers' ratings of malignancy are spread
over 1 to 5 (cross-entropy with the shares of the readers) and the means of the eight
characteristics of LIDC-IDRI (squared error, in SDs of the training nodules). The loss is the
label's cross-entropy, balanced by class, plus the other two, each with weight 1. Nothing was
tuned. Characteristics that a dataset lacks are left out. The loss in the training curves is the
sum.

Once training is done, the further outputs are dropped: what predicts is ``paper_cnn``'s network,
and sees an image alone. Nodules without a label are not learnt from. Training is ``paper_cnn``'s
but for its 20 epochs: those of the authors' published scripts, where the paper's text has 50, for
which two cores take too long.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models._backend import device, load_keras, seeded
from models._keras import KerasClassifier, balanced_weights
from models._paper_network import network
from models._ratings import targets
from models._reader_targets import (
    CHARACTERISTICS,
    RATINGS,
    ReadingsWithAttributes,
    characteristics,
    distributions,
    squared_error,
    standardised,
    with_outputs,
)
from models._rules import AtLeastZero, Count, Positive, ShareBelowOne
from models._training import Indices

__all__ = ["FEATURES", "SUPERVISION", "build", "device"]

FEATURES = "voxels2d_box"
SUPERVISION = "ratings"

LABEL = slice(0, 2)
RATING = slice(2, 2 + RATINGS)
ATTRIBUTE = slice(RATING.stop, RATING.stop + len(CHARACTERISTICS))
KNOWN = slice(ATTRIBUTE.stop, ATTRIBUTE.stop + len(CHARACTERISTICS))
"""Columns of what the network is told; its outputs are all but the last."""


def build(
    seed: int,
    *,
    jobs: int = 1,
    epochs: Count = 20,
    batch_size: Count = 20,
    learning_rate: Positive = 0.001,
    dropout: ShareBelowOne = 0.3,
    rating_weight: AtLeastZero = 1.0,
    attribute_weight: AtLeastZero = 1.0,
    augment: bool = True,
    class_weights: bool = True,
    validation_fraction: ShareBelowOne = 0.0,
) -> MultitaskClassifier:
    """The paper's network with further outputs while it is trained.

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
    rating_weight, attribute_weight : float
        Of the readers' ratings and of the characteristics in the loss; the label has 1.
    augment : bool
        Rotate, flip and zoom training images at random.
    class_weights : bool
        Balance the classes in the label's part of the loss.
    validation_fraction : float
        As in ``paper_cnn``.
    """
    load_keras()  # here, so that no import falls into a timed fit
    return MultitaskClassifier(
        rating_weight,
        attribute_weight,
        make_network=partial(network, dropout=dropout, augment=augment),
        seed=seed,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        class_weights=class_weights,
        validation_fraction=validation_fraction,
    )


class MultitaskClassifier(KerasClassifier):
    """A ``KerasClassifier`` that learns readers' ratings and characteristics besides the label."""

    def __init__(self, rating_weight: float, attribute_weight: float, **training: Any) -> None:
        super().__init__(**training)
        self.rating_weight = rating_weight
        self.attribute_weight = attribute_weight

    def fit(  # type: ignore[override]  # it is a ``LearnsFromReadings``
        self,
        X: NDArray[Any],
        y: NDArray[Any],
        groups: NDArray[Any],
        *,
        readings: ReadingsWithAttributes,
    ) -> None:
        """Train from new weights, as ``KerasClassifier.fit``.

        Parameters
        ----------
        X, y, groups : ndarray
            As there.
        readings : ReadingsWithAttributes
            At least one rating of each row.

        Raises
        ------
        ValueError, FloatingPointError
            As there; also where a row has no rating.
        """
        fitted, held_out = self.check_and_split(X, y, groups)
        told = self.told(y, readings, fitted)
        if held_out.size:
            told[held_out, LABEL] = np.eye(2)[y[held_out]]  # losses of validation are unweighted
        keras, images = load_keras(), X.astype(np.float32, copy=False)
        with seeded(keras, self.seed):
            trained = self.untrained(keras, X.shape[1:])
            wide = with_outputs(keras, trained, KNOWN.start)
            self.compile(keras, wide, self.loss(keras), [_accuracy(keras)])
            wide.fit(
                images[fitted],
                told[fitted],
                batch_size=self.batch_size,
                epochs=self.epochs,
                validation_data=(images[held_out], told[held_out]) if held_out.size else None,
                callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=self.record)],
                verbose=0,
            )
            kernel, bias = wide.layers[-1].get_weights()
            trained.layers[-1].set_weights([kernel[:, LABEL], bias[LABEL]])
        self.accept(keras, trained, X, y, fitted, held_out)

    def told(
        self, y: NDArray[Any], readings: ReadingsWithAttributes, fitted: Indices
    ) -> NDArray[np.float32]:
        """What the network is told of each row, shape (n, 23).

        The label as one column a class, times its weight; shares of ratings; characteristics in
        SDs of the fitted rows; 1 where they are known.
        """
        targets(readings, y, "ratings")  # refuses rows without a rating
        by_class = balanced_weights(y[fitted]) if self.class_weights else {0: 1.0, 1: 1.0}
        weights = np.where(y == 1, by_class[1], by_class[0])
        values, known = standardised(characteristics(readings), fitted)
        label = np.eye(2)[y] * weights[:, None]
        return np.hstack([label, distributions(readings), values, known]).astype(np.float32)

    def loss(self, keras: Any) -> Callable[[Any, Any], Any]:
        """Loss of each row: of its label, its ratings and its characteristics."""
        ops = keras.ops

        def entropy(told: Any, output: Any) -> Any:
            return -ops.sum(told * ops.log_softmax(output, axis=-1), axis=-1)

        def loss(told: Any, output: Any) -> Any:
            error = squared_error(keras, told[:, ATTRIBUTE], output[:, ATTRIBUTE], told[:, KNOWN])
            return (
                entropy(told[:, LABEL], output[:, LABEL])
                + self.rating_weight * entropy(told[:, RATING], output[:, RATING])
                + self.attribute_weight * error
            )

        return loss


def _accuracy(keras: Any) -> Callable[[Any, Any], Any]:
    ops = keras.ops

    def accuracy(told: Any, output: Any) -> Any:
        right = ops.argmax(told[:, LABEL], axis=-1) == ops.argmax(output[:, LABEL], axis=-1)
        return ops.cast(right, "float32")

    return accuracy
