"""NoduleMNIST3D, 28 x 28 x 28 (MedMNIST v2): a file of your own download, official split.

``nodulemnist3d.npz`` is looked for in the folder that the environment variable
``MEDMNIST_ROOT`` names, otherwise in ``~/.medmnist``, where the ``medmnist`` package puts it;
``--dataset PATH.npz`` names a file anywhere. Its MD5 must be one that MedMNIST publishes.

The file lacks the following, and so do results on it:

- No masks. Feature sets that need one are skipped.
- No patient ids. Each ROI counts as a patient of its own, so intervals ignore that nodules of one
  patient resemble each other.
- No HU. Voxels are whole numbers from 0 to 255, of a window that is not published; they are
  mapped linearly to [-1024, 400] HU, the window of the authors' other lung nodule work
  (DenseSharp, Zhao et al., Cancer Res 2018). Every model sees the same scale, but HU of other
  datasets agree only as far as that guess holds.
- No word on axis order, which is taken as (z, y, x), nor on the voxel size of the 64 x 64 x 64
  file. The 28 x 28 x 28 file is a crop at 1 mm, and 1 mm is taken for both.

Source: Yang et al., MedMNIST v2, Sci Data 2023;10:41, doi 10.1038/s41597-022-01721-8; file and
licence (CC BY 4.0): doi 10.5281/zenodo.10519652. Made from LIDC-IDRI.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.roi import Roi, RoiDataset, RoiRecord
from benchmark.runtime.progress import Progress

PROFILE = "nodulemnist3d"
"""Profile where the user names none."""

SUFFIXES = (".npz",)
"""Endings of the files that ``open_file`` opens."""

FILE_NAME = "nodulemnist3d.npz"
ADDRESS = "https://zenodo.org/records/10519652"

MD5 = {
    "8755a7e9e05a4d9ce80a24c3e7a256f3": "nodulemnist3d",
    "c47c5b7d457bf6332200d2ea6d64ecd8": "nodulemnist3d_64",
}
"""Checksums (MD5) of the published files in ``medmnist`` 3.0.2, and names of what they hold."""

_MOST_BYTES = 1 << 30
SPLITS = ("train", "val", "test")
SPACING_MM = (1.0, 1.0, 1.0)
WINDOW_HU = (-1024.0, 400.0)
NOTES = (
    "Patient ids are not published: each ROI counts as a patient, splits cannot be grouped by "
    "patient, and intervals are too narrow where patients have several nodules",
    "Voxels are 8-bit; HU are restored on the assumption of a window from "
    f"{WINDOW_HU[0]:g} to {WINDOW_HU[1]:g} HU",
)


def open_dataset(jobs: int, progress: Progress) -> RoiDataset:
    """The 28 x 28 x 28 file at its documented place.

    Raises
    ------
    ValueError
        Where it is absent, saying what to download and where to put it, or where it is another
        file.
    """
    return open_file(find(FILE_NAME))


def find(name: str) -> Path:
    """Path of a MedMNIST file in ``MEDMNIST_ROOT`` or ``~/.medmnist``.

    Raises
    ------
    ValueError
        Where it is absent.
    """
    root = Path(os.environ.get("MEDMNIST_ROOT") or Path.home() / ".medmnist")
    path = root / name
    if not path.is_file():
        raise ValueError(
            f"no file '{path}': download {name} (licence CC BY 4.0) from {ADDRESS} into that "
            "folder, or name another folder in MEDMNIST_ROOT or the file with --dataset"
        )
    return path


def open_file(path: Path) -> RoiDataset:
    """Read a published file, whole, into memory (36 MB, or 428 MB of 64 x 64 x 64).

    Raises
    ------
    ValueError
        Where it is absent, or its checksum or its arrays are not those of a published file.
    """
    if not path.is_file():
        raise ValueError(f"dataset '{path}': no such file")
    if path.stat().st_size > _MOST_BYTES:
        raise ValueError(f"'{path}' is larger than every published NoduleMNIST3D file")
    with path.open("rb") as handle:
        checksum = hashlib.file_digest(handle, lambda: hashlib.md5(usedforsecurity=False))
    name = MD5.get(checksum.hexdigest())
    if name is None:
        raise ValueError(
            f"'{path}' has MD5 {checksum.hexdigest()}, which is none of {', '.join(MD5)}: not a "
            f"published NoduleMNIST3D file, or a damaged one; download it again from {ADDRESS}"
        )
    try:
        with np.load(path) as arrays:
            images = {split: arrays[f"{split}_images"] for split in SPLITS}
            labels = {split: arrays[f"{split}_labels"] for split in SPLITS}
    except (KeyError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"'{path}' is not NoduleMNIST3D ({error})") from error
    records = []
    for split in SPLITS:
        _check(path, split, images[split], labels[split])
        for index, label in enumerate(labels[split].ravel().tolist()):
            roi_id = f"{name}-{split}-{index:04}"
            where = {"split": split, "index": str(index)}
            records.append(
                RoiRecord(roi_id, roi_id, label, attributes=where, label_source="reader")
            )
    return RoiDataset(name, tuple(records), _Reader(images), NOTES, "LIDC-IDRI")


@dataclass(frozen=True, eq=False)
class _Reader:
    """Reader that holds all voxels; joblib hands them to workers as one shared memory map."""

    images: dict[str, NDArray[np.uint8]]

    def __call__(self, record: RoiRecord) -> Roi:
        voxels = self.images[record.given_split][int(record.attributes["index"])]
        low, high = WINDOW_HU
        image = (low + voxels.astype(np.float64) * ((high - low) / 255)).astype(np.float32)
        return Roi(record, image, None, SPACING_MM)


def _check(path: Path, split: str, images: NDArray[Any], labels: NDArray[Any]) -> None:
    if images.ndim != 4 or images.dtype != np.uint8 or labels.size != len(images):
        raise ValueError(
            f"'{path}': {split} images are {images.dtype} of shape {images.shape} with "
            f"{labels.size} labels; (n, z, y, x) of uint8 with n labels are needed"
        )
    if not np.isin(labels, (0, 1)).all():
        raise ValueError(f"'{path}': {split} labels are not all 0 (benign) or 1 (malignant)")
