"""A copy of a run folder for sharing, in which no patient or ROI can be told by its id.

Ids are replaced everywhere in the same way by numbers drawn at random, and the key is thrown
away: the same run anonymised twice has other ids. Rows are put in the order of the new ids, as
the old order would give the old ids away.

What is copied is listed here, and nothing else is: tables of the run with their declared columns,
splits, and of the configuration and the environment what this program says itself. Free text goes
through no filter that could be sure of it, so it is left out: the reasons of failures but for the
kind of error, notes, paths, the command line, names of datasets that are not this program's. Arms
with a name of their own are numbered. Names of plug-ins stay, and so do those of feature tables.

Measurements are kept, as they are what is shared: whoever has the images can find a nodule again
by its diameter or its scores.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import pandas as pd
import tomli_w

from benchmark import columns
from benchmark.config import Config
from benchmark.plugins import registry
from benchmark.plugins.arms import Arm, arms_in
from benchmark.report.gallery.build import Gallery
from benchmark.report.gallery.pictures import GalleryItem, figure_names
from benchmark.report.tables.table import SYNTHETIC
from benchmark.run.folder import RunFolder, read_run
from benchmark.runtime.failures import Failure
from benchmark.runtime.folders import new_folder, remove, reserved, write_text
from benchmark.stored_table import IDS, INTENSITIES, StoredTable

FOLDER = "anonymised"
"""Inside the run folder."""

_PLACES = ("universe", "models", "arm", "repeat", "fold")
_LATER = (columns.EXPLANATION_TABLE, columns.LEAKAGE_TABLE)
_TABLES = [
    table
    for table in vars(columns).values()
    if isinstance(table, StoredTable) and table not in _LATER
]
_LEFT_OUT = "(left out)"
_ENVIRONMENT = (
    "started", "wall_s", "jobs", "reference_s", "python", "packages", "platform", "processor",
    "cores", "revision",
)  # fmt: skip
_DATASET = (
    "intensities", "fingerprint", "n_rois", "n_patients", "patients_known", "n_malignant",
)  # fmt: skip


@dataclass(frozen=True)
class Key:
    """New ids by old ones, for ROIs and for patients, and new names of arms and datasets."""

    rois: Mapping[str, str]
    patients: Mapping[str, str]
    arms: Mapping[str, str]
    datasets: Mapping[str, str]

    def said(self, text: str) -> str:
        """A sentence of this program's own, with other names of datasets; left out where an id
        is in it, however it is written."""
        for old, new in self.datasets.items():
            text = re.sub(rf"(?<!\w){re.escape(old)}(?!\w)", new, text)
        return _LEFT_OUT if any(each in _bare(text) for each in self._ids) else text

    def table(self, table: pd.DataFrame) -> pd.DataFrame:
        """A table with new ids and in their order, and every other text searched for old ones."""
        table = table.copy()
        for column in table.columns:
            if column in IDS:
                new = self.patients if column == "patient_id" else self.rois
                table[column] = [new[old] for old in table[column]]
            elif column in ("arm", "arm_a", "arm_b"):
                table[column] = [self.arms.get(old, old) for old in table[column]]
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
    def _ids(self) -> list[str]:
        # What is shorter stands in any text by chance.
        return [bare for old in (*self.rois, *self.patients) if len(bare := _bare(old)) > 4]


def _bare(text: str) -> str:
    return re.sub(r"[\W_]+", "", text.lower())


def draw_key(run: RunFolder) -> Key:
    """New ids for all that a run names, from the operating system's randomness."""
    roi_ids = {str(roi) for split in run.splits for roi in (*split.train, *split.test)}
    patients: set[str] = set()
    arms: list[Arm] = []
    for table in _tables(run).values():
        for column in table.columns.intersection(list(IDS)):
            (patients if column == "patient_id" else roi_ids).update(table[column])
        arms += arms_in(table) if "arm" in table else []
    for failure in run.failures:
        roi_ids |= {failure.roi_id} if failure.roi_id else set()
        arms += [Arm(failure.model, failure.features, failure.arm)] if failure.arm else []
    for entry in run.config["arms"]:
        if not isinstance(entry, str):
            arms.append(Arm(entry["model"], entry.get("features", ""), entry["name"]))
    return Key(
        _numbered(roi_ids, "roi"),
        _numbered(patients, "patient"),
        _named(arms),
        _datasets(run),
    )


def anonymise(run: RunFolder, gallery: Gallery | None = None) -> tuple[RunFolder, Gallery | None]:
    """Write the anonymised run folder ``RUN_DIR/anonymised``, in place of an earlier one.

    It is a run folder like any other, which the report is then written into.

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
        for table, rows in _tables(run).items():
            intensities = run.environment["dataset"]["intensities"]
            table.write(key.table(rows), draft, intensities)
        for name, content in (
            ("splits.json", _splits(run, key)),
            ("failures.json", _failures(run, key)),
            ("environment.json", _environment(run, key)),
        ):
            write_text(draft / name, json.dumps(content, indent=1) + "\n")
        write_text(draft / "config.toml", tomli_w.dumps(_config(run, key)))
    return read_run(out), None if gallery is None else _gallery(gallery, key)


def _numbered(ids: set[str], kind: str) -> dict[str, str]:
    shuffled = sorted(ids)
    secrets.SystemRandom().shuffle(shuffled)
    width = len(str(len(shuffled)))
    return {old: f"{kind}-{number:0{width}}" for number, old in enumerate(shuffled, start=1)}


def _named(arms: list[Arm]) -> dict[str, str]:
    """Numbers for the arms that have a name of their own."""
    named = {arm.name: arm for arm in arms if arm.named}
    return {
        name: f"{arm.model}, variant {number}"
        for number, (name, arm) in enumerate(named.items(), start=1)
    }


def _datasets(run: RunFolder) -> dict[str, str]:
    told = (run.environment.get(kind) for kind in ("dataset", "training_dataset", "test_dataset"))
    names = [str(each["name"]) for each in told if isinstance(each, Mapping) and "name" in each]
    paths = [str(run.config.get(name, "")) for name in ("dataset", "test_dataset")]
    parts = [part for path in paths for part in (path, *re.split(r"[/\\]", path))]
    known = registry.named_datasets()
    return {
        name: "the dataset"
        for name in sorted({*names, *parts}, key=len, reverse=True)
        if name and name not in known
    }


def _tables(run: RunFolder) -> dict[StoredTable, pd.DataFrame]:
    """The run's own tables, with their declared columns."""
    found = {}
    for table in _TABLES:
        if (rows := run.table_if_there(table)) is not None:
            # Further columns of an open table are its numbers.
            names = rows.columns if table.open else [*table.columns, INTENSITIES]
            found[table] = rows[list(names)]
    return found


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


def _failures(run: RunFolder, key: Key) -> list[dict[str, Any]]:
    found = [asdict(_failure(failure, key)) for failure in run.failures]
    return sorted(found, key=lambda failure: str(failure["roi_id"]))


def _failure(failure: Failure, key: Key) -> Failure:
    kind = re.match(r"[A-Z]\w{0,40}(?:Error|Exception|Warning)(?=:)", failure.reason)
    return replace(
        failure,
        roi_id=key.rois[failure.roi_id] if failure.roi_id else "",
        arm=key.arms.get(failure.arm, failure.arm),
        reason=f"{kind.group()}: {_LEFT_OUT}" if kind else _LEFT_OUT,
    )


def _environment(run: RunFolder, key: Key) -> dict[str, Any]:
    told = run.environment
    dataset = {name: told["dataset"][name] for name in _DATASET if name in told["dataset"]}
    name = told["dataset"]["name"]
    patients = run.rois["patient_id"].nunique()
    dataset["name"] = key.datasets.get(name, name)
    dataset["cohort"] = (
        f"{len(run.rois)} ROIs of {patients} patients, {int(run.rois['y_true'].sum())} malignant"
    )
    protocol = {
        name: told["protocol"][name] if name == "leaky" else key.said(told["protocol"][name])
        for name in ("label", "split", "threshold", "leaky")
    }
    kept = {name: told[name] for name in _ENVIRONMENT if name in told}
    command = ["python", "-m", "benchmark", "run", _LEFT_OUT]
    return {**kept, "dataset": dataset, "protocol": protocol, "command": command}


def _config(run: RunFolder, key: Key) -> dict[str, Any]:
    known = Config.__dataclass_fields__
    config = {name: value for name, value in run.config.items() if name in known}
    for name in ("dataset", "test_dataset"):
        if name in config:
            config[name] = key.datasets.get(config[name], config[name])
    if config["profile"] not in registry.names("profiles"):
        config["profile"] = "a profile of the user's"
    config["predictions"] = {
        key.arms.get(name, _LEFT_OUT): _LEFT_OUT for name in config.get("predictions", {})
    }
    config["feature_tables"] = dict.fromkeys(config.get("feature_tables", {}), _LEFT_OUT)
    config["arms"] = [
        each if isinstance(each, str) else {**each, "name": key.arms.get(each["name"], _LEFT_OUT)}
        for each in config["arms"]
    ]
    plain: dict[str, Any] = _walk(config, key)
    return plain


def _walk(value: Any, key: Key) -> Any:
    """Nested plain values, every text without ids and names of datasets."""
    if isinstance(value, dict):
        return {name: _walk(each, key) for name, each in value.items()}
    if isinstance(value, list):
        return [_walk(each, key) for each in value]
    if isinstance(value, str) and re.search(r"[/\\]", value):
        return _LEFT_OUT  # a path
    return key.said(value) if isinstance(value, str) else value


def _gallery(gallery: Gallery, key: Key) -> Gallery:
    """The gallery with new ids; pictures that show an arm's own name are left out."""
    renamed = figure_names(key.arms)
    notes = len(gallery.notes)
    summary = gallery.summary if gallery.summary.empty else key.table(gallery.summary)
    return replace(
        gallery,
        items=[_item(item, key) for item in gallery.items],
        figures=[each for each in gallery.figures if each.name not in renamed],
        summary=summary,
        sanity={key.arms.get(arm, arm): mean for arm, mean in gallery.sanity.items()},
        notes=[f"{notes} notes are left out, as they may name someone"] if notes else [],
    )


def _item(item: GalleryItem, key: Key) -> GalleryItem:
    return replace(
        item,
        roi_id=key.rois.get(item.roi_id, "roi"),
        patient_id=key.patients.get(item.patient_id, "patient"),
        scores={key.arms.get(arm, arm): score for arm, score in item.scores.items()},
        pictures={what: each for what, each in item.pictures.items() if what not in key.arms},
        notes=tuple(note for note in item.notes if note == SYNTHETIC),
    )
