"""The forest plot in README.md: ``python -m scripts.draw_forest results/lidc_crops_kfold``.

Writes ``forest.svg`` into a folder that holds ``metrics.csv``, ``comparisons.csv`` and
``environment.json`` of a run: the report's own figure, which needs no predictions.
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmark.report.figures.canvas import style
from benchmark.report.figures.forest import forest_of_tables
from benchmark.run.folder import RunFolder


def draw(folder: Path) -> Path:
    """Draw the figure of a results folder into it."""
    path = folder / "forest.svg"
    with style():
        drawing = forest_of_tables(RunFolder(folder))
        path.write_bytes(drawing.saved("svg"))
    return path


if __name__ == "__main__":
    print(draw(Path(sys.argv[1])))
