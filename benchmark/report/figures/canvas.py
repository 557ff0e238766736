"""Canvas of the figures: arms with their colours, panels, titles, and PNG and SVG from them."""

from __future__ import annotations

import io
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from benchmark.columns import by_arm
from benchmark.config import Bootstrap
from benchmark.plugins.arms import Arm, arms_in
from benchmark.report.tables.main import size_arm
from benchmark.report.tables.table import marked, with_interval
from benchmark.run.folder import RunFolder
from benchmark.runtime.failures import without_controls
from benchmark.statistics.cases import Cases, Floats, cases
from benchmark.statistics.curves import patient_draws

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's colours, told apart by the colour-blind; their yellow is too pale for print."""

MARKERS = "osD^vPX*<>"
GREY = "#6b6b6b"
BENIGN, MALIGNANT = PALETTE[0], PALETTE[1]
WIDTH_INCHES = 7.2
"""Two columns of a journal."""

UNIT = {tick: f"{tick:g}" for tick in (0.0, 0.25, 0.5, 0.75, 1.0)}
"""Ticks from 0 to 1."""

_COLUMNS = 4
_METADATA: Mapping[str, Mapping[str, str | None]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
_STYLE: Any = {
    "svg.hashsalt": "lung-nodule-benchmark",
    "text.parse_math": False,
    "font.size": 8,
    "axes.titlesize": 7.5,
    "axes.labelsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "savefig.facecolor": "white",
}


@dataclass(frozen=True, eq=False)
class PlottedArm:
    """An arm as figures show it.

    Attributes
    ----------
    arm : Arm
    cases : Cases
    draws : ndarray, shape (n_samples, n_patients)
        Resamples that bands are made from.
    metrics : mapping of str to (value, low, high)
    colour, marker : str
    """

    arm: Arm
    cases: Cases
    draws: Floats
    metrics: Mapping[str, tuple[float, float, float]]
    colour: str
    marker: str

    @property
    def label(self) -> str:
        """The arm's name."""
        return self.arm.name

    def shown(self, metric: str) -> str:
        """The metric with its interval, rounded."""
        return with_interval(*self.metrics[metric])


@dataclass(frozen=True, eq=False)
class Picture:
    """A figure as files.

    Attributes
    ----------
    name : str
        File name without its ending.
    title, caption, alt : str
        ``alt`` tells a reader who cannot see the figure what is in it.
    files : mapping of str to bytes
        Content by format: ``svg``, ``pdf`` or ``png``.
    """

    name: str
    title: str
    caption: str
    alt: str
    files: Mapping[str, bytes]


@dataclass(frozen=True, eq=False)
class Drawing:
    """A finished figure and what is said of it, as of a :class:`Picture`."""

    name: str
    title: str
    caption: str
    alt: str
    figure: Any

    def picture(self, kinds: Collection[str]) -> Picture:
        """The figure in formats: ``svg``, ``pdf`` or ``png``, which has 200 dots an inch.

        The same run gives the same bytes: ids are fixed, and no date is written. SVG has ``alt``
        as its description.
        """
        with style():
            lay_out(self.figure)
            files = {kind: self._saved(kind) for kind in kinds}
        return Picture(self.name, self.title, self.caption, self.alt, files)

    def _saved(self, kind: str) -> bytes:
        out = io.BytesIO()
        metadata = dict(_METADATA[kind]) | ({"Description": self.alt} if kind == "svg" else {})
        self.figure.savefig(out, format=kind, metadata=metadata, dpi=200)
        if kind == "svg":
            return without_controls(out.getvalue().decode("utf-8")).encode("utf-8")
        return out.getvalue()


def lay_out(figure: Any) -> None:
    """Lay a figure out once and for all: no format that is saved moves the next, or costs twice."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine(None)


def without_axes(axes: Any) -> None:
    """Show an image alone, without making the ticks that nobody would see."""
    axes.set(xticks=[], yticks=[])
    axes.set_axis_off()


def as_written(figure: Any) -> None:
    """Draw names as they are written: between two dollars Matplotlib would read a formula.

    Only ticks of its own, of logarithmic axes, are formulas.
    """
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        if "$" in text.get_text() and "\\mathdefault" not in text.get_text():
            text.set_parse_math(False)


@contextmanager
def style() -> Iterator[None]:
    """Matplotlib's settings for the figures, while they are drawn and while they are saved."""
    from matplotlib import rc_context

    with rc_context(_STYLE):
        yield


def plotted_arms(run: RunFolder) -> list[PlottedArm]:
    """Every arm whose scores differ within some split, in the order of the main table."""
    bootstrap, seed = Bootstrap(**run.config["bootstrap"]), int(run.config["seed"])
    metrics: dict[str, dict[str, tuple[float, float, float]]] = {}
    for row in run.metrics.to_dict("records"):
        ends = (row["value"], row["ci_low"], row["ci_high"])
        metrics.setdefault(row["arm"], {})[row["metric"]] = ends
    arms: list[PlottedArm] = []
    predicted = by_arm(run.predictions)
    for arm in arms_in(run.predictions):
        frame = predicted[arm.name]
        if frame.groupby(["repeat", "fold"]).y_prob.nunique().max() < 2:
            continue
        number, own = len(arms), cases(frame)
        arms.append(
            PlottedArm(
                arm=arm,
                cases=own,
                draws=patient_draws(own, bootstrap, seed),
                metrics=metrics[arm.name],
                colour=PALETTE[number % len(PALETTE)],
                marker=MARKERS[number % len(MARKERS)],
            )
        )
    return arms


def size_only_arm(arms: Sequence[PlottedArm]) -> PlottedArm | None:
    """``size_only``, where the run has it."""
    size = size_arm(arm.arm for arm in arms)
    return next((arm for arm in arms if arm.arm == size), None)


def new_figure(run: RunFolder, title: str, height: float, below: str = "") -> Any:
    """An empty figure under its title and the cohort's counts; synthetic intensities say so."""
    return empty_figure(title, height, synthetic=run.synthetic, below=f"\n{counts(run)}{below}")


def empty_figure(title: str, height: float, *, synthetic: bool, below: str = "") -> Any:
    """An empty figure under a title, which says so where voxels are simulated."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_INCHES, height), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(f"{marked(title, synthetic)}{below}", fontsize=9)
    return figure


def counts(run: RunFolder) -> str:
    """Counts of what was tested: ``lidc_crops: 751 ROIs of 411 patients, 308 malignant``."""
    tested = run.predictions.drop_duplicates("roi_id")
    return (
        f"{run.name}: n = {len(tested)} ROIs of "
        f"{tested.patient_id.nunique()} patients tested, {int(tested.y_true.sum())} malignant"
    )


def arm_panels(
    run: RunFolder, arms: Sequence[PlottedArm], title: str, x: str, y: str, *,
    x_ticks: Mapping[float, str], y_ticks: Mapping[float, str],
) -> tuple[Any, list[Any]]:  # fmt: skip
    """A figure with a panel for each arm, axes shared, the arm's name above its panel.

    Ticks are given, as labels by values, and margins in inches are fixed: to look for them takes
    longer than all other drawing.
    """
    rows = math.ceil(len(arms) / _COLUMNS)
    columns = math.ceil(len(arms) / rows)
    height = 1.9 * rows + 0.9
    figure = new_figure(run, title, height)
    figure.set_layout_engine(None)
    left = 0.4 + 0.05 * max(map(len, y_ticks.values()))
    figure.subplots_adjust(
        left=left / WIDTH_INCHES, right=1 - 0.1 / WIDTH_INCHES, bottom=0.5 / height,
        top=1 - 0.85 / height, wspace=0.12, hspace=0.42,
    )  # fmt: skip
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    grid = grid.flatten().tolist()
    grid[0].set_xticks(list(x_ticks), list(x_ticks.values()))
    grid[0].set_yticks(list(y_ticks), list(y_ticks.values()))
    for axis, arm in zip(grid, arms, strict=False):
        axis.set_title(arm.label.replace(":", "\n", 1))
    for spare in grid[len(arms) :]:
        spare.set_axis_off()
    for axis in grid[max(0, len(arms) - columns) : len(arms)]:
        axis.tick_params(labelbottom=True)
    figure.supxlabel(x, fontsize=8)
    figure.supylabel(y, fontsize=8)
    return figure, grid[: len(arms)]


def note(axis: Any, text: str, x: float, y: float, **options: Any) -> None:
    """Small text inside a panel, at a position in its own units of 0 to 1."""
    settings = {"ha": "right", "va": "bottom", **options}
    axis.text(x, y, text, transform=axis.transAxes, fontsize=6, linespacing=1.3, **settings)
