"""Score against size: how far a model's score is the nodule's diameter."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from benchmark.report.figures.canvas import (
    BENIGN,
    MALIGNANT,
    UNIT,
    Drawing,
    PlottedArm,
    arm_panels,
    note,
)
from benchmark.report.tables.table import decimal
from benchmark.run.folder import RunFolder

_DIAMETERS_MM = {math.log(mm): str(mm) for mm in (4, 8, 15, 30)}


def size_figure(run: RunFolder, arms: Sequence[PlottedArm]) -> Drawing | None:
    """P(malignant) over equivalent diameter, a panel an arm; None where no mask gives a size."""
    from scipy.stats import rankdata

    diameter = run.rois.set_index("roi_id")["equivalent_diameter_mm"].dropna()
    tested = run.predictions[run.predictions.roi_id.isin(diameter.index)]
    if tested.empty:
        return None
    figure, panels = arm_panels(
        run, arms, "Score by size", "equivalent diameter, mm (logarithmic)", "P(malignant)",
        x_ticks=_DIAMETERS_MM, y_ticks=UNIT,
    )  # fmt: skip
    told = []
    for axis, arm in zip(panels, arms, strict=True):
        own = tested[tested.arm == arm.label]
        x, p = np.log(diameter.loc[own.roi_id].to_numpy()), own.y_prob.to_numpy()
        for label, name, colour, marker in (
            (0, "benign", BENIGN, "o"), (1, "malignant", MALIGNANT, "^"),
        ):  # fmt: skip
            chosen = own.y_true.to_numpy() == label
            axis.scatter(
                x[chosen], p[chosen], s=5, color=colour, marker=marker, alpha=0.45, linewidth=0,
                label=name, rasterized=True,
            )  # fmt: skip
        axis.set_ylim(-0.03, 1.22)
        varies = len(own) > 1 and np.ptp(p) > 0 and np.ptp(x) > 0
        rho = float(np.corrcoef(rankdata(x), rankdata(p))[0, 1]) if varies else float("nan")
        note(axis, f"rank correlation {decimal(rho)}, n = {own.roi_id.nunique()}", 0.98, 0.97,
             va="top")  # fmt: skip
        told.append(f"{arm.label} {decimal(rho)}")
    panels[0].legend(loc="lower right", markerscale=1.5, handletextpad=0.1)
    return Drawing(
        "score_by_size", "Score by size",
        "Each point a tested ROI. Rank correlation (Spearman) of score and diameter over all "
        "splits. A model that only knows size draws one rising line a split.",
        f"Score against diameter, one panel a model. Rank correlation: {'; '.join(told)}.", figure,
    )  # fmt: skip
