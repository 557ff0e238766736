"""Graph of training nodules: who reaches whom, and that tested nodules never reach each other."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import pytest

from models import population_graph
from models._backend import load_keras
from models.population_graph import Graph, nearest, training_edges
from tests.helpers.backends import on_backend


def made(n: int, seed: int) -> tuple[Any, Any, Any]:
    """Rows of patients with two nodules each; malignant ones are 2 SD apart in two columns."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) // 2 % 2
    X = rng.normal(size=(n, 8))
    X[:, :2] += 2.0 * y[:, None]
    return X, y, np.array([f"p{i // 2}" for i in range(n)])


def quick(**settings: Any) -> Any:
    return population_graph.build(0, **({"epochs": 30, "inner_folds": 2} | settings))


@pytest.fixture(scope="module")
def fitted() -> Any:
    model = quick()
    model.fit(*made(60, 0))
    return model


def test_tested_nodules_do_not_reach_each_other(fitted: Any) -> None:
    """Alone, among others, among copies of itself and in another order: the same bits."""
    X = made(40, 1)[0]
    together = fitted.predict_proba(X)
    alone = np.concatenate([fitted.predict_proba(row[None]) for row in X])
    np.testing.assert_array_equal(together, alone)
    order = np.random.default_rng(2).permutation(len(X))
    np.testing.assert_array_equal(fitted.predict_proba(X[order]), together[order])
    crowd = np.concatenate([X, np.repeat(X[:1], 20, axis=0), X + 0.01])
    np.testing.assert_array_equal(fitted.predict_proba(crowd)[: len(X)], together)


def test_no_edge_joins_nodules_of_a_patient() -> None:
    nodes = np.array([[0.0], [0.1], [1.0], [1.1], [5.0]])
    groups = np.array(["a", "a", "b", "b", "c"])
    np.testing.assert_array_equal(
        training_edges(nodes, groups, 2), [[2, 3], [2, 3], [1, 0], [1, 0], [3, 2]]
    )
    # Of five nodules, three are of other patients than a's and b's.
    assert training_edges(nodes, groups, 9).shape == (5, 3)
    assert training_edges(nodes, groups, 0).shape == (5, 0)
    np.testing.assert_array_equal(nearest(np.array([1.0]), nodes[[2, 2, 0]], 2), [0, 1])


def test_predictions_are_those_of_the_network_with_one_node_more() -> None:
    """Formula in double precision against the network in Keras, edges from training nodes alone."""
    X, _, groups = made(40, 3)
    model, keras = quick(neighbours=3, widths=(7, 4)), load_keras()
    sources = training_edges(X, groups, 3)
    tested = made(1, 4)[0][0]
    everyone = np.vstack([X, tested])
    mixing = np.eye(41)
    mixing[np.arange(40)[:, None], sources] = 1
    mixing[40, nearest(tested, X, 3)] = 1
    network = model._network(keras, everyone.shape)
    rng = np.random.default_rng(5)
    weights = [rng.normal(size=each.shape) for each in network.get_weights()]
    network.set_weights(weights)
    logits = network.predict([everyone[None], mixing[None] / 4], verbose=0)[0, 40]

    class Unchanged:
        def transform(self, given: Any) -> Any:
            return given

    (found,) = Graph(Unchanged(), X, sources, weights).log_odds(tested[None])
    # float32 against float64, logits of about ten.
    assert found == pytest.approx(logits[1] - logits[0], abs=1e-4)


def test_without_neighbours_it_is_a_network_of_the_same_weights(fitted: Any) -> None:
    alone = quick(neighbours=0)
    alone.fit(*made(60, 0))

    def n_weights(model: Any) -> int:
        return sum(kernel.size + bias.size for kernel, bias in model._graph._layers)

    assert n_weights(alone) == n_weights(fitted)
    # Training nodes have no part in it.
    X = made(10, 6)[0]
    for model, reached in ((alone, False), (deepcopy(fitted), True)):
        before = model.predict_proba(X)
        model._graph._states = [states + 1.0 for states in model._graph._states]
        assert np.array_equal(model.predict_proba(X), before) is not reached


def test_columns_are_selected_on_the_rows_that_are_fitted(monkeypatch: pytest.MonkeyPatch) -> None:
    from models._decorrelate import Decorrelate

    seen: list[Any] = []
    select = Decorrelate.fit

    def record(self: Any, X: Any, y: Any = None) -> Any:
        seen.append(X.copy())
        return select(self, X, y)

    monkeypatch.setattr(Decorrelate, "fit", record)
    X, y, groups = made(60, 0)
    quick(epochs=1).fit(X, y, groups)
    *inner, whole = seen
    np.testing.assert_array_equal(whole, X)
    # Two inner folds: each row is fitted once and held out once, with its patient.
    assert sorted(row[0] for rows in inner for row in rows) == sorted(X[:, 0])
    patients = [set(groups[np.isin(X[:, 0], rows[:, 0])]) for rows in inner]
    assert not patients[0] & patients[1]


@pytest.mark.backends
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_other_backends_learn_too(backend: str) -> None:
    auc = on_backend(
        backend,
        "import json\n"
        "import numpy as np\n"
        "from sklearn.metrics import roc_auc_score\n"
        "from models import population_graph\n"
        "y = np.arange(260) // 2 % 2\n"
        "X = np.random.default_rng(0).normal(size=(260, 8))\n"
        "X[:, :2] += 2.0 * y[:, None]\n"
        "model = population_graph.build(0, epochs=30, inner_folds=2)\n"
        "model.fit(X[:60], y[:60], (np.arange(60) // 2).astype(str))\n"
        "print(json.dumps(roc_auc_score(y[60:], model.predict_proba(X[60:])[:, 1])))",
    )
    assert auc > 0.9  # two columns 2 SD apart: the best possible is .977
