"""Mixed link networks with boosting: who sees which nodules, what is stored and told."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

from models import cmixnet
from models._backend import load_keras
from models._keras import KerasClassifier
from models._tabular import TunedClassifier
from tests.helpers.backends import on_backend
from tests.helpers.volumes import noisy_cubes


def test_the_mixed_link_networks_channels() -> None:
    make = cmixnet.build(0).network.keywords["make_network"]
    net = make(load_keras(), (32, 32, 32, 1))
    assert net.count_params() == 457_866
    links = [link.output.shape[-1] for link in net.layers if type(link).__name__ == "MixedLink"]
    assert links == [44, 56, 68, 80, 52, 64, 76, 88, 56, 68, 80, 92]
    widths = [(c.filters, c.kernel_size[0]) for c in net.layers if type(c).__name__ == "Conv3D"]
    assert widths.count((48, 1)) == widths.count((12, 3)) == 2 * 12


def test_boosters_never_see_what_their_network_was_fitted_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Spies on every fit: which nodules, of which patients, each network and booster sees."""
    X, y, groups = noisy_cubes()
    networks: list[set[str]] = []
    boosters: list[tuple[set[str], np.ndarray]] = []
    fit_network, fit_booster = KerasClassifier.fit, TunedClassifier.fit

    def network_spy(self: Any, X_: Any, y_: Any, groups_: Any) -> None:
        networks.append(set(groups_))
        fit_network(self, X_, y_, groups_)

    def booster_spy(self: Any, X_: Any, y_: Any, groups_: Any) -> None:
        boosters.append((set(groups_), X_))
        fit_booster(self, X_, y_, groups_)

    monkeypatch.setattr(KerasClassifier, "fit", network_spy)
    monkeypatch.setattr(TunedClassifier, "fit", booster_spy)
    model = cmixnet.build(0, blocks=(1,), epochs=1, inner_folds=3, trees=(15,), max_depth=(1,))
    model.fit(X, y, groups)
    assert len(networks) == len(boosters) == 3
    for seen, (held_out, features) in zip(networks, boosters, strict=True):
        assert not seen & held_out
        assert seen | held_out == set(groups)
        assert features.shape == (np.isin(groups, list(held_out)).sum(), 32 + 12)
    assert set.union(*(held_out for held_out, _ in boosters)) == set(groups)
    # What boosters were given are the features of the network that stands beside them.
    for (net, _), (held_out, features) in zip(model._pairs, boosters, strict=True):
        rows = np.isin(groups, list(held_out))
        np.testing.assert_allclose(net.deep_features(X[rows]), features, atol=1e-6)
    expected = [booster.predict_proba(net.deep_features(X)) for net, booster in model._pairs]
    np.testing.assert_allclose(model.predict_proba(X), np.mean(expected, axis=0), atol=1e-9)


def test_it_is_stored_and_tells_epochs_and_choices() -> None:
    X, y, groups = noisy_cubes()
    model = cmixnet.build(0, blocks=(1,), epochs=2, trees=(15, 30))
    calls: list[tuple[int, int]] = []
    model.on_epoch = lambda done, total: calls.append((done, total))
    model.fit(X, y, groups)
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert [row["epoch"] for row in model.history_] == [1, 2]
    names = [choice["setting"] for choice in model.choices_]
    assert names == [
        f"{what} {i}" for i in (1, 2) for what in ("max_depth", "trees", "calibration")
    ]
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    assert again.on_epoch is None


CHILD = """
import json
from models import cmixnet
from tests.helpers.volumes import lit_cubes
X_new, y_new, _ = lit_cubes(24, 1)
model = cmixnet.build(3, blocks=(1,), epochs=6, batch_size=8)
model.fit(*lit_cubes(48, 0))
print(json.dumps(float(((model.predict_proba(X_new)[:, 1] >= 0.5) == y_new).mean())))
"""


@pytest.mark.backends
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_other_backends_learn(backend: str) -> None:
    assert on_backend(backend, CHILD) > 0.8  # half by chance
