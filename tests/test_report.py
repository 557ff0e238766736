from __future__ import annotations

import math

import pytest

from benchmark.report.document import FORMATS
from benchmark.report.tables import (
    SYNTHETIC,
    Table,
    as_csv,
    as_latex,
    as_markdown,
    duration,
    with_interval,
)

TABLE = Table(
    "Title with 50 % & more_",
    ("model", "features", "n", "AUC"),
    [("a_b", "x|y", "7", "0.500 [0.400, 0.600]")],
    [SYNTHETIC, "A note with <tags>, $money$ and 100 %."],
)


@pytest.mark.parametrize(
    ("value", "low", "high", "shown"),
    [
        (0.90349, 0.88051, 0.92549, "0.903 [0.881, 0.925]"),
        (1.0, 0.9996, 1.0, "1.000 [1.000, 1.000]"),
        (0.5, math.nan, math.nan, "0.500"),
        (math.nan, math.nan, math.nan, "-"),
    ],
)
def test_one_rounding_rule(value: float, low: float, high: float, shown: str) -> None:
    assert with_interval(value, low, high) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.01234, "0.012"),
        (1.26, "1.3"),
        (9.4, "9.4"),
        (12.6, "13"),
        (1234.5, "1234"),
        (math.nan, "-"),
    ],
)
def test_durations(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


@pytest.mark.parametrize("render", FORMATS.values(), ids=FORMATS)
def test_synthetic_intensities_are_in_every_format(render) -> None:
    assert "SYNTHETIC INTENSITIES" in render([TABLE])


def test_markdown() -> None:
    lines = as_markdown(TABLE).splitlines()
    assert lines[2].startswith("**SYNTHETIC INTENSITIES")
    table = [line for line in lines if line.startswith("|")]
    assert table == [
        "| model | features | n | AUC |",
        "|---|---|---:|---:|",
        r"| a\_b | x\|y | 7 | 0.500 [0.400, 0.600] |",
    ]
    assert r"\<tags\>" in lines[-1]


def test_latex_escapes_what_latex_would_read() -> None:
    text = as_latex(TABLE)
    assert r"a\_b & x|y & 7 & 0.500 [0.400, 0.600] \\" in text
    assert r"50 \% \& more\_" in text
    assert r"\$money\$" in text
    assert text.count(r"\begin{") == text.count(r"\end{") == 2


def test_csv() -> None:
    lines = as_csv(TABLE).splitlines()
    assert lines[:2] == ["model,features,n,AUC", 'a_b,x|y,7,"0.500 [0.400, 0.600]"']
    assert lines[2].startswith("# ")
