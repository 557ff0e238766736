"""True DICOM series in LIDC-IDRI's geometry, with voxels of our choice."""

from __future__ import annotations

import copy
import csv
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from benchmark.lidc.annotations import Nodule, nodules, read_outlines
from benchmark.lidc.build import build_dataset
from benchmark.lidc.tables import Built
from benchmark.lidc.write import Options

SIZE = 512
SHORT = "LIDC-IDRI-0957"  # 65 slices of 5 mm: the shortest scan of all
FOUR = "LIDC-IDRI-0078"  # 87 slices, four nodules
ORIGIN_MM = (-180.25, -171.5)
LAYOUT = "{patient}/{study}/{series}/{number:04d}.dcm"


def write_series(
    dicom: Path,
    scan: Nodule,
    hu: Callable[[int], np.ndarray],
    *,
    layout: str = LAYOUT,
    without: Collection[int] = (),
    slope: float = 1,
    intercept: float = -1024,
    signed: bool = False,
    bits: int = 16,
    implicit: bool = False,
    change: Callable[[Dataset, int], None] | None = None,
) -> list[Path]:
    """Write a scan, a file a slice; returns their paths, by slice.

    ``hu(index)`` is the slice, shape (512, 512). Files are numbered from the head down, as
    scanners often do, so that neither names nor instance numbers rise with z. ``change`` may
    alter a slice's header or pixels.
    """
    zs = scan.slice_zs_mm
    template = header_of(scan, implicit=implicit)
    template.RescaleSlope, template.RescaleIntercept = slope, intercept
    template.BitsAllocated, template.BitsStored, template.HighBit = 16, bits, bits - 1
    template.PixelRepresentation = int(signed)
    paths = []
    for index, z in enumerate(zs):
        if index in without:
            continue
        number = len(zs) - index
        path = dicom / layout.format(
            patient=scan.patient_id,
            study=scan.study_instance_uid,
            series=scan.series_instance_uid,
            number=number,
        )
        header = copy.deepcopy(template) if change else template
        header.SOPInstanceUID = f"{scan.series_instance_uid[:50]}.{number}"
        header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
        header.InstanceNumber = number
        header.ImagePositionPatient = [*ORIGIN_MM, f"{z:.10g}"]
        header.SliceLocation = f"{-z:.10g}"
        stored = hu(index) - intercept
        if slope != 1:
            stored = np.rint(stored / slope).astype(np.int64)
        if bits < 16:
            stored = stored & ((1 << bits) - 1)
        header.PixelData = stored.astype("<u2").tobytes()
        if change is not None:
            change(header, index)
        path.parent.mkdir(parents=True, exist_ok=True)
        header.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def header_of(scan: Nodule, *, implicit: bool = False) -> Dataset:
    """What all slices of a scan have in common."""
    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = (
        ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    )
    header.SOPClassUID = header.file_meta.MediaStorageSOPClassUID = CTImageStorage
    header.StudyDate, header.StudyTime, header.Modality = "20000101", "120000", "CT"
    header.Manufacturer, header.ManufacturerModelName = "SYNTHETIC", "none"
    header.PatientName = header.PatientID = scan.patient_id
    header.StudyInstanceUID = scan.study_instance_uid
    header.SeriesInstanceUID = scan.series_instance_uid
    header.SeriesNumber = 1
    header.KVP, header.ConvolutionKernel = 120, "B30f"
    header.SliceThickness = scan.slice_thickness_mm
    header.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    header.FrameOfReferenceUID = f"{scan.study_instance_uid[:60]}.1"
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.Rows = header.Columns = SIZE
    header.PixelSpacing = [f"{scan.pixel_spacing_mm:.10g}"] * 2
    # Scanners nest: a header is not a flat list of numbers.
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = CTImageStorage, "1.2.3"
    header.ReferencedImageSequence = pydicom.Sequence([item])
    return header


SHORTEST = min(nodules(), key=lambda nodule: len(nodule.slice_zs_mm))
INDEX = 7


def write_slice(folder: Path, change: Callable[[Dataset], None] | None = None, **options) -> Path:
    """Write slice ``INDEX`` of ``SHORTEST`` alone, noise from -1000 to 999 HU; returns its path."""
    voxels = np.random.default_rng(0).integers(-1000, 1000, (SIZE, SIZE))
    others = set(range(len(SHORTEST.slice_zs_mm))) - {INDEX}
    (path,) = write_series(
        folder, SHORTEST, lambda index: voxels, without=others,
        change=None if change is None else lambda header, index: change(header), **options,
    )  # fmt: skip
    return path


def compress_by_itk(header: Dataset, compressor: str = "JPEG") -> None:
    """Compress a header's plain pixels without loss, as ``JPEG`` or ``JPEG2000``."""
    import SimpleITK as sitk

    dtype = "<i2" if header.PixelRepresentation else "<u2"
    stored = np.frombuffer(header.PixelData, dtype).reshape(1, header.Rows, header.Columns)
    with tempfile.TemporaryDirectory() as folder:
        writer = sitk.ImageFileWriter()
        writer.SetImageIO("GDCMImageIO")
        writer.SetFileName(Path(folder, "one.dcm"))
        writer.UseCompressionOn()
        writer.SetCompressor(compressor)
        writer.Execute(sitk.GetImageFromArray(stored))
        written = pydicom.dcmread(Path(folder, "one.dcm"))
    header.file_meta.TransferSyntaxUID = written.file_meta.TransferSyntaxUID
    header.PixelData = written.PixelData
    header["PixelData"].is_undefined_length = True


class Quiet:
    def update(self, task: str, done: float, total: float) -> None:
        """Nobody watches."""


def nodules_of(patient: str):
    return [nodule for nodule in nodules() if nodule.patient_id == patient]


def outlined_slices(nodule: Nodule) -> list[int]:
    """Slices from the first to the last that a reader outlined the nodule on."""
    readers = read_outlines([nodule])[0]
    found = [outline.slice_index for reader in readers for outline in reader]
    return list(range(min(found), max(found) + 1))


def noise(index: int) -> np.ndarray:
    """A slice unlike any other, -1000 to 999 HU."""
    return np.random.default_rng(index).integers(-1000, 1000, (SIZE, SIZE))


def flat(index: int) -> np.ndarray:
    """A slice quickly made, and told by its value."""
    return np.full((SIZE, SIZE), -900 + index)


def rows_of(out: Path, name: str = "manifest.csv") -> list[dict[str, str]]:
    with (out / name).open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def left_out(out: Path, reason: str) -> list[dict[str, str]]:
    return [row for row in rows_of(out, "left_out.csv") if row["reason"] == reason]


def files_of(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def voxels(out: Path, name: str) -> np.ndarray:
    return np.asanyarray(nib.load(out / name).dataobj).T


def build(dicom: Path, out: Path, patients: str, **options) -> Built:
    return build_dataset(dicom, out, Quiet(), Options(**options), patients=patients)


def chest_x_ray(path: Path, scan) -> None:
    header = header_of(scan)
    header.Modality = "DX"
    header.SeriesInstanceUID = header.SOPInstanceUID = "1.2.840.1"
    header.file_meta.MediaStorageSOPInstanceUID = "1.2.840.1"
    header.Rows, header.Columns, header.BitsAllocated, header.BitsStored = 4, 4, 16, 16
    header.HighBit, header.PixelRepresentation, header.PixelData = 15, 0, bytes(32)
    path.parent.mkdir(parents=True, exist_ok=True)
    header.save_as(path, enforce_file_format=True)
