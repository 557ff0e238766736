"""Batch normalisation and Adam as single TensorFlow operations; Keras' own elsewhere.

Keras 3 spells both out in elementary operations. In the paper's network on two cores these took
two fifths of a training step. The formulas are the same, so numbers differ by rounding alone.

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
    """Within, ``BatchNormalization`` leaves images out of a batch's statistics.

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
    """``keras.layers.BatchNormalization``; in training on TensorFlow, FusedBatchNormV3."""

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        real = _REAL.get()
        if training and mask is None and real is not None:
            shape = (-1, *(1 for _ in inputs.shape[1:-1]))
            mask = keras.ops.broadcast_to(keras.ops.reshape(real, shape), inputs.shape[:-1])
        if not (training and self.trainable and mask is None and self._fusible(inputs)):
            return super().call(inputs, training=training, mask=mask)
        import tensorflow as tf

        output, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=self.gamma,
            offset=self.beta,
            mean=[],
            variance=[],
            epsilon=self.epsilon,
            is_training=True,
        )
        # The operation normalises with the variance over n and returns the one over n - 1.
        n = tf.cast(tf.size(inputs) // inputs.shape[-1], variance.dtype)
        variance *= (n - 1) / n
        for moving, current in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + current * (1 - self.momentum))
        return output

    def _fusible(self, inputs: Any) -> bool:
        return (
            keras.backend.backend() == "tensorflow"
            and keras.backend.standardize_dtype(inputs.dtype) == "float32"
            and self.compute_dtype == "float32"
            and len(inputs.shape) == 4
            and self.axis in (-1, 3)
            and self.scale
            and self.center
            and not (self.renorm or self.synchronized)
        )


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
