"""CNN, graph of its cells and radiomics columns: graph, selection, independence of nodules."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from models import fusion_rgd
from models._backend import load_keras
from models._cell_graph import cell_graph
from models._training import split_patients
from tests.helpers.backends import on_backend


def made(n: int, seed: int) -> tuple[dict[str, Any], Any, Any]:
    """Images of noise and a table whose first two columns tell; patients with two nodules each."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) // 2 % 2
    images = rng.normal(0.4, 0.1, (n, 32, 32, 1)).astype(np.float32)
    table = rng.normal(size=(n, 12))
    table[:, :2] += 2.5 * y[:, None]
    return {"images": images, "table": table}, y, np.array([f"p{i // 2}" for i in range(n)])


def quick(**settings: Any) -> Any:
    return fusion_rgd.build(0, **({"epochs": 8, "batch_size": 8, "columns": 4} | settings))


@pytest.fixture(scope="module")
def fitted() -> Any:
    model = quick(learning_rate=0.003)
    model.fit(*made(60, 0))
    return model


def test_graph_of_cells_by_hand() -> None:
    """Two pairs of like cells and one between: neighbours by cosine, in both directions."""
    ops = load_keras().ops
    cells = np.array([[[1, 0], [2, 0.1], [0, 1], [0.1, 3], [1, 0.9]]], np.float32)
    found = ops.convert_to_numpy(cell_graph(ops, ops.convert_to_tensor(cells), 1))[0]
    # The last is most like the second; length does not count.
    joined = np.eye(5)
    for a, b in [(0, 1), (2, 3), (1, 4)]:
        joined[a, b] = joined[b, a] = 1
    degrees = joined.sum(axis=1)
    np.testing.assert_allclose(found, joined / np.sqrt(np.outer(degrees, degrees)), rtol=1e-6)
    all_joined = ops.convert_to_numpy(cell_graph(ops, ops.convert_to_tensor(cells), 9))[0]
    np.testing.assert_allclose(all_joined, np.full((5, 5), 0.2), rtol=1e-6)


def test_radiomics_are_learnt_from(fitted: Any) -> None:
    X, y, _ = made(100, 1)
    assert set(fitted.selected_) >= {0, 1}
    assert len(fitted.selected_) == 4
    # The images are noise; of the two heads' mean one half is.
    assert roc_auc_score(y, fitted.predict_proba(X)[:, 1]) > 0.9


def test_tested_nodules_do_not_reach_each_other(fitted: Any) -> None:
    """Alone, among others and in another order: the same bits."""
    X = made(20, 2)[0]
    together = fitted.predict_proba(X)
    alone = [fitted.predict_proba({k: v[n : n + 1] for k, v in X.items()})[0] for n in range(20)]
    np.testing.assert_array_equal(together, alone)
    order = np.random.default_rng(3).permutation(20)
    again = fitted.predict_proba({name: values[order] for name, values in X.items()})
    np.testing.assert_array_equal(again, together[order])


def test_columns_are_selected_on_patients_that_are_fitted() -> None:
    """In held-out patients other columns tell; neither choice nor scale may know."""
    X, y, groups = made(60, 0)
    model = quick(epochs=1)
    model.fit(X, y, groups)
    _, held_out = split_patients(y, groups, model.validation_fraction, model.seed)
    assert 0 < len(held_out) < len(y)
    changed = X["table"].copy()
    changed[held_out, 4:8] += 40.0 * y[held_out, None] + 100.0
    other = quick(epochs=1)
    other.fit(X | {"table": changed}, y, groups)
    np.testing.assert_array_equal(other.selected_, model.selected_)
    np.testing.assert_array_equal(other._mean, model._mean)
    np.testing.assert_array_equal(other._deviation, model._deviation)


def test_a_stored_model_predicts_the_same(fitted: Any) -> None:
    X = made(6, 4)[0]
    stored = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(stored.predict_proba(X), fitted.predict_proba(X))


def test_both_heads_count() -> None:
    """Without images that tell, and without a table, there is nothing left to learn from."""
    keras = load_keras()
    model = quick(augment=False)
    X, _, _ = made(4, 0)
    model.selected_, model._shapes = np.arange(4), (X["images"].shape[1:], 12)
    network = model._untrained(keras)
    assert network.output_shape == (None, 2, 2)
    inputs = [X["images"], X["table"][:, :4].astype(np.float32)]
    first = network.predict(inputs, verbose=0)
    inputs[1] = inputs[1] + 1
    second = network.predict(inputs, verbose=0)
    np.testing.assert_array_equal(first[:, 0], second[:, 0])  # the CNN's head sees no columns
    assert not np.allclose(first[:, 1], second[:, 1])


def test_large_images_are_halved() -> None:
    model = quick()
    model.selected_, model._shapes = np.arange(0), ((124, 124, 1), 0)
    network = model._untrained(load_keras())
    (cells,) = (layer for layer in network.layers if type(layer).__name__ == "Reshape")
    assert cells.output.shape == (None, 49, 64)  # 124, 62, 31, 15, 7


def test_what_it_cannot_be_fed_is_refused(fitted: Any) -> None:
    X, y, groups = made(20, 5)
    with pytest.raises(ValueError, match="0 feature sets of images; fusion_rgd needs one"):
        quick().fit({"table": X["table"]}, y, groups)
    with pytest.raises(ValueError, match="2 feature sets of images"):
        quick().fit(X | {"more": X["images"]}, y, groups)
    with pytest.raises(ValueError, match="sides must be at least 16 pixels"):
        quick().fit({"images": X["images"][:, :12, :12]}, y, groups)
    with pytest.raises(ValueError, match="and 11 columns; fitted were"):
        fitted.predict_proba(X | {"table": X["table"][:, :11]})


@pytest.mark.backends
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_other_backends_learn_too(backend: str) -> None:
    auc = on_backend(
        backend,
        "import json\n"
        "import numpy as np\n"
        "from sklearn.metrics import roc_auc_score\n"
        "from models import fusion_rgd\n"
        "y = np.arange(160) // 2 % 2\n"
        "rng = np.random.default_rng(0)\n"
        "images = rng.normal(0.4, 0.1, (160, 16, 16, 1)).astype(np.float32)\n"
        "table = rng.normal(size=(160, 12))\n"
        "table[:, :2] += 2.5 * y[:, None]\n"
        "model = fusion_rgd.build(0, epochs=8, batch_size=8, columns=4, learning_rate=0.003)\n"
        "fitted, tested = ({'i': images[r], 't': table[r]} for r in (slice(60), slice(60, 160)))\n"
        "model.fit(fitted, y[:60], (np.arange(60) // 2).astype(str))\n"
        "print(json.dumps(roc_auc_score(y[60:], model.predict_proba(tested)[:, 1])))",
    )
    assert auc > 0.85  # of the two heads' mean one half is noise
