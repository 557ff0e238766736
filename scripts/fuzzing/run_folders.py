"""Run folders as a stranger, or a failing disk, may leave them: a good one, damaged at random."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from scripts.fuzzing import sources
from scripts.fuzzing.reading import READ_RUN

_ODD: tuple[Any, ...] = (
    None, "", "x", "-1", -1, 0, 1, 2, 0.5, 1.5, -0.1, 1e300, 10**30, True, [], {}, float("nan"),
    float("inf"), "$\\frac$", "\x1b[31mred", "a\nb", "=1+1", "../../x", "\u202e", "nan", "9" * 5000,
)  # fmt: skip
_BYTES = (b"", b"\0", b"\xff\xfe", b"[" * 50_000, b"{}", b"[]", b"null", b"\xef\xbb\xbf", b"a = ")


def mutate(source: Path, target: Path, rng: np.random.Generator) -> str:
    """Copy a run folder to ``target`` and damage one to three things in it.

    Parameters
    ----------
    source : Path
        A good run folder, or a baseline.
    target : Path
        New folder.
    rng : numpy.random.Generator

    Returns
    -------
    str
        The kinds of damage, joined by ``+``.
    """
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("models", "figures", "*.html"))
    done = []
    for _ in range(int(rng.integers(1, 4))):
        kind = str(rng.choice(list(_KINDS)))
        files = sorted(path for path in target.rglob("*") if path.is_file())
        data = [path for path in files if path.suffix in _KINDS[kind][0]]
        if data:
            path = data[int(rng.integers(len(data)))]
            try:
                _KINDS[kind][1](path, rng)
            except (ValueError, TypeError, KeyError, IndexError, OverflowError, OSError):
                _overwrite(path, rng)  # damaged before, so that it cannot be opened
            done.append(f"{kind}:{path.name}")
    return "+".join(done)


def make_source(folder: Path) -> None:
    """A run on the phantom."""
    sources.command("run", "--models", "prior,size_only,logistic", "--no-cache", "--out", folder)


def commands(target: Path) -> list[list[str]]:
    """Reading, and argument lists of ``python -m benchmark`` to try on a damaged folder."""
    folder, good = str(target), str(target.parents[1] / "good")
    return [
        [READ_RUN, folder, f"{folder}-read"],
        ["drift", folder, "--baseline", good],
        ["drift", good, "--baseline", folder, "--out", f"{folder}-drift"],
        ["report", folder, "--format", "md,tex,csv", "--no-gallery"],
        ["report", folder, "--format", "md", "--no-gallery", "--anonymise"],
    ]


def wrong(source: Path, target: Path, kind: str, arguments: list[str], status: int) -> str:
    """``drift`` that finds nothing where predictions are missing or labels are others."""
    if arguments[0] != "drift" or status != 0:
        return ""
    keys = ["roi_id", "arm", "repeat", "fold"]
    good, found = (
        pd.read_parquet(folder / "predictions.parquet").set_index(keys).sort_index()
        for folder in (source, target)
    )
    if not good.index.equals(found.index):
        return "no drift, where predictions are missing or doubled"
    if found["y_prob"].isna().any() or not good["y_true"].equals(found["y_true"]):
        return "no drift, where labels are others or scores are NaN"
    return ""


def _flip(path: Path, rng: np.random.Generator) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(int(rng.integers(1, 9))):
        content[int(rng.integers(len(content)))] = int(rng.integers(256))
    path.write_bytes(bytes(content))


def _truncate(path: Path, rng: np.random.Generator) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(rng.integers(len(content)))])


def _overwrite(path: Path, rng: np.random.Generator) -> None:
    path.unlink()
    path.write_bytes(_BYTES[int(rng.integers(len(_BYTES)))])


def _insert(path: Path, rng: np.random.Generator) -> None:
    content = path.read_bytes()
    place = int(rng.integers(len(content) + 1))
    path.write_bytes(content[:place] + _BYTES[int(rng.integers(len(_BYTES)))] + content[place:])


def _remove(path: Path, rng: np.random.Generator) -> None:
    path.unlink()
    if rng.random() < 0.3:
        path.mkdir()
    elif rng.random() < 0.3:
        os.mkfifo(path)


def _link(path: Path, rng: np.random.Generator) -> None:
    path.unlink()
    path.symlink_to(str(rng.choice(["/dev/zero", "/nowhere", ".", path.name, "config.toml"])))


def _table(path: Path) -> pd.DataFrame:
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def _store(table: pd.DataFrame, path: Path) -> None:
    if path.suffix == ".parquet":
        table.to_parquet(path, index=False)
    else:
        table.to_csv(path, index=False)


def _cell(path: Path, rng: np.random.Generator) -> None:
    table = _table(path)
    column = str(rng.choice(list(table.columns)))
    values = table[column].astype(object).tolist()
    odd = _ODD[int(rng.integers(len(_ODD)))]
    for _ in range(int(rng.choice([1, 1, 3, len(values)]))):
        values[int(rng.integers(len(values)))] = odd
    try:
        _store(table.assign(**{column: values}), path)
    except (ValueError, TypeError, OverflowError):  # a Parquet column has one type
        _store(table.assign(**{column: [str(value) for value in values]}), path)


def _column(path: Path, rng: np.random.Generator) -> None:
    table = _table(path)
    column = str(rng.choice(list(table.columns)))
    change: list[Callable[[], pd.DataFrame]] = [
        lambda: table.drop(columns=column),
        lambda: table.rename(columns={column: "other"}),
        lambda: table.assign(**{column: table[column].sample(frac=1, random_state=rng).to_numpy()}),
        lambda: table.assign(**{column: 1}),
        lambda: table.assign(**{column: np.nan}),
        lambda: table.assign(new="=cmd()"),
        lambda: table[table.columns[::-1]],
    ]
    _store(change[int(rng.integers(len(change)))](), path)


def _rows(path: Path, rng: np.random.Generator) -> None:
    table = _table(path)
    change: list[Callable[[], pd.DataFrame]] = [
        lambda: table.iloc[:0],
        lambda: table.iloc[: len(table) // 2],
        lambda: table.drop(index=int(rng.integers(len(table)))),
        lambda: pd.concat([table, table.iloc[[int(rng.integers(len(table)))]]]),
        lambda: pd.concat([table] * 200),
        lambda: table.sample(frac=1, random_state=rng),
    ]
    _store(change[int(rng.integers(len(change)))](), path)


def _key(path: Path, rng: np.random.Generator) -> None:
    tree = json.loads(path.read_text())
    node: Any = tree
    while True:
        places: list[Any] = list(node) if isinstance(node, dict) else list(range(len(node)))
        place = places[int(rng.integers(len(places)))]
        if isinstance(node[place], dict | list) and node[place] and rng.random() < 0.8:
            node = node[place]
            continue
        if rng.random() < 0.3:
            del node[place]
        else:
            node[place] = _ODD[int(rng.integers(len(_ODD)))]
        break
    path.write_text(json.dumps(tree))


def _setting(path: Path, rng: np.random.Generator) -> None:
    lines = path.read_text().splitlines()
    number = int(rng.integers(len(lines)))
    name, equals, _ = lines[number].partition("=")
    values = (
        "-1",
        "nan",
        "inf",
        '"x"',
        "[]",
        "{}",
        "true",
        "9" * 40,
        "1979-05-27",
        "0",
        "'''\n'''",
    )
    lines[number] = f"{name}= {values[int(rng.integers(len(values)))]}" if equals else ""
    path.write_text("\n".join(lines))


_DATA = (".csv", ".parquet", ".json", ".toml")
_KINDS: dict[str, tuple[tuple[str, ...], Callable[[Path, np.random.Generator], None]]] = {
    "flip": (_DATA, _flip),
    "truncate": (_DATA, _truncate),
    "overwrite": (_DATA, _overwrite),
    "insert": (_DATA, _insert),
    "remove": (_DATA, _remove),
    "link": (_DATA, _link),
    "cell": ((".csv", ".parquet"), _cell),
    "cells": ((".parquet",), _cell),
    "column": ((".csv", ".parquet"), _column),
    "rows": ((".csv", ".parquet"), _rows),
    "key": ((".json",), _key),
    "setting": ((".toml",), _setting),
}
