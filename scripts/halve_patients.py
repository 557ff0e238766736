"""Two manifests, each of half of a dataset's patients, for external validation of one by the other.

    python -m scripts.halve_patients ROI_DIR OUT [--seed N]

OUT/A.csv and OUT/B.csv name ROI_DIR's images and masks by relative paths, so that commands need
``--allow-outside``. A is the first half of the sorted patient ids in a random order.
"""

from __future__ import annotations

import argparse
import csv
import os
from pathlib import Path

import numpy as np

FILES = ("image", "mask")


def halve(source: Path, out: Path, seed: int) -> dict[str, int]:
    """Write both manifests into the new folder ``out``; patients by manifest."""
    with (source / "manifest.csv").open(newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    patients = np.random.default_rng(seed).permutation(sorted({row["patient_id"] for row in rows}))
    middle = len(patients) // 2
    halves = {"A": set(patients[:middle].tolist()), "B": set(patients[middle:].tolist())}
    out.mkdir(parents=True)
    for name, members in halves.items():
        with (out / f"{name}.csv").open("w", newline="", encoding="utf-8") as handle:
            writer = csv.DictWriter(handle, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            for row in rows:
                if row["patient_id"] in members:
                    moved = {each: os.path.relpath(source / row[each], out) for each in FILES}
                    writer.writerow(row | moved)
    return {name: len(members) for name, members in halves.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("source", type=Path, metavar="ROI_DIR")
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    print(halve(chosen.source, chosen.out, chosen.seed))


if __name__ == "__main__":
    main()
