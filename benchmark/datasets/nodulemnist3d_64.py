"""NoduleMNIST3D, 64 x 64 x 64 (MedMNIST+): a file of your own download, official split.

``nodulemnist3d_64.npz`` is looked for where ``nodulemnist3d`` looks; that module also says what
the files lack.
"""

from __future__ import annotations

from benchmark.datasets import nodulemnist3d
from benchmark.roi import RoiDataset
from benchmark.runtime.progress import Progress

PROFILE = nodulemnist3d.PROFILE
FILE_NAME = "nodulemnist3d_64.npz"


def open_dataset(jobs: int, progress: Progress) -> RoiDataset:
    """The 64 x 64 x 64 file at its documented place.

    Raises
    ------
    ValueError
        Where it is absent, or is another file.
    """
    return nodulemnist3d.open_file(nodulemnist3d.find(FILE_NAME))
