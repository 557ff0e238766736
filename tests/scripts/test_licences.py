"""Licences of dependencies: all are listed, as the packages say, and all are accepted."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.licences import ODD, PROPRIETARY, licence, listed, pinned, unaccepted


def test_the_list_is_that_of_the_requirements() -> None:
    assert {name: files for name, (_, files) in listed().items()} == {
        name: ", ".join(files) for name, files in pinned().items()
    }


def test_every_licence_is_accepted_and_as_the_package_says() -> None:
    for name, (said, _) in listed().items():
        assert PROPRIETARY.fullmatch(name) or not unaccepted(said), (name, said)
        assert licence(name) in (None, said), name
    assert ODD.keys() <= pinned().keys()


def test_proprietary_packages_are_for_gpus_alone() -> None:
    for name, files in pinned().items():
        if PROPRIETARY.fullmatch(name):
            assert "nccl" in name or files == ["gpu"], name  # xgboost asks for NCCL everywhere


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ("MIT", []),
        ("GPL-3.0-only", ["GPL-3.0-only"]),
        ("Apache-2.0 OR GPL-3.0-only", []),
        ("MIT AND GPL-3.0-only", ["GPL-3.0-only"]),
        ("", [""]),
        ("unknown", ["unknown"]),
    ],
)
def test_what_is_not_accepted_is_found(said: str, left: list[str]) -> None:
    assert unaccepted(said) == left


def test_pins_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Numpy==1 ; x \\\n    --hash=sha256:0\n    # via b\nb==2 \\\n")
    assert pinned(tmp_path) == {"b": ["a"], "numpy": ["a"]}
