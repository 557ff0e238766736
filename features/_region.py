"""A ROI's grey levels, and pyradiomics' feature classes made ready for them."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Features = dict[str, float]

EPS = np.spacing(1)
"""pyradiomics adds it inside logarithms and to divisors."""

NEIGHBOURS = np.array([1])
"""Distances, in voxels, at which texture matrices see them."""


@dataclass(frozen=True, eq=False)
class Region:
    """Grey levels of the voxels of a ROI, in its bounding box.

    Attributes
    ----------
    mask : ndarray of bool, shape (z, y, x)
    levels, ranks : ndarray of int32, shape (z, y, x)
        Inside the mask pyradiomics' grey levels, from 1 up, and the same without gaps;
        outside 0.
    present : ndarray, shape (n,)
        The levels that occur, ascending.
    counts : ndarray of int, shape (n,)
        Voxels of each.
    in_plane : tuple of bool and int
        pyradiomics' ``force2D`` and ``force2Ddimension``.
    """

    mask: NDArray[np.bool_]
    levels: NDArray[np.int32]
    ranks: NDArray[np.int32]
    present: Floats
    counts: NDArray[np.int64]
    in_plane: tuple[bool, int]


def discretise(
    values: NDArray[Any], mask: NDArray[np.bool_], settings: Mapping[str, Any]
) -> Region:
    """Bin the values of a mask's voxels as ``imageoperations.binImage`` does.

    Parameters
    ----------
    values : ndarray, shape (n_voxels,)
        Of the voxels inside ``mask``, in C order, in the image's own type: pyradiomics'
        edges are computed in it.
    """
    width, low, high = settings["binWidth"], values.min(), values.max()
    edges = np.arange(low - low % width, high + 2 * width, width)
    # A flat region at the edge of a bin lies between one edge and the next.
    binned = np.digitize(values, edges)
    counts = np.bincount(binned)
    present = np.flatnonzero(counts)
    in_plane = settings.get("force2D", False), settings.get("force2Ddimension", 0)
    levels, ranks = np.zeros((2, *mask.shape), np.int32)
    levels[mask] = binned
    ranks[mask] = np.cumsum(counts > 0)[binned]
    return Region(mask, levels, ranks, present.astype(float), counts[present], in_plane)


@lru_cache
def c_code(name: str) -> Any:
    """One of pyradiomics' C modules, ``_cmatrices`` or ``_cshape``, without its package.

    The import of the package brings SimpleITK, and takes as long as thirty nodules.
    """
    package = find_spec("radiomics")
    if package is None:
        raise ModuleNotFoundError("No module named 'radiomics'", name="radiomics")
    found = PathFinder.find_spec(name, package.submodule_search_locations)
    if found is None or found.loader is None:
        raise ModuleNotFoundError(f"pyradiomics has no C module '{name}'", name=name)
    module = module_from_spec(found)
    found.loader.exec_module(module)
    return module


def prepare(cls: Any, **attributes: object) -> Any:
    """A feature class of pyradiomics without its constructor.

    That would cast and bin the image and list the class's methods once more for every class
    and every image.
    """
    prepared = cls.__new__(cls)
    fixed = {"logger": logging.getLogger(cls.__module__), "label": 1, "voxelBased": False}
    vars(prepared).update(fixed | attributes)
    return prepared


def every_feature(prepared: Any) -> Features:
    """Values of all features of a class that has been made ready, by pyradiomics' methods."""
    return {name: scalar(prepared, name) for name in _names(prepared.__class__)}


@lru_cache
def _names(cls: Any) -> tuple[str, ...]:
    return tuple(name for name, deprecated in cls.getFeatureNames().items() if not deprecated)


def scalar(prepared: Any, name: str) -> float:
    """Value of one feature by pyradiomics' method."""
    try:
        value = np.squeeze(getattr(prepared, f"get{name}FeatureValue")())
        # numpy 2.5 gives eigenvalues as complex numbers, be they without imaginary part.
        return float(np.real(value))
    except ZeroDivisionError:
        # As in pyradiomics: of a mesh without volume, for one.
        return math.nan


def entropy_of(p: Floats) -> Any:
    """Along the first axis."""
    return -(p * np.log2(p + EPS)).sum(axis=0)
