"""A fixed computation timed in every run, so that times of two machines can be set in relation."""

from __future__ import annotations

import time

REPEATS = 5


def measure() -> list[float]:
    """Seconds of ``REPEATS`` runs of the reference computation, each about 50 ms.

    Half of it is linear algebra (singular values of a 250 x 250 matrix, five times), half is
    growing trees on 400 rows of 20 columns: what the classical models spend their time on. One
    thread, the same numbers every time; imports and the first, cold run are not timed.
    """
    import numpy as np
    from sklearn.ensemble import ExtraTreesClassifier
    from threadpoolctl import threadpool_limits

    rng = np.random.default_rng(0)
    matrix, rows = rng.normal(size=(250, 250)), rng.normal(size=(400, 20))
    label = rows[:, 0] + rng.normal(size=400) > 0
    seconds = []
    with threadpool_limits(1):
        for _ in range(1 + REPEATS):
            start = time.perf_counter()
            for _ in range(5):
                np.linalg.svd(matrix, compute_uv=False)
            ExtraTreesClassifier(30, random_state=0).fit(rows, label)
            seconds.append(time.perf_counter() - start)
    return seconds[1:]
