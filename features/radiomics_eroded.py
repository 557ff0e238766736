"""The features of ``radiomics`` from the mask shrunk by 1 mm in its slices."""

from __future__ import annotations

from benchmark.roi import Roi
from features import radiomics
from features._masks import eroded

PLANAR = "radiomics2d_eroded"
"""Takes its place in a run whose ROIs are all one slice thick."""


def extract(roi: Roi) -> dict[str, float]:
    """The features, by pyradiomics' names.

    Raises
    ------
    UnavailableError
        Where the dataset has no masks.
    ValueError
        Where pyradiomics leaves a feature out or gives a value that is not finite.
    """
    return radiomics.extract(eroded(roi))
