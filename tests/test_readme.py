"""README.md: short, in the order that a newcomer needs, with the figures of committed results."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pandas as pd

from benchmark.columns import COMPARISON_TABLE, METRIC_TABLE
from benchmark.plugins.arms import arms_in
from benchmark.report.tables.main import arm_rows, lift_over_size
from benchmark.report.tables.table import with_interval
from benchmark.runtime.paths import ROOT
from tests.helpers.pages import blocks

README = (ROOT / "README.md").read_text(encoding="utf-8")
RUN = ROOT / "results" / "lidc_crops_kfold"
DESCRIPTION = "{http://purl.org/dc/elements/1.1/}description"


def lifts(metrics: pd.DataFrame) -> dict[str, str]:
    pairs = COMPARISON_TABLE.read(RUN)
    found = {arm.name: lift_over_size(pairs, arm) for arm in arms_in(metrics)}
    return {
        name: with_interval(lift.difference, lift.low, lift.high, sign=True)
        for name, lift in found.items()
        if lift
    }


def test_it_is_short_and_names_the_paper() -> None:
    assert len(README.encode()) <= 7000
    assert "Deep Learning for Lung Nodule Classification in CT Images" in README


def test_the_two_commands() -> None:
    assert [block.text.strip() for block in blocks(ROOT / "README.md")[:2]] == [
        "python -m pip install tox && tox -e benchmark",
        "python -m pip install tox && tox -e tests",
    ]


def test_recipes_have_five_lines_at_most() -> None:
    recipes = README.partition("## Four recipes")[2].partition("\n## ")[0]
    assert len(re.findall(r"^\*\*[^*]+\*\*", recipes, re.MULTILINE)) == 4
    assert all(len(block.text.splitlines()) <= 5 for block in blocks(ROOT / "README.md"))


def test_the_table_is_that_of_the_committed_run() -> None:
    metrics = METRIC_TABLE.read(RUN)
    shown = re.findall(
        r"^\| (\w\S+) \| (\S+)[^|]* \| (0[^|]+) \| ([^|]+) \|$", README, re.MULTILINE
    )
    assert 3 <= len(shown) <= 5
    for model, features, auc, lift in shown:
        arm = next(
            arm for arm in arms_in(metrics)
            if (arm.model, arm.features) == (model.replace("\\", ""), features.replace("\\", ""))
        )  # fmt: skip
        row = arm_rows(metrics, arm)["auc"]
        assert auc == with_interval(row.value, row.ci_low, row.ci_high)
        assert lift == lifts(metrics).get(arm.name, "-")


def test_the_finding_is_what_the_committed_run_shows() -> None:
    """Each number and each claim of the sentence, from the stored tables."""
    metrics, pairs = METRIC_TABLE.read(RUN), COMPARISON_TABLE.read(RUN)
    over_size = {arm.name: lift_over_size(pairs, arm) for arm in arms_in(metrics)}
    radiomics = [lift for name, lift in over_size.items() if name.endswith(":radiomics") and lift]
    assert len(radiomics) == 4
    assert all(lift.low > 0 and lift.p_holm_size < 0.05 for lift in radiomics)
    least, most = (f(lift.difference for lift in radiomics) for f in (min, max))
    cnn = over_size["paper_cnn:voxels2d_box"]
    assert cnn
    assert cnn.low < 0
    size = metrics[(metrics.arm == "size_only:diameter") & (metrics.metric == "auc")].iloc[0]
    sentence = (
        f"**On {size.n_rois} LIDC-IDRI nodules, size alone reaches an AUC of "
        f"{size.value:.3f}; radiomics models add {least:.2f} to {most:.2f} to it, and that the "
        "paper's CNN adds anything is not shown.**"
    ).replace(" 0.", " .")
    assert sentence in " ".join(README.split())


def test_the_figure_shows_the_table() -> None:
    """The description inside the drawing has every interval of the stored tables."""
    (path,) = re.findall(r"^!\[[^\]]+\]\(([^)]+)\)", README, re.MULTILINE)
    told = next(ET.parse(ROOT / path).iter(DESCRIPTION)).text or ""
    metrics = METRIC_TABLE.read(RUN)
    aucs = metrics[(metrics.metric == "auc") & metrics.ci_low.notna()]
    expected = [with_interval(row.value, row.ci_low, row.ci_high) for row in aucs.itertuples()]
    expected += [lift for name, lift in lifts(metrics).items() if not name.startswith("prior")]
    assert len(expected) == 13
    assert all(each in told for each in expected)
    assert len(re.findall(r"\[", told)) == len(expected)


def test_synthetic_intensities_are_said_where_the_phantom_is_named() -> None:
    for paragraph in README.split("\n\n"):
        if "phantom" in paragraph and "```" not in paragraph:
            assert "synthetic intensities" in " ".join(paragraph.split())
