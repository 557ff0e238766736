from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
import tomli_w

from benchmark import config as configuration
from benchmark import registry
from benchmark.config import Arm


@pytest.mark.parametrize("profile", registry.names("profiles"))
def test_every_profile_loads_and_survives_being_written(profile: str, tmp_path: Path) -> None:
    config = configuration.load(profile)
    assert config.profile == profile
    assert configuration.arms(config)
    written = tmp_path / "config.toml"
    written.write_text(tomli_w.dumps(configuration.as_toml_tree(config)))
    assert configuration.load(str(written)) == config


@pytest.mark.parametrize("profile", registry.names("profiles"))
def test_every_profile_has_the_baselines(profile: str) -> None:
    models = {arm.model for arm in configuration.arms(configuration.load(profile))}
    assert {"prior", "size_only"} <= models


def test_settings_override_the_profile() -> None:
    settings = ["label.aggregation=mean", "splits.folds=7", "threshold=0.4", "dataset=a b"]
    config = configuration.load("quick", [*settings, "models.paper_cnn.epochs=3"])
    assert config.label.aggregation == "mean"
    assert config.splits.folds == 7
    assert config.threshold == 0.4
    assert config.dataset == "a b"
    assert config.models["paper_cnn"]["epochs"] == 3


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("label.agregation=mean", r"unknown key 'label.agregation'; did you mean 'label.aggre"),
        ("sede=1", r"unknown key 'sede'; did you mean 'seed'\?"),
        ("splits.colour=1", "unknown key 'splits.colour'"),
        ("label.aggregation=mode", "label.aggregation is 'mode': .*'median' or 'mean'"),
        ("seed=x", "seed is 'x'"),
        ("splits.folds=1", "splits.folds is 1; it must be at least 2"),
        ("bootstrap.samples=5", "bootstrap.samples is 5; it must be at least 100"),
        ("label.min_readers=0", "label.min_readers is 0"),
        ("threshold=best", "threshold is 'best'"),
        ("threshold=1.5", "threshold is 1.5; it must be from 0 to 1"),
        ("seed", "write it as key=value"),
        ("seed.x=1", "'seed' holds a value, not a table"),
        ("models.paper_cnn.epoch=1", "did you mean 'models.paper_cnn.epochs'"),
        ("models.paper_cnn.epochs=many", "models.paper_cnn.epochs: value is 'many'"),
        ("models.papercnn.epochs=1", "unknown model 'papercnn'; did you mean 'paper_cnn'"),
    ],
)
def test_bad_settings_are_named(setting: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        configuration.load("quick", [setting])


def test_bad_profiles(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown profile 'quik'; did you mean 'quick'"):
        configuration.load("quik")
    with pytest.raises(ValueError, match="no such file"):
        configuration.load(str(tmp_path / "mine.toml"))
    (tmp_path / "mine.toml").write_text("seed = = 1")
    with pytest.raises(ValueError, match="not TOML"):
        configuration.load(str(tmp_path / "mine.toml"))


def test_arms() -> None:
    config = configuration.load("quick", ['arms=["size_only", "svm", "logistic:ratings"]'])
    every = [Arm("size_only", "diameter"), Arm("svm", "radiomics"), Arm("logistic", "ratings")]
    assert configuration.arms(config) == every
    assert configuration.arms(config, models=["svm"]) == every[1:2]
    assert configuration.arms(config, models=["svm", "xgb"])[1] == Arm("xgb", "radiomics")
    assert configuration.arms(config, features=["ratings", "diameter"]) == [every[0], every[2]]
    with pytest.raises(ValueError, match="unknown model 'xbg'; did you mean 'xgb'"):
        configuration.arms(config, models=["xbg"])
    with pytest.raises(ValueError, match="unknown feature 'radiomic'; did you mean 'radiomics'"):
        configuration.arms(config, features=["radiomic"])
    with pytest.raises(ValueError, match="no arm is left to run"):
        configuration.arms(config, features=["voxels2d_fixed"])


def test_the_written_configuration_is_plain_toml() -> None:
    tree = configuration.as_toml_tree(configuration.load("quick"))
    assert tomllib.loads(tomli_w.dumps(tree)) == tree
