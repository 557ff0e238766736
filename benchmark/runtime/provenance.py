"""Provenance of a result besides its input: source files, packages, processor, settings.

A file's digest covers the files of this project that it imports, and what those import; not what
it imports for type checkers alone. Files are read once a process; after an edit nobody knows which
code ran, and ``unchanged`` says so.
"""

from __future__ import annotations

import ast
import hashlib
import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmark.runtime.cores import available_cores
from benchmark.runtime.paths import ROOT

_PACKAGES = ("benchmark", "features", "models")
_WITH_STATEMENTS = (ast.stmt, ast.excepthandler, ast.match_case)  # expressions import nothing

LIBRARIES = (
    "keras", "numpy", "pandas", "pylidc", "pyradiomics", "PyWavelets", "scikit-learn", "scipy",
    "SimpleITK", "tensorflow", "jax", "torch", "xgboost",
)  # fmt: skip
"""Packages whose versions are recorded, and may change a result."""

_PREFIXES = ("CUDA_", "JAX_", "KERAS_", "MKL_", "OMP_", "OPENBLAS_", "TF_", "XLA_")
_VARIABLES = tuple(sorted(f"{k}={v}" for k, v in os.environ.items() if k.startswith(_PREFIXES)))
"""What the user set that changes sums or where they are made; later Keras sets some itself."""
_OF_THREADS = tuple(v for v in _VARIABLES if v.startswith(("MKL_", "OMP_", "OPENBLAS_")))


@cache
def digest(path: Path) -> str:
    """SHA-256 over a source file and the files of this project that it imports."""
    return _digest(_closure(path))


@cache
def snapshot() -> dict[Path, bytes]:
    """This project's source files, as they were when first asked for."""
    files = (file for package in _PACKAGES for file in (ROOT / package).rglob("*.py"))
    return {file: file.read_bytes() for file in files}


def _digest(files: Iterable[Path]) -> str:
    found = hashlib.sha256()
    for file in sorted(files):
        found.update(f"{file.relative_to(ROOT).as_posix()}\0".encode())
        found.update(hashlib.sha256(snapshot()[file]).digest())
    return found.hexdigest()


def unchanged(path: Path) -> bool:
    """True if the file, and those that it imports, are on disk as they were when first read."""
    return all(map(_as_read, _closure(path)))


def all_unchanged() -> bool:
    """True if every source file of this project is on disk as it was when first read."""
    return all(map(_as_read, snapshot()))


def _as_read(file: Path) -> bool:
    return file.is_file() and file.read_bytes() == snapshot()[file]


@cache
def _closure(path: Path) -> frozenset[Path]:
    found: set[Path] = set()
    due = [path]
    while due:
        file = due.pop()
        if file not in found:
            found.add(file)
            due += _imported(file)
    return frozenset(found)


def _imported(path: Path) -> list[Path]:
    names: set[str] = set()
    due: list[ast.AST] = [ast.parse(snapshot()[path])]
    while due:
        node = due.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            due += node.orelse
            continue
        due += (n for n in ast.iter_child_nodes(node) if isinstance(n, _WITH_STATEMENTS))
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            # What is imported from a package may be a module of its own.
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    files = (ROOT / f"{name.replace('.', '/')}.py" for name in names if _ours(name))
    return [file for file in files if file in snapshot()]


def _ours(name: str) -> bool:
    return name.partition(".")[0] in _PACKAGES


def versions() -> dict[str, str]:
    """Versions of those of ``LIBRARIES`` that are installed."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def processor() -> str:
    """The processor's name."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine()


def gpus(folder: Path = Path("/proc/driver/nvidia/gpus")) -> list[str]:
    """NVIDIA GPUs that the driver names, whether or not a backend uses them."""
    found = []
    for told in sorted(folder.glob("*/information")):
        lines = told.read_text(errors="replace").splitlines()
        found += [line.partition(":")[2].strip() for line in lines if line.startswith("Model:")]
    return found


def machine() -> tuple[str, ...]:
    """Processor, cores, GPUs, and variables; not those of threads, which Dask sets to 1."""
    chosen = (variable for variable in _VARIABLES if variable not in _OF_THREADS)
    return (processor(), str(available_cores()), *gpus(), *chosen)


@cache
def surroundings() -> tuple[str, ...]:
    """Surroundings that may change a result's last bits, or its time, on equal code and input."""
    return (*_installed(), *machine(), *_OF_THREADS)


@cache
def all_code() -> str:
    """Digest of all of this project's code."""
    return _digest(snapshot())


@cache
def identity() -> tuple[str, ...]:
    """Digest of all of this project's code, versions of Python and packages, Keras' backend."""
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    return (all_code(), *_installed(), backend)


def _installed() -> tuple[str, ...]:
    """Python and the packages that may change a result."""
    packages = (f"{name} {version}" for name, version in versions().items())
    return (platform.python_version(), *packages, *_cuda())


def _cuda() -> list[str]:
    """Packages with which a backend may find a GPU, of one version with those without."""
    names = ((each.name, each.version) for each in metadata.distributions())
    return sorted(f"{n} {v}" for n, v in names if n and ("nvidia" in n or "cuda" in n))


def describe_machine() -> dict[str, Any]:
    """Package versions, interpreter, processor and source revision."""
    return {
        "python": platform.python_version(),
        "packages": versions(),
        "platform": platform.platform(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "command": ["python", "-m", "benchmark", *sys.argv[1:]],
        "revision": _revision(),
    }


def _revision() -> str:
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty"],
            cwd=ROOT, capture_output=True, text=True, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return ""  # no git, or not a checkout
    return done.stdout.strip()
