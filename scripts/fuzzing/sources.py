"""Good inputs, which are then damaged."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

from benchmark.runtime.paths import ROOT
from scripts.fuzzing import reading

QUICK = (
    "--models", "prior,size_only", "--jobs", "1", "--no-cache", "--set", "bootstrap.samples=100",
    "--set", "splits.test_size=0.5", "--set", "keep_models=false",
)  # fmt: skip
"""Options of a run that takes a second."""

_SUFFIXES = (".nii.gz", ".nii", ".mha", ".nrrd", ".mhd", ".img")


def command(*arguments: str | Path) -> None:
    """Run ``python -m benchmark``, which must succeed."""
    whole = [sys.executable, "-m", "benchmark", *map(str, arguments)]
    subprocess.run(whole, cwd=ROOT, check=True, capture_output=True)


def make_dataset(folder: Path) -> None:
    """Eight phantoms in every format that is read, and beside them what is read of them."""
    command("build", "phantom", "--n", "8", "--out", folder)
    manifest = folder / "manifest.csv"
    rows = manifest.read_text("utf-8").splitlines()
    for number, row in enumerate(rows[1:], start=1):
        for name in row.split(",")[2:4]:
            _convert(folder / name, _SUFFIXES[number % len(_SUFFIXES)])
        rows[number] = row.replace(".nii.gz", _SUFFIXES[number % len(_SUFFIXES)])
    manifest.write_text("\n".join(rows) + "\n", "utf-8")
    reading.main(reading.READ_DATASET, folder, folder.with_name(f"{folder.name}-read"))


def _convert(path: Path, suffix: str) -> None:
    import SimpleITK as sitk

    sitk.ProcessObject.SetGlobalWarningDisplay(False)  # what MetaImage cannot keep of NIfTI
    if suffix == ".nii.gz":
        return
    other = path.with_name(path.name.removesuffix(".nii.gz") + suffix)
    if suffix == ".nii":
        other.write_bytes(gzip.decompress(path.read_bytes()))
    else:
        sitk.WriteImage(sitk.ReadImage(path), other, useCompression=suffix in (".mha", ".nrrd"))
    path.unlink()
