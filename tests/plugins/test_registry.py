"""Plug-ins of the three folders hold their contracts; broken ones and wrong names are refused."""

from __future__ import annotations

import inspect
import re
from collections import Counter
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from benchmark.plugins import modifiers, registry
from benchmark.plugins.arms import Arm
from benchmark.plugins.builder import fits_together
from benchmark.plugins.contracts import DatasetPlugin, FeatureSet, ModelPlugin
from benchmark.plugins.settings import checked_settings
from benchmark.runtime.paths import ROOT
from tests.helpers.plugins import add_plugins

DATASETS = registry.named_datasets()
FEATURES, MODELS = registry.names("features"), registry.names("models")


def parameters(function: Any) -> list[str]:
    return list(inspect.signature(function).parameters)


@pytest.mark.parametrize("name", FEATURES)
def test_every_feature_set_holds_its_contract(name: str) -> None:
    found = registry.load_feature_set(name)
    assert found.name == name
    assert parameters(found.extract) == ["roi"]
    assert found.planar in ("", *FEATURES)


@pytest.mark.parametrize("name", MODELS)
def test_every_model_holds_its_contract(name: str) -> None:
    found = registry.load_model(name)
    assert all(map(registry.load_feature_set, found.features.split("+")))
    assert parameters(found.build)[0] == "seed"
    assert "jobs" in parameters(found.build)
    assert found.device is None or isinstance(found.device(), str)
    assert found.fit_together is None or len(parameters(found.fit_together)) >= 2


@pytest.mark.parametrize("name", DATASETS)
def test_every_dataset_holds_its_contract(name: str) -> None:
    found = registry.load_dataset(name)
    assert parameters(found.open_dataset) == ["jobs", "progress"]
    assert found.profile in registry.names("profiles")
    if found.suffixes:
        assert parameters(found.open_file) == ["path"]


def test_a_suffix_belongs_to_one_dataset() -> None:
    stated = Counter(suffix for name in DATASETS for suffix in registry.load_dataset(name).suffixes)
    assert stated
    assert max(stated.values()) == 1
    assert not {".csv", ".toml"} & stated.keys()  # manifests, and profiles


def test_datasets_are_found_by_name_or_suffix() -> None:
    for name in DATASETS:
        found = registry.find_dataset(name)
        assert found is not None
        assert found.name == name
    by_path = registry.find_dataset("somewhere/else.npz")
    assert by_path is not None
    assert by_path.name == "nodulemnist3d"
    # A manifest is opened by its path, whatever the path is called.
    for named in ("", "manifest", "rois", "rois/manifest.csv", "s3://bucket/rois"):
        assert registry.find_dataset(named) is None
    with pytest.raises(ValueError, match="unknown dataset 'manifest'"):
        registry.load_dataset("manifest")


def given(**changed: Any) -> dict[str, Any]:
    """What a module holds that has every required name, changed; None takes one away."""
    whole = {"extract": len, "FEATURES": "diameter", "build": len, "open_dataset": len} | changed
    return {name: value for name, value in whole.items() if value is not None}


@pytest.mark.parametrize(
    ("contract", "changed", "message"),
    [
        (FeatureSet, {"extract": None}, r"^x\.py has no extract; it must be a function, extract\("),
        (FeatureSet, {"extract": 3}, r"^x\.py: extract is 3; it must be a function"),
        (FeatureSet, {"PLANAR": ""}, "PLANAR is ''; it must be the name of another feature set"),
        (FeatureSet, {"MASK_MODIFIERS": "yes"}, "MASK_MODIFIERS is 'yes'; it must be True or"),
        (ModelPlugin, {"FEATURES": None}, "has no FEATURES; it must be the name of a feature set"),
        (ModelPlugin, {"FEATURES": 1}, "FEATURES is 1"),
        (ModelPlugin, {"build": None}, "has no build"),
        (ModelPlugin, {"device": "cpu"}, "device is 'cpu'; it must be a function"),
        (ModelPlugin, {"fit_together": True}, "fit_together is True"),
        (DatasetPlugin, {"open_dataset": None}, r"has no open_dataset; .* open_dataset\(jobs, pro"),
        (DatasetPlugin, {"SUFFIXES": ".npz"}, "SUFFIXES is '.npz'; it must be a tuple"),
        (DatasetPlugin, {"SUFFIXES": ("npz",)}, "SUFFIXES is"),
        (DatasetPlugin, {"PROFILE": 0}, "PROFILE is 0; it must be the name of a profile"),
        (DatasetPlugin, {"open_file": 1}, "open_file is 1"),
    ],
)
def test_a_module_that_breaks_its_contract_is_refused(
    contract: Any, changed: dict[str, Any], message: str
) -> None:
    assert registry.hooks_of(contract, "x.py", given())
    with pytest.raises(ValueError, match=message):
        registry.hooks_of(contract, "x.py", given(**changed))


def test_suffixes_need_what_opens_such_files() -> None:
    with pytest.raises(ValueError, match=r"mine.py: SUFFIXES is \('.x',\); it needs open_file"):
        DatasetPlugin("mine", lambda jobs, progress: None, suffixes=(".x",))  # type: ignore


OLD = [
    (f"{base}_{modifier}", f"{base}@{modifier}")
    for base in ("radiomics", "radiomics2d")
    for modifier in ("reader", "dilated", "eroded", "shifted")
]


@pytest.mark.parametrize(("old", "new"), OLD)
def test_old_names_are_refused_with_the_new_one(old: str, new: str) -> None:
    with pytest.raises(ValueError, match=f"^feature set '{old}' is now written '{new}'$"):
        registry.load_feature_set(old)
    assert registry.load_feature_set(new).name == new


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("radiomics@erode", "'radiomics@erode': unknown mask modifier '@erode'; did you mean '@er"),
        ("radiomics@", "unknown mask modifier '@'. There are: @reader, @dilated"),
        ("radiomics@eroded@dilated", "unknown mask modifier '@eroded@dilated'"),
        ("radiomic@eroded", r"unknown feature 'radiomic'; did you mean 'radiomics'\?"),
        ("ratings@eroded", "'ratings' takes no mask modifier, .*: diameter, .*voxels2d_fixed_mask"),
    ],
)
def test_modified_names_that_mean_nothing(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        registry.load_feature_set(name)
    assert not registry.knows("features", name) or name.startswith("ratings")


def test_what_list_and_reports_say() -> None:
    assert registry.knows("features", "radiomics@eroded")
    assert not registry.knows("features", "radiomics_eroded")
    assert not registry.knows("models", "svm@eroded")
    told = registry.describe("features", "radiomics@eroded")
    assert told.startswith(registry.describe("features", "radiomics"))
    assert told.endswith(f" @eroded: {modifiers.describe('eroded')}")
    assert "shrunk" in told


def test_the_files_of_a_feature_set() -> None:
    folder = ROOT / "features"
    assert registry.files_of_features("radiomics") == [folder / "radiomics.py"]
    assert registry.files_of_features("radiomics@eroded") == [
        folder / "radiomics.py",
        folder / "_masks.py",
    ]


def test_nobody_looks_into_modules_by_getattr() -> None:
    """What a module may have reaches the harness by its contract; getattr would go round it."""
    hooks = {
        each.metadata["hook"].name
        for contract in (FeatureSet, ModelPlugin, DatasetPlugin)
        for each in fields(contract)
        if "hook" in each.metadata
    } | {"device_", "on_epoch", "history_"}
    looked_up = re.compile(rf"(?:get|has)attr\(.*[\"'](?:{'|'.join(hooks)})[\"']")
    assert looked_up.search('getattr(load("models", arm.model), "device", None)')
    assert looked_up.search('getattr(model, "device_", "cpu")')
    for path in sorted((ROOT / "benchmark").rglob("*.py")):
        assert not looked_up.search(path.read_text()), path


MODEL = """
FEATURES = "diameter"

def build(seed: int, *, jobs: int = 1, size: {type} = 1, untyped=2):
    raise AssertionError("nothing is built")
"""


@pytest.mark.parametrize(
    ("typed", "settings", "message"),
    [
        ("int", {"size": "large"}, "models.own.size is 'large'"),
        ("int", {"sizes": 1}, "unknown key 'models.own.sizes'; did you mean 'models.own.size'?"),
        ("int", {"untyped": 1}, "models/own.py: build's untyped has no type; give it one"),
        ("'Missing'", {"size": 1}, "models/own.py: the types of build cannot be read: NameError"),
    ],
)
def test_settings_follow_the_types_of_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: str, settings: dict[str, object],
    message: str,
) -> None:  # fmt: skip
    add_plugins(tmp_path, {"models/own.py": MODEL.format(type=typed)}, monkeypatch)
    with pytest.raises(ValueError, match=re.escape(message)):
        checked_settings("models.own.", "own", settings)


def test_a_builder_knows_whether_models_are_fitted_together() -> None:
    assert fits_together(Arm("svm", "radiomics")) is registry.load_model("svm").fit_together is None
    together = fits_together(Arm("paper_cnn", "voxels2d_box"))
    assert together is registry.load_model("paper_cnn").fit_together is not None
