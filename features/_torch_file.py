"""Reader of PyTorch's weight files that runs no code, for the format from before version 1.6.

Such a file is a series of pickles (a magic number, the protocol, sizes of the machine's integers,
the tensors by name, the keys of their storages), then each storage: its number of values, 8 bytes,
and the values. A pickle calls whatever it names, so ``torch.load`` runs the code of whoever made
the file. Here only the names in ``_KNOWN`` can be called, and they make records. Source of the
format: ``torch/serialization.py``, ``_legacy_save``.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001


def read_tensors(path: Path) -> dict[str, NDArray[Any]]:
    """Tensors of a file by name, as arrays of their shape and type.

    Raises
    ------
    ValueError
        For another format, for a pickle that names anything but tensors of float32 and int64 on
        the CPU, and for values that are missing.
    """
    with path.open("rb") as file:
        try:
            if (_load(file), _load(file)) != (MAGIC_NUMBER, PROTOCOL):
                raise pickle.UnpicklingError("it does not begin as a file of PyTorch before 1.6")
            _load(file)  # sizes of integers where it was written
            tensors, keys = _load(file), _load(file)
            values = {key: _values(file, _storages(tensors)[key]) for key in keys}
            return {name: _array(tensor, values) for name, tensor in tensors.items()}
        except Exception as error:  # a damaged pickle may raise anything
            raise ValueError(
                f"{path.name} cannot be read as weights: {error}; install the package again"
            ) from error


@dataclass(frozen=True)
class _Storage:
    """A storage that a pickle refers to."""

    dtype: str
    key: str
    size: int


@dataclass(frozen=True)
class _Tensor:
    """A tensor as a pickle describes it: a part of a storage."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: object) -> _Tensor:
    """Takes the place of ``torch._utils._rebuild_tensor_v2``."""
    return _Tensor(storage, offset, shape, strides)


_KNOWN: Mapping[tuple[str, str], Any] = MappingProxyType(
    {
        ("collections", "OrderedDict"): OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2"): _tensor,
        ("torch", "FloatStorage"): "<f4",
        ("torch", "LongStorage"): "<i8",
    }
)


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _KNOWN:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which weights do not need")
        return _KNOWN[module, name]

    def persistent_load(self, pid: Any) -> _Storage:
        _, dtype, key, device, size, *_ = pid
        if device != "cpu":
            raise pickle.UnpicklingError(f"storage {key} lies on {device}; it must lie on the CPU")
        return _Storage(dtype, key, size)


def _load(file: BinaryIO) -> Any:
    return _Unpickler(file).load()


def _storages(tensors: Mapping[str, _Tensor]) -> dict[str, _Storage]:
    return {tensor.storage.key: tensor.storage for tensor in tensors.values()}


def _values(file: BinaryIO, storage: _Storage) -> NDArray[Any]:
    if int.from_bytes(file.read(8), "little") != storage.size:
        raise pickle.UnpicklingError(f"storage {storage.key} has another size than stated")
    dtype = np.dtype(storage.dtype)
    found = file.read(storage.size * dtype.itemsize)
    return np.frombuffer(found, dtype, count=storage.size)


def _array(tensor: _Tensor, values: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    part = values[tensor.storage.key][tensor.offset :]
    last = sum((n - 1) * step for n, step in zip(tensor.shape, tensor.strides, strict=True))
    if min((tensor.offset, *tensor.shape, *tensor.strides)) < 0 or last >= len(part):
        raise pickle.UnpicklingError(f"shape {tensor.shape} reaches beyond its storage")
    steps = tuple(step * part.itemsize for step in tensor.strides)
    return np.lib.stride_tricks.as_strided(part, tensor.shape, steps).copy()
