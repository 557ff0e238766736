"""Figures show the numbers that the tables have, and are drawn the same again."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmark.columns import MULTIVERSE_TABLE
from benchmark.plugins.arms import Arm
from benchmark.report.document import write_report
from benchmark.report.figures import draw as figures
from benchmark.report.figures.canvas import Drawing, plotted_arms
from benchmark.report.figures.cost import seconds_per
from benchmark.report.figures.draw import draw
from benchmark.report.figures.forest import forest_figure, forest_of_tables
from benchmark.report.figures.multiverse import multiverse_figure
from benchmark.report.tables.main import lift_over_size, main_table
from benchmark.run.folder import RunFolder, read_run
from benchmark.run.multiverse import TRAINED

NAMES = [
    "forest", "roc", "precision_recall", "calibration", "decision", "confusion", "score_by_size",
    "cost", "training",
]  # fmt: skip


@pytest.fixture(scope="module")
def drawings(reported: RunFolder) -> dict[str, Drawing]:
    return {drawing.name: drawing for drawing in draw(reported)}


def test_what_is_drawn(reported: RunFolder, drawings: dict[str, Drawing]) -> None:
    assert list(drawings) == NAMES  # no multiverse in this run
    for name in NAMES:
        with Image.open(reported.path / "figures" / f"{name}.png") as image:
            assert image.width == 1440  # 7.2 inches at 200 dots
        svg = (reported.path / "figures" / f"{name}.svg").read_text()
        assert "SYNTHETIC INTENSITIES" in svg
        assert "n = 160 ROIs of 80 patients tested, 80 malignant" in svg
        assert not re.search(r"<script|href=\"http", svg)


def test_the_same_run_gives_the_same_bytes(
    reported: RunFolder, drawings: dict[str, Drawing]
) -> None:
    for name in ("forest", "roc"):
        written = (reported.path / "figures" / f"{name}.svg").read_bytes()
        assert drawings[name].picture(["svg"]).files["svg"] == written


@pytest.mark.parametrize("begins", [0, 1, 2])
def test_figures_are_drawn_once_whether_or_not_a_gallery_begins_them(
    begins: int, reported: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = read_run(shutil.copytree(reported.path, tmp_path / "run"))
    shutil.rmtree(run.path / "figures")
    asked: list[tuple[object, ...]] = []
    pictures: Callable[..., object] = figures.pictures

    def counted(*arguments: object) -> object:
        asked.append(arguments)
        return pictures(*arguments)

    def no_gallery(begin: Callable[[], object]) -> None:
        for _ in range(begins):
            begin()
        assert len(asked) == min(begins, 1)

    monkeypatch.setattr(figures, "pictures", counted)
    written = write_report(run, ["svg"], no_gallery)
    assert len(asked) == 1
    assert [path.stem for path in written] == NAMES
    assert all(path.is_file() for path in written)


def test_constant_arms_are_named_and_not_drawn(drawings: dict[str, Drawing]) -> None:
    for drawing in drawings.values():
        assert "prior" not in drawing.alt
        assert "one value for all ROIs of a split: prior:diameter." in drawing.caption


def test_alternative_texts_tell_the_numbers(
    reported: RunFolder, drawings: dict[str, Drawing]
) -> None:
    auc = reported.metrics[reported.metrics.metric == "auc"].set_index(["model", "features"])
    shown = auc.value["logistic", "radiomics"]
    for name in ("roc", "forest"):
        assert f"logistic:radiomics {shown:.3f} [" in drawings[name].alt


def test_the_forest_has_the_intervals(reported: RunFolder, drawings: dict[str, Drawing]) -> None:
    left, right = drawings["forest"].figure.axes
    row = reported.metrics[
        (reported.metrics.metric == "auc") & (reported.metrics.features == "radiomics")
    ].iloc[0]
    lift = lift_over_size(reported.comparisons, Arm("logistic", "radiomics"))
    assert lift is not None
    for axis, ends in ((left, (row.ci_low, row.ci_high)), (right, (lift.low, lift.high))):
        bars = [s for c in axis.collections if hasattr(c, "get_segments") for s in c.get_segments()]
        assert any(np.allclose(bar[:, 0], ends) for bar in bars)


@pytest.mark.parametrize(("p_holm_size", "filled"), [(0.01, True), (0.2, False)])
def test_the_forest_marks_what_is_shown(
    reported: RunFolder, p_holm_size: float, filled: bool
) -> None:
    table = reported.comparisons.copy()
    lift = (table.arm_a == "logistic:radiomics") & (table.model_b == "size_only")
    table.loc[lift, ["difference", "ci_low", "ci_high"]] = (0.1, 0.05, 0.15)
    table.loc[lift, "p_holm_size"] = p_holm_size
    told = reported.replaced(comparisons=table)
    forest = forest_figure(told, plotted_arms(told))
    _, right = forest.figure.axes
    faces = {line.get_markerfacecolor() for line in right.lines if 0.1 in line.get_xdata()}
    assert ("white" not in faces) is filled
    said = "shown to be better" if filled else "not shown to differ"
    assert f"(+0.100 [+0.050, +0.150], {said})" in forest.alt
    assert "logistic:ratings (ceiling)" in forest.picture(["svg"]).files["svg"].decode()


def test_the_roc_panel_holds_curve_and_decisions(
    reported: RunFolder, drawings: dict[str, Drawing]
) -> None:
    arms = plotted_arms(reported)
    panel = drawings["roc"].figure.axes[1]
    curve = max(panel.lines, key=lambda line: len(line.get_xdata()) * (line.get_linestyle() == "-"))
    area = np.trapezoid(curve.get_ydata(), curve.get_xdata())
    assert area == pytest.approx(arms[1].metrics["auc"][0], abs=1e-3)
    cross = next(line for line in panel.lines if line.get_marker() == "x")
    sensitivity, specificity = (arms[1].metrics[m][0] for m in ("sensitivity", "specificity"))
    assert cross.get_xydata()[0] == pytest.approx([1 - specificity, sensitivity])


def test_seconds_a_roi(reported: RunFolder) -> None:
    arm = next(arm for arm in plotted_arms(reported) if arm.label == "logistic:radiomics")
    assert seconds_per(reported.timings, arm, "fit", each="call") == 2
    assert seconds_per(reported.timings, arm, "predict", each="ROI") == pytest.approx(0.04 / 160)
    assert seconds_per(reported.timings, arm, "extract", each="ROI") == pytest.approx(9 / 160)


def test_multiverse(reported: RunFolder) -> None:
    arms = plotted_arms(reported)
    rows = [
        (universe, TRAINED, rule, 3, "drop", "kfold", "patient", universe == 1, 160, 80, 80,
         *arm.arm.columns.values(), 0.8 + 0.01 * n + 0.05 * universe, 0.7, 0.9, 0, -0.1, 0.1,
         float(len(arms) - n))
        for universe, rule in enumerate(("mean", "median"))
        for n, arm in enumerate(arms)
    ]  # fmt: skip
    table = MULTIVERSE_TABLE.frame(rows)
    drawing = multiverse_figure(reported.replaced(multiverse=table), arms)
    assert drawing is not None
    assert f"Ranked first: {arms[-1].label} in 2" in drawing.alt
    top, ranks, choices = drawing.figure.axes
    assert len(top.lines) == len(arms)
    assert ranks.lines[-1].get_ydata().tolist() == [1, 1]
    assert [t.get_text() for t in choices.get_yticklabels()] == [
        "aggregation: mean", "aggregation: median",
    ]  # fmt: skip


def test_a_forest_of_committed_tables_has_the_intervals_without_predictions(
    reported: RunFolder,
) -> None:
    drawn = forest_of_tables(reported.replaced(predictions=reported.predictions[:0]))
    texts = [text.get_text() for text in drawn.figure.axes[0].texts]
    assert set(texts) >= {row[7] for row in main_table(reported).rows[1:]}
