"""Fitted models of a run, kept in its folder so that reports explain them without retraining.

``RUN_DIR/models/MODEL-FEATURES-foldN.joblib``, one file an arm and fold of repeat 0; with
``keep_models = false`` there are none. Five folds of 751 nodules take 29 MB, 5.3 MB a fold for the
paper's network and .4 MB for a forest: little enough to be kept unless told otherwise.

Reading one runs code that the file names. So each has a signature beside it (``.hmac``), an
HMAC-SHA256 by a secret that this user has on this machine and nobody else can read; what bears
none, or another's, is not loaded unless the user trusts it. Models in the cache bear one as well:
whoever can write the cache cannot have a model of theirs copied into a run folder and signed there.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Collection, Iterable, Mapping
from io import BytesIO
from pathlib import Path

from benchmark.plugins.arms import Arm
from benchmark.plugins.contracts import Model

FOLDER = "models"

KEY_VARIABLE = "LUNG_NODULE_KEYS"
"""Folder of the secret, where it is not to lie among this user's data."""

_SIGNATURE = ".hmac"
_COMPRESSION = 3  # halves a forest at once; higher levels take longer and gain little


class UnsignedError(ValueError):
    """A stored model that this user did not make on this machine."""


def sign(content: bytes) -> str:
    """The signature of a packed model; empty where the secret cannot be kept."""
    secret = _secret()
    return hmac.new(secret, content, hashlib.sha256).hexdigest() if secret else ""


def is_ours(content: bytes, signature: str) -> bool:
    """True if this user signed the packed model on this machine."""
    own = sign(content)
    return bool(own) and hmac.compare_digest(own.encode(), signature.encode())


def _secret() -> bytes:
    """32 random bytes of this user's, made when first asked for; none where none can be kept."""
    from platformdirs import user_data_path

    folder = os.environ.get(KEY_VARIABLE, "").strip()
    path = (Path(folder) if folder else user_data_path("lung-nodule-benchmark")) / "models.key"
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            draft = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
            handle = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(secrets.token_bytes(32))
            try:
                os.link(draft, path)  # unlike a rename, it leaves another process's alone
            except FileExistsError:
                pass
            finally:
                draft.unlink()
        secret = path.read_bytes()
    except OSError:
        return b""
    return secret if len(secret) == 32 else b""


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
        path = run_folder / FOLDER / _file_name(arm, fold)
        path.write_bytes(content)
        path.with_name(path.name + _SIGNATURE).write_text(sign(content), encoding="ascii")


def has_models(run_folder: Path) -> bool:
    """True if the run has kept any model."""
    return any((run_folder / FOLDER).glob("*.joblib"))


def refuse_unsigned(run_folder: Path, arms: Iterable[Arm], folds: Collection[int]) -> None:
    """Raise an UnsignedError for the first kept model that this user did not make here."""
    for path in (run_folder / FOLDER / _file_name(arm, fold) for arm in arms for fold in folds):
        if path.is_file():
            _refuse_unsigned(path, path.read_bytes())


def load(run_folder: Path, arm: Arm, fold: int, *, trust: bool) -> Model | None:
    """The model of an arm that fold ``fold`` of repeat 0 tested; None where it was not kept.

    Parameters
    ----------
    run_folder : Path
    arm : Arm
    fold : int
    trust : bool
        Load it even if it is not this user's own.

    Raises
    ------
    UnsignedError
        For a model that this user did not make on this machine, unless trusted.
    ValueError
        For a file that cannot be unpickled, as other versions of the packages may have written.
    """
    import joblib

    path = run_folder / FOLDER / _file_name(arm, fold)
    if not path.is_file():
        return None
    content = path.read_bytes()
    if not trust:
        _refuse_unsigned(path, content)
    try:
        model: Model = joblib.load(BytesIO(content))
    except Exception as error:  # unpickling may raise anything
        raise ValueError(
            f"{path.name} cannot be read ({type(error).__name__}: {error}); it needs the package "
            "versions in environment.json"
        ) from error
    return model


def _refuse_unsigned(path: Path, content: bytes) -> None:
    beside = path.with_name(path.name + _SIGNATURE)
    signature = beside.read_text("utf-8", errors="replace") if beside.is_file() else ""
    if not is_ours(content, signature):
        raise UnsignedError(f"{path.name} is not signed by you")


def _file_name(arm: Arm, fold: int) -> str:
    name = arm.name.replace(":", "-", 1)
    plain = re.sub(r"[^\w.,@+-]", "_", name)
    if plain != name:  # two names may become the same
        plain += f"-{hashlib.sha256(arm.name.encode()).hexdigest()[:8]}"
    return f"{plain}-fold{fold}.joblib"
