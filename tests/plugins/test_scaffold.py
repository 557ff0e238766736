"""What ``new`` writes passes the contract tests as it is, in a copy of this checkout."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmark.plugins import registry
from benchmark.plugins.scaffold import KINDS
from benchmark.runtime import paths
from benchmark.runtime.paths import ROOT
from tests.helpers.command_line import invoke, refused
from tests.helpers.plugins import add_plugins
from tests.helpers.volumes import ball

COPIED = ("benchmark", "features", "models", "tests", "pyproject.toml")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout in which each kind was written."""
    root = tmp_path_factory.mktemp("copy")
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, root)
    for what in ("model", "features", "dataset"):
        done = called(root, "-m", "benchmark", "new", what, f"mine_{what}")
        assert done.returncode == 0, done.stderr
        assert f"mine_{what}.py: its first lines say how" in done.stdout
    return root


def called(root: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=root, capture_output=True, text=True, check=False,
        env={**os.environ, **variables},
    )  # fmt: skip


def test_each_passes_the_contract_tests_as_it_is(copy: Path) -> None:
    files = ("models/test_contracts.py", "features/test_contracts.py", "plugins/test_registry.py")
    done = called(
        copy, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider",
        *(f"tests/{file}" for file in files), "-k", "mine or libraries",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]
    n_passed = int(done.stdout.rpartition(" passed")[0].split()[-1])
    assert n_passed > 40, done.stdout[-500:]  # of the feature set with its modifiers, most


def test_they_run_together(copy: Path) -> None:
    folder = copy / "nodules"
    folder.mkdir()
    rng = np.random.default_rng(0)
    with (folder / "nodules.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["roi_id", "patient_id", "label", "z_mm", "y_mm", "x_mm"])
        for i in range(40):
            mask = ball((7, 16, 16), 2.2 + i % 2 + rng.uniform(0, 0.8))
            image = np.where(mask, 30, -850) + rng.normal(0, 25, mask.shape)
            np.savez(folder / f"n{i}.npz", image=image, mask=mask)
            table.writerow([f"n{i}", f"p{i}", i % 2, 1.0, 0.7, 0.7])
    done = called(
        copy, "-m", "benchmark", "run", "--dataset", "mine_dataset", "--jobs", "1", "--out", "run",
        "--models", "size_only,mine_model:mine_features,mine_model:mine_features@eroded",
        "--set", "bootstrap.samples=100", MINE_DATASET_ROOT=str(folder),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "mine_features@eroded" in done.stdout
    lost = called(copy, "-m", "benchmark", "run", "--dataset", "mine_dataset", "--out", "lost")
    assert lost.returncode == 2
    assert "MINE_DATASET_ROOT must name the folder" in lost.stderr


@pytest.mark.parametrize(
    ("what", "name", "message"),
    [
        ("model", "xgb", "there is one of that name"),
        ("features", "radiomics", "there is one of that name"),
        ("features", "_masks", "a name is a word of Python's"),
        ("dataset", "manifest", "there is one of that name"),
        ("model", "external", "there is one of that name"),
        ("model", "sklearn", "choose another, as my_sklearn"),
        ("features", "statistics", "choose another, as my_statistics"),
        ("dataset", "features", "choose another, as my_features"),
        ("model", "my-net", "a name is a word of Python's"),
        ("model", "MyNet", "a name is a word of Python's"),
        ("model", "../net", "a name is a word of Python's"),
        ("model", "a@eroded", "a name is a word of Python's"),
        ("model", "lambda", "a name is a word of Python's"),
        ("model", "x" * 31, "a name is a word of Python's"),
    ],
)
def test_names_that_cannot_be_are_refused(
    capsys: pytest.CaptureFixture[str], what: str, name: str, message: str
) -> None:
    assert message in refused(capsys, "new", what, name)


@pytest.mark.parametrize(
    ("what", "path"),
    [("model", "models"), ("features", "features"), ("dataset", "benchmark/datasets")],
)
def test_the_file_is_named_and_can_be_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    what: str, path: str,
) -> None:  # fmt: skip
    add_plugins(tmp_path, {}, monkeypatch)
    with monkeypatch.context() as patch:  # of this command alone, which imports little
        patch.setattr(paths, "ROOT", tmp_path)
        assert invoke("new", what, f"own_{what}") == 0
    assert capsys.readouterr().out.startswith(f"{path}/own_{what}.py: its first lines say how")
    assert registry.fault(KINDS[what], f"own_{what}") == ""
    assert f"own_{what}" in (tmp_path / path / f"own_{what}.py").read_text()
    assert "there is one of that name" in refused(capsys, "new", what, f"own_{what}")
