"""The features of ``radiomics2d`` from one reader's mask, which one drawn by ROI."""

from __future__ import annotations

from benchmark.roi import Roi
from features import radiomics2d
from features._masks import one_reader


def extract(roi: Roi) -> dict[str, float]:
    """The features, by pyradiomics' names.

    Raises
    ------
    UnavailableError
        Where the dataset has no readers' masks.
    ValueError
        Where pyradiomics leaves a feature out or gives a value that is not finite.
    """
    return radiomics2d.extract(one_reader(roi))
