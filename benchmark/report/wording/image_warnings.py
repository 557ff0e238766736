"""Image warnings: what is unusual in a run's files, with the ROIs concerned."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from benchmark.report.tables.table import percent
from benchmark.roi import CANONICAL_MARGIN_MM, OBLIQUE_DEG
from benchmark.run.folder import RunFolder

_NAMED = 5
"""ROIs named in a sentence; rois.csv has the others."""


def image_warnings(run: RunFolder) -> Iterator[str]:
    """Warnings on values that are hardly HU, oblique axes and files that end near the mask."""
    rois = run.rois
    yield from _doubts(rois)
    oblique = rois[rois["obliquity_deg"] > OBLIQUE_DEG]
    if len(oblique):
        yield (
            f"Oblique: the axes of {_share(oblique, rois)} are turned against the patient's, by up "
            f"to {oblique['obliquity_deg'].max():.1f} degrees; slices are those that are stored "
            f"({_names(oblique)})"
        )
    near = rois[rois["margin_mm"] < CANONICAL_MARGIN_MM]
    if len(near):
        yield (
            f"Tight files: {_share(near, rois)} have less than {CANONICAL_MARGIN_MM:g} mm of image "
            "around the mask on some side; radiomics take the border's voxels to go on there "
            f"({_names(near)})"
        )


def _doubts(rois: pd.DataFrame) -> Iterator[str]:
    doubted = rois[rois["doubt"] != ""]
    if len(doubted):
        named = "; ".join(
            f"{roi_id}: {reason}"
            for roi_id, reason in doubted[["roi_id", "doubt"]].head(_NAMED).to_numpy()
        )
        more = "; ..." if len(doubted) > _NAMED else ""
        yield f"Hardly HU: the values of {_share(doubted, rois)} are unusual ({named}{more})"


def _share(some: pd.DataFrame, of_all: pd.DataFrame) -> str:
    return f"{len(some)} of {len(of_all)} ROIs ({percent(len(some) / len(of_all))})"


def _names(rois: pd.DataFrame) -> str:
    return ", ".join(rois["roi_id"].head(_NAMED)) + (", ..." if len(rois) > _NAMED else "")
