"""Milliseconds a ROI of each stage of the radiomics, reading included, in one process.

    python -m scripts.profile_radiomics ROI_DIR [--features NAME] [--rois N] [--repeats N]

Every stage's processor time is added up over the first N ROIs; of several repeats the least is
printed, which other work on the machine disturbs least. ``start`` is what comes before the first
ROI: the interpreter, imports, the dataset's table.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmark.datasets import manifest
from benchmark.plugins import registry
from features import _pyradiomics, _texture

STAGES: dict[str, tuple[Any, str]] = {
    "reading": (manifest.ManifestReader, "__call__"),
    "canonical ROI": (_pyradiomics, "canonical"),
    "resampling": (_pyradiomics, "resample"),
    "shape": (_pyradiomics, "shape"),
    "grey levels": (_pyradiomics, "discretise"),
    "first order": (_pyradiomics, "first_order"),
    "GLCM": (_texture, "glcm"),
    "GLDM": (_texture, "_gldm"),
    "GLRLM": (_texture, "_glrlm"),
    "GLSZM": (_texture, "_glszm"),
    "NGTDM": (_texture, "_ngtdm"),
}


def counted(stage: str, function: Callable[..., Any], taken: Counter[str]) -> Callable[..., Any]:
    def timed(*arguments: Any, **settings: Any) -> Any:
        before = time.process_time()
        try:
            return function(*arguments, **settings)
        finally:
            taken[stage] += time.process_time() - before

    return timed


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--features", default="radiomics")
    parser.add_argument("--rois", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    dataset = manifest.open_dataset(arguments.dataset)
    extract = registry.load_feature_set(arguments.features).extract
    start = time.process_time()
    extract(dataset.read(dataset.records[0]))
    first = time.process_time() - start

    taken: Counter[str] = Counter()
    for stage, (owner, name) in STAGES.items():
        setattr(owner, name, counted(stage, getattr(owner, name), taken))
    least: dict[str, float] = {}
    for _ in range(arguments.repeats):
        taken.clear()
        before = time.process_time()
        for record in dataset.records[: arguments.rois]:
            extract(dataset.read(record))
        taken["all"] = time.process_time() - before
        for stage, seconds in taken.items():
            least[stage] = min(seconds, least.get(stage, seconds))
    for stage in [*STAGES, "all"]:
        print(f"{stage}: {1e3 * least[stage] / arguments.rois:.2f}")
    print(f"start: {1e3 * start:.0f}, first ROI: {1e3 * first:.0f}")


if __name__ == "__main__":
    main()
