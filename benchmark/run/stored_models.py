"""Fitted models of a run, kept in its folder so that reports explain them without retraining.

``RUN_DIR/models/MODEL-FEATURES-foldN.joblib``, one file an arm and fold of repeat 0; with
``keep_models = false`` there are none. Five folds of 751 nodules take 29 MB, 5.3 MB a fold for the
paper's network and .4 MB for a forest: little enough to be kept unless told otherwise.

Reading one runs code that the file names: read those of your own runs, and report on a
stranger's run folder with ``--no-gallery``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

from benchmark.plugins.arms import Arm
from benchmark.plugins.contracts import Model

FOLDER = "models"

_COMPRESSION = 3  # halves a forest at once; higher levels take longer and gain little


def pack(model: Model) -> bytes:
    """The file of a fitted model."""
    import joblib

    packed = BytesIO()
    joblib.dump(model, packed, compress=_COMPRESSION)
    return packed.getvalue()


def write(run_folder: Path, models: Mapping[tuple[Arm, int], bytes]) -> None:
    """Write packed models, by arm and fold, into ``run_folder``/models."""
    if models:
        (run_folder / FOLDER).mkdir()
    for (arm, fold), content in models.items():
        (run_folder / FOLDER / _file_name(arm, fold)).write_bytes(content)


def has_models(run_folder: Path) -> bool:
    """True if the run has kept any model."""
    return any((run_folder / FOLDER).glob("*.joblib"))


def load(run_folder: Path, arm: Arm, fold: int) -> Model | None:
    """The model of an arm that fold ``fold`` of repeat 0 tested; None where it was not kept.

    Raises
    ------
    ValueError
        For a file that cannot be unpickled, as other versions of the packages may have written.
    """
    import joblib

    path = run_folder / FOLDER / _file_name(arm, fold)
    if not path.is_file():
        return None
    try:
        model: Model = joblib.load(path)
    except Exception as error:  # unpickling may raise anything
        raise ValueError(
            f"{path.name} cannot be read ({type(error).__name__}: {error}); it needs the package "
            "versions in environment.json"
        ) from error
    return model


def _file_name(arm: Arm, fold: int) -> str:
    name = arm.name.replace(":", "-", 1)
    plain = re.sub(r"[^\w.,@+-]", "_", name)
    if plain != name:  # two names may become the same
        plain += f"-{hashlib.sha256(arm.name.encode()).hexdigest()[:8]}"
    return f"{plain}-fold{fold}.joblib"
