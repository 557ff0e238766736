"""The features of ``radiomics`` from one reader's mask, which one drawn by ROI."""

from __future__ import annotations

from benchmark.roi import Roi
from features import radiomics
from features._masks import one_reader

PLANAR = "radiomics2d_reader"
"""Takes its place in a run whose ROIs are all one slice thick."""


def extract(roi: Roi) -> dict[str, float]:
    """The features, by pyradiomics' names.

    Raises
    ------
    UnavailableError
        Where the dataset has no readers' masks.
    ValueError
        Where pyradiomics leaves a feature out or gives a value that is not finite.
    """
    return radiomics.extract(one_reader(roi))
