"""Dice of outlines found without a reader (``@auto``) against a dataset's own masks, as a table.

    python -m scripts.measure_auto_outline ROI_DIR [--out TABLE.md]

Quartiles of the diameter are those of the masks. "Ball" is how often no nodule was found and a ball
stands in; "ball's Dice" is what that ball would have everywhere, for comparison. "In the first or
last slice" are the outlines that end with the image: more of the nodule may lie beyond, and where a
crop ends with the readers' box, it has told how far they went. Times leave out reading files.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd

from benchmark.datasets import manifest
from benchmark.roi import Roi
from features import _auto_outline


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("dataset", type=Path, help="Folder or manifest.csv.")
    parser.add_argument("--out", type=Path, help="File to write; without it, print.")
    chosen = parser.parse_args()
    dataset = manifest.open_dataset(chosen.dataset)
    table = table_of(pd.DataFrame([measure(dataset.read(record)) for record in dataset.records]))
    if chosen.out:
        chosen.out.write_text(table)
    else:
        print(table, end="")


def measure(roi: Roi) -> dict[str, float]:
    """How the outline that is found in a ROI compares with its mask, and what it took."""
    started = time.perf_counter()
    outline, found = _auto_outline.find(roi)
    took_s = time.perf_counter() - started
    ball = _auto_outline.ball(roi)
    ratings = roi.record.malignancy_ratings
    return {
        "dice": dice(outline, roi.mask),
        "ball_dice": dice(ball, roi.mask),
        "volume_ratio": outline.sum() / roi.mask.sum(),
        "ball": not found,
        "ends": bool(outline[[0, -1]].any()),
        "diameter_mm": roi.equivalent_diameter_mm,
        "indeterminate": bool(ratings) and float(np.mean(ratings)) == 3,
        "ms": 1000 * took_s,
    }


def dice(one: np.ndarray, other: np.ndarray) -> float:
    """Dice 1945: twice what two masks share, by the sum of their voxels."""
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


def table_of(rows: pd.DataFrame) -> str:
    """A Markdown table: all ROIs, those that the numbers were chosen on, quartiles of size."""
    edges = rows.diameter_mm.quantile([0, 0.25, 0.5, 0.75, 1]).to_numpy()
    quartile = np.digitize(rows.diameter_mm, edges[1:-1])
    parts = {
        "all": rows,
        "mean rating 3 (chosen on)": rows[rows.indeterminate],
        "the others": rows[~rows.indeterminate],
    } | {f"diameter {edges[n]:.1f} to {edges[n + 1]:.1f} mm": rows[quartile == n] for n in range(4)}
    lines = [
        "| ROIs | n | Dice, median | quartiles | below .5 | volume / mask's, median | quartiles "
        "| ball | ball's Dice, median | in the first or last slice | ms, median |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, part in parts.items():
        if part.empty:
            continue
        low, median, high = part.dice.quantile([0.25, 0.5, 0.75])
        less, ratio, more = part.volume_ratio.quantile([0.25, 0.5, 0.75])
        lines.append(
            f"| {name} | {len(part)} | {median:.3f} | {low:.3f} to {high:.3f} "
            f"| {(part.dice < 0.5).mean():.1%} | {ratio:.2f} | {less:.2f} to {more:.2f} "
            f"| {int(part.ball.sum())} | {part.ball_dice.median():.3f} "
            f"| {part.ends.mean():.0%} | {part.ms.median():.0f} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
