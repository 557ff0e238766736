"""Measure the ratios that ``tox -e perf`` gates, and how far they move by themselves.

    python -m scripts.measure_ratios [--repeats N] > tests/perf_ratios.toml

Each ratio is measured N times as the gate does. ``ratio`` is the median; ``least``, below which the
gate fails, lies four standard deviations of the logarithm below it, and at least 15 %, as other
machines and versions move a ratio too.
"""

from __future__ import annotations

import argparse
import os

import numpy as np

from benchmark.runtime import provenance
from tests.helpers.ratios import PAIRS, ratio

DEVIATIONS = 4
LEAST_MARGIN = 0.15


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=12)
    repeats = parser.parse_args().repeats
    print(f"# python -m scripts.measure_ratios --repeats {repeats}")
    print(f"# {provenance.processor()}, {os.cpu_count()} cores. A peer's processor time over ours.")
    for name, make in PAIRS.items():
        pair = make()
        logs = np.log([ratio(pair) for _ in range(repeats)])
        margin = max(DEVIATIONS * logs.std(ddof=1), -np.log1p(-LEAST_MARGIN))
        middle = np.median(logs)
        print(f"\n[{name}]")
        print(f"ratio = {np.exp(middle):.2f}")
        print(f"least = {np.exp(middle - margin):.2f}")
        print(f"measured = [{', '.join(f'{found:.2f}' for found in np.exp(np.sort(logs)))}]")


if __name__ == "__main__":
    main()
