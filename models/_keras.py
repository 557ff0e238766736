"""Trains a Keras 3 network: seeds, class weights, curves, threshold; any backend.

Uses ``keras`` alone, so TensorFlow (the default), JAX and PyTorch serve alike, chosen by
the environment variable KERAS_BACKEND.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models import _gradcam
from models._backend import compile_network, device, load_keras, seeded
from models._initial import Initial
from models._population import use_population_statistics
from models._threshold import youden_threshold
from models._training import (
    Floats,
    Indices,
    check_inputs,
    check_training,
    split_patients,
    two_columns,
)

IMAGES, VOLUMES = 4, 5
"""Axes of what a network is fed, ROIs first and channels last."""


class KerasClassifier:
    """A two-class network trained for a fixed number of epochs.

    Parameters
    ----------
    make_network : callable
        Given Keras and the shape of an image, an uncompiled model with two softmax outputs.
    seed : int
        Of weights, order of images, augmentation, dropout and held-out patients.
    epochs, batch_size : int
    learning_rate : float
        Of Adam.
    class_weights : bool
        Weight the loss of a class by n / (2 n_class); losses of validation stay unweighted.
    validation_fraction : float
        Share of the training patients, in [0, 1), held out for validation curves and for the
        threshold. At 0 the threshold is chosen on the very images that were fitted, without
        augmentation: it is optimistic, and as good as the network has overfitted little.
    batch_statistics : {"population", "running"}
        What batch normalisation predicts with, see ``paper_cnn.build``.
    weight_decay : float
        Share of each weight, times the learning rate, taken off in a step (AdamW: Loshchilov &
        Hutter 2019); 0 for plain Adam.
    label_smoothing : float
        Share of a label, in [0, 1), that is spread over both classes in the loss of training and
        validation (Szegedy et al. 2016).
    initial : Initial, optional
        Weights to start from, and the layers that are trained.

    Attributes
    ----------
    threshold_ : float
        On P(malignant), see ``youden_threshold``.
    history_ : list of dict
        One an epoch: epoch (from 1), loss, accuracy; val_loss, val_accuracy where patients
        are held out. Loss and accuracy are means over the epoch, in training mode.
    on_epoch : callable or None
        Called with epochs done and their total.
    device_ : str
        What it was trained on: ``cpu``, or the GPU's name.
    """

    threshold_: float
    device_: str

    def __init__(
        self,
        make_network: Callable[[Any, tuple[int, ...]], Any],
        *,
        seed: int,
        epochs: int,
        batch_size: int,
        learning_rate: float,
        class_weights: bool,
        validation_fraction: float,
        batch_statistics: str = "population",
        weight_decay: float = 0.0,
        label_smoothing: float = 0.0,
        initial: Initial | None = None,
    ) -> None:
        self.make_network = make_network
        self.seed = seed
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.class_weights = class_weights
        self.validation_fraction = validation_fraction
        self.batch_statistics = batch_statistics
        self.weight_decay = weight_decay
        self.label_smoothing = label_smoothing
        self.initial = initial or Initial()
        self.on_epoch: Callable[[int, int], None] | None = None
        self.history_: list[dict[str, float]] = []

    def fit(self, X: NDArray[Any], y: NDArray[Any], groups: NDArray[Any]) -> None:
        """Train from new weights.

        Parameters
        ----------
        X : ndarray, shape (n, [depth,] rows, columns, channels)
            In [0, 1].
        y : ndarray, shape (n,)
            0 benign, 1 malignant.
        groups : ndarray, shape (n,)
            Patient ids.

        Raises
        ------
        ValueError
            For data or settings that cannot be trained with.
        FloatingPointError
            Where the loss stops being finite, naming the epoch.
        """
        fitted, held_out = self.check_and_split(X, y, groups)
        keras = load_keras()
        with seeded(keras, self.seed):
            network = self._train(keras, X, y, fitted, held_out)
        self.accept(keras, network, X, y, fitted, held_out)

    def check_and_split(
        self, X: NDArray[Any], y: NDArray[Any], groups: NDArray[Any]
    ) -> tuple[Indices, Indices]:
        """Rows to fit and rows held out; raises what ``fit`` does for its arguments."""
        self._check_settings()
        check_training(X, y, groups, ndim=VOLUMES if X.ndim == VOLUMES else IMAGES)
        return split_patients(y, groups, self.validation_fraction, self.seed)

    def untrained(self, keras: Any, shape: tuple[int, ...]) -> Any:
        """The first weights, by Keras' present seeds or a file; compiled; logits until ``accept``.

        Keras takes logits by itself on TensorFlow; elsewhere it clips probabilities, and a
        network that starts out certain and wrong has no gradient left and never learns.
        """
        network = self.make_network(keras, shape)
        self.initial.start(network)
        network.layers[-1].activation = keras.activations.linear
        loss = keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=self.label_smoothing
        )
        self.compile(keras, network, loss, [keras.metrics.CategoricalAccuracy("accuracy")])
        self.history_ = []
        return network

    def accept(
        self,
        keras: Any,
        network: Any,
        X: NDArray[Any],
        y: NDArray[Any],
        fitted: Indices,
        held_out: Indices,
    ) -> None:
        """Take a trained network over: softmax, statistics to predict with, threshold."""
        network.layers[-1].activation = keras.activations.softmax
        self.settle(keras, network, X[fitted])
        self._network, self._shape, self.device_ = network, X.shape[1:], device()
        judged = held_out if held_out.size else fitted
        self.threshold_ = youden_threshold(y[judged], self.predict_proba(X[judged])[:, 1])

    def settle(self, keras: Any, network: Any, images: NDArray[Any]) -> None:
        """Give a trained network the statistics to predict with, of the images fitted."""
        if self.batch_statistics == "population":
            use_population_statistics(keras, network, images, self.batch_size)

    def _train(
        self, keras: Any, X: NDArray[Any], y: NDArray[Any], fitted: Indices, held_out: Indices
    ) -> Any:
        network = self.untrained(keras, X.shape[1:])
        self.fit_labels(keras, network, X, y, fitted, held_out)
        return network

    def fit_labels(
        self,
        keras: Any,
        network: Any,
        X: NDArray[Any],
        y: NDArray[Any],
        fitted: Indices,
        held_out: Indices,
    ) -> None:
        """Train a compiled network on labels, from the weights that it has."""
        one_hot = np.eye(2, dtype=np.float32)[y]
        images = X.astype(np.float32, copy=False)
        network.fit(
            images[fitted],
            one_hot[fitted],
            batch_size=self.batch_size,
            epochs=self.epochs,
            class_weight=balanced_weights(y[fitted]) if self.class_weights else None,
            validation_data=(images[held_out], one_hot[held_out]) if held_out.size else None,
            callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=self.record)],
            verbose=0,
        )

    def compile(self, keras: Any, network: Any, loss: Any, metrics: Sequence[Any] = ()) -> None:
        """Compile a network for a loss, with this model's optimiser."""
        from models._fused import Adam

        optimizer = Adam(self.learning_rate, weight_decay=self.weight_decay or None)
        compile_network(keras, network, optimizer, loss, metrics)

    def record(self, epoch: int, logs: Mapping[str, float]) -> None:
        """Add an epoch (from 0) to the history; raise where a value is not finite."""
        row = {"epoch": float(epoch + 1)} | {name: float(value) for name, value in logs.items()}
        for name, value in row.items():
            if not np.isfinite(value):
                raise FloatingPointError(
                    f"epoch {epoch + 1} of {self.epochs}: {name} is {value}; "
                    f"try a learning_rate below {self.learning_rate}"
                )
        self.history_.append(row)
        if self.on_epoch is not None:
            self.on_epoch(epoch + 1, self.epochs)

    def predict_proba(self, X: NDArray[Any]) -> Floats:
        """Probabilities of benign and malignant, shape (n, 2); no augmentation, no dropout.

        Raises
        ------
        ValueError
            For images of another shape than those fitted.
        FloatingPointError
            Where the network's output is not finite.
        """
        images = self._images(X)
        output = np.asarray(
            self._network.predict(images, batch_size=self.batch_size, verbose=0), np.float64
        )
        if not np.isfinite(output).all():
            raise FloatingPointError(
                f"the network's output after epoch {self.epochs} is not finite for "
                f"{int((~np.isfinite(output)).any(axis=1).sum())} of {len(X)} images; "
                f"try a learning_rate below {self.learning_rate}"
            )
        return two_columns(output[:, 1] / output.sum(axis=1))

    def deep_features(self, X: NDArray[Any]) -> Floats:
        """What the network's last layer is given, shape (n, units); X as for ``predict_proba``."""
        keras, network = load_keras(), self._network
        below = keras.Model(network.inputs, network.layers[-1].input)
        found = below.predict(self._images(X), batch_size=self.batch_size, verbose=0)
        return np.asarray(found, np.float64)

    def heat_maps(self, X: NDArray[Any]) -> Floats:
        """Grad-CAM: where in each image the network finds malignancy, by its last convolution.

        Parameters
        ----------
        X : ndarray, shape (n, [depth,] rows, columns, channels)

        Returns
        -------
        ndarray, shape (n, [depth,] rows, columns)
            At least 0; all 0 where nothing speaks for malignancy. See ``_gradcam.heat_maps``.

        Raises
        ------
        ValueError
            For images of another shape than those fitted, or a network without convolution.
        """
        maps = _gradcam.heat_maps(load_keras(), self._network, self._images(X), self.batch_size)
        return _gradcam.stretch(maps, X.shape[1:-1])

    def randomised_rank_correlation(self, X: NDArray[Any], *, draws: int, seed: int) -> Floats:
        """Likeness of heat maps to those of chance weights, see ``_gradcam.likeness_to_shuffled``.

        Parameters
        ----------
        X : ndarray, shape (n, [depth,] rows, columns, channels)
        draws : int
            Shuffled networks to compare with.
        seed : int

        Returns
        -------
        ndarray, shape (n,)
            Spearman's correlation, mean over the draws; near 1 the map says nothing about what
            the network has learnt. NaN for blank maps.
        """
        return _gradcam.likeness_to_shuffled(
            load_keras(), self._network, self._images(X), self.batch_size, draws, seed
        )

    def _images(self, X: NDArray[Any]) -> NDArray[np.float32]:
        check_inputs(X, ndim=len(self._shape) + 1)
        if X.shape[1:] != self._shape:
            raise ValueError(f"X has images of shape {X.shape[1:]}; fitted were {self._shape}")
        return X.astype(np.float32, copy=False)

    def __getstate__(self) -> dict[str, Any]:
        """State that is pickled: settings, and the network as Keras' configuration and weights.

        Without ``on_epoch``, which belongs to whoever watched the training, and without the
        optimiser's state, twice as large as the weights.
        """
        state = self.__dict__ | {"on_epoch": None}
        network = state.pop("_network", None)
        if network is not None:
            layers = load_keras().saving.serialize_keras_object(network)
            state["_stored"] = layers, network.get_weights()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        stored = state.pop("_stored", None)
        self.__dict__.update(state)
        if stored is not None:
            keras = load_keras()
            # Keras finds layers by their registration.
            from models import _attention, _fused, _layers3d  # noqa: F401

            layers, weights = stored
            self._network = keras.saving.deserialize_keras_object(layers)
            self._network.set_weights(weights)
            compile_network(keras, self._network)

    def _check_settings(self) -> None:
        for name, number in (("epochs", self.epochs), ("batch_size", self.batch_size)):
            if number < 1:
                raise ValueError(f"{name} is {number}; it must be at least 1")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate is {self.learning_rate}; it must be above 0")
        if not 0 <= self.validation_fraction < 1:
            raise ValueError(
                f"validation_fraction is {self.validation_fraction}; it must be in [0, 1)"
            )


def balanced_weights(y: NDArray[Any]) -> dict[int, float]:
    """Weight of each class, n / (2 n_class): both then weigh as much in the loss."""
    return {label: len(y) / (2 * int((y == label).sum())) for label in (0, 1)}
