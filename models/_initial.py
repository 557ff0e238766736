"""A network that starts from a file of weights, and which of its layers are then trained."""

from __future__ import annotations

import hashlib
import warnings
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

SUFFIX = ".weights.h5"

Trained = Literal["all", "last_block"]


@dataclass(frozen=True)
class Initial:
    """Where a network's weights come from before it is trained.

    Attributes
    ----------
    weights : str
        Path of a file that ``save_weights`` of Keras wrote for the same network; empty for weights
        drawn by the seed. All layers take theirs from it.
    weights_sha256 : str
        Checksum of that file, in hexadecimal: a path does not say what was trained.
    trained : {"all", "last_block"}
        ``last_block`` leaves all layers as they are up to the last pooling before a convolution.
    """

    weights: str = ""
    weights_sha256: str = ""
    trained: Trained = "all"

    def unavailable(self) -> str:
        """Why the weights cannot be had, and what helps; empty where they can."""
        if not self.weights:
            lacking = "weights_sha256 or trained is given, but no weights are"
            return lacking if self != Initial() else ""
        path = Path(self.weights)
        if not self.weights.endswith(SUFFIX):
            return f"weights is '{path}'; a file of Keras' save_weights ends in {SUFFIX}"
        if not path.is_file():
            return f"weights: there is no file '{path}' (seen from {Path.cwd()})"
        if not self.weights_sha256:
            return f"weights_sha256 is not given; it is printed by: sha256sum {path}"
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        if found != self.weights_sha256.lower():
            return f"weights: '{path}' has the SHA-256 {found}, not {self.weights_sha256}"
        return ""

    def start(self, network: Any) -> None:
        """Load the weights into a network, and keep from training what is not to be trained.

        Raises
        ------
        ValueError
            Where the file cannot be had, or is not of this very network.
        """
        if why := self.unavailable():
            raise ValueError(why)
        if self.weights:
            _load(network, Path(self.weights))
        if self.trained == "last_block":
            for layer in network.layers[: last_block(network)]:
                layer.trainable = False


def unavailable(settings: Mapping[str, Any]) -> str:
    """Why a model with these settings cannot start; for the modules that take ``weights``."""
    names = Initial.__dataclass_fields__
    return Initial(**{name: settings[name] for name in names if name in settings}).unavailable()


def last_block(network: Any) -> int:
    """Place of the first layer behind the last pooling that a convolution follows; 0 for none."""
    kinds = [type(layer).__name__ for layer in network.layers]
    convolved = max(place for place, kind in enumerate(kinds) if kind.startswith("Conv"))
    pooled = [
        place
        for place, kind in enumerate(kinds[:convolved])
        if kind.startswith(("MaxPooling", "AveragePooling"))
    ]
    return pooled[-1] + 1 if pooled else 0


def _load(network: Any, path: Path) -> None:
    """Give a network the weights of a file that holds those and no others.

    Keras passes over what a file has too much, and over nested layers that it lacks; so what the
    network then holds is compared with what the file does.
    """
    shape = tuple(network.input_shape[1:])
    refusal = f"weights: '{path}' is not of this network on images of shape {shape}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of layers that it passes over
            network.load_weights(path)
        held = _held(path)
    except (ValueError, OSError) as error:
        raise ValueError(f"{refusal}: {str(error).partition(chr(10))[0]}") from error
    needed = Counter(map(_identity, network.get_weights()))
    if held != needed:
        raise ValueError(
            f"{refusal}: it holds {held.total()} arrays, of {needed.total()} that are needed, or "
            "others"
        )


def _held(path: Path) -> Counter[tuple[tuple[int, ...], bytes]]:
    """The arrays of numbers in a file of weights, but for an optimiser's."""
    import h5py

    found: Counter[tuple[tuple[int, ...], bytes]] = Counter()

    def add(name: str, item: Any) -> None:
        of_layers = isinstance(item, h5py.Dataset) and not name.startswith("optimizer/")
        if of_layers and item.dtype.kind == "f":
            found[_identity(item[()])] += 1

    with h5py.File(path) as file:
        file.visititems(add)
    return found


def _identity(values: NDArray[Any]) -> tuple[tuple[int, ...], bytes]:
    return values.shape, hashlib.sha256(np.ascontiguousarray(values).tobytes()).digest()
