"""Snippets in a process of their own, on a Keras backend."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from typing import Any

import pytest

from benchmark.runtime.paths import ROOT

QUICK_XLA = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
"""``XLA_FLAGS`` for programs of a few steps, of which compiling takes most of the time."""


def on_backend(backend: str, code: str) -> Any:
    """What a snippet prints last, as JSON, in a process of its own on a Keras backend.

    Skips where the backend is not installed.
    """
    if find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed, so its Keras backend is not tested")
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "KERAS_BACKEND": backend, "XLA_FLAGS": QUICK_XLA},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
