"""Runs of one split whose predictions a test chooses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from benchmark.cohort.near_duplicates import Pair
from benchmark.cohort.splits import Split
from benchmark.columns import PREDICTION_TABLE, TRAINING_TABLE
from benchmark.config import Bootstrap
from benchmark.plugins.arms import Arm
from benchmark.run.folder import RunFolder
from benchmark.statistics.comparisons import compare
from benchmark.statistics.scoring import score

BOOTSTRAP = Bootstrap(samples=200)


N = 400


def run(
    arms: dict[str, np.ndarray],
    y_true: np.ndarray,
    *,
    threshold: float = 0.5,
    trained: dict[str, float] | None = None,
    leaky: bool = False,
    pairs: tuple[Pair, ...] = (),
    patients: list[str] | None = None,
) -> RunFolder:
    """A run of one split, one ROI a patient unless they are named, every arm fed by ``f``."""
    ids = [f"r{i:04}" for i in range(len(y_true))]
    predictions = PREDICTION_TABLE.completed(pd.concat(
        pd.DataFrame(
            {
                "roi_id": ids, "patient_id": patients or ids, "model": model, "features": "f",
                "scheme": "holdout", "repeat": 0, "fold": 0, "y_true": y_true,
                "y_prob": y_prob, "threshold": threshold,
            }
        )
        for model, y_prob in arms.items()
    ))  # fmt: skip
    training = [
        {**Arm(model, "f").columns, "repeat": 0, "fold": 0, "auc": auc, "n_rois": 1}
        for model, auc in (trained or {}).items()
    ]
    return RunFolder(Path()).replaced(
        splits=(Split("holdout", 0, 0, ("other",), tuple(ids)),),
        predictions=predictions,
        metrics=score(predictions, BOOTSTRAP, 0),
        comparisons=compare(predictions, BOOTSTRAP, 0),
        training=TRAINING_TABLE.completed(TRAINING_TABLE.frame(training)),
        rois=pd.DataFrame(
            {
                "roi_id": [*ids, "other"],
                "patient_id": [*ids, ids[0] if leaky else "p"],
                "margin_mm": 5.0,
                "obliquity_deg": 0.0,
                "doubt": "",
                "y_true": [*y_true, 0],
                "label_source": "",
            }
        ),
        near_duplicates=pairs,
        failures=(),
        config={},
    )


def calibrated(n: int, seed: int, spread: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and labels drawn from them."""
    rng = np.random.default_rng(seed)
    p = 1 / (1 + np.exp(-rng.normal(0, spread, n)))
    return p, (rng.uniform(size=n) < p).astype(np.int64)
