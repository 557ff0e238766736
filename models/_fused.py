"""Batch normalisation in few passes and Adam as one operation on TensorFlow; Keras' own elsewhere.

Keras 3 spells both out in elementary operations, which took half of a training step of the
paper's network on two cores. The formulas are the same; sums round otherwise.

TensorFlow's FusedBatchNormV3 would be faster still, but its sums over 300,000 pixels are less
exact than Keras' (``results/perf.md``); those here are more exact than either.

Importing this imports Keras: call ``_backend.load_keras`` before.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import keras

_REAL: ContextVar[Any] = ContextVar("real", default=None)


@contextmanager
def only_real(real: Any) -> Iterator[None]:
    """Let ``BatchNormalization`` leave images out of a batch's statistics, within the block.

    Parameters
    ----------
    real : tensor, shape (n_images,), or None
        0 for an image that is to be left out; None leaves none out.
    """
    token = _REAL.set(real)
    try:
        yield
    finally:
        _REAL.reset(token)


@keras.saving.register_keras_serializable("lung_nodule_benchmark")
class BatchNormalization(keras.layers.BatchNormalization):  # type: ignore[misc]
    """``keras.layers.BatchNormalization``; quicker in training with TensorFlow on a CPU."""

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        real = _REAL.get()
        if training and mask is None and real is not None:
            shape = (-1, *(1 for _ in inputs.shape[1:-1]))
            mask = keras.ops.broadcast_to(keras.ops.reshape(real, shape), inputs.shape[:-1])
        if not (training and self.trainable and mask is None and self._quicker(inputs)):
            return super().call(inputs, training=training, mask=mask)
        # Of a volume, each slice as an image of its own: statistics do not ask where a voxel lies.
        images = keras.ops.reshape(inputs, (-1, *inputs.shape[-3:]))
        output, mean, variance = _normalise(images, self.gamma.value, self.beta.value, self.epsilon)
        for moving, current in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + current * (1 - self.momentum))
        return keras.ops.reshape(output, keras.ops.shape(inputs))

    def _quicker(self, inputs: Any) -> bool:
        return (
            keras.backend.backend() == "tensorflow"
            and _without_gpu()
            and keras.backend.standardize_dtype(inputs.dtype) == self.compute_dtype == "float32"
            and len(inputs.shape) in (4, 5)
            and self.axis in (-1, len(inputs.shape) - 1)
            and self.scale
            and self.center
            and not (self.renorm or self.synchronized)
        )


def _without_gpu() -> bool:
    import tensorflow as tf

    # On a GPU, matrix products may round to 10 bits (TF32).
    return not tf.config.list_physical_devices("GPU")


def _normalise(x: Any, gamma: Any, beta: Any, epsilon: float) -> tuple[Any, Any, Any]:
    """Normalised images, and mean and variance of each channel.

    Ioffe & Szegedy 2015, algorithm 1 and section 3, with one pass for what they write as several.
    """
    import tensorflow as tf

    n = tf.size(x) // x.shape[-1]
    n_images, height, width, _ = tf.unstack(tf.shape(x))

    def mean_of(values: Any) -> Any:
        # By matrix products: in parallel. First along columns, then along rows, as some processors
        # add up a product's terms one by one, and 15,000 in a row would round to 1e-5.
        columns = tf.matmul(
            tf.ones((n_images, 1, height)), tf.reshape(values, (n_images, height, -1))
        )
        pixels = tf.reshape(columns, (n_images, width, x.shape[-1]))
        sums = tf.matmul(tf.ones((n_images, 1, width)), pixels)
        return tf.reduce_sum(sums, axis=(0, 1)) / tf.cast(n, x.dtype)

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def normalised(x: Any, gamma: Any, beta: Any) -> Any:
        mean = mean_of(x)
        centred = x - mean
        variance = mean_of(tf.square(centred))
        inverse_sd = tf.math.rsqrt(variance + epsilon)

        def gradient(upstream: Any, *_statistics: Any) -> tuple[Any, Any, Any]:
            along_beta = mean_of(upstream)
            along_gamma = mean_of(upstream * centred) * inverse_sd
            slope = gamma * inverse_sd
            down = slope * (upstream - along_beta) - (slope * along_gamma * inverse_sd) * centred
            count = tf.cast(n, x.dtype)
            return down, along_gamma * count, along_beta * count

        return (centred * (gamma * inverse_sd) + beta, mean, variance), gradient

    output, mean, variance = normalised(x, gamma, beta)
    return output, mean, variance


@keras.saving.register_keras_serializable("lung_nodule_benchmark")
class Adam(keras.optimizers.Adam):  # type: ignore[misc]
    """``keras.optimizers.Adam``; on TensorFlow, ResourceApplyAdam."""

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        if keras.backend.backend() != "tensorflow" or self.amsgrad:
            super().update_step(gradient, variable, learning_rate)
            return
        import tensorflow as tf

        index = self._get_variable_index(variable)
        step = tf.cast(self.iterations.value + 1, variable.dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=tf.pow(tf.cast(self.beta_1, variable.dtype), step),
            beta2_power=tf.pow(tf.cast(self.beta_2, variable.dtype), step),
            lr=tf.cast(learning_rate, variable.dtype),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )
