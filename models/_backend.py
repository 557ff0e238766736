"""Keras with its backend: the environment it is imported in, its device, its seeds."""

from __future__ import annotations

import logging
import os
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np


def load_keras() -> Any:
    """Import Keras, with the environment set that its backend reads on first import.

    What the user has set stays. TensorFlow leaves oneDNN off on some CPUs, where a step then
    takes about twice as long. With more than one operation at a time (inter-op threads) two
    equal fits differ in the last bits, and a second thread gains nothing here. Log level 3
    drops the complaint about a missing GPU, logged as an error on every machine without one;
    failures of an operation are raised, not logged.
    """
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if "keras" not in sys.modules:
        with _held_back_stderr():
            import keras
    import keras

    logging.getLogger("tensorflow").addFilter(_not_of_retracing)
    return keras


def _not_of_retracing(record: logging.LogRecord) -> bool:
    """Whether it is no advice against tracing anew, which every new network needs."""
    return "triggered tf.function retracing" not in record.getMessage()


@contextmanager
def _held_back_stderr() -> Iterator[None]:
    """Keep what native code writes to file descriptor 2; show it only if the block fails.

    TensorFlow's first lines come before its log level takes effect.
    """
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as kept:
        os.dup2(kept.fileno(), 2)
        try:
            yield
        except BaseException:
            kept.seek(0)
            os.write(saved, kept.read())
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)


def device() -> str:
    """Device that the backend would train on: ``cpu``, or the GPU's name."""
    backend = load_keras().backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU")
        if gpus:
            details = tf.config.experimental.get_device_details(gpus[0])
            return str(details.get("device_name", "gpu"))
    elif backend == "jax":
        import jax

        first = jax.devices()[0]
        if first.platform != "cpu":
            return str(first.device_kind)
    elif backend == "torch":
        import torch

        if torch.cuda.is_available():
            return str(torch.cuda.get_device_name())
    return "cpu"


def compile_network(
    keras: Any,
    network: Any,
    optimizer: Any = None,
    loss: Any = None,
    metrics: Sequence[Any] = (),
) -> None:
    """Compile a network to predict and, where an optimiser is given, to be trained.

    All variables are made here, the optimiser's too, so ``metrics`` are objects and no names:
    TensorFlow traces the first training step twice where it makes variables, which is up to
    half of the time that a small network takes.

    Parameters
    ----------
    keras : module
    network : keras.Model
        Built.
    optimizer : keras.optimizers.Optimizer or None
    loss : keras.losses.Loss, callable or None
    metrics : sequence of keras.metrics.Metric
    """
    # XLA gains nothing on TensorFlow; JAX needs it. Keras marks the augmentation layers as
    # not compilable, as they are not on TensorFlow, and would leave JAX uncompiled.
    on_jax = keras.backend.backend() == "jax"
    if on_jax:
        for layer in network.layers:
            layer.supports_jit = True
    if optimizer is None:
        network.compile(jit_compile=on_jax)
    else:
        network.compile(optimizer, loss=loss, metrics=[*metrics], jit_compile=on_jax)
        optimizer.build(network.trainable_variables)


@contextmanager
def seeded(keras: Any, seed: int) -> Iterator[None]:
    """Keras with a fresh state and fixed seeds; Python's and NumPy's own are put back."""
    # Keras draws from the legacy generators, so those are what must be kept from it.
    python_state = random.getstate()
    numpy_state = np.random.get_state()  # noqa: NPY002
    # Layer names and Keras's own state start afresh. Memory does not quite: with TensorFlow
    # 2.21 each fit of the paper's network leaves about 35 MB behind.
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    try:
        with _draws_of_its_own(seed):
            yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)  # noqa: NPY002


@contextmanager
def _draws_of_its_own(seed: int) -> Iterator[None]:
    """Let Keras draw its layers' seeds from a generator that no other thread draws from.

    They are what it draws from Python's global one, seeded alike. A Dask worker's event loop draws
    from that one too, at any time, and equal fits would differ.
    """
    from keras.src.random import seed_generator

    shared = seed_generator.python_random
    seed_generator.python_random = random.Random(seed)
    try:
        yield
    finally:
        seed_generator.python_random = shared
