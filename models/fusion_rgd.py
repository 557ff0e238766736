"""A small CNN, a graph of its last map's cells and radiomics columns, after RGD (Ma et al.).

After Ma et al., BMC Pulm Med 2023;23:474: radiomics and graph learning put into CNNs, predictions
averaged. No reproduction. Not public, and chosen here: the networks (one small CNN here, several
there); the graph (its nodes are the cells of the last map, each joined to the 5 most like it; the
other reading, nodules as nodes, is ``population_graph``); the selection of columns. The publication
has, on LIDC-IDRI in 10 folds of an unknown unit: AUC .963, accuracy .9325, sensitivity .8922,
specificity .9582.

Possible leaks of such a system are excluded: a graph is made of one nodule's cells, so no nodule
reaches another; columns are selected and scaled on the patients that are fitted; the number of
epochs is fixed; the threshold is chosen on training patients who are held out.

Set beforehand, on no data: sizes and training, small for 600 nodules; group normalisation in the
place of batches' statistics, so that a prediction depends on its own nodule alone; flips and
rotations as in ``paper_cnn``. Both heads are trained together, by the mean of their losses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models._backend import compile_network, device, load_keras, seeded
from models._cell_graph import MIN_SIDE, untrained_network
from models._keras import balanced_weights
from models._rules import Count, Positive, Share, ShareBelowOne
from models._threshold import youden_threshold
from models._training import (
    Floats,
    Indices,
    check_inputs,
    check_training,
    split_patients,
    two_columns,
)

__all__ = ["FEATURES", "build", "device"]

FEATURES = ("voxels2d_fixed", "radiomics")

Inputs = NDArray[Any] | Mapping[str, NDArray[Any]]


def build(
    seed: int,
    *,
    jobs: int = 1,
    epochs: Count = 40,
    batch_size: Count = 32,
    learning_rate: Positive = 0.001,
    dropout: ShareBelowOne = 0.3,
    neighbours: Count = 5,
    columns: Count = 32,
    max_correlation: Share = 0.95,
    augment: bool = True,
    validation_fraction: ShareBelowOne = 0.2,
) -> FusionClassifier:
    """CNN head and graph-and-radiomics head, trained together and averaged.

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
        Share of the units before each head's output dropped in training, in [0, 1).
    neighbours : int
        Cells that each cell of the last map is joined to.
    columns : int
        Radiomics columns to keep: those with the largest F of a one-way analysis of variance.
    max_correlation : float
        Before, columns that correlate more (Spearman, absolute) with an earlier one are dropped.
    augment : bool
        Rotate and flip training images at random.
    validation_fraction : float
        Share of the training patients held out for the threshold. At 0 it is chosen on fitted
        images, and optimistic.
    """
    load_keras()  # here, so that no import falls into a timed fit
    return FusionClassifier(
        seed=seed,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        dropout=dropout,
        neighbours=neighbours,
        columns=columns,
        max_correlation=max_correlation,
        augment=augment,
        validation_fraction=validation_fraction,
    )


class FusionClassifier:
    """The two heads; see ``build`` for its parameters.

    Attributes
    ----------
    threshold_ : float
        On P(malignant), see ``youden_threshold``.
    selected_ : ndarray of int
        Radiomics columns that were kept, numbered over all tables in turn.
    history_ : list of dict
        One an epoch: epoch (from 1), loss.
    on_epoch : callable or None
        Called with epochs done and their total.
    device_ : str
        What it was trained on: ``cpu``, or the GPU's name.
    """

    threshold_: float
    device_: str
    selected_: Indices

    def __init__(
        self,
        *,
        seed: int,
        epochs: int,
        batch_size: int,
        learning_rate: float,
        dropout: float,
        neighbours: int,
        columns: int,
        max_correlation: float,
        augment: bool,
        validation_fraction: float,
    ) -> None:
        self.seed = seed
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.dropout = dropout
        self.neighbours = neighbours
        self.columns = columns
        self.max_correlation = max_correlation
        self.augment = augment
        self.validation_fraction = validation_fraction
        self.on_epoch: Callable[[int, int], None] | None = None
        self.history_: list[dict[str, float]] = []

    def fit(self, X: Inputs, y: NDArray[Any], groups: NDArray[Any]) -> None:
        """Train from new weights.

        Parameters
        ----------
        X : mapping of str to ndarray, or ndarray
            Images, shape (n, rows, columns, channels), and any number of tables, shape (n, p).
        y : ndarray, shape (n,)
            0 benign, 1 malignant.
        groups : ndarray, shape (n,)
            Patient ids.

        Raises
        ------
        ValueError
            For data that cannot be learnt from, and for none or several sets of images.
        FloatingPointError
            Where the loss stops being finite, naming the epoch.
        """
        images, table = _parts(X)
        check_training(images, y, groups, ndim=4)
        if min(images.shape[1:3]) < MIN_SIDE:
            raise ValueError(
                f"images have shape {images.shape[1:]}; sides must be at least {MIN_SIDE} pixels"
            )
        fitted, held_out = split_patients(y, groups, self.validation_fraction, self.seed)
        self._select(table[fitted], y[fitted])
        self._shapes = images.shape[1:], table.shape[1]
        keras = load_keras()
        inputs = self._inputs(images, table)
        with seeded(keras, self.seed):
            self._network = self._untrained(keras)
            self._train(keras, [each[fitted] for each in inputs], y[fitted])
        self.device_ = device()
        judged = held_out if held_out.size else fitted
        scores = self._malignant([each[judged] for each in inputs])
        self.threshold_ = youden_threshold(y[judged], scores)

    def predict_proba(self, X: Inputs) -> Floats:
        """Probabilities of benign and malignant, shape (n, 2): the mean of both heads'.

        Images go through the network one by one, so that no bit depends on the others.

        Raises
        ------
        ValueError
            For images or tables of other shapes than those fitted.
        """
        images, table = _parts(X)
        found = images.shape[1:], table.shape[1]
        if found != self._shapes:
            raise ValueError(
                f"X has images of shape {found[0]} and {found[1]} columns; "
                f"fitted were {self._shapes[0]} and {self._shapes[1]}"
            )
        return two_columns(self._malignant(self._inputs(images, table)))

    def _select(self, table: NDArray[Any], y: NDArray[Any]) -> None:
        """Choose and scale columns from rows that are fitted, shape (n, p)."""
        from sklearn.feature_selection import f_classif

        from models._decorrelate import Decorrelate

        self.selected_ = np.empty(0, np.intp)
        if table.shape[1]:
            kept = Decorrelate(self.max_correlation).fit(table).kept_
            f, _ = f_classif(table[:, kept], y)
            self.selected_ = np.sort(kept[np.argsort(-f, kind="stable")[: self.columns]])
        chosen = table[:, self.selected_]
        self._mean, self._deviation = chosen.mean(axis=0), chosen.std(axis=0)

    def _inputs(self, images: NDArray[Any], table: NDArray[Any]) -> list[NDArray[np.float32]]:
        scaled = (table[:, self.selected_] - self._mean) / self._deviation
        given = [images, scaled] if self.selected_.size else [images]
        return [each.astype(np.float32, copy=False) for each in given]

    def _untrained(self, keras: Any) -> Any:
        network = untrained_network(
            keras,
            self._shapes[0],
            len(self.selected_),
            dropout=self.dropout,
            neighbours=self.neighbours,
            augment=self.augment,
        )
        compile_network(
            keras,
            network,
            keras.optimizers.Adam(self.learning_rate),
            keras.losses.CategoricalCrossentropy(from_logits=True),
        )
        return network

    def _train(self, keras: Any, inputs: list[NDArray[np.float32]], y: NDArray[Any]) -> None:
        weights = balanced_weights(y)
        of_rows = np.array([weights[label] for label in y.tolist()], np.float32)
        one_hot = np.eye(2, dtype=np.float32)[y]
        wanted, weighing = (np.repeat(each[:, None], 2, axis=1) for each in (one_hot, of_rows))
        self.history_ = []
        self._network.fit(
            inputs,
            wanted,
            sample_weight=weighing,
            batch_size=self.batch_size,
            epochs=self.epochs,
            callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=self._record)],
            verbose=0,
        )

    def _record(self, epoch: int, logs: Mapping[str, float]) -> None:
        loss = float(logs["loss"])
        if not np.isfinite(loss):
            raise FloatingPointError(
                f"epoch {epoch + 1} of {self.epochs}: loss is {loss}; "
                f"try a learning_rate below {self.learning_rate}"
            )
        self.history_.append({"epoch": float(epoch + 1), "loss": loss})
        if self.on_epoch is not None:
            self.on_epoch(epoch + 1, self.epochs)

    def _malignant(self, inputs: list[NDArray[np.float32]]) -> Floats:
        from scipy.special import softmax

        logits = self._network.predict(inputs, batch_size=1, verbose=0)
        both = softmax(np.asarray(logits, np.float64), axis=-1)
        return np.asarray(both[..., 1].mean(axis=1))

    def __getstate__(self) -> dict[str, Any]:
        """State that is pickled: the network as its weights, and without ``on_epoch``."""
        state = self.__dict__ | {"on_epoch": None}
        network = state.pop("_network", None)
        if network is not None:
            state["_weights"] = network.get_weights()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        weights = state.pop("_weights", None)
        self.__dict__.update(state)
        if weights is not None:
            self._network = self._untrained(load_keras())
            self._network.set_weights(weights)


def _parts(X: Inputs) -> tuple[NDArray[Any], NDArray[Any]]:
    """Images, and all tables side by side, shape (n, p); p is 0 where there are none."""
    given = list(X.values()) if isinstance(X, Mapping) else [X]
    images = [each for each in given if each.ndim == 4]
    if len(images) != 1:
        raise ValueError(
            f"X has {len(images)} feature sets of images; fusion_rgd needs one, as in "
            "'voxels2d_fixed+radiomics'"
        )
    check_inputs(images[0], ndim=4)
    tables = [each for each in given if each.ndim != 4]
    for table in tables:
        check_inputs(table, ndim=2)
    return images[0], np.hstack([np.empty((len(images[0]), 0)), *tables])
