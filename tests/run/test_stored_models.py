"""A stored model is loaded where this user made it, and its code never runs otherwise."""

from __future__ import annotations

import json
import sqlite3
import stat
from pathlib import Path

import numpy as np
import pytest

from benchmark.plugins.arms import Arm
from benchmark.run import cache, fitting, stored_models
from benchmark.runtime import store
from tests.helpers.command_line import invoke
from tests.helpers.volumes import WriteManifest

ARM = Arm("size_only", "diameter")


class Trap:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (self.path,)  # type: ignore[return-value]


@pytest.fixture
def sprung(tmp_path: Path) -> Path:
    return tmp_path / "sprung"


def test_a_model_is_loaded_where_this_user_made_it(
    tmp_path: Path, sprung: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored_models.write(tmp_path, {(ARM, 0): stored_models.pack([1, 2])})  # type: ignore[arg-type]
    assert stored_models.load(tmp_path, ARM, 0, trust=False) == [1, 2]
    monkeypatch.setenv(stored_models.KEY_VARIABLE, str(tmp_path / "another's"))
    with pytest.raises(stored_models.UnsignedError, match="is not signed by you"):
        stored_models.load(tmp_path, ARM, 0, trust=False)
    assert stored_models.load(tmp_path, ARM, 0, trust=True) == [1, 2]


@pytest.mark.parametrize("signature", ["kept", "empty", "gone", "odd"])
def test_another_file_in_its_place_is_not_opened(
    signature: str, tmp_path: Path, sprung: Path
) -> None:
    stored_models.write(tmp_path, {(ARM, 0): stored_models.pack([1])})  # type: ignore[arg-type]
    (path,) = (tmp_path / "models").glob("*.joblib")
    (beside,) = (tmp_path / "models").glob("*.hmac")
    path.write_bytes(stored_models.pack(Trap(sprung)))  # type: ignore[arg-type]
    if signature == "gone":
        beside.unlink()
    elif signature != "kept":
        beside.write_text({"empty": "", "odd": "\u00fc"}[signature], encoding="utf-8")
    with pytest.raises(stored_models.UnsignedError):
        stored_models.load(tmp_path, ARM, 0, trust=False)
    assert not sprung.exists()
    stored_models.load(tmp_path, ARM, 0, trust=True)
    assert sprung.exists()  # the trap works


def test_the_secret_is_this_users_and_lasts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(stored_models.KEY_VARIABLE, str(tmp_path / "keys"))
    first = stored_models.sign(b"content")
    assert len(first) == 64
    (key,) = (tmp_path / "keys").iterdir()
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert len(key.read_bytes()) == 32
    assert stored_models.sign(b"content") == first
    assert stored_models.sign(b"other") != first
    key.write_bytes(b"")
    assert not stored_models.is_ours(b"content", "")  # without a secret, nothing is ours


def test_a_planted_cache_brings_no_model(tmp_path: Path) -> None:
    packed = stored_models.pack([1])  # type: ignore[arg-type]
    tested = fitting.Tested(np.array([0.5]), 0.5, 0.5, 1.0, 1.0, "cpu", [], packed)
    entry = cache._pack_fit(tested)
    assert cache._unpack_fit(entry).packed == packed
    line, _, rest = entry.partition(b"\n")
    about = json.loads(line)
    for planted in ({**about, "signature": ""}, {**about, "signature": "0" * 64}):
        kept = cache._unpack_fit(json.dumps(planted).encode() + b"\n" + rest)
        assert kept.packed == b""
        assert kept.probabilities.tolist() == [0.5]


def test_nothing_of_a_strangers_runs_between_cache_and_gallery(
    write_manifest: WriteManifest,
    tmp_path: Path,
    sprung: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A stranger fills a cache with traps, whose digests are right; then sends a run folder."""
    run = (
        "run", "--dataset", write_manifest(24), "--jobs", "1", "--models", "size_only",
        "--set", "bootstrap.samples=200",
    )  # fmt: skip
    own = stored_models.KEY_VARIABLE, str(tmp_path / "own")
    monkeypatch.setenv(*own)
    trap = stored_models.pack(Trap(sprung))  # type: ignore[arg-type]
    with monkeypatch.context() as stranger:
        stranger.setenv(stored_models.KEY_VARIABLE, str(tmp_path / "another's"))
        stranger.setattr(stored_models, "pack", lambda _: trap)
        assert invoke(*run, "--out", tmp_path / "theirs") == 0
    assert invoke("report", tmp_path / "theirs", "--format", "md", "--jobs", "1") == 0
    said = [line for line in capsys.readouterr().err.splitlines() if "--trust" in line]
    assert len(said) == 1, said
    with sqlite3.connect(store.location()) as stored:
        values = [value for (value,) in stored.execute("SELECT value FROM entries")]
    assert any(trap in value for value in values)
    assert invoke(*run, "--out", tmp_path / "mine") == 0
    assert invoke("report", tmp_path / "mine", "--format", "md", "--jobs", "1") == 0
    assert not sprung.exists()
    assert "--trust" not in capsys.readouterr().err
    tree = json.loads((tmp_path / "mine" / "gallery.json").read_text())
    assert {name for item in tree["items"] for name in item["pictures"]} > {"nodule"}
    invoke("report", tmp_path / "theirs", "--format", "md", "--jobs", "1", "--trust")
    assert sprung.exists()
