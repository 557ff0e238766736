"""Time of all metrics under the patient bootstrap, beside scikit-learn's functions in a loop.

    python -m scripts.time_bootstrap [--loop N] [--seed S]

Ten arms, 1,000 ROIs of 480 or so patients, 2,000 resamples. The suite's figure is one call of
``scoring.score``, from the table of predictions to metrics with intervals; beside it, in turn, the
resamples and their quantiles alone, which is what ``scaled_t`` adds to. The loop takes the
same resamples, one after the other, as sample weights; N of one arm are timed and the rest
extrapolated; the largest difference of a value is printed too. The loop uses one core.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from benchmark.config import Bootstrap
from benchmark.statistics.cases import cases
from benchmark.statistics.inference import draw_patients, interval
from benchmark.statistics.scoring import evaluate, score
from tests.helpers.reference_metrics import (
    CALIBRATION,
    discrimination,
    recalibration,
    simulated_predictions,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--loop", type=int, default=50, help="resamples of one arm in the loop")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    n_arms, n_rois, resamples = 10, 1000, 2000
    table = simulated_predictions(n_arms, n_rois, 600, np.random.default_rng(chosen.seed))
    first = table[table.model == "model 0"]
    arm = cases(first)
    draws = draw_patients(arm.n_patients, chosen.loop, chosen.seed)
    ours = evaluate(arm, draws)

    walls, processor, quantiles = [], [], []
    for _ in range(5):
        draw_patients.cache_clear()
        used = time.process_time()
        for _, rows in table.groupby("arm"):
            each = cases(rows)
            sampled = evaluate(each, draw_patients(each.n_patients, resamples, chosen.seed))
            for values in sampled.values():
                interval(values, 0.5, None, "percentile")
        quantiles.append(time.process_time() - used)
        draw_patients.cache_clear()
        clock, used = time.perf_counter(), time.process_time()
        score(table, Bootstrap(resamples), chosen.seed)
        walls.append(time.perf_counter() - clock)
        processor.append(time.process_time() - used)
    print(f"{n_arms} arms, {len(ours)} metrics, {resamples} resamples, {n_rois} ROIs of "
          f"{arm.n_patients} patients; seed {chosen.seed}")  # fmt: skip
    print(f"suite: {min(walls):.2f} s (five calls: {', '.join(f'{w:.2f}' for w in walls)}); "
          f"processor time {min(processor):.2f} s")  # fmt: skip

    print(f"ratio of its processor time to that of resamples and quantiles alone: "
          f"{min(processor) / min(quantiles):.2f}")  # fmt: skip
    called, seconds, furthest = arm.y_prob >= arm.threshold, [0.0, 0.0], 0.0
    for row, counts in enumerate(draws):
        w = counts[arm.patient]
        clock = time.perf_counter()
        expected = discrimination(arm.y_true, arm.y_prob, called, w)
        middle = time.perf_counter()
        expected |= recalibration(arm.y_true, arm.y_prob, w)
        seconds[1] += time.perf_counter() - middle
        seconds[0] += middle - clock
        furthest = max(furthest, *(abs(ours[name][row] - expected[name]) for name in ours))
    plain, fits = (s / chosen.loop * n_arms * resamples for s in seconds)
    print(f"loop:  {plain + fits:.0f} s, extrapolated from {chosen.loop} resamples of one arm "
          f"({fits:.0f} s of it for {' and '.join(CALIBRATION)}); "
          f"largest difference of a value {furthest:.1e}")  # fmt: skip
    print(f"ratio: {(plain + fits) / min(walls):.0f} (against the suite's slowest call "
          f"{(plain + fits) / max(walls):.0f}, against its processor time "
          f"{(plain + fits) / min(processor):.0f}, without the loop's calibration fits "
          f"{plain / min(walls):.0f})")  # fmt: skip


if __name__ == "__main__":
    main()
