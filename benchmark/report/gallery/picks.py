"""Choice of the gallery's nodules: confident right, confident wrong and borderline ones."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

CONFIDENT_RIGHT, CONFIDENT_WRONG, BORDERLINE = KINDS = (
    "confident right", "confident wrong", "borderline",
)  # fmt: skip

PER_KIND = 3
"""Nodules of each kind and label at most."""

CONFIDENT = 0.3
"""Distance from .5 of the mean score, at least: below .2 or above .8."""

UNDECIDED = 0.1
"""Distance from .5 of the mean score, at most."""

RULE = (
    f"By the mean P(malignant) of the run's models on unseen data (those that give all nodules "
    f"the same score left out): confident is at most {0.5 - CONFIDENT:g} or at least "
    f"{0.5 + CONFIDENT:g}, right or wrong by .5 and the label; borderline is {0.5 - UNDECIDED:g} "
    f"to {0.5 + UNDECIDED:g}. Up to {PER_KIND} of each kind and label, the most confident and the "
    "least decided first."
)


@dataclass(frozen=True)
class Pick:
    """A nodule to show.

    Attributes
    ----------
    roi_id, patient_id : str
    kind : str
        One of ``KINDS``.
    label : int
        0 benign, 1 malignant.
    mean : float
        Mean P(malignant), by which it was picked.
    """

    roi_id: str
    patient_id: str
    kind: str
    label: int
    mean: float


def pick(predictions: pd.DataFrame, per_kind: int = PER_KIND) -> list[Pick]:
    """Choose nodules of repeat 0 by ``RULE``; of equals, the first by ``roi_id``.

    Parameters
    ----------
    predictions : DataFrame
        Those of a run. Nodules that some model did not predict are not chosen.
    per_kind : int
        Of each kind and label at most.

    Returns
    -------
    list of Pick
        In order of ``KINDS``, then malignant before benign.
    """
    first = predictions[predictions["repeat"] == 0]
    distinct = first.groupby(["arm", "fold"]).y_prob.nunique()
    varying = (distinct > 1).groupby("arm").any()
    telling = first[first.arm.map(varying)]
    by_roi = telling.groupby("roi_id").agg(
        patient_id=("patient_id", "first"),
        label=("y_true", "first"),
        mean=("y_prob", "mean"),
        n=("y_prob", "size"),
    )
    complete = by_roi[by_roi.n == int(varying.sum())].reset_index()
    complete["distance"] = (complete["mean"] - 0.5).abs()
    right = (complete["mean"] >= 0.5) == (complete.label == 1)
    confident = complete.distance >= CONFIDENT
    members = {
        CONFIDENT_RIGHT: complete[confident & right],
        CONFIDENT_WRONG: complete[confident & ~right],
        BORDERLINE: complete[complete.distance <= UNDECIDED],
    }
    picks = []
    for kind, rows in members.items():
        for label in (1, 0):
            ranked = rows[rows.label == label].sort_values(
                ["distance", "roi_id"], ascending=[kind == BORDERLINE, True]
            )
            picks += [
                Pick(str(row["roi_id"]), str(row["patient_id"]), kind, label, float(row["mean"]))
                for row in ranked.head(per_kind).to_dict("records")
            ]
    return picks
