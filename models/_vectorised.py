"""Several fits of one network as one JAX program: folds and seeds side by side.

Each fit keeps its own seeds, order of images, augmentation, class weights and statistics of
batch normalisation, and ends as its own ``fit`` would have left it, but for rounding. Images are
on the device once, however many fits share them, and are gathered by index.

Fits may differ in size. A step takes a batch of every fit; a batch that has fewer images is
filled up, and the filling has no part in loss, gradients and batch statistics; a fit that has no
batch left in an epoch keeps its state. The random numbers of a batch's first images do not
depend on how many follow, so the filling does not shift augmentation or dropout.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models._backend import load_keras, seeded
from models._keras import KerasClassifier, balanced_weights
from models._training import Indices

Task = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]


def fit_together(
    models: Sequence[KerasClassifier], tasks: Sequence[Task], *, unroll: bool | None = None
) -> None:
    """Train each model on its task, as if its own ``fit`` had been called.

    Parameters
    ----------
    models : sequence of KerasClassifier
        Of one network, number of epochs and batch size; seeds and the rest may differ.
    tasks : sequence of (X, y, groups)
        What each model's ``fit`` would be given.
    unroll : bool, optional
        Write the fits one after the other into the program in place of ``jax.vmap``. By default
        on the CPU alone: there, a convolution over several networks' kernels is slower than
        several convolutions.

    Raises
    ------
    ValueError
        What ``fit`` raises; for a backend other than JAX, and for models that differ in network,
        epochs or batch size.
    FloatingPointError
        Where the loss of one stops being finite, naming the epoch.
    """
    if len(models) != len(tasks) or not models:
        raise ValueError(f"{len(models)} models and {len(tasks)} tasks; every model needs one")
    for name in ("epochs", "batch_size"):
        found = sorted({getattr(model, name) for model in models})
        if len(found) > 1:
            raise ValueError(f"{name} differs between the models: {found}; it must be the same")
    if any(model.batch_statistics != "population" for model in models):
        # A batch that fills up for another model would count in the running means of all.
        raise ValueError(
            "batch_statistics is 'running'; models trained together predict with 'population' "
            "statistics alone"
        )
    splits = [model.check_and_split(*task) for model, task in zip(models, tasks, strict=True)]
    keras = load_keras()
    if keras.backend.backend() != "jax":
        raise ValueError(
            f"the Keras backend is {keras.backend.backend()}; fits are trained together on jax "
            "alone: set KERAS_BACKEND=jax"
        )
    networks, orders = [], []
    for model, (X, _, _), (fitted, _) in zip(models, tasks, splits, strict=True):
        with seeded(keras, model.seed):
            networks.append(model.untrained(keras, X.shape[1:]))
            # Keras looks at a first batch before the first epoch, which costs an order.
            drawn = [np.random.permutation(len(fitted)) for _ in range(model.epochs + 1)]  # noqa: NPY002
            orders.append(drawn[1:])
    _check_alike(keras, networks)

    import jax

    if unroll is None:
        unroll = jax.default_backend() == "cpu"
    _train(keras, models, tasks, splits, networks, orders, unroll)
    for model, (X, y, _), split, network in zip(models, tasks, splits, networks, strict=True):
        model.accept(keras, network, X, y, *split)


def _train(
    keras: Any,
    models: Sequence[KerasClassifier],
    tasks: Sequence[Task],
    splits: Sequence[tuple[Indices, Indices]],
    networks: Sequence[Any],
    orders: Sequence[Sequence[Indices]],
    unroll: bool,
) -> None:
    import jax
    import jax.numpy as jnp

    size = models[0].batch_size
    images, rows_of = _pool([X for X, _, _ in tasks])
    resident = jnp.asarray(images)
    step, judge = _programs(keras, networks[0], len(models), unroll)
    state = jax.tree.map(lambda *leaves: jnp.stack(leaves), *map(_state, networks))
    held_out = [
        _batches(rows[out], y[out], np.ones(len(out)), size)
        for rows, (_, y, _), (_, out) in zip(rows_of, tasks, splits, strict=True)
    ]
    for epoch in range(models[0].epochs):
        fitted = []
        for model, rows, (_, y, _), (kept, _), order in zip(
            models, rows_of, tasks, splits, orders, strict=True
        ):
            chosen = kept[order[epoch]]
            by_class = balanced_weights(y[kept]) if model.class_weights else {0: 1.0, 1: 1.0}
            weights = np.where(y[chosen] == 1, by_class[1], by_class[0])
            fitted.append(_batches(rows[chosen], y[chosen], weights, size))
        totals = jnp.zeros((len(models), 2))
        for batch in _aligned(fitted):
            full = bool(batch[-1].all())
            state, totals = step(full, state, totals, resident, *batch)
        logs = _means(totals, fitted, "")
        totals = jnp.zeros((len(models), 2))
        for batch in _aligned(held_out):
            totals = judge(state, totals, resident, *batch)
        for model, trained, judged in zip(
            models, logs, _means(totals, held_out, "val_"), strict=True
        ):
            model.record(epoch, trained | judged)
    for i, network in enumerate(networks):
        trainable, others, _ = jax.tree.map(lambda leaf, i=i: leaf[i], state)
        for variables, values in (
            (network.trainable_variables, trainable),
            (network.non_trainable_variables, others),
        ):
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)


def _state(network: Any) -> tuple[list[Any], list[Any], list[Any]]:
    """Trainable, other and optimiser's variables."""
    network.optimizer.build(network.trainable_variables)
    kinds = network.trainable_variables, network.non_trainable_variables
    first, second, third = (
        [variable.value for variable in kind] for kind in (*kinds, network.optimizer.variables)
    )
    return first, second, third


def _programs(
    keras: Any, network: Any, n_models: int, unroll: bool
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """A step of training and one of judging, both of all models at once."""
    import jax
    import jax.numpy as jnp

    from models._fused import only_real

    def losses(output: Any, labels: Any) -> Any:
        one_hot = jax.nn.one_hot(labels, 2)
        return keras.ops.categorical_crossentropy(one_hot, output, from_logits=True)

    def rights(output: Any, labels: Any, real: Any) -> Any:
        return jnp.sum(real * (jnp.argmax(output, axis=1) == labels))

    def train(
        full: bool, state: Any, totals: Any, images: Any, rows: Any, labels: Any, weights: Any,
        real: Any,
    ) -> Any:  # fmt: skip
        trainable, others, optimiser = state
        n = jnp.sum(real)

        def loss_of(trainable: Any) -> Any:
            with only_real(None if full else real):
                output, after, penalties = network.stateless_call(
                    trainable, others, images[rows], training=True, return_losses=True
                )
            mean = jnp.sum(losses(output, labels) * weights * real) / jnp.maximum(n, 1)
            return mean + sum(penalties), (output, after)

        (loss, (output, after)), gradients = jax.value_and_grad(loss_of, has_aux=True)(trainable)
        moved, optimised = network.optimizer.stateless_apply(optimiser, gradients, trainable)
        new = moved, after, optimised
        if not full:
            new = jax.tree.map(lambda a, b: jnp.where(n > 0, a, b), new, state)
        return new, totals + jnp.stack([loss * n, rights(output, labels, real)])

    def judge(
        state: Any, totals: Any, images: Any, rows: Any, labels: Any, weights: Any, real: Any
    ) -> Any:
        output, _ = network.stateless_call(state[0], state[1], images[rows], training=False)
        loss = jnp.sum(losses(output, labels) * weights * real)
        return totals + jnp.stack([loss, rights(output, labels, real)])

    def side_by_side(function: Callable[..., Any]) -> Callable[..., Any]:
        if not unroll:
            mapped: Callable[..., Any] = jax.vmap(function, in_axes=(0, 0, None, 0, 0, 0, 0))
            return mapped

        def one_by_one(state: Any, totals: Any, images: Any, *batch: Any) -> Any:
            given = [
                jax.tree.map(lambda leaf, i=i: leaf[i], (state, totals, batch))
                for i in range(n_models)
            ]
            found = [function(of, so_far, images, *its) for of, so_far, its in given]
            return jax.tree.map(lambda *leaves: jnp.stack(leaves), *found)

        return one_by_one

    steps = {
        full: jax.jit(side_by_side(partial(train, full)), donate_argnums=(0, 1))
        for full in (True, False)
    }
    return lambda full, *rest: steps[full](*rest), jax.jit(side_by_side(judge))


def _pool(stacks: Sequence[NDArray[Any]]) -> tuple[NDArray[np.float32], list[Indices]]:
    """Every different image once, and where in there each stack's images are."""
    places: dict[bytes, int] = {}
    images: list[NDArray[np.float32]] = []
    rows_of = []
    for stack in stacks:
        rows = np.empty(len(stack), dtype=np.int64)
        for i, image in enumerate(stack.astype(np.float32, copy=False)):
            digest = blake2b(image.tobytes(), digest_size=16).digest()
            rows[i] = places.setdefault(digest, len(images))
            if rows[i] == len(images):
                images.append(image)
        rows_of.append(rows)
    return np.stack(images), rows_of


Batches = tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]


def _batches(rows: Indices, labels: NDArray[Any], weights: NDArray[Any], size: int) -> Batches:
    """Rows, labels, weights and whether real, each of shape (n_batches, size)."""
    n = len(rows)
    filled = -(-n // size) * size
    real = np.arange(filled) < n
    arrays = (rows.astype(np.int32), labels.astype(np.int32), weights)
    padded = [np.pad(array, (0, filled - n)).reshape(-1, size) for array in arrays]
    return padded[0], padded[1], padded[2], real.astype(np.float32).reshape(-1, size)


def _aligned(fits: Sequence[Batches]) -> list[Batches]:
    """One step an entry: the batches of all fits, shape (n_fits, size); real is 0 where over."""
    steps = max(len(batches[0]) for batches in fits)

    def padded(array: NDArray[Any]) -> NDArray[Any]:
        return np.pad(array, ((0, steps - len(array)), (0, 0)))

    joined = [np.stack([padded(batches[k]) for batches in fits], axis=1) for k in range(4)]
    return [(joined[0][s], joined[1][s], joined[2][s], joined[3][s]) for s in range(steps)]


def _means(totals: Any, fits: Sequence[Batches], prefix: str) -> list[dict[str, float]]:
    """Loss and accuracy of each fit; nothing for a fit without images."""
    found = []
    for (loss, right), batches in zip(np.asarray(totals, np.float64), fits, strict=True):
        n = float(batches[-1].sum())
        named = {f"{prefix}accuracy": right / n, f"{prefix}loss": loss / n} if n else {}
        found.append({name: float(value) for name, value in named.items()})
    return found


def _check_alike(keras: Any, networks: Sequence[Any]) -> None:
    from models._fused import BatchNormalization

    first = _architecture(networks[0].get_config())
    for i, network in enumerate(networks):
        if _architecture(network.get_config()) != first:
            raise ValueError(f"model {i} has another network than model 0; fit it by itself")
    for layer in networks[0].layers:
        if isinstance(layer, keras.layers.BatchNormalization) and not isinstance(
            layer, BatchNormalization
        ):
            raise ValueError(
                f"layer '{layer.name}' is Keras' own batch normalisation, which would count the "
                "filling of a batch; use that of models/_fused.py"
            )


def _architecture(config: Any) -> Any:
    """A configuration without what differs between equal networks."""
    if isinstance(config, dict):
        return {k: _architecture(v) for k, v in config.items() if k not in ("name", "seed")}
    if isinstance(config, list | tuple):
        return [_architecture(item) for item in config]
    return config
