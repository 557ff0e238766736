"""Layers of transformers for small images, of public Keras layers and operations.

Stochastic depth is no layer of its own here: it is Keras' dropout of a whole branch of an image.

Importing this imports Keras: call ``_backend.load_keras`` before.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

_registered = keras.saving.register_keras_serializable("lung_nodule_benchmark")

NEVER = -1e9
"""Score of a token that attention must not look at."""


@_registered
class Positions(layers.Layer):  # type: ignore[misc]
    """Adds to each token what was learnt of its place; tokens of shape (n, tokens, width)."""

    def build(self, shape: tuple[int, ...]) -> None:
        self.positions = self.add_weight(
            shape=shape[1:], initializer="random_uniform", name="positions"
        )

    def call(self, tokens: Any) -> Any:
        return tokens + self.positions


@_registered
class SequencePooling(layers.Layer):  # type: ignore[misc]
    """Mean of the tokens by learnt weights: (n, tokens, width) to (n, width).

    Hassani et al. 2021, equation 2: the weights are a softmax over the tokens of a linear map.
    """

    def build(self, shape: tuple[int, ...]) -> None:
        self.score = layers.Dense(1)
        self.score.build(shape)

    def call(self, tokens: Any) -> Any:
        weights = ops.softmax(self.score(tokens), axis=1)
        return ops.squeeze(ops.matmul(ops.transpose(weights, (0, 2, 1)), tokens), axis=1)

    def compute_output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return shape[0], shape[2]


@_registered
class ShiftedPatches(layers.Layer):  # type: ignore[misc]
    """Patches of an image and of four copies that are shifted along the diagonals.

    Lee, Lee & Song 2021, "Vision transformer for small-size datasets", section 3.1: the copies
    are shifted by half a patch, with zeros where nothing comes in. From (n, rows, columns,
    channels) to (n, patches, 5 * channels * patch ** 2); whole patches alone.

    Parameters
    ----------
    patch : int
        Side of a patch, pixels.
    """

    def __init__(self, patch: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.patch = patch

    def call(self, images: Any) -> Any:
        half, side = self.patch // 2, self.patch
        n_rows, n_columns, channels = images.shape[1:]
        padded = ops.pad(images, ((0, 0), (half, half), (half, half), (0, 0)))
        shifts = [(half, half), *((y, x) for y in (0, 2 * half) for x in (0, 2 * half))]
        stacked = ops.concatenate(
            [padded[:, y : y + n_rows, x : x + n_columns] for y, x in shifts], axis=-1
        )
        down, along, depth = n_rows // side, n_columns // side, 5 * channels
        whole = stacked[:, : down * side, : along * side]
        grid = ops.reshape(whole, (-1, down, side, along, side, depth))
        return ops.reshape(
            ops.transpose(grid, (0, 1, 3, 2, 4, 5)), (-1, down * along, side * side * depth)
        )

    def compute_output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        n, n_rows, n_columns, channels = shape
        patches = (n_rows // self.patch) * (n_columns // self.patch)
        return n, patches, 5 * channels * self.patch**2

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "patch": self.patch}


@_registered
class LocalSelfAttention(layers.Layer):  # type: ignore[misc]
    """Self-attention of each token to the others, not to itself, with a learnt temperature.

    Lee, Lee & Song 2021, section 3.2, equation 4 and 5: softmax(mask(Q K^T) / temperature) V,
    where the mask takes out the diagonal and the temperature, one a layer, begins at the root of
    the keys' width.

    Parameters
    ----------
    heads, key_dim : int
        Heads, and the width of each.
    dropout : float
        Share of the attention weights dropped in training.
    """

    def __init__(self, heads: int, key_dim: int, dropout: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.heads = heads
        self.key_dim = key_dim
        self.dropout = dropout

    def build(self, shape: tuple[int, ...]) -> None:
        inner = self.heads * self.key_dim
        self.temperature = self.add_weight(
            shape=(), initializer=keras.initializers.Constant(self.key_dim**0.5), name="temperature"
        )
        self.query, self.key, self.value = (layers.Dense(inner) for _ in range(3))
        self.output_map, self.drop = layers.Dense(shape[-1]), layers.Dropout(self.dropout)
        for each in (self.query, self.key, self.value):
            each.build(shape)
        self.output_map.build((*shape[:-1], inner))

    def call(self, tokens: Any, training: bool | None = None) -> Any:
        count, heads = tokens.shape[1], (-1, tokens.shape[1], self.heads, self.key_dim)
        query, key, value = (
            ops.transpose(ops.reshape(layer(tokens), heads), (0, 2, 1, 3))
            for layer in (self.query, self.key, self.value)
        )
        scores = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2))) / self.temperature
        weights = ops.softmax(scores + NEVER * ops.eye(count, dtype=scores.dtype), axis=-1)
        mixed = ops.matmul(self.drop(weights, training=training), value)
        joined = ops.reshape(ops.transpose(mixed, (0, 2, 1, 3)), (-1, count, heads[2] * heads[3]))
        return self.output_map(joined)

    def get_config(self) -> dict[str, Any]:
        own = {"heads": self.heads, "key_dim": self.key_dim, "dropout": self.dropout}
        return {**super().get_config(), **own}


@_registered
class EncoderBlock(layers.Layer):  # type: ignore[misc]
    """A transformer's block: attention, then dense layers, each normalised before and added.

    Parameters
    ----------
    heads, key_dim : int
        Of the attention: heads, and the width of each.
    units : sequence of int
        Widths of the dense layers (GELU), the last the tokens' own; none leaves them out.
    dropout : float
        Share of attention weights and of dense outputs dropped in training.
    stochastic_depth : float
        Share of images in training whose tokens skip a branch (Huang et al. 2016).
    local : bool
        ``LocalSelfAttention`` in place of Keras' ``MultiHeadAttention``.
    """

    def __init__(
        self,
        heads: int,
        key_dim: int,
        units: tuple[int, ...],
        dropout: float = 0.0,
        stochastic_depth: float = 0.0,
        local: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.heads = heads
        self.key_dim = key_dim
        self.units = tuple(units)
        self.dropout = dropout
        self.stochastic_depth = stochastic_depth
        self.local = local

    def build(self, shape: tuple[int, ...]) -> None:
        self.before = layers.LayerNormalization(epsilon=1e-5)
        self.before.build(shape)
        self.attention: Any
        if self.local:
            self.attention = LocalSelfAttention(self.heads, self.key_dim, self.dropout)
            self.attention.build(shape)
        else:
            self.attention = layers.MultiHeadAttention(
                self.heads, self.key_dim, dropout=self.dropout
            )
            self.attention.build(shape, shape)
        self.branch = [self._skipped() for _ in range(1 + bool(self.units))]
        self.dense: list[Any] = []
        if not self.units:
            return
        self.between = layers.LayerNormalization(epsilon=1e-5)
        self.between.build(shape)
        width = shape[-1]
        for units in self.units:
            dense = layers.Dense(units, activation="gelu")
            dense.build((*shape[:-1], width))
            self.dense += [dense, layers.Dropout(self.dropout)]
            width = units

    def _skipped(self) -> Any:
        return layers.Dropout(self.stochastic_depth, noise_shape=(None, 1, 1))

    def call(self, tokens: Any, training: bool | None = None) -> Any:
        x = self.before(tokens)
        seen = (
            self.attention(x, training=training)
            if self.local
            else self.attention(x, x, training=training)
        )
        tokens = tokens + self.branch[0](seen, training=training)
        if not self.units:
            return tokens
        x = self.between(tokens)
        for layer in self.dense:
            x = layer(x, training=training) if isinstance(layer, layers.Dropout) else layer(x)
        return tokens + self.branch[1](x, training=training)

    def get_config(self) -> dict[str, Any]:
        own = {
            "heads": self.heads, "key_dim": self.key_dim, "units": self.units,
            "dropout": self.dropout, "stochastic_depth": self.stochastic_depth,
            "local": self.local,
        }  # fmt: skip
        return {**super().get_config(), **own}
