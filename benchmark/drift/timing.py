"""Times in units of a reference computation that the same run measured, so that machines compare.

The reference is ``benchmark.runtime.reference``; its median stands for the run. Load on a machine
slows both, but not always alike: a ratio is for orientation, and gates only when asked.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from benchmark.run.folder import RunFolder

SHORTEST_S = 0.1
"""Seconds below which the baseline's calls are shown but never gated: they are mostly noise."""


@dataclass(frozen=True)
class Timing:
    """One stage of one arm, or the extraction of a feature set (``arm`` and ``model`` empty).

    Attributes
    ----------
    arm, model, features, stage : str
    baseline, run : float
        Total seconds over the reference's seconds; NaN where a run measured no reference.
    slowdown : float
        Run over baseline.
    slower : bool
        True where the slowdown is above the limit asked for and the device is the same.
    device : str
        Devices of both sides.
    """

    arm: str
    model: str
    features: str
    stage: str
    baseline: float
    run: float
    slowdown: float
    slower: bool
    device: str


def compare(baseline: RunFolder, run: RunFolder, max_slowdown: float | None) -> list[Timing]:
    """Stages that both runs timed themselves; ``max_slowdown`` None gates none."""
    old, new = _totals(baseline), _totals(run)
    references = [_reference_s(side) for side in (baseline, run)]
    timings = []
    for key in old.keys() & new.keys():
        (was_s, was_on), (now_s, now_on) = old[key], new[key]
        was, now = was_s / references[0], now_s / references[1]
        slowdown = now / was if was > 0 else math.nan
        gated = max_slowdown is not None and was_s >= SHORTEST_S and was_on == now_on
        device = now_on if was_on == now_on else f"{was_on} -> {now_on}"
        timings.append(
            Timing(
                *key,
                baseline=was,
                run=now,
                slowdown=slowdown,
                slower=gated and slowdown > (max_slowdown or 0),
                device=device,
            )
        )
    order = {key: number for number, key in enumerate(old)}
    return sorted(timings, key=lambda t: order[t.arm, t.model, t.features, t.stage])


def _totals(side: RunFolder) -> Mapping[tuple[str, str, str, str], tuple[float, str]]:
    measured = side.timings[side.timings["n_cached"] == 0]
    grouped = measured.groupby(["arm", "model", "features", "stage"], sort=False)
    return {
        (str(arm), str(model), str(features), str(stage)): (
            float(rows["seconds"].sum()),
            "+".join(sorted(set(rows["device"]))),
        )
        for (arm, model, features, stage), rows in grouped
    }


def _reference_s(side: RunFolder) -> float:
    measured = side.environment.get("reference_s", [])
    return median(measured) if measured else math.nan
