"""Layers of the 3D networks that Keras does not have: random symmetries, and mixed links.

Importing this imports Keras: call ``_backend.load_keras`` before.
"""

from __future__ import annotations

from itertools import permutations, product
from typing import Any

import keras
import numpy as np

SYMMETRIES = np.array(
    [
        np.diag(signs)[list(order)]
        for order in permutations(range(3))
        for signs in product((1, -1), repeat=3)
    ],
    dtype=np.float32,
)
"""The cube's 48 rotations and reflections, shape (48, 3, 3)."""


@keras.saving.register_keras_serializable("lung_nodule_benchmark")
class RandomSymmetry(keras.layers.Layer):  # type: ignore[misc]
    """Cubes turned, mirrored and shifted at random in training, each in its own way.

    One of the cube's 48 symmetries (all rotations by 90 degrees, with flips), each as likely; then
    along each axis a shift of a whole number of voxels, each as likely. What comes in from beyond
    the cube is 0, which is air. Nothing is interpolated, and channels stay together.

    Parameters
    ----------
    shift : int
        Most voxels along each axis.
    """

    def __init__(self, shift: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.shift = shift
        self.seeds = keras.random.SeedGenerator()

    def call(self, inputs: Any, training: bool = False) -> Any:
        if not training:
            return inputs
        ops, side = keras.ops, inputs.shape[1]
        n = ops.shape(inputs)[0]
        drawn = keras.random.randint((n,), 0, len(SYMMETRIES), seed=self.seeds)
        shifts = keras.random.randint((n, 1, 3), -self.shift, self.shift + 1, seed=self.seeds)
        # Around the middle, in half voxels: small whole numbers, which float32 has exactly.
        places = 2 * np.indices((side, side, side)).reshape(3, -1).T - (side - 1)
        turned = ops.matmul(
            ops.convert_to_tensor(places.astype(np.float32)[None]),
            ops.take(ops.convert_to_tensor(SYMMETRIES), drawn, axis=0),
        )
        source = ops.cast((turned + (side - 1)) / 2, "int32") + shifts
        inside = ops.all((source >= 0) & (source < side), axis=-1, keepdims=True)
        source = ops.clip(source, 0, side - 1)
        flat = (source[..., 0] * side + source[..., 1]) * side + source[..., 2]
        voxels = ops.reshape(inputs, (n, side**3, inputs.shape[-1]))
        moved = ops.take_along_axis(voxels, flat[..., None], axis=1)
        return ops.reshape(moved * ops.cast(inside, moved.dtype), ops.shape(inputs))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "shift": self.shift}


@keras.saving.register_keras_serializable("lung_nodule_benchmark")
class MixedLink(keras.layers.Layer):  # type: ignore[misc]
    """Inner link added to the last channels, outer link concatenated.

    For x of c channels, inner of k1 and outer of k2: concat(x[:c - k1], x[c - k1:] + inner, outer),
    c + k2 channels. Without inner it is DenseNet's link, without outer and with k1 = c a residual.

    Source: Wang et al. 2018, "Mixed Link Networks", equation 8 (arXiv:1802.01808).
    """

    def call(self, x: Any, inner: Any = None, outer: Any = None) -> Any:
        parts = [x]
        if inner is not None:
            kept = x.shape[-1] - inner.shape[-1]
            parts = [x[..., :kept], x[..., kept:] + inner]
        if outer is not None:
            parts.append(outer)
        return keras.ops.concatenate(parts, axis=-1)
