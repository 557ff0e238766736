"""A run folder of a stranger's, or a damaged one, is refused in one line, and never believed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pyarrow import parquet

from benchmark.run.folder import RunFolder, read_baseline, read_run
from tests.helpers.command_line import invoke, refused
from tests.helpers.made_run import make_run

Damage = Callable[[Path], None]
PREDICTIONS = "predictions.parquet"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return make_run(tmp_path_factory.mktemp("good") / "run", n=80)


@pytest.fixture
def copied(good: RunFolder, tmp_path: Path) -> Path:
    return Path(shutil.copytree(good.path, tmp_path / "run"))


def cell(file: str, column: str, value: Any, row: int = 4) -> Damage:
    """Put a value into one cell."""

    def damage(folder: Path) -> None:
        path = folder / file
        table = read(path)
        values = table[column].astype(object).tolist()
        values[row] = value
        store(table.assign(**{column: values}), path)

    return damage


def rows(file: str, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Damage:
    return lambda folder: store(change(read(folder / file)), folder / file)


def key(file: str, change: Callable[[Any], object]) -> Damage:
    def damage(folder: Path) -> None:
        tree = json.loads((folder / file).read_text())
        change(tree)
        (folder / file).write_text(json.dumps(tree))

    return damage


def content(file: str, change: Callable[[bytes], bytes]) -> Damage:
    return lambda folder: none((folder / file).write_bytes(change((folder / file).read_bytes())))


def none(_: object) -> None:
    """Nothing."""


def read(path: Path) -> pd.DataFrame:
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def store(table: pd.DataFrame, path: Path) -> None:
    if path.suffix == ".parquet":
        table.to_parquet(path, index=False)
    else:
        table.to_csv(path, index=False)


def double_column(folder: Path) -> None:
    path = folder / PREDICTIONS
    table = parquet.read_table(path)
    parquet.write_table(table.append_column("y_prob", table["y_prob"]), path)


def folder_in_place(name: str) -> Damage:
    def damage(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).mkdir()

    return damage


def fifo(name: str) -> Damage:
    def damage(folder: Path) -> None:
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return damage


def half(data: bytes) -> bytes:
    return data[: len(data) // 2]


DAMAGES: dict[str, tuple[Damage, str]] = {
    "probability": (cell(PREDICTIONS, "y_prob", 1.5), "row 5, column 'y_prob': 1.5 lies outside"),
    "no probability": (cell(PREDICTIONS, "y_prob", np.nan), "row 5, column 'y_prob': nan is no"),
    "no threshold": (cell(PREDICTIONS, "threshold", np.nan), "row 5, column 'threshold': nan"),
    "label": (cell(PREDICTIONS, "y_true", 2), "row 5, column 'y_true': 2 lies outside 0 to 1"),
    "fold": (cell(PREDICTIONS, "fold", -2), "row 5, column 'fold': -2 lies outside"),
    "another label": (
        rows(PREDICTIONS, lambda t: t.assign(y_true=1 - t.y_true)), "has y_true 1, in rois.csv 0",
    ),
    "stranger": (cell(PREDICTIONS, "roi_id", "other"), "ROI 'other' is not in rois.csv"),
    "another fold": (
        rows(PREDICTIONS, lambda t: t.assign(fold=1 - t.fold)), "splits.json does not test it in",
    ),
    "twice": (rows(PREDICTIONS, lambda t: pd.concat([t, t[:1]])), "a second row of roi_id"),
    "column": (rows(PREDICTIONS, lambda t: t.drop(columns="y_prob")), "no column 'y_prob'"),
    "type": (rows(PREDICTIONS, lambda t: t.assign(y_prob="x")), "'y_prob': 'x' is not a number"),
    "flags": (rows(PREDICTIONS, lambda t: t.assign(y_prob=True)), "is not a number"),
    "half a Parquet": (content(PREDICTIONS, half), f"{PREDICTIONS}: not a Parquet file"),
    "garbage": (content(PREDICTIONS, lambda _: b"PAR1" * 50), "not a Parquet file"),
    "half a CSV": (content("rois.csv", half), "rois.csv row"),
    "CSV encoding": (content("rois.csv", lambda d: d + b"\xff"), "rois.csv: not a CSV file"),
    "CSV row": (content("metrics.csv", lambda d: d + b"a,b\n"), "column 'n_rois': nan"),
    "CSV wide": (
        content("rois.csv", lambda d: d.replace(b"\n", b",1\n").replace(b",1\n", b"\n", 1)),
        "rois.csv: not a CSV file",
    ),
    "huge": (cell("rois.csv", "y_true", "9" * 400), "rois.csv row 5, column 'y_true'"),
    "size": (cell("rois.csv", "equivalent_diameter_mm", "-3"), "-3.0 lies outside 0"),
    "acquired": (
        rows("metrics.csv", lambda t: t.assign(intensities="synthetic")),
        "as environment.json says",
    ),
    "metrics' arm": (
        rows("metrics.csv", lambda t: t.replace("prior:diameter", "ghost")),
        "arm 'prior:diameter' is in predictions.parquet, not in metrics.csv",
    ),
    "metrics' features": (
        rows("metrics.csv", lambda t: t.replace({"features": {"radiomics": "ghost"}})),
        "arm 'logistic:radiomics' has another model or other features",
    ),
    "an arm of two": (
        cell(PREDICTIONS, "supervision", "ratings"),
        f"{PREDICTIONS}: an arm has rows of two models, feature sets or supervisions",
    ),
    "columns": (double_column, f"{PREDICTIONS}: not a Parquet file"),
    "metric": (rows("metrics.csv", lambda t: t[1:]), "has no row of metric"),
    "comparisons' arm": (
        rows("comparisons.csv", lambda t: t.replace("prior:diameter", "ghost")), "arm 'ghost'",
    ),
    "TOML": (content("config.toml", half), "config.toml: not TOML"),
    "setting": (
        content("config.toml", lambda d: d.replace(b"seed = 0", b"seed = -1")), "seed: ",
    ),
    "deep TOML": (content("config.toml", lambda d: b"a = " + b"[" * 10**5), "nested too deeply"),
    "JSON": (content("environment.json", half), "environment.json: invalid JSON"),
    "deep JSON": (content("failures.json", lambda _: b"[" * 10**5), "failures.json: "),
    "huge number": (key("environment.json", lambda t: t.update(wall_s=10**400)), "wall_s"),
    "missing key": (key("environment.json", lambda t: t["dataset"].pop("name")), "dataset.name"),
    "wrong key": (key("environment.json", lambda t: t.update(packages=[])), "packages"),
    "failure": (key("failures.json", lambda t: t[0].update(fold="x")), "failures.json: 0.fold"),
    "split": (key("splits.json", lambda t: t[0].update(train=[1])), "splits.json: 0.train.0"),
    "leak": (
        key("splits.json", lambda t: t[0]["train"].append(t[0]["test"][0])), "trains on and tests",
    ),
    "a ROI twice": (
        key("splits.json", lambda t: t[0]["train"].append(t[0]["train"][0])), "names a ROI twice",
    ),
    "splits": (key("splits.json", lambda t: t.append(t[0])), "stands twice"),
    "UTF-16": (content("splits.json", lambda d: d.decode().encode("utf-16")), "UTF-16"),
    "a folder": (folder_in_place("splits.json"), "no splits.json in it"),
    "a pipe": (fifo("rois.csv"), "no rois.csv in it"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_folder_is_refused_in_one_line(name: str, copied: Path) -> None:
    damage, said = DAMAGES[name]
    damage(copied)
    with pytest.raises(ValueError) as refusal:
        read_run(copied)
    assert said in str(refusal.value)
    assert str(refusal.value).count(str(copied)) == 1


def test_a_good_folder_is_read_as_it_is(good: RunFolder, copied: Path) -> None:
    stored = pd.read_parquet(copied / PREDICTIONS)
    pd.testing.assert_frame_equal(read_run(copied).predictions, stored)
    assert read_run(copied).environment == json.loads((copied / "environment.json").read_text())


def test_a_parquet_file_that_would_fill_the_memory_is_refused(copied: Path) -> None:
    """It is the rows that it says, a few kilobytes, that would."""
    path = copied / PREDICTIONS
    cells = pd.DataFrame({"y_prob": np.zeros(101_000_000, np.int8)})
    cells.to_parquet(path, index=False, compression="zstd")
    assert path.stat().st_size < 500_000
    with pytest.raises(ValueError, match="101000000 rows of 1 columns"):
        read_run(copied)


def test_a_damaged_feature_set_is_refused(copied: Path) -> None:
    features = copied / "features"
    table = pd.DataFrame({"roi_id": ["a", "a"], "x": [1.0, 2.0], "intensities": "acquired"})
    table.to_parquet(features / "made.parquet", index=False)
    with pytest.raises(ValueError, match=r"features/made\.parquet row 2: a second row"):
        _ = read_run(copied).features
    table.assign(roi_id=["a", "b"], x=["1", "b"]).to_parquet(features / "made.parquet", index=False)
    with pytest.raises(ValueError, match=r"row 2, column 'x': 'b' is not a number"):
        _ = read_run(copied).features


def test_a_baseline_without_predictions_is_not_passed(
    good: RunFolder, copied: Path, tmp_path: Path
) -> None:
    """With none, every arm is new, and nothing of the run is judged."""
    rows(PREDICTIONS, lambda t: t[:0])(copied)
    rows("metrics.csv", lambda t: t[:0])(copied)
    assert read_baseline(copied).predictions.empty
    out = tmp_path / "drift"
    assert invoke("drift", good.path, "--baseline", copied, "--out", out) == 3
    assert "the baseline has no predictions" in (out / "drift.md").read_text()


@pytest.mark.parametrize("damage", ["no probability", "another label", "half a CSV", "deep JSON"])
def test_drift_never_passes_a_damaged_folder(
    damage: str, good: RunFolder, copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    DAMAGES[damage][0](copied)
    assert str(copied) in refused(capsys, "drift", copied, "--baseline", good.path)
    assert str(copied) in refused(capsys, "drift", good.path, "--baseline", copied)
