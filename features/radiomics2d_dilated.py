"""The features of ``radiomics2d`` from the mask grown by 1 mm in its slices."""

from __future__ import annotations

from benchmark.roi import Roi
from features import radiomics2d
from features._masks import dilated


def extract(roi: Roi) -> dict[str, float]:
    """The features, by pyradiomics' names.

    Raises
    ------
    UnavailableError
        Where the dataset has no masks.
    ValueError
        Where pyradiomics leaves a feature out or gives a value that is not finite.
    """
    return radiomics2d.extract(dilated(roi))
