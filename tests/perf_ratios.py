"""Speed beside peers that compute the same; fails where a ratio has fallen beyond its margin.

``tox -e perf`` runs this; the default test run does not collect it. Times are shown by
pytest-benchmark and gate nothing.
"""

from __future__ import annotations

import tomllib

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from tests.helpers.ratios import PAIRS, STORED, ratio


@pytest.mark.parametrize("side", ["ours", "peer"])
@pytest.mark.parametrize("name", PAIRS)
def test_time(name: str, side: str, benchmark: BenchmarkFixture) -> None:
    benchmark.group = name
    benchmark(getattr(PAIRS[name](), side))


@pytest.mark.parametrize("name", PAIRS)
def test_ratio(name: str) -> None:
    stored = tomllib.loads(STORED.read_text())[name]
    found = ratio(PAIRS[name]())
    print(f"{name}: {found:.2f}, stored {stored['ratio']}, least {stored['least']}")
    assert found >= stored["least"], f"{name}: the peer takes {found:.2f} times ours"
