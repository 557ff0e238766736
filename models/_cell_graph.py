"""A small CNN whose last map's cells are the nodes of a graph: the network of ``fusion_rgd``."""

from __future__ import annotations

from typing import Any

FILTERS = (16, 32, 64)
GRAPH_WIDTHS = (64, 32)
HIDDEN = 64
LONGEST_SIDE = 64
"""Larger images are averaged over 2 x 2 pixels: 124 pixels of .3 mm become 62 of .6 mm."""

MIN_SIDE = 16
"""Pixels from which three poolings leave four cells."""


def untrained_network(
    keras: Any,
    shape: tuple[int, ...],
    n_columns: int,
    *,
    dropout: float,
    neighbours: int,
    augment: bool,
) -> Any:
    """Uncompiled network with new weights by Keras' present seeds, for ``fusion_rgd``.

    Its inputs are images of a shape (rows, columns, channels) and, if there are any, columns; its
    output are logits, shape (n, 2 heads, 2 classes): first the CNN's head, then the graph's.
    """
    layers, ops = keras.layers, keras.ops
    images = keras.Input(shape)
    hidden = images
    if max(shape[:2]) > LONGEST_SIDE:
        hidden = layers.AveragePooling2D(2)(hidden)
    if augment:
        hidden = layers.RandomFlip("horizontal_and_vertical")(hidden)
        hidden = layers.RandomRotation(0.1, fill_mode="nearest")(hidden)
    for filters in FILTERS:
        hidden = layers.Conv2D(filters, 3, padding="same", use_bias=False)(hidden)
        hidden = layers.ReLU()(layers.GroupNormalization(8)(hidden))
        hidden = layers.MaxPooling2D()(hidden)
    cells = layers.Reshape((-1, FILTERS[-1]))(hidden)
    mixing = cell_graph(ops, cells, neighbours)
    nodes = cells
    for width in GRAPH_WIDTHS:
        nodes = layers.ReLU()(ops.matmul(mixing, layers.Dense(width, use_bias=False)(nodes)))
    fused, inputs = layers.GlobalAveragePooling1D()(nodes), [images]
    if n_columns:
        inputs.append(keras.Input((n_columns,)))
        fused = layers.Concatenate()([fused, inputs[1]])
    heads = []
    for each in (layers.GlobalAveragePooling1D()(cells), fused):
        unit = layers.Dropout(dropout)(layers.Dense(HIDDEN, activation="relu")(each))
        heads.append(layers.Dense(2)(unit))
    return keras.Model(inputs, ops.stack(heads, axis=1))


def cell_graph(ops: Any, cells: Any, neighbours: int) -> Any:
    """D^-1/2 A D^-1/2 of a map's cells (Kipf & Welling 2017, equation 2).

    A joins each cell to itself and to those most like it by cosine, in both directions; D is the
    diagonal of A's row sums. No gradient flows through the choice of neighbours.

    Parameters
    ----------
    ops : module
        ``keras.ops``.
    cells : tensor, shape (n, c, channels)
    neighbours : int
        Fewer where there are fewer cells.

    Returns
    -------
    tensor, shape (n, c, c)
    """
    n_cells = cells.shape[1]
    along = ops.normalize(cells, axis=-1)
    itself = ops.eye(n_cells)
    likeness = ops.matmul(along, ops.transpose(along, (0, 2, 1))) - 4 * itself
    last, _ = ops.top_k(likeness, min(neighbours, n_cells - 1))
    near = ops.cast(likeness >= last[..., -1:], cells.dtype)
    joined = ops.maximum(near, ops.transpose(near, (0, 2, 1))) + itself
    scale = ops.rsqrt(ops.sum(joined, axis=-1))
    return ops.stop_gradient(joined * scale[:, :, None] * scale[:, None, :])
