"""Features of ROIs by another package, run by its interpreter: the other side of ``time_peers.py``.

    PYTHON scripts/peer_features.py PEER ROIS.csv OUT.json [--resampled]

``ROIS.csv`` has the columns image, mask, and lowest_hu, the lower edge of the first bin. Settings
are pyradiomics' as far as a package has them: bins of 25 HU from that edge, B-spline to 1 mm unless
the ROIs are ``--resampled``, neighbours at one voxel, texture averaged over angles. Writes wall and
processor seconds of each ROI, reading included, and its values by the package's own names.
"""

from __future__ import annotations

import argparse
import csv
import json
import logging
import math
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

BIN_WIDTH_HU, SPACING_MM = 25, 1.0


class Files(NamedTuple):
    image: str
    mask: str
    lowest_hu: float


Extract = Callable[[Files], Mapping[str, Any]]


def pyradiomics(resampled: bool) -> Extract:
    import radiomics
    from radiomics.featureextractor import RadiomicsFeatureExtractor

    radiomics.logger.setLevel(logging.CRITICAL)
    spacing = {} if resampled else {"resampledPixelSpacing": [SPACING_MM] * 3}
    extractor = RadiomicsFeatureExtractor(
        binWidth=BIN_WIDTH_HU, minimumROIDimensions=1, additionalInfo=False, **spacing
    )
    return lambda files: extractor.execute(files.image, files.mask)


def flash_radiomics(resampled: bool) -> Extract:
    from flash_radiomics import RadiomicsFeatureExtractor

    logging.disable(logging.CRITICAL)
    spacing = {} if resampled else {"resampledPixelSpacing": [SPACING_MM] * 3}
    extractor = RadiomicsFeatureExtractor(
        backend="cpu",
        num_threads=1,
        binWidth=BIN_WIDTH_HU,
        distances=[1],
        minimumROIDimensions=1,
        additionalInfo=False,
        **spacing,
    )

    def extract(files: Files) -> Mapping[str, Any]:
        # It always writes a file of each ROI.
        with tempfile.TemporaryDirectory() as folder:
            return extractor.execute(files.image, files.mask, output_hdf5_path=f"{folder}/one.h5")

    return extract


def _arrays(files: Files) -> tuple[Any, Any, tuple[float, ...]]:
    """Image and mask in (z, y, x), for packages that read no NIfTI, and the spacing."""
    import SimpleITK as sitk

    image, mask = sitk.ReadImage(files.image), sitk.ReadImage(files.mask)
    spacing = image.GetSpacing()[::-1]
    return sitk.GetArrayFromImage(image), sitk.GetArrayFromImage(mask), spacing


def fastrad(resampled: bool) -> Extract:
    import torch
    from fastrad import FeatureExtractor, FeatureSettings, Mask, MedicalImage

    torch.set_num_threads(1)

    def extract(files: Files) -> Mapping[str, Any]:
        image, mask, spacing = _arrays(files)
        extractor = FeatureExtractor(
            FeatureSettings(bin_width=BIN_WIDTH_HU, device="cpu", spacing=spacing)
        )
        return extractor.extract(
            MedicalImage(torch.from_numpy(image), spacing), Mask(torch.from_numpy(mask), spacing)
        )

    return extract


def numpyradiomics(resampled: bool) -> Extract:
    import numpyradiomics as package

    def extract(files: Files) -> Mapping[str, Any]:
        image, mask, spacing = _arrays(files)
        return {
            **package.shape(mask, spacing, extend=False),
            **package.firstorder(image, mask, math.prod(spacing), BIN_WIDTH_HU),
            **package.texture(image, mask, BIN_WIDTH_HU),
        }

    return extract


def mirp(resampled: bool) -> Extract:
    from mirp import extract_features

    logging.disable(logging.CRITICAL)
    families = ["morphology", "statistics", "glcm", "glrlm", "glszm", "ngtdm", "ngldm"]
    spacing = {} if resampled else {"new_spacing": SPACING_MM, "anti_aliasing": False}

    def extract(files: Files) -> Mapping[str, Any]:
        table = extract_features(
            image=files.image,
            mask=files.mask,
            # It rounds the values of CT to whole HU.
            image_modality="mr",
            base_feature_families=families,
            base_discretisation_method="fixed_bin_size_pyradiomics",
            base_discretisation_bin_width=float(BIN_WIDTH_HU),
            ibsi_compliant=False,
            roi_spline_order=0,
            glcm_spatial_method="3d_average",
            glrlm_spatial_method="3d_average",
            **spacing,
        )
        return dict(table[0].iloc[0])

    return extract


def pictologics(resampled: bool) -> Extract:
    from pictologics import RadiomicsPipeline

    resample = {"new_spacing": (SPACING_MM,) * 3, "interpolation": "cubic"}

    def extract(files: Files) -> Mapping[str, Any]:
        bins = {"method": "FBS", "bin_width": BIN_WIDTH_HU, "min_val": files.lowest_hu}
        steps = [] if resampled else [{"step": "resample", "params": resample}]
        steps += [{"step": "discretise", "params": bins}, {"step": "extract_features"}]
        pipeline = RadiomicsPipeline(load_standard=False).add_config("one", steps)
        return pipeline.run(files.image, files.mask, config_names=["one"])["one"]

    return extract


def z_rad(resampled: bool) -> Extract:
    from zrad import preprocessing
    from zrad.image import Image
    from zrad.radiomics import Radiomics

    families = ["morphology", "intensity_statistics", "intensity_histogram", "glcm", "glrlm"]
    families += ["glszm", "ngtdm", "ngldm"]
    grid = preprocessing.Pipeline(
        []
        if resampled
        else [
            ("image", preprocessing.ImageResampler(SPACING_MM, "bspline")),
            ("mask", preprocessing.MaskResampler(SPACING_MM, "nearest_neighbor")),
        ]
    )

    def extract(files: Files) -> Mapping[str, Any]:
        image = Image.from_nifti(files.image)
        mask = Image.from_nifti_mask(files.mask, reference=image)
        roi = grid.apply(preprocessing.RoiData(image=image, morphological_mask=mask))
        roi = preprocessing.IntensityMaskBuilder().apply(roi)
        roi = preprocessing.Resegmenter(intensity_range=(files.lowest_hu, 1e5)).apply(roi)
        bins = preprocessing.TextureDiscretizer(bin_size=BIN_WIDTH_HU)
        return Radiomics().extract_features(roi_data=bins.apply(roi), families=families)

    return extract


def nyxus(resampled: bool) -> Extract:
    from nyxus import Nyxus3D

    groups = [
        f"*3D_{name}*" for name in ("ALL_INTENSITY", "GLCM", "GLRLM", "GLSZM", "GLDM", "NGTDM")
    ]
    extractor = Nyxus3D(groups, n_feature_calc_threads=1, ibsi=True)
    return lambda files: dict(extractor.featurize_files([files.image], [files.mask], False).iloc[0])


def this_project(resampled: bool) -> Extract:
    from benchmark.datasets.manifest import ManifestReader
    from benchmark.roi import RoiRecord
    from features.radiomics import extract

    def of_files(files: Files) -> Mapping[str, Any]:
        image = Path(files.image)
        read = ManifestReader(image.with_name("manifest.csv"))
        names = {"manifest_row": "", "image": image.name, "mask": Path(files.mask).name}
        return extract(read(RoiRecord(image.name, image.name, label=0, attributes=names)))

    return of_files


PEERS: dict[str, Callable[[bool], Extract]] = {
    "this-project": this_project,
    "pyradiomics": pyradiomics,
    "pyradiomics-bhklab": pyradiomics,
    "pyradiomics-fix": pyradiomics,
    "pyradiomics-cuda": pyradiomics,
    "flash-radiomics": flash_radiomics,
    "fastrad": fastrad,
    "numpyradiomics": numpyradiomics,
    "mirp": mirp,
    "pictologics": pictologics,
    "z-rad": z_rad,
    "nyxus": nyxus,
}
"""By the name of the distribution; ``resampled`` says that the ROIs are."""


def numbers(values: Mapping[str, Any]) -> dict[str, float]:
    """What of the values is a number."""
    found = {}
    for name, value in values.items():
        try:
            found[str(name)] = float(value)
        except (TypeError, ValueError):
            continue
    return found


def of_one(extract: Extract, files: Files) -> dict[str, Any]:
    """Seconds and values of a ROI, no values where the package refuses it."""
    wall, processor = time.perf_counter(), time.process_time()
    try:
        values = numbers(extract(files))
    except Exception as error:  # whatever a package raises
        print(f"{files.image}: {error!r}", file=sys.stderr)
        values = {}
    seconds = time.perf_counter() - wall, time.process_time() - processor
    return {"wall_s": seconds[0], "processor_s": seconds[1], "values": values}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("rois", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--resampled", action="store_true")
    arguments = parser.parse_args()
    with arguments.rois.open(newline="") as handle:
        rois = [
            Files(row["image"], row["mask"], float(row["lowest_hu"]))
            for row in csv.DictReader(handle)
        ]
    extract = PEERS[arguments.peer](arguments.resampled)
    # What is imported, compiled or cached at the first call is start.
    of_one(extract, rois[0])
    found = [of_one(extract, files) for files in rois]
    try:
        own = version(arguments.peer)
    except PackageNotFoundError:
        own = ""  # this project is no package
    arguments.out.write_text(json.dumps({"version": own, "rois": found}))


if __name__ == "__main__":
    main()
