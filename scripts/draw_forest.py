"""The forest plot in README.md: ``python -m scripts.draw_forest results/lidc_crops_kfold``.

Writes ``forest.svg`` into a folder that holds ``metrics.csv``, ``comparisons.csv`` and
``environment.json`` of a run. The report's own figure needs the predictions too, which committed
results leave out.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import numpy as np

from benchmark.columns import COMPARISON_TABLE, METRIC_TABLE
from benchmark.plugins.arms import arms_in
from benchmark.report.figures.canvas import GREY, PALETTE, style
from benchmark.report.tables.main import arm_rows, lift_over_size
from benchmark.report.tables.table import marked, with_interval

NAME = "forest.svg"
CEILING = "logistic:ratings"
"""Fed by the same readers' other ratings, so no competitor."""

Interval = tuple[float, float, float]


def intervals(folder: Path) -> dict[str, tuple[Interval, Interval | None]]:
    """AUC and AUC - size of every arm that ranks at all, each as value, low and high."""
    metrics, pairs = METRIC_TABLE.read(folder), COMPARISON_TABLE.read(folder)
    found: dict[str, tuple[Interval, Interval | None]] = {}
    for arm in arms_in(metrics):
        auc = arm_rows(metrics, arm)["auc"]
        if not math.isnan(auc.ci_low):
            lift = lift_over_size(pairs, arm)
            over_size = lift and (lift.difference, lift.low, lift.high)
            found[arm.name] = ((auc.value, auc.ci_low, auc.ci_high), over_size)
    return found


def told(folder: Path) -> str:
    """The figure in words, for those who cannot see it."""
    parts = []
    for arm, (auc, lift) in intervals(folder).items():
        more = f", {with_interval(*lift, sign=True)} over size" if lift else ""
        parts.append(f"{arm} {with_interval(*auc)}{more}")
    return f"AUC with 95 % intervals over patients: {'; '.join(parts)}."


def draw(folder: Path) -> Path:
    """Draw the figure of a results folder into it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    found, path = intervals(folder), folder / NAME
    about = json.loads((folder / "environment.json").read_text("utf-8"))["dataset"]
    with style():
        figure = Figure(figsize=(7.2, 0.3 * len(found) + 1.3), layout="constrained")
        FigureCanvasAgg(figure)
        title = f"{about['name']}: {about['cohort'].partition(';')[0]}"
        figure.suptitle(marked(title, about["intensities"] == "synthetic"), fontsize=9)
        left, right = figure.subplots(1, 2, sharey=True)
        for y, (arm, values) in enumerate(found.items()):
            colour = GREY if arm == CEILING else PALETTE[0]
            for axis, value in zip((left, right), values, strict=True):
                if value is not None:
                    reach = np.abs(np.array(value[1:]) - value[0])[:, None]
                    axis.errorbar(
                        value[0], y, xerr=reach, fmt="o", color=colour, markersize=5, capsize=2
                    )
        left.axvline(found["size_only:diameter"][0][0], color=GREY, linestyle="--", linewidth=0.8)
        right.axvline(0, color=GREY, linestyle="--", linewidth=0.8)
        names = [f"{arm} (ceiling)" if arm == CEILING else arm for arm in found]
        left.set(yticks=range(len(found)), yticklabels=names, xlabel="AUC, 95 % interval")
        left.invert_yaxis()
        right.set(xlabel="AUC - size (paired difference), 95 % interval")
        metadata = {"Date": None, "Creator": None, "Description": told(folder)}
        figure.savefig(path, metadata=metadata)
    return path


if __name__ == "__main__":
    print(draw(Path(sys.argv[1])))
