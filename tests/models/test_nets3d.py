"""The 3D networks: their layers and sizes, what moves in training, and their explanations."""

from __future__ import annotations

import pickle
from functools import partial
from typing import Any

import numpy as np
import pytest

from models import _gradcam, _nets3d, checkpoint_ensemble, dense3d, shortcut3d
from models._backend import load_keras, seeded
from tests.helpers.backends import on_backend
from tests.helpers.volumes import lit_cubes, noisy_cubes

SHAPE = (32, 32, 32, 1)
PARAMETERS = {
    # Convolutions, 4 values for each channel that is normalised, and the dense layer.
    "dense3d": 404_850,
    "shortcut3d": 2_061_154,
}


def network(name: str) -> Any:
    module = {"dense3d": dense3d, "shortcut3d": shortcut3d}[name]
    return module.build(0).make_network(load_keras(), SHAPE)


def of_kind(net: Any, kind: str) -> list[Any]:
    return [layer for layer in net.layers if type(layer).__name__ == kind]


@pytest.mark.parametrize(("name", "parameters"), PARAMETERS.items())
def test_stem_end_and_parameter_count(name: str, parameters: int) -> None:
    net = network(name)
    assert net.count_params() == parameters
    first = [type(layer).__name__ for layer in net.layers[:7]]
    assert first == [
        *["InputLayer", "RandomSymmetry", "Rescaling", "Conv3D", "BatchNormalization"],
        *["Activation", "MaxPooling3D"],
    ]
    stem, pool = net.layers[3], net.layers[6]
    assert (stem.filters, stem.kernel_size, stem.strides) == (32, (3, 3, 3), (2, 2, 2))
    assert (stem.padding, stem.use_bias) == ("same", False)
    assert (pool.pool_size, pool.strides, pool.output.shape[1:]) == (
        (3, 3, 3),
        (2, 2, 2),
        (8, 8, 8, 32),
    )
    maps, mean, out = net.layers[-3:]
    assert (maps.name, maps.activation.__name__) == (_gradcam.MAPS, "relu")
    assert type(mean).__name__ == "GlobalAveragePooling3D"
    assert (out.units, out.activation.__name__) == (2, "softmax")
    scaled = net.layers[2](np.array([[0.0, 0.5, 1.0]], np.float32))
    np.testing.assert_array_equal(load_keras().ops.convert_to_numpy(scaled), [[-1, 0, 1]])


def test_the_dense_networks_layers_are_densesharps() -> None:
    net = network("dense3d")
    convolutions = [
        (c.filters, c.kernel_size[0], c.output.shape[1]) for c in of_kind(net, "Conv3D")
    ]
    layers = [[(64, 1, side), (16, 3, side)] * 4 for side in (8, 4, 2)]
    # After a block of 32 + 4 x 16 channels 48, after one of 48 + 64 56.
    assert convolutions == [
        (32, 3, 16), *layers[0], (48, 1, 8), *layers[1], (56, 1, 4), *layers[2],
    ]  # fmt: skip
    assert [pool.output.shape[1] for pool in of_kind(net, "AveragePooling3D")] == [4, 2]
    assert net.layers[-1].input.shape[-1] == 56 + 64
    assert {type(c.kernel_initializer).__name__ for c in of_kind(net, "Conv3D")} == {"HeUniform"}


def test_the_twins_stages_are_residual() -> None:
    net = network("shortcut3d")
    assert [(add.output.shape[1], add.output.shape[-1]) for add in of_kind(net, "Add")] == [
        (8, 32), (8, 32), (4, 64), (4, 64), (2, 128), (2, 128),
    ]  # fmt: skip
    shortcuts = [c for c in of_kind(net, "Conv3D") if c.kernel_size == (1, 1, 1)]
    assert [(c.filters, c.strides[0]) for c in shortcuts] == [(64, 2), (128, 2)]


@pytest.mark.parametrize(("k1", "k2"), [(2, 3), (0, 3), (5, 0)])
def test_a_mixed_link_layer_is_the_formula(k1: int, k2: int) -> None:
    """concat(x[:c - k1], x[c - k1:] + inner, outer), from weights by hand, in NumPy."""
    keras = load_keras()
    with seeded(keras, 0):
        entry = keras.Input((4, 4, 4, 5))
        net = keras.Model(entry, _nets3d.mixed_link(keras, entry, k1, k2))
    x = np.random.default_rng(0).normal(size=(2, 4, 4, 4, 5)).astype(np.float32)
    weights = {w.path: keras.ops.convert_to_numpy(w) for w in net.weights}
    kernels = [w for w in weights.values() if w.ndim == 5]

    def link(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        # With the statistics that it begins with, batch normalisation divides by sqrt(1.001).
        hidden = np.maximum(x, 0) / np.sqrt(1.001) @ first[0, 0, 0]
        hidden = np.pad(np.maximum(hidden, 0) / np.sqrt(1.001), [(0, 0), *[(1, 1)] * 3, (0, 0)])
        return np.asarray(
            sum(
                hidden[:, z : z + 4, y : y + 4, r : r + 4] @ second[z, y, r]
                for z in range(3)
                for y in range(3)
                for r in range(3)
            )
        )

    by_width = {k.shape[-1]: k for k in kernels}
    inner = link(by_width[4 * k1], by_width[k1]) if k1 else np.zeros((2, 4, 4, 4, 0))
    outer = link(by_width[4 * k2], by_width[k2]) if k2 else np.zeros((2, 4, 4, 4, 0))
    expected = np.concatenate([x[..., : 5 - k1], x[..., 5 - k1 :] + inner, outer], axis=-1)
    if k1 == 0:
        np.testing.assert_array_equal(expected[..., :5], x)  # DenseNet: what came before stays
    if k1 == 5:
        np.testing.assert_allclose(expected, x + inner)  # a residual network's block
    found = keras.ops.convert_to_numpy(net(x, training=False))
    assert found.shape == (2, 4, 4, 4, 5 + k2)
    np.testing.assert_allclose(found, expected, atol=1e-5)  # float32 sums of 27 x 20 products


def moved(X: np.ndarray, shift: int, training: bool = True) -> np.ndarray:
    from models._layers3d import RandomSymmetry

    keras = load_keras()
    with seeded(keras, 1):
        return np.asarray(keras.ops.convert_to_numpy(RandomSymmetry(shift)(X, training=training)))


def test_symmetries_are_the_48_of_the_cube() -> None:
    from models._layers3d import SYMMETRIES

    assert len({tuple(each.ravel()) for each in SYMMETRIES}) == 48
    for each in SYMMETRIES:
        np.testing.assert_array_equal(each @ each.T, np.eye(3))


def test_cubes_are_turned_mirrored_and_shifted_whole() -> None:
    rng = np.random.default_rng(0)
    cube = np.zeros((9, 9, 9, 2), np.float32)
    cube[3:6, 3:6, 3:6, 0] = rng.random((3, 3, 3))
    cube[..., 1] = 2 * cube[..., 0]
    X = np.repeat(cube[None], 400, axis=0)
    found = moved(X, 3)
    np.testing.assert_array_equal(found[..., 1], 2 * found[..., 0])  # channels stay together
    poses = set()
    starts = []
    for each in found[..., 0]:
        inside = np.argwhere(each)
        start = inside.min(axis=0)
        starts.append(start - 3)
        part = each[tuple(slice(s, s + 3) for s in start)]
        assert sorted(part.ravel()) == sorted(cube[3:6, 3:6, 3:6, 0].ravel())
        poses.add(part.tobytes())
    # Of 48, the share that 400 draws miss is (47/48)^400, .02 %.
    assert len(poses) == 48
    assert {tuple(np.unique(along)) for along in np.array(starts).T} == {tuple(range(-3, 4))}
    np.testing.assert_array_equal(moved(X, 3, training=False), X)


def test_what_is_shifted_in_is_air() -> None:
    found = moved(np.ones((60, 8, 8, 8, 1), np.float32), 3)
    shares = found.mean(axis=(1, 2, 3, 4))
    sides = {round(float(s * 512)) for s in shares}
    assert sides <= {a * b * c for a in range(5, 9) for b in range(5, 9) for c in range(5, 9)}
    assert len(sides) > 5
    assert set(np.unique(found)) == {0.0, 1.0}


def test_planes_and_boxes_are_refused() -> None:
    for shape in ((124, 124, 1), (32, 32, 16, 1), (8, 8, 8, 1)):
        with pytest.raises(ValueError, match=r"cubes .* sides of at least 16 voxels"):
            dense3d.build(0).make_network(load_keras(), shape)
    X, y, groups = lit_cubes(20, 0)
    from models import paper_cnn

    with pytest.raises(ValueError, match=r"\(rows, columns, channels\)"):
        paper_cnn.build(0).fit(X, y, groups)


@pytest.mark.parametrize("module", [dense3d, shortcut3d])
def test_heat_maps_find_the_lit_corner(module: Any) -> None:
    """Grad-CAM in space: two cells of eight voxels a side, one of which holds what decides."""
    model = module.build(1, blocks=(1,), epochs=6, batch_size=8, augment=False)
    model.fit(*lit_cubes(48, 0))
    X, y, _ = lit_cubes(24, 1)
    p = model.predict_proba(X)[:, 1]
    assert ((p >= 0.5) == y).mean() > 0.9
    maps = model.heat_maps(X)
    assert maps.shape == X.shape[:-1]
    heat = maps[y == 1]
    lit = heat[:, :8, :8, :8].sum(axis=(1, 2, 3)) / heat.sum(axis=(1, 2, 3))
    assert np.median(lit) > 0.25  # an eighth by chance
    assert model.randomised_rank_correlation(X[:4], draws=1, seed=0).shape == (4,)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict_proba(X)[:, 1], p)


def test_grad_cam_watches_all_channels_that_are_pooled() -> None:
    net = network("dense3d")
    assert _gradcam.last_maps(load_keras(), net).output.shape[-1] == 120
    keras = load_keras()
    plain = keras.Sequential([keras.Input((4, 4, 4, 1)), keras.layers.Conv3D(2, 1)])
    assert _gradcam.last_maps(keras, plain) is plain.layers[-1]


CHILD = """
import json
import numpy as np
from models import dense3d
from tests.helpers.volumes import lit_cubes
X_new, y_new, _ = lit_cubes(24, 1)
outputs = []
for _ in range(2):
    model = dense3d.build(3, blocks=(1,), epochs=6, batch_size=8)
    model.fit(*lit_cubes(48, 0))
    outputs.append(model.predict_proba(X_new))
heat = model.heat_maps(X_new)
print(json.dumps({
    "equal": bool((outputs[0] == outputs[1]).all()),
    "right": float(((outputs[1][:, 1] >= 0.5) == y_new).mean()),
    "heat": list(heat.shape),
}))
"""


@pytest.mark.backends
@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_every_backend_learns_and_repeats(backend: str) -> None:
    answer = on_backend(backend, CHILD)
    assert answer["equal"], "two fits with one seed differ"
    assert answer["right"] > 0.8
    assert answer["heat"] == [24, 16, 16, 16]


class TestCheckpointEnsemble:
    def fitted(
        self, monkeypatch: pytest.MonkeyPatch, **settings: Any
    ) -> tuple[Any, list[Any], Any]:
        """The model, the weights at the end of each epoch, and an untrained network of its kind."""
        kept: list[Any] = []
        original = checkpoint_ensemble.CheckpointEnsemble.record

        def spy(self: Any, epoch: int, logs: Any) -> None:
            original(self, epoch, logs)
            kept.append(self._in_training.get_weights())

        monkeypatch.setattr(checkpoint_ensemble.CheckpointEnsemble, "record", spy)
        model = checkpoint_ensemble.build(2, blocks=(1,), epochs=6, batch_size=8, **settings)
        model.fit(*noisy_cubes())
        keras = load_keras()
        return model, kept, partial(model.make_network, keras, (16, 16, 16, 1))

    def test_it_averages_the_best_epochs_of_held_out_patients(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from models._population import use_population_statistics

        model, kept, make = self.fitted(monkeypatch, members=2, validation_fraction=0.3)
        X, y, groups = noisy_cubes()
        fitted, held_out = model.check_and_split(X, y, groups)
        assert not set(groups[fitted]) & set(groups[held_out])
        by_held_out = np.argsort([row["val_loss"] for row in model.history_], kind="stable")[:2]
        by_fitted = np.argsort([row["loss"] for row in model.history_], kind="stable")[:2]
        assert set(by_held_out) != set(by_fitted), "the data must tell the two ranks apart"
        keras, net = load_keras(), make()
        expected = []
        for epoch in by_held_out:
            net.set_weights(kept[epoch])
            use_population_statistics(keras, net, X[fitted], 8)
            expected.append(net.predict(X, verbose=0, batch_size=8)[:, 1].astype(np.float64))
        # The sum of two softmax outputs in float32 is not quite 1.
        np.testing.assert_allclose(
            model.predict_proba(X)[:, 1], np.mean(expected, axis=0), rtol=0, atol=1e-6
        )
        assert np.abs(expected[0] - expected[1]).max() > 1e-3

    def test_held_out_losses_are_those_of_held_out_patients(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With the weights of an epoch's end, Keras' own statistics included."""
        model, kept, make = self.fitted(monkeypatch, members=1, validation_fraction=0.3)
        X, y, groups = noisy_cubes()
        _, held_out = model.check_and_split(X, y, groups)
        net = make()
        for row, weights in zip(model.history_, kept, strict=True):
            net.set_weights(weights)
            p = net.predict(X[held_out], verbose=0)[np.arange(len(held_out)), y[held_out]]
            assert row["val_loss"] == pytest.approx(-np.log(p).mean(), rel=1e-3)

    def test_it_is_stored_with_all_its_checkpoints(self) -> None:
        X, y, groups = noisy_cubes()
        model = checkpoint_ensemble.build(0, blocks=(1,), epochs=3, members=2)
        model.fit(X, y, groups)
        again = pickle.loads(pickle.dumps(model))
        np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
        np.testing.assert_array_equal(again.heat_maps(X[:3]), model.heat_maps(X[:3]))
