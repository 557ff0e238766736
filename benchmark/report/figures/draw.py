"""All figures of a run, each with a caption and a text for those who cannot see it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from benchmark.plugins.arms import arms_in
from benchmark.report.figures.canvas import Drawing, PlottedArm, plotted_arms, settle, style
from benchmark.report.figures.confusion import confusion_figure
from benchmark.report.figures.cost import cost_figure
from benchmark.report.figures.discrimination import precision_recall_figure, roc_figure
from benchmark.report.figures.forest import forest_figure
from benchmark.report.figures.multiverse import multiverse_figure
from benchmark.report.figures.probabilities import calibration_figure, decision_figure
from benchmark.report.figures.size import size_figure
from benchmark.report.figures.training import training_figure
from benchmark.run.folder import RunFolder

FIGURES: tuple[Callable[[RunFolder, Sequence[PlottedArm]], Drawing | None], ...] = (
    forest_figure,
    roc_figure,
    precision_recall_figure,
    calibration_figure,
    decision_figure,
    confusion_figure,
    size_figure,
    cost_figure,
    training_figure,
    multiverse_figure,
)
"""In the order in which the report shows them; one that gives None is left out."""


def draw(run: RunFolder) -> list[Drawing]:
    """Every figure that the run has the material for.

    Arms that predict one value a split (``prior``) are named in the captions and not drawn:
    their AUC is .5 by definition, and they would squeeze the others together.
    """
    with style():
        arms = plotted_arms(run)
        if not arms:
            return []
        made = [drawing for figure in FIGURES if (drawing := figure(run, arms)) is not None]
        for drawing in made:
            settle(drawing)
    drawn = {arm.label for arm in arms}
    left_out = ", ".join(arm.name for arm in arms_in(run.predictions) if arm.name not in drawn)
    if left_out:
        said = f" Not drawn, as one value for all ROIs of a split: {left_out}."
        made = [replace(drawing, caption=drawing.caption + said) for drawing in made]
    return made
