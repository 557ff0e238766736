"""Graph convolution over the training nodules, each joined to those that resemble it (Ma et al.).

After the population graph among the readings of Ma et al., BMC Pulm Med 2023;23:474: nodes are
nodules, edges lead from a nodule's nearest neighbours by radiomics, and layers are those of Kipf &
Welling 2017 (arXiv:1609.02907). No reproduction: graph, selection of columns and unit of the folds
are not public. The publication has, for its whole system on LIDC-IDRI, 10 folds of an unknown unit:
AUC .963, accuracy .9325, sensitivity .8922, specificity .9582. A public re-study of such a graph,
with readers' ratings among the features, had .949 where a network without edges had .968.

Such a graph leaks easily. Here edges lead from training nodules alone: training nodules, of other
patients, to a training nodule, and training nodules to a tested one. Each tested nodule enters by
itself, so that no other tested nodule reaches it by any number of hops. Columns are scaled and
selected on the rows that are fitted, and nothing is stopped or chosen by a tested fold.

Set beforehand, on no data: widths a quarter of the re-study's 256-128-64, for 600 nodules in place
of thousands; 5 neighbours; dropout, learning rate and epochs of Kipf & Welling; their decay, of all
weights. All nodes have as many incoming edges, so that D^-1/2 (A + I) D^-1/2 by incoming edges is a
mean. ``neighbours = 0`` leaves no edge: the network with the same weights that is to be beaten.
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from annotated_types import Ge
from numpy.typing import NDArray

from models._backend import compile_network, device, load_keras, seeded
from models._calibration import apply_platt, at_whole_prevalence, choose_sigmoid
from models._rules import AtLeastZero, Count, Counts, Folds, Positive, Share, ShareBelowOne
from models._threshold import youden_threshold
from models._training import (
    Floats,
    Indices,
    check_inputs,
    check_training,
    inner_splits,
    two_columns,
)

__all__ = ["FEATURES", "build", "device"]

FEATURES = "radiomics"


def build(
    seed: int,
    *,
    jobs: int = 1,
    neighbours: Annotated[int, Ge(0)] = 5,
    widths: Counts = (64, 32, 16),
    dropout: ShareBelowOne = 0.5,
    learning_rate: Positive = 0.01,
    weight_decay: AtLeastZero = 0.0005,
    epochs: Count = 200,
    max_correlation: Share = 0.95,
    inner_folds: Folds = 5,
) -> PopulationGraph:
    """Standardised, decorrelated columns; graph convolutions; calibration and threshold.

    Parameters
    ----------
    seed : int
        Of weights, dropout and inner folds.
    jobs : int
        Changes nothing: the backend takes the cores that it finds.
    neighbours : int
        Training nodules whose edges lead to a nodule; 0 for the network without a graph.
    widths : tuple of int
        Of the layers before the last, which has two outputs.
    dropout : float
        Share of each layer's inputs dropped in training, in [0, 1).
    learning_rate, weight_decay : float
        Of AdamW.
    epochs : int
        Steps, each on all training nodules.
    max_correlation : float
        Columns that correlate more (Spearman, absolute) with an earlier one are dropped.
    inner_folds : int
        They serve calibration and threshold only.
    """
    load_keras()  # here, so that no import falls into a timed fit
    return PopulationGraph(
        seed=seed,
        neighbours=neighbours,
        widths=widths,
        dropout=dropout,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        epochs=epochs,
        max_correlation=max_correlation,
        inner_folds=inner_folds,
    )


class PopulationGraph:
    """Graph convolutions fitted on training nodules; see ``build`` for its parameters.

    Attributes
    ----------
    threshold_ : float
        On P(malignant), see ``youden_threshold``; chosen on scores of the inner folds.
    device_ : str
        What it was trained on. Predictions are made on the CPU, in double precision.
    """

    threshold_: float
    device_: str

    def __init__(
        self,
        *,
        seed: int,
        neighbours: int,
        widths: tuple[int, ...],
        dropout: float,
        learning_rate: float,
        weight_decay: float,
        epochs: int,
        max_correlation: float,
        inner_folds: int,
    ) -> None:
        self.seed = seed
        self.neighbours = neighbours
        self.widths = widths
        self.dropout = dropout
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.epochs = epochs
        self.max_correlation = max_correlation
        self.inner_folds = inner_folds

    def fit(self, X: NDArray[Any], y: NDArray[Any], groups: NDArray[Any]) -> None:
        """Fit on all rows; calibration and threshold on scores out of inner folds.

        Parameters
        ----------
        X : ndarray, shape (n, p)
        y : ndarray, shape (n,)
            0 benign, 1 malignant.
        groups : ndarray, shape (n,)
            Patient ids; no edge joins two training nodules of one patient.

        Raises
        ------
        ValueError
            For data that cannot be learnt from or split into two inner folds.
        FloatingPointError
            Where weights stop being finite.
        """
        check_training(X, y, groups, ndim=2)
        splits = inner_splits(y, groups, self.inner_folds, self.seed)
        held_out = np.empty(len(y))
        for fitted, tested in splits:
            graph = self._fit_graph(X[fitted], y[fitted], groups[fitted])
            held_out[tested] = graph.log_odds(X[tested])
        held_out = at_whole_prevalence(held_out, y, splits)
        self._sigmoid = choose_sigmoid(held_out, y, groups, splits)
        self.threshold_ = youden_threshold(y, apply_platt(held_out, self._sigmoid))
        self._graph = self._fit_graph(X, y, groups)
        self._columns, self.device_ = X.shape[1], device()

    def predict_proba(self, X: NDArray[Any]) -> Floats:
        """Probabilities of benign and malignant, shape (n, 2), of rows of shape (n, p).

        Each row by itself, whatever other rows there are.

        Raises
        ------
        ValueError
            For another number of columns than fitted.
        """
        check_inputs(X, ndim=2)
        if X.shape[1] != self._columns:
            raise ValueError(f"X has {X.shape[1]} columns; the model was fitted on {self._columns}")
        return two_columns(apply_platt(self._graph.log_odds(X), self._sigmoid))

    def _fit_graph(self, X: NDArray[Any], y: NDArray[Any], groups: NDArray[Any]) -> Graph:
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        from models._decorrelate import Decorrelate

        columns = make_pipeline(Decorrelate(self.max_correlation), StandardScaler())
        nodes = columns.fit_transform(X)
        sources = training_edges(nodes, groups, self.neighbours)
        weights = self._train(nodes, sources, y)
        return Graph(columns, nodes, sources, weights)

    def _train(self, nodes: Floats, sources: Indices, y: NDArray[Any]) -> list[Floats]:
        """Kernel and bias of each layer, in turn, trained on all nodes at once."""
        keras = load_keras()
        n = len(nodes)
        mixing = np.eye(n)
        mixing[np.arange(n)[:, None], sources] = 1
        mixing /= 1 + sources.shape[1]
        with seeded(keras, self.seed):
            network = self._network(keras, nodes.shape)
            inputs = [each[None].astype(np.float32) for each in (nodes, mixing)]
            one_hot = np.eye(2, dtype=np.float32)[y][None]
            for _ in range(self.epochs):  # fit() would take ten times as long for single steps
                network.train_on_batch(inputs, one_hot)
        weights = [np.asarray(each, np.float64) for each in network.get_weights()]
        if not all(np.isfinite(each).all() for each in weights):
            raise FloatingPointError(
                f"weights after epoch {self.epochs} are not finite; "
                f"try a learning_rate below {self.learning_rate}"
            )
        return weights

    def _network(self, keras: Any, shape: tuple[int, ...]) -> Any:
        """Compiled network: nodes (1, n, p) and their mixing (1, n, n) to logits (1, n, 2)."""
        nodes = keras.Input(shape)
        mixing = keras.Input((shape[0], shape[0]))
        hidden = nodes
        for width in self.widths:
            hidden = keras.layers.Dropout(self.dropout)(hidden)
            hidden = keras.ops.matmul(mixing, keras.layers.Dense(width)(hidden))
            hidden = keras.layers.ReLU()(hidden)
        hidden = keras.layers.Dropout(self.dropout)(hidden)
        network = keras.Model(
            [nodes, mixing], keras.ops.matmul(mixing, keras.layers.Dense(2)(hidden))
        )
        compile_network(
            keras,
            network,
            keras.optimizers.AdamW(self.learning_rate, weight_decay=self.weight_decay),
            keras.losses.CategoricalCrossentropy(from_logits=True),
        )
        return network


class Graph:
    """Fitted graph convolutions, and the training nodules that edges lead from.

    Parameters
    ----------
    columns : sklearn.pipeline.Pipeline
        Fitted; makes columns of nodes from those of X.
    nodes : ndarray, shape (n, q)
        Training nodules.
    sources : ndarray of int, shape (n, k)
        Training nodules that edges lead from, to each of them.
    weights : list of ndarray
        Kernel and bias of each layer, in turn.
    """

    def __init__(self, columns: Any, nodes: Floats, sources: Indices, weights: list[Floats]):
        self._columns = columns
        self._layers = list(zip(weights[::2], weights[1::2], strict=True))
        self._k = sources.shape[1]
        # What each layer is given of the training nodules, which no tested one reaches.
        self._states = [nodes]
        for kernel, bias in self._layers[:-1]:
            last = self._states[-1]
            mean = (last + last[sources].sum(axis=1)) / (1 + self._k)
            self._states.append(np.maximum(mean @ kernel + bias, 0))

    def log_odds(self, X: NDArray[Any]) -> Floats:
        """Log-odds of malignancy of rows of X, shape (n,), each by itself."""
        return np.array([self._log_odds_of(node) for node in self._columns.transform(X)])

    def _log_odds_of(self, node: Floats) -> float:
        sources = nearest(node, self._states[0], self._k)
        for number, (kernel, bias) in enumerate(self._layers):
            mean = (node + self._states[number][sources].sum(axis=0)) / (1 + self._k)
            node = mean @ kernel + bias
            if number < len(self._layers) - 1:
                node = np.maximum(node, 0)
        return float(node[1] - node[0])


def nearest(node: Floats, others: Floats, k: int) -> Indices:
    """The k rows of ``others``, shape (n, q), nearest to a node, shape (q,); first of equals."""
    return np.argsort(((others - node) ** 2).sum(axis=1), kind="stable")[:k]


def training_edges(nodes: Floats, groups: NDArray[Any], k: int) -> Indices:
    """Training nodules nearest to each of the training nodules, none of its own patient.

    Parameters
    ----------
    nodes : ndarray, shape (n, q)
    groups : ndarray, shape (n,)
        Patient ids.
    k : int
        As many, or fewer where some nodule has fewer nodules of other patients.

    Returns
    -------
    ndarray of int, shape (n, k)
    """
    k = min(k, len(groups) - int(np.unique(groups, return_counts=True)[1].max()))
    sources = np.empty((len(nodes), k), np.intp)
    for row, (node, patient) in enumerate(zip(nodes, groups, strict=True)):
        others = np.flatnonzero(groups != patient)
        sources[row] = others[nearest(node, nodes[others], k)]
    return sources
