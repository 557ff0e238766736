"""Pictures of nodules and of what models make of them, as PNG.

None names a nodule or a patient, so that they can be shown where the report is anonymised. All
say so where intensities are synthetic.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.report.figures.canvas import as_written, lay_out, without_axes
from benchmark.report.gallery.explanations import HARDLY_CHANGED, Bars, HeatMap, Sanity
from benchmark.report.gallery.nodule import WINDOW, draw_slice, shown_slice
from benchmark.roi import Roi

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TOP_OF_ONE = 10
"""Features shown of one nodule."""

TOP_OF_ALL = 15
"""Features shown of an arm."""

_DPI = 110
_LINE = 74  # characters of 8 points across 4.8 inches
_UP, _DOWN = "#d1495b", "#30638e"  # towards malignant, towards benign
_STAMP = "SYNTHETIC INTENSITIES: simulated voxels, not CT"


def nodule(roi: Roi, *, synthetic: bool) -> bytes:
    """The largest slice, all of it, with the outline; the middle one where there is no mask."""
    figure, (axis,) = _figure(3.6, 3.9, 1)
    draw_slice(axis, roi, colour=_UP, line_width=1.0)
    height, width = roi.image.shape[1:]
    kind = "largest" if roi.has_mask else "middle"
    axis.set_title(
        f"slice {shown_slice(roi) + 1} of {roi.image.shape[0]}, {kind}\n"
        f"{height * roi.spacing_mm[1]:.0f} x {width * roi.spacing_mm[2]:.0f} mm, {WINDOW}",
        fontsize=8,
    )
    return _png(figure, synthetic)


def heat_map(shown: HeatMap, title: str, *, synthetic: bool) -> bytes:
    """Image that the network saw, and the same under its heat map, each scaled to its own maximum.

    Of a volume, the slice with the most heat, the middle one where there is none. Of several
    channels, the first.
    """
    image, heat = shown.image[..., 0], shown.heat
    place = ""
    if heat.ndim == 3:
        by_slice = heat.sum(axis=(1, 2))
        z = int(by_slice.argmax()) if by_slice.any() else heat.shape[0] // 2
        image, heat = image[z], heat[z]
        place = f", slice {z + 1} of {len(by_slice)}"
    figure, axes = _figure(4.8, 2.9, 2)
    size = " x ".join(map(str, image.shape))
    for axis in axes:
        axis.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        without_axes(axis)
    axes[0].set_title(f"network's input{place}\n{size} pixels, 0 to 1", fontsize=7)
    if heat.any():
        axes[1].imshow(heat / heat.max(), cmap="inferno", alpha=0.5, vmin=0, vmax=1)
        axes[1].set_title("Grad-CAM\nscaled to its own maximum", fontsize=7)
    else:
        axes[1].set_title("Grad-CAM: blank\nnothing speaks for malignancy", fontsize=7)
    figure.suptitle(_wrapped(title), fontsize=8)
    return _png(figure, synthetic)


def bars(shown: Bars, title: str, *, synthetic: bool) -> bytes:
    """The features that moved one nodule's output most, and the others' sum."""
    order = np.argsort(-np.abs(shown.values), kind="stable")
    top, rest = order[:TOP_OF_ONE], order[TOP_OF_ONE:]
    names = [shown.columns[i] for i in top]
    values = [float(shown.values[i]) for i in top]
    if len(rest):
        names.append(f"{len(rest)} others")
        values.append(float(shown.values[rest].sum()))
    colours = [_UP if value > 0 else _DOWN for value in values]
    # Over the whole figure: names of features leave the axis half of its width.
    title = f"{_wrapped(title)}\n{shown.unit}: {shown.base:.2f} on average, {shown.output:.2f} here"
    label = f"SHAP value, {shown.unit};\nred towards malignant"
    return _chart(names, values, colours, title, label, synthetic=synthetic)


def summary(
    features: Sequence[str], sizes: Sequence[float], title: str, unit: str, *, synthetic: bool
) -> bytes:
    """Mean |SHAP| of an arm's features, of which the first ``TOP_OF_ALL`` are shown."""
    features, sizes = features[:TOP_OF_ALL], sizes[:TOP_OF_ALL]
    label = f"mean |SHAP value|,\n{unit}"
    colours = [_DOWN] * len(features)
    return _chart(features, sizes, colours, _wrapped(title), label, synthetic=synthetic)


def sanity(checks: Sequence[Sanity], *, synthetic: bool) -> bytes:
    """Each arm's rank correlations with maps of shuffled weights: nodules, and their mean."""
    figure, (axis,) = _figure(6.4, 1.3 + 0.4 * len(checks), 1)
    for place, check in enumerate(checks):
        axis.plot(
            check.correlations, [place] * check.correlations.size, "o", color=_DOWN,
            alpha=0.4, markersize=4,
        )  # fmt: skip
        if not math.isnan(check.mean):
            axis.plot([check.mean], [place], "|", color="black", markersize=16)
    axis.axvline(HARDLY_CHANGED, color=_UP, linewidth=0.8, linestyle="--")
    axis.set_yticks(range(len(checks)), [str(check.arm) for check in checks], fontsize=7)
    axis.set_ylim(len(checks) - 0.5, -0.5)
    axis.set_xlim(-1, 1)
    axis.tick_params(axis="x", labelsize=7)
    axis.set_xlabel("rank correlation with heat maps of shuffled weights", fontsize=7)
    axis.set_title("Right of the dashed line, maps hardly depend on what was learnt", fontsize=8)
    return _png(figure, synthetic)


def _figure(width: float, height: float, columns: int) -> tuple[Figure, list[Any]]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, list(figure.subplots(1, columns, squeeze=False)[0])


def _wrapped(title: str) -> str:
    """The title in lines that are no wider than a picture."""
    return "\n".join(fill(line, _LINE) for line in title.splitlines())


def _chart(
    names: Sequence[str], values: Sequence[float], colours: Sequence[str], title: str, label: str,
    *, synthetic: bool,
) -> bytes:  # fmt: skip
    """Horizontal bars, the first on top.

    Margins are computed and names are plain text: to lay out a figure by trial, and ticks, take
    longer than all other drawing.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.font_manager import FontProperties

    figure, margin = Figure(dpi=_DPI), 0.08
    canvas: Any = FigureCanvasAgg(figure)
    font, large = FontProperties(size=7), FontProperties(size=8)

    def widest(texts: Sequence[str], font: FontProperties) -> float:
        measure = canvas.get_renderer().get_text_width_height_descent
        return float(max(measure(text, font, ismath=False)[0] for text in texts)) / _DPI

    left = 2 * margin + widest(names, font)
    beside = left + 2 * margin + max(1.5, widest(label.splitlines(), font))
    width = max(4.8, beside, widest(title.splitlines(), large) + 2 * margin)
    top = 2 * margin + 0.14 * len(title.splitlines())
    bottom = 0.3 + 0.13 * len(label.splitlines()) + (0.2 if synthetic else 0)
    height = bottom + 0.23 * len(names) + top
    figure.set_size_inches(width, height)
    across = width - left - 2 * margin
    axis = figure.add_axes(
        (left / width, bottom / height, across / width, 1 - (bottom + top) / height)
    )
    axis.barh(range(len(names)), values, color=colours)
    axis.axvline(0, color="black", linewidth=0.6)
    axis.set(yticks=[], ylim=(len(names) - 0.4, -0.6))
    axis.tick_params(axis="x", labelsize=7)
    axis.locator_params(axis="x", nbins=math.floor(2.5 * across))
    for place, name in enumerate(names):
        axis.text(
            -margin / across, place, name, fontproperties=font, ha="right", va="center",
            transform=axis.get_yaxis_transform(), parse_math=False,
        )  # fmt: skip
    axis.set_xlabel(label, fontproperties=font, parse_math=False)
    figure.suptitle(title, fontproperties=large, y=1 - margin / height, va="top", parse_math=False)
    if synthetic:
        _stamp(figure)
    return _saved(figure)


def _png(figure: Figure, synthetic: bool) -> bytes:
    """The file of a figure that Matplotlib lays out."""
    as_written(figure)
    if synthetic:
        _stamp(figure)
    lay_out(figure)
    return _saved(figure)


def _stamp(figure: Figure) -> None:
    figure.supxlabel(_STAMP, fontsize=8, color=_UP, fontweight="bold")


def _saved(figure: Figure) -> bytes:
    out = io.BytesIO()
    # No version in the file: the same run gives the same bytes.
    figure.savefig(out, format="png", dpi=_DPI, metadata={"Software": None})
    return out.getvalue()
