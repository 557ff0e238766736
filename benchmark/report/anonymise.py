"""A copy of a run folder for sharing, in which no patient or ROI can be told by its id.

Ids are replaced everywhere in the same way by numbers drawn at random, and the key is thrown
away: the same run anonymised twice has other ids. Rows are put in the order of the new ids, as
the old order would give the old ids away. Paths lose their folders.

Measurements are kept, as they are what is shared: whoever has the images can find a nodule again
by its diameter or its scores.
"""

from __future__ import annotations

import json
import re
import secrets
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import tomli_w

from benchmark.columns import IDS
from benchmark.report.gallery.build import Gallery
from benchmark.run.folder import RunFolder, read_run
from benchmark.runtime.folders import new_folder, remove, reserved

FOLDER = "anonymised"
"""Inside the run folder."""

_TABLES = (".csv", ".parquet")
_PLACES = ("universe", "models", "arm", "repeat", "fold")


@dataclass(frozen=True)
class Key:
    """New ids by old ones, for ROIs and for patients."""

    rois: Mapping[str, str]
    patients: Mapping[str, str]

    def text(self, text: str) -> str:
        """Free text with every id in it replaced.

        An id of digits alone is replaced nowhere in free text, where it cannot be told from a
        count; the reasons of failures go through :meth:`reason`.
        """
        return self._pattern.sub(lambda found: self._all[found.group()], text)

    def reason(self, text: str) -> str:
        """The reason of a failure, in which ids of digits stand for themselves too."""
        text = self.text(text)
        if not self._whole_numbers:
            return text
        pattern = rf"(?<![\w.-])({'|'.join(self._whole_numbers)})(?![\w.-])"
        return re.sub(pattern, lambda found: self._all[found.group()], text)

    def table(self, table: pd.DataFrame) -> pd.DataFrame:
        """A table with new ids and in their order, and every other text searched for old ones."""
        table = table.copy()
        for column in table.columns:
            if column in IDS:
                new = self.patients if column == "patient_id" else self.rois
                table[column] = [new[old] for old in table[column]]
            elif pd.api.types.is_string_dtype(table[column]):
                changed = {old: self.text(old) for old in table[column].dropna().unique()}
                table[column] = table[column].replace(changed)
        if "roi_id" in table:
            # Arms keep the order in which they first appear: the tables of a report are in it.
            places = [name for name in _PLACES if name in table]
            place = table.groupby(places, sort=False).ngroup() if places else 0
            table = table.assign(place=place).sort_values(["place", "roi_id"], kind="stable")
            table = table.drop(columns="place")
        if "roi_a" in table:
            pairs = [sorted(pair) for pair in zip(table.roi_a, table.roi_b, strict=True)]
            table[["roi_a", "roi_b"]] = pd.DataFrame(pairs, table.index, ["roi_a", "roi_b"], str)
            table = table.sort_values(["roi_a", "roi_b"])
        return table.reset_index(drop=True)

    @cached_property
    def _all(self) -> dict[str, str]:
        return {**self.patients, **self.rois}

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        # The longest first: a ROI's id often begins with its patient's.
        ids = sorted((old for old in self._all if not old.isdigit()), key=len, reverse=True)
        # A short id may be part of a word; a long one is replaced wherever it stands.
        shown = [re.escape(i) if len(i) > 4 else rf"(?<!\w){re.escape(i)}(?!\w)" for i in ids]
        return re.compile("|".join(shown) or r"(?!)")

    @cached_property
    def _whole_numbers(self) -> list[str]:
        return sorted((old for old in self._all if old.isdigit()), key=len, reverse=True)


def draw_key(run: RunFolder) -> Key:
    """New ids for all that a run names, from the operating system's randomness."""
    roi_ids = {str(roi) for split in run.splits for roi in (*split.train, *split.test)}
    patients: set[str] = set()
    for table in _tables(run.path).values():
        roi_ids |= set(table["roi_id"]) if "roi_id" in table else set()
        patients |= set(table["patient_id"]) if "patient_id" in table else set()
    roi_ids |= {failure.roi_id for failure in run.failures if failure.roi_id}
    return Key(_numbered(roi_ids, "roi"), _numbered(patients, "patient"))


def anonymise(run: RunFolder, gallery: Gallery | None = None) -> tuple[RunFolder, Gallery | None]:
    """Write the anonymised run folder ``RUN_DIR/anonymised``, in place of an earlier one.

    It is a run folder like any other, which the report is then written into; files that are
    not among the run's own are not copied.

    Returns
    -------
    RunFolder
        The copy.
    Gallery or None
        The gallery with new ids.
    """
    key = draw_key(run)
    out = run.path / FOLDER
    remove(out)
    with reserved(out), new_folder(out) as draft:
        for name, table in _tables(run.path).items():
            anonymous = key.table(table)
            if name.endswith(".csv"):
                anonymous.to_csv(draft / name, index=False)
            else:
                anonymous.to_parquet(draft / name, index=False, compression="zstd")
        _write_json(draft / "splits.json", _splits(run, key))
        failures = json.loads((run.path / "failures.json").read_text())
        anonymous_failures = [_failure(failure, key) for failure in failures]
        anonymous_failures.sort(key=lambda failure: failure["roi_id"])
        _write_json(draft / "failures.json", anonymous_failures)
        command = [_without_folders(word) for word in run.environment["command"]]
        environment = {**run.environment, "command": command}
        _write_json(draft / "environment.json", _walk(environment, key))
        config = tomllib.loads((run.path / "config.toml").read_text())
        for name in ("dataset", "test_dataset"):
            config[name] = _without_folders(config[name])
        (draft / "config.toml").write_text(tomli_w.dumps(_walk(config, key)))
    items = [
        replace(
            item,
            roi_id=key.rois.get(item.roi_id, "roi"),
            patient_id=key.patients.get(item.patient_id, "patient"),
            notes=tuple(map(key.reason, item.notes)),
            pictures={key.text(what): picture for what, picture in item.pictures.items()},
        )
        for item in (gallery.items if gallery else ())
    ]
    if gallery is not None:
        gallery = replace(gallery, items=items, notes=list(map(key.reason, gallery.notes)))
    return read_run(out), gallery


def _numbered(ids: set[str], kind: str) -> dict[str, str]:
    shuffled = sorted(ids)
    secrets.SystemRandom().shuffle(shuffled)
    width = len(str(len(shuffled)))
    return {old: f"{kind}-{number:0{width}}" for number, old in enumerate(shuffled, start=1)}


def _tables(folder: Path) -> dict[str, pd.DataFrame]:
    """The run's own tables by file name: those with its last column, ``intensities``."""
    tables = {}
    for path in sorted(folder.iterdir()):
        if path.suffix == ".parquet":
            table = pd.read_parquet(path)
        elif path.suffix == ".csv" and "intensities" in path.read_text("utf-8").partition("\n")[0]:
            # As text: what is written is what was read.
            table = pd.read_csv(path, dtype=str, keep_default_na=False)
        else:
            continue
        if "intensities" in table:
            tables[path.name] = table.astype({n: str for n in IDS if n in table})
    return tables


def _splits(run: RunFolder, key: Key) -> list[dict[str, Any]]:
    return [
        {
            "scheme": split.scheme,
            "repeat": split.repeat,
            "fold": split.fold,
            "train": sorted(key.rois[roi] for roi in split.train),
            "test": sorted(key.rois[roi] for roi in split.test),
        }
        for split in run.splits
    ]


def _failure(failure: dict[str, Any], key: Key) -> dict[str, Any]:
    roi_id = key.rois[failure["roi_id"]] if failure["roi_id"] else ""
    return {**failure, "roi_id": roi_id, "reason": key.reason(failure["reason"])}


def _walk(value: Any, key: Key) -> Any:
    """Nested plain values, every text without old ids."""
    if isinstance(value, dict):
        return {name: _walk(each, key) for name, each in value.items()}
    if isinstance(value, list):
        return [_walk(each, key) for each in value]
    return key.text(value) if isinstance(value, str) else value


def _without_folders(text: str) -> str:
    return re.split(r"[/\\]", text.rstrip("/\\"))[-1]


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n")
