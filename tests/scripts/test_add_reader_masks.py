"""The script that adds readers' masks, on phantoms: their outlines are LIDC-IDRI's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np

from benchmark.datasets import manifest, phantom
from benchmark.formats.files import Access
from benchmark.runtime.paths import ROOT


def add(source: Path, out: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "scripts.add_reader_masks", str(source), str(out)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_readers_agree_with_the_consensus_that_is_there(tmp_path: Path) -> None:
    phantom.build(tmp_path / "rois", 2, 3)
    done = add(tmp_path / "rois", tmp_path / "with_readers")
    assert done.returncode == 0, done.stderr
    assert "consensus equals the mask of 2\n" in done.stdout
    before = manifest.open_dataset(tmp_path / "rois")
    # Images stay where they are, which a manifest in another folder has to be allowed.
    after = manifest.open_dataset(tmp_path / "with_readers", Access(outside=True))
    for old, new in zip(before.records, after.records, strict=True):
        there, roi = before.read(old), after.read(new)
        assert len(roi.reader_masks) == len(new.malignancy_ratings)
        np.testing.assert_array_equal(np.mean(roi.reader_masks, axis=0) >= 0.5, roi.mask)
        np.testing.assert_array_equal(roi.mask, there.mask)
        np.testing.assert_array_equal(roi.image, there.image)
        assert roi.spacing_mm == there.spacing_mm
    assert [path.name for path in (tmp_path / "with_readers").iterdir() if path.is_dir()] == [
        "readers"
    ]


def test_another_mask_is_found_out(tmp_path: Path) -> None:
    phantom.build(tmp_path / "rois", 2, 3)
    path = sorted((tmp_path / "rois/masks").iterdir())[1]
    image = nib.Nifti1Image.from_filename(path)
    mask = np.asanyarray(image.dataobj).copy()
    mask[tuple(np.argwhere(mask).mean(axis=0).astype(int))] ^= 1
    nib.save(nib.Nifti1Image(mask, image.affine, image.header), path)
    done = add(tmp_path / "rois", tmp_path / "with_readers")
    assert done.returncode == 1
    assert f"{path.name.removesuffix('.nii.gz')}: another consensus" in done.stdout
