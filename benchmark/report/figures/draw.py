"""All figures of a run, each with a caption and a text for those who cannot see it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from functools import partial

from benchmark.plugins.arms import arms_in
from benchmark.report.figures.canvas import Drawing, Picture, PlottedArm, plotted_arms, style
from benchmark.report.figures.confusion import confusion_figure
from benchmark.report.figures.cost import cost_figure
from benchmark.report.figures.discrimination import precision_recall_figure, roc_figure
from benchmark.report.figures.forest import forest_figure
from benchmark.report.figures.multiverse import multiverse_figure
from benchmark.report.figures.probabilities import calibration_figure, decision_figure
from benchmark.report.figures.size import size_figure
from benchmark.report.figures.training import training_figure
from benchmark.run.folder import RunFolder
from benchmark.runtime.workers import Workers

Figure = Callable[[RunFolder, Sequence[PlottedArm]], Drawing | None]

FIGURES: tuple[Figure, ...] = (
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


def draw(run: RunFolder) -> Iterator[Drawing]:
    """Every figure that the run has the material for.

    Arms that predict one value a split (``prior``) are named in the captions and not drawn:
    their AUC is .5 by definition, and they would squeeze the others together.
    """
    arms = plotted_arms(run)
    for figure in FIGURES:
        drawing = _drawing(run, arms, figure)
        if drawing is not None:
            yield drawing


def pictures(
    run: RunFolder, kinds: Collection[str], workers: Workers | None = None
) -> Iterator[Picture]:
    """The figures of :func:`draw` in formats, each a task for the workers."""
    if workers is None:
        return (drawing.picture(kinds) for drawing in draw(run))
    made = workers.map(partial(_picture, run, tuple(kinds)), FIGURES)
    return (picture for picture in made if picture is not None)


def _picture(run: RunFolder, kinds: Collection[str], figure: Figure) -> Picture | None:
    drawing = _drawing(run, plotted_arms(run), figure)
    return None if drawing is None else drawing.picture(kinds)


def _drawing(run: RunFolder, arms: Sequence[PlottedArm], figure: Figure) -> Drawing | None:
    with style():
        drawing = figure(run, arms) if arms else None
    if drawing is None:
        return None
    drawn = {arm.label for arm in arms}
    left_out = ", ".join(arm.name for arm in arms_in(run.predictions) if arm.name not in drawn)
    if not left_out:
        return drawing
    said = f" Not drawn, as one value for all ROIs of a split: {left_out}."
    return replace(drawing, caption=drawing.caption + said)
