"""Labels of a run in words: what they rest on, and what that lets one say."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from benchmark.cohort.labels import AS_GIVEN, source_name
from benchmark.run.folder import RunFolder

READER = "reader"

_MEANING = {
    "": "Labels are the dataset's own; what they stand for is for its authors to say.",
    READER: "Labels are readers' judgement of the images, as the dataset says, not pathology.",
    "pathology": (
        "Labels are pathology, as the dataset says. Nodules are selected for biopsy or surgery; "
        "figures need not hold for others."
    ),
    "follow-up": (
        "Labels rest on follow-up, as the dataset says; how long nodules were watched, and what "
        "then counted as benign, is for its authors to say."
    ),
}

_SUSPICION = (
    "Labels made from readers' ratings are radiologists' suspicion, not pathology, and the "
    "readers who gave the ratings also drew the outlines."
)

_SEVERAL = (
    "Labels rest on several sources. What one calls malignant another may not, and a model that "
    "tells the sources apart gains by it; strata of the label source have each by itself."
)


def label_sources(run: RunFolder) -> Mapping[str, int]:
    """Tested ROIs by what their labels rest on, as ``RoiRecord.source`` names it.

    Of a run in which no arm finished, all ROIs.
    """
    tested = run.rois["roi_id"].isin(run.predictions["roi_id"])
    return _sources(run, run.rois[tested] if tested.any() else run.rois)


def other_sources(run: RunFolder) -> list[str]:
    """What labels rest on that are learnt from, and those of no tested ROI do."""
    return sorted(_sources(run, run.rois).keys() - label_sources(run).keys())


def label_note(run: RunFolder) -> str:
    """Note on what the labels stand for that models are tested on."""
    sources = list(label_sources(run))
    if len(sources) > 1:
        note = _SEVERAL
    elif sources == [READER] and not _all_given(run):
        note = _SUSPICION
    else:
        note = _MEANING[sources[0]]
    others = ", ".join(map(source_name, other_sources(run)))
    return f"{note} Models learnt from labels of another source ({others})." if others else note


def _sources(run: RunFolder, rois: pd.DataFrame) -> Mapping[str, int]:
    counts = {str(name): int(n) for name, n in rois["label_source"].value_counts().items()}
    if set(counts) == {""} and not _all_given(run):
        return {READER: counts[""]}  # a run of before the column was there
    return dict(sorted(counts.items()))


def _all_given(run: RunFolder) -> bool:
    return AS_GIVEN in run.environment["protocol"]["label"]
