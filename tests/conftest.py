"""Small real image files, and where the real nodules are."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from coverage import Coverage

from benchmark.report.document import FORMATS, write_report
from benchmark.run.folder import RunFolder
from benchmark.runtime.paths import ROOT
from tests.helpers.made_run import HOSTILE, gallery, make_run
from tests.helpers.volumes import WriteManifest, ball, write_volume

# The projects's real nodules lie beside the checkout; a clone elsewhere names them.
REAL_DATA = Path(os.environ.get("LUNG_NODULE_DATA", ROOT.parent / "shared" / "data"))


def pytest_sessionfinish() -> None:
    """Store what was measured: pytest-xdist kills a worker that takes ten seconds to end."""
    if measured := Coverage.current():
        measured.save()


@pytest.fixture(scope="session")
def lidc_crops() -> Path:
    """Folder of 1,641 real nodules, absent from most machines."""
    folder = REAL_DATA / "lidc_crops"
    if not (folder / "manifest.csv").is_file():
        pytest.skip("the real LIDC-IDRI crops are not on this machine (LUNG_NODULE_DATA)")
    return folder


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Runs of the tests neither use nor fill the user's cache, nor use their secret."""
    os.environ["LUNG_NODULE_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    os.environ["LUNG_NODULE_KEYS"] = str(tmp_path_factory.mktemp("keys"))


@pytest.fixture(autouse=True)
def _fresh_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor do they recall what another test did."""
    monkeypatch.setenv("LUNG_NODULE_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def write_manifest(tmp_path: Path) -> WriteManifest:
    """Write a manifest folder of noisy balls; malignant ones are larger.

    ``change`` maps a row's number (0-based) to columns that it overrides; a value of None
    takes the column out for all rows.
    """

    def write(
        n: int = 24,
        *,
        labels: bool = True,
        change: Mapping[int, Mapping[str, str]] | None = None,
        suffix: str = ".nii.gz",
        folder: str = "rois",
    ) -> Path:
        rng = np.random.default_rng(0)
        root = tmp_path / folder
        rows = []
        for i in range(n):
            malignant = i % 2
            mask = ball((7, 16, 16), 2.2 + malignant + rng.uniform(0, 0.8))
            image = np.where(mask, 30, -850) + rng.normal(0, 25, mask.shape)
            write_volume(root / f"images/r{i}{suffix}", image.round().astype(np.int16))
            write_volume(root / f"masks/r{i}{suffix}", mask.astype(np.uint8))
            row = {
                "roi_id": f"r{i}",
                "patient_id": f"p{i // 2 if i < 4 else i}",
                "image": f"images/r{i}{suffix}",
                "mask": f"masks/r{i}{suffix}",
            }
            ratings = "4 5 4" if malignant else "1 2 2"
            row |= {"label": str(malignant)} if labels else {"malignancy_ratings": ratings}
            rows.append(row | dict((change or {}).get(i, {})))
        with (root / "manifest.csv").open("w", newline="") as handle:
            writer = csv.DictWriter(handle, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        return root

    return write


@pytest.fixture(scope="session")
def reported(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run in which every name that data can bring is hostile, with its report in all formats."""
    run = make_run(tmp_path_factory.mktemp("reported") / "run", synthetic=True, mark=f"-{HOSTILE}")
    write_report(run, FORMATS, gallery(run))
    return run
