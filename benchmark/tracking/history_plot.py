"""Metrics over time, from the history of runs: one figure a series of comparable runs."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pandas as pd

from benchmark.report.figures.canvas import as_written
from benchmark.report.tables.main import HEADLINE
from benchmark.report.tables.table import marked
from benchmark.runtime.failures import without_controls
from benchmark.runtime.folders import write_text
from benchmark.tracking.change_points import SERIES, changes

BLUE, ORANGE = "#0072B2", "#D55E00"
"""Colours of Okabe and Ito's palette: told apart with any kind of colour vision, and in grey."""

_PANEL_INCHES = (3.2, 1.5)


def plot(history: pd.DataFrame, folder: Path) -> list[Path]:
    """Draw ``history-N-DATASET.svg``, N counting the series in order of their first run.

    Only runs on the same data under the same protocol share a figure; a line through others would
    show the task, not the models. A row of panels is an arm, a column a headline metric. Runs stand
    side by side in order of their start. Bars are the 95 % intervals of the metric itself, wider
    than those of a difference between two runs: ``drift`` compares runs. A dashed line stands
    where versions changed; its number leads to the list below the panels. A solid line stands where
    the metric has another level from then on (:mod:`benchmark.tracking.change_points`), which the
    list tells as well.

    Parameters
    ----------
    history : DataFrame
        As :func:`benchmark.tracking.history.read` gives.
    folder : Path

    Returns
    -------
    list of Path
    """
    paths = []
    for number, (_, series) in enumerate(history.groupby(SERIES, sort=False), 1):
        path = folder / f"history-{number}-{_word(series['dataset'].iloc[0])}.svg"
        _figure(series, path)
        paths.append(path)
    return paths


def version_changes(runs: pd.DataFrame) -> list[tuple[int, str]]:
    """Changes of versions: the run's place, and what changed there.

    Parameters
    ----------
    runs : DataFrame
        One row a run, in order.
    """
    changes = []
    versions = [_versions(row) for row in runs.to_dict("records")]
    for place in range(1, len(versions)):
        old, new = versions[place - 1], versions[place]
        changed = [
            f"{name} {old.get(name, 'none')} to {new.get(name, 'none')}"
            for name in dict.fromkeys([*old, *new])
            if old.get(name) != new.get(name)
        ]
        if changed:
            changes.append((place, ", ".join(changed)))
    return changes


def _versions(row: dict[Any, Any]) -> dict[str, str]:
    return {"python": row["python"], **json.loads(row["packages"])}


def _figure(series: pd.DataFrame, path: Path) -> None:
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    runs = series.drop_duplicates(["run", "started"]).reset_index(drop=True)
    place = {key: i for i, key in enumerate(zip(runs["run"], runs["started"], strict=True))}
    arms = list(dict.fromkeys(series["arm"]))
    versions, levels = version_changes(runs), changes(series)
    width, height = _PANEL_INCHES
    notes = [str(series["protocol"].iloc[0])]
    notes += [f"{number}: {what}" for number, (_, what) in enumerate(versions, 1)]
    notes += [f"another level: {change}" for change in levels]
    footer = 0.19 + 0.16 * len(notes)
    figure = Figure((width * len(HEADLINE), height * len(arms) + footer + 0.6))
    FigureCanvasSVG(figure)
    panels = figure.subplots(len(arms), len(HEADLINE), sharex=True, squeeze=False)
    for index, (row, arm) in enumerate(zip(panels, arms, strict=True)):
        own = series[series["arm"] == arm]
        at = [place[key] for key in zip(own["run"], own["started"], strict=True)]
        for axes, metric in zip(row, HEADLINE, strict=True):
            value = own[metric]
            # Wilson's interval and a percentile one may leave their value out by a hair.
            ends = [
                (value - own[f"{metric}_low"]).clip(lower=0),
                (own[f"{metric}_high"] - value).clip(lower=0),
            ]
            axes.errorbar(at, value, ends, color=BLUE, marker="o", markersize=4, capsize=2)
            for change in levels:
                if (change.arm, change.metric) == (arm, metric):
                    axes.axvline(place[change.run, change.started] - 0.5, color=ORANGE, linewidth=2)
            for number, (where, _) in enumerate(versions, 1):
                axes.axvline(where - 0.5, color=ORANGE, linestyle="--", linewidth=1)
                if index == 0:
                    axes.annotate(
                        str(number), (where - 0.5, 1.02), xycoords=("data", "axes fraction"),
                        color=ORANGE, ha="center", fontsize=8,
                    )  # fmt: skip
            axes.tick_params(labelsize=7)
        row[0].set_ylabel(arm.replace(":", "\n", 1), fontsize=8)
    for axes, metric in zip(panels[0], HEADLINE, strict=True):
        axes.set_title(metric, fontsize=9, pad=14)
    for axes in panels[-1]:
        axes.set_xticks(
            range(len(runs)), runs["started"].str[:10], rotation=60, ha="right", fontsize=7
        )
    total = figure.get_figheight()
    as_written(figure)
    figure.tight_layout(rect=(0, footer / total, 1, 1 - 0.4 / total))
    figure.suptitle(_title(series), fontsize=10)
    figure.text(0.01, 0.1 / total, "\n".join(notes), fontsize=7, va="bottom")
    as_written(figure)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="svg", metadata={"Date": None})
    write_text(path, without_controls(drawn.getvalue().decode("utf-8")))


def _title(series: pd.DataFrame) -> str:
    dataset = marked(str(series["dataset"].iloc[0]), "synthetic" in set(series["intensities"]))
    fingerprint = series["fingerprint"].iloc[0][:12]
    return f"{dataset}, fingerprint {fingerprint}: 95 % intervals"


def _word(name: str) -> str:
    """A dataset's name as part of a file's."""
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in name)
