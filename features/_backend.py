"""Keras as models/_backend.py imports it, whichever of the two comes first in a process.

Its functions are copies: feature sets and models may not know each other. A test holds them equal.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


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
