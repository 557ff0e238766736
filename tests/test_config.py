from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
import tomli_w

from benchmark.config import as_toml_tree, load_config, select_arms
from benchmark.plugins import registry
from benchmark.plugins.arms import Arm


@pytest.mark.parametrize("profile", registry.names("profiles"))
def test_every_profile_loads_and_survives_being_written(profile: str, tmp_path: Path) -> None:
    config = load_config(profile)
    assert config.profile == profile
    assert select_arms(config)
    written = tmp_path / "config.toml"
    written.write_text(tomli_w.dumps(as_toml_tree(config)))
    assert load_config(str(written)) == config


@pytest.mark.parametrize("profile", registry.names("profiles"))
def test_every_profile_has_the_baselines(profile: str) -> None:
    models = {arm.model for arm in select_arms(load_config(profile))}
    assert {"prior", "size_only"} <= models


def test_settings_override_the_profile() -> None:
    settings = ["label.aggregation=mean", "splits.folds=7", "threshold=0.4", "dataset=a b"]
    config = load_config("quick", [*settings, "models.paper_cnn.epochs=3"])
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
        ("threshold=1.5", "threshold is 1.5; it must be at most 1"),
        ("threshold=nan", "threshold is nan; it must be finite"),
        ("seed=-1", "seed is -1; it must be at least 0"),
        ("slices=-1", "slices is -1; it must be at least 0"),
        ("slices=99999", "slices is 99999; it must be at most 1000"),
        ("bootstrap.samples=1000000000", "samples is 1000000000; it must be at most 100000"),
        ("splits.test_size=0", "splits.test_size is 0; it must be above 0"),
        ("splits.test_size=1", "splits.test_size is 1; it must be below 1"),
        ("splits.test_size=nan", "splits.test_size is nan; it must be finite"),
        ("splits.repeats=0", "splits.repeats is 0; it must be at least 1"),
        ("multiverse.scheme=[]", r"multiverse.scheme is \[\]; it must hold at least 1"),
        ("multiverse.min_readers=[3, 0]", "multiverse.min_readers is 0; it must be at least 1"),
        ("models.paper_cnn.epochs=0", "models.paper_cnn.epochs is 0; it must be at least 1"),
        ("models.paper_cnn.learning_rate=inf", "learning_rate is inf; it must be finite"),
        ("models.svm.C=[1, -1]", "models.svm.C is -1; it must be above 0"),
        ("seed", "write it as key=value"),
        ("seed.x=1", "'seed' holds a value, not a table"),
        ("models.paper_cnn.epoch=1", "did you mean 'models.paper_cnn.epochs'"),
        ("models.paper_cnn.epochs=many", "models.paper_cnn.epochs is 'many'"),
        ("models.papercnn.epochs=1", "unknown model 'papercnn'; did you mean 'paper_cnn'"),
    ],
)
def test_bad_settings_are_named(setting: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_config("quick", [setting])


def test_bad_profiles(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown profile 'quik'; did you mean 'quick'"):
        load_config("quik")
    with pytest.raises(ValueError, match="no such file"):
        load_config(str(tmp_path / "mine.toml"))
    (tmp_path / "dir.toml").mkdir()
    with pytest.raises(ValueError, match=r"profile '.*dir.toml': cannot be read \(Is a directory"):
        load_config(str(tmp_path / "dir.toml"))


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"seed = = 1", r"not TOML \(Invalid value \(at line 1, column 8\)\)$"),
        (
            'arms = ["size_only"]'.encode("utf-16"),
            r"not TOML \(it is in UTF-16; save it in UTF-8\)$",
        ),
        (
            'arms = ["size_only"]'.encode("utf-16-le"),
            "has NUL characters, as UTF-16 without a byte",
        ),
        (
            "seed = 1\n# Größe".encode("latin-1"),
            "line 2 has the byte 0xf6, which is not UTF-8; save",
        ),
        (b"sede = 1", r"unknown key 'sede'; did you mean 'seed'\?"),
        (b"seed = 'x'", "seed is 'x': "),
        (b"splits.folds = 1", "splits.folds is 1; it must be at least 2$"),
        (b"models.paper_cnn.epoch = 1", "unknown key 'models.paper_cnn.epoch'"),
    ],
)
def test_a_profile_at_fault_is_named(content: bytes, rule: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"^profile '{path}': .*{rule}") as refused:
        load_config(str(path), ["threshold=0.4"])
    assert "\n" not in str(refused.value)


def test_a_setting_at_fault_is_not_the_profiles(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("splits.folds = 1")
    assert load_config(str(path), ["splits.folds=3"]).splits.folds == 3
    with pytest.raises(ValueError, match=r"^splits.folds is 0; it must be at least 2$"):
        load_config(str(path), ["splits.folds=0"])


def test_a_byte_order_mark_is_no_part_of_a_profile(tmp_path: Path) -> None:
    path = tmp_path / "bom.toml"
    path.write_text('arms = ["size_only"]', encoding="utf-8-sig")
    assert load_config(str(path)).arms == ("size_only",)


def test_arms() -> None:
    config = load_config("quick", ['arms=["size_only", "svm", "logistic:ratings"]'])
    every = [Arm("size_only", "diameter"), Arm("svm", "radiomics"), Arm("logistic", "ratings")]
    assert select_arms(config) == every
    assert select_arms(config, models=["svm"]) == every[1:2]
    assert select_arms(config, models=["svm", "xgb"])[1] == Arm("xgb", "radiomics")
    assert select_arms(config, features=["ratings", "diameter"]) == [every[0], every[2]]
    with pytest.raises(ValueError, match="unknown model 'xbg'; did you mean 'xgb'"):
        select_arms(config, models=["xbg"])
    with pytest.raises(ValueError, match="unknown feature 'radiomic'; did you mean 'radiomics'"):
        select_arms(config, features=["radiomic"])
    with pytest.raises(ValueError, match="'radiomics_eroded' is now written 'radiomics@eroded'"):
        select_arms(config, features=["radiomics_eroded"])
    with pytest.raises(ValueError, match="no arm is left to run"):
        select_arms(config, features=["voxels2d_fixed"])


def test_arms_with_mask_modifiers(tmp_path: Path) -> None:
    config = load_config("quick", ['arms=["svm:radiomics", "svm:radiomics@eroded"]'])
    plain, modified = Arm("svm", "radiomics"), Arm("svm", "radiomics@eroded")
    assert select_arms(config) == [plain, modified]
    assert select_arms(config, features=["radiomics@eroded"]) == [modified]
    with pytest.raises(ValueError, match="'ratings' takes no mask modifier"):
        select_arms(load_config("quick", ['arms=["svm:ratings@eroded"]']))
    (tmp_path / "mine.toml").write_text('arms = ["svm:radiomics2d_reader"]')
    for old in (
        load_config(str(tmp_path / "mine.toml")),
        load_config("quick", ['arms=["svm:radiomics2d_reader"]']),
    ):
        with pytest.raises(ValueError, match="now written 'radiomics2d@reader'"):
            select_arms(old)


def test_the_written_configuration_is_plain_toml() -> None:
    tree = as_toml_tree(load_config("quick"))
    assert tomllib.loads(tomli_w.dumps(tree)) == tree


def test_an_arm_may_be_a_table_with_a_name_and_settings(tmp_path: Path) -> None:
    named = '{name = "stiff", model = "logistic", settings = {C = [0.01]}}'
    config = load_config("quick", [f'arms=["logistic", {named}, "svm:radiomics+diameter"]'])
    plain, stiff, both = select_arms(config)
    assert (plain.name, plain.settings) == ("logistic:radiomics", {})
    assert (stiff.name, stiff.model, stiff.features) == ("stiff", "logistic", "radiomics")
    assert stiff.settings == {"C": (0.01,)}
    assert stiff.settings_beside({"logistic": {"C": (1.0,), "inner_folds": 3}}) == {
        "C": (0.01,), "inner_folds": 3,
    }  # fmt: skip
    assert both.feature_sets == ("radiomics", "diameter")
    assert select_arms(config, models=["stiff"]) == [stiff]
    assert select_arms(config, models=["logistic"]) == [plain, stiff]
    assert select_arms(config, features=["radiomics"]) == [plain, stiff]
    path = tmp_path / "again.toml"
    path.write_text(tomli_w.dumps(as_toml_tree(config)))
    again = select_arms(load_config(str(path)))
    assert [arm.as_config() for arm in again] == [arm.as_config() for arm in (plain, stiff, both)]


@pytest.mark.parametrize(
    ("arms", "message"),
    [
        ('[{name = "a", model = "logistic", settings = {c = 1}}]',
         "unknown key 'arms: 'a', settings.c'; did you mean 'arms: 'a', settings.C'"),
        ('[{name = "a", model = "logistic", settings = {inner_folds = "x"}}]',
         "arms: 'a', settings.inner_folds is 'x'"),
        ('[{name = "a", model = "logistic", settings = {C = []}}]',
         "arms: 'a', settings.C is []; it must hold at least 1"),
        ('[{name = "a", model = "logistic"}, {name = "a", model = "svm"}]',
         "'a' names two arms"),
        ('["svm", {name = "svm:radiomics", model = "svm", settings = {C = [1]}}]',
         "'svm:radiomics' names two arms"),
        ('[{name = "a/b", model = "svm"}]', "arms: name is 'a/b'"),
        ('[{name = "", model = "svm"}]', "arms: name is ''"),
        ('[{name = "a", modl = "svm"}]', "modl"),
        ('["svm:radiomics+radiomic"]', "unknown feature 'radiomic'"),
    ],
)  # fmt: skip
def test_arms_that_make_no_sense_are_refused(arms: str, message: str) -> None:
    with pytest.raises(ValueError) as error:
        select_arms(load_config("quick", [f"arms={arms}"]))
    assert message in str(error.value)


def test_a_stored_configuration_is_held_to_the_rules(tmp_path: Path) -> None:
    tree = as_toml_tree(load_config("quick", ["models.paper_cnn.epochs=3"]))
    path = tmp_path / "config.toml"
    path.write_text(tomli_w.dumps(tree))
    assert load_config(str(path)).models["paper_cnn"]["epochs"] == 3
    path.write_text(tomli_w.dumps(tree).replace("epochs = 3", "epochs = 0"))
    with pytest.raises(ValueError, match=r"^profile '.*': models.paper_cnn.epochs is 0; it must"):
        load_config(str(path))
