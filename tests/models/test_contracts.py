"""Contracts over every file in models/, known answers, and the shared tabular machinery."""

from __future__ import annotations

import importlib
import inspect
import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from benchmark.plugins import registry
from benchmark.plugins.arms import LABELS, SUPERVISIONS
from benchmark.plugins.contracts import NamesDevice, Readings, ReportsChoices, ReportsEpochs
from benchmark.plugins.settings import checked_settings
from benchmark.runtime.paths import ROOT
from models._threshold import youden_threshold
from models._training import inner_splits, split_patients

NAMES = sorted(p.stem for p in (ROOT / "models").glob("*.py") if not p.stem.startswith("_"))
LEARNERS = [name for name in NAMES if name != "prior"]

# What keeps the slow models short; a new model needs no entry.
SHORT: dict[str, dict[str, Any]] = {
    "paper_cnn": {"epochs": 12, "batch_size": 8, "learning_rate": 0.0003},
    "cct": {"epochs": 20, "batch_size": 8},
    "conv_attention": {"epochs": 12, "batch_size": 8, "learning_rate": 0.0003},
    "multitask": {"epochs": 12, "batch_size": 8, "learning_rate": 0.0003},
    "transfer": {"epochs": 12, "batch_size": 8, "learning_rate": 0.0003},
    "vit": {"epochs": 12, "batch_size": 8, "blocks": 1},
    "blend": {"trees": 30},
    "fusion_rgd": {"epochs": 12, "batch_size": 8, "learning_rate": 0.003},
    "population_graph": {"epochs": 60, "inner_folds": 2},
    "checkpoint_ensemble": {"blocks": (1,), "epochs": 12, "batch_size": 8},
    "cmixnet": {"blocks": (1,), "epochs": 12, "batch_size": 8},
    "dense3d": {"blocks": (1,), "epochs": 12, "batch_size": 8},
    "shortcut3d": {"blocks": (1,), "epochs": 12, "batch_size": 8},
    "random_forest": {"trees": 100, "min_samples_leaf": (3,)},
    "soft_trees": {"trees": 30},
    "svm": {"C": (1.0, 10.0), "gamma": (0.003, 0.01)},
}


def module(name: str) -> Any:
    return importlib.import_module(f"models.{name}")


def is_image(name: str) -> bool:
    return fed(name).startswith("voxels")


def fed(name: str) -> str:
    features = module(name).FEATURES
    return features if isinstance(features, str) else str(features[0])


def build(name: str, seed: int = 3, **settings: Any) -> Any:
    return module(name).build(seed, **(SHORT.get(name, {}) | settings))


def data(name: str, n: int, seed: int, signal: float) -> tuple[Any, Any, Any]:
    """Rows of patients with two ROIs each; ``signal`` lifts malignant ones, in SDs."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) // 2 % 2
    rng.shuffle(y)
    groups = np.array([f"patient {i // 2}" for i in range(n)])
    if is_image(name):
        sides = (16, 16, 16) if fed(name).startswith("voxels3d") else (32, 32)
        X = rng.normal(0.4, 0.1, (n, *sides, 1)).astype(np.float32)
        middle = (slice(None), *(slice(side // 4, -side // 4) for side in sides))
        X[middle] += (0.1 * signal * y).reshape(n, *(1 for _ in X.shape[1:])).astype(np.float32)
        return np.clip(X, 0, 1), y, groups
    X = rng.normal(size=(n, 6))
    X[:, :2] += signal * y[:, None]
    # What radiomics tables have: near-copies, a constant, a skewed column of large values.
    return np.column_stack([X, X[:, 0] * 1e3 + 7, np.ones(n), np.exp(3 * X[:, 2])]), y, groups


def fit(name: str, model: Any, X: Any, y: Any, groups: Any) -> Any:
    """Fit a model on what its module says that it learns from."""
    if getattr(module(name), "SUPERVISION", LABELS) == LABELS:
        model.fit(X, y, groups)
    else:
        ratings = tuple((4, 5, 4) if label else (1, 2) for label in y)
        model.fit(X, y, groups, readings=Readings(ratings, ({},) * len(y)))
    return model


@dataclass(frozen=True)
class Fitted:
    """A model fitted on noise and then on a planted signal; unseen rows and their labels.

    ``of_noise`` are P(malignant) of unseen noise, before the signal was fitted.
    """

    name: str
    model: Any
    of_noise: Any
    X_new: Any
    y_new: Any


@pytest.fixture(scope="module", params=NAMES)
def fitted(request: pytest.FixtureRequest) -> Fitted:
    name = request.param
    model = build(name)
    fit(name, model, *data(name, 60, seed=6, signal=0.0))
    of_noise = model.predict_proba(data(name, 400, seed=7, signal=0.0)[0])[:, 1]
    fit(name, model, *data(name, 60, seed=0, signal=3.0))
    X_new, y_new, _ = data(name, 40, seed=1, signal=3.0)
    return Fitted(name, model, of_noise, X_new, y_new)


@pytest.mark.parametrize("name", NAMES)
def test_module_states_its_features_and_settings(name: str) -> None:
    features = module(name).FEATURES
    assert isinstance(features, str) or all(isinstance(each, str) for each in features)
    assert getattr(module(name), "SUPERVISION", LABELS) in SUPERVISIONS
    assert (module(name).__doc__ or "").partition("\n")[0].endswith(".")
    parameters = list(inspect.signature(module(name).build).parameters.values())
    hints = get_type_hints(module(name).build)
    assert parameters[0].name == "seed"
    assert [p.name for p in parameters[1:]].count("jobs") == 1
    for parameter in parameters[1:]:
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY, parameter
        assert parameter.default is not inspect.Parameter.empty, parameter
        kind = hints[parameter.name]
        plain = (int, float, str, bool)
        assert kind in plain or get_origin(kind) in (tuple, Literal), parameter


@pytest.mark.parametrize("name", NAMES)
def test_every_number_that_a_model_takes_has_a_rule(name: str) -> None:
    hints = get_type_hints(module(name).build)
    parameters = inspect.signature(module(name).build).parameters
    for setting in parameters.keys() - {"seed", "jobs"}:
        several = get_origin(hints[setting]) is tuple
        numbers = get_args(hints[setting])[:1] if several else (hints[setting],)
        if numbers[0] not in (int, float):
            continue
        for value in (-1, float("inf"), float("nan")):
            with pytest.raises(ValueError, match=f"^{setting} is {value}"):
                checked_settings("", name, {setting: [value] if several else value})
        if several:
            with pytest.raises(ValueError, match="must hold at least 1"):
                checked_settings("", name, {setting: []})
        default = parameters[setting].default
        assert checked_settings("", name, {setting: default}) == {setting: default}


def test_libraries_are_imported_by_building_not_by_listing_or_fitting() -> None:
    """``list`` imports every module; only what runs is built; and the clock runs over ``fit``."""
    code = (
        "import importlib, json, sys\n"
        "heavy = ('sklearn', 'xgboost', 'keras', 'tensorflow')\n"
        "loaded = lambda: [m for m in heavy if m in sys.modules]\n"
        f"modules = [importlib.import_module('models.' + name) for name in {NAMES!r}]\n"
        "before = loaded()\n"
        "for module in modules: module.build(0)\n"
        "print(json.dumps([before, loaded()]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == [[], ["sklearn", "xgboost", "keras", "tensorflow"]]


def test_probabilities_keep_the_contract(fitted: Fitted) -> None:
    model, X_new = fitted.model, fitted.X_new
    before = X_new.copy()
    p = model.predict_proba(X_new)
    assert p.shape == (len(X_new), 2)
    assert p.dtype == np.float64
    assert np.isfinite(p).all()
    assert p.min() >= 0
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=0, atol=1e-12)  # 1 - p + p in float64
    assert isinstance(model.threshold_, float)
    assert 0 <= model.threshold_ <= 1
    np.testing.assert_array_equal(X_new, before)


def test_a_model_that_can_use_a_gpu_says_what_it_was_trained_on(fitted: Fitted) -> None:
    model, device = fitted.model, registry.load_model(fitted.name).device
    assert isinstance(model, NamesDevice) is (device is not None)
    assert device is None or model.device_ == device()
    if isinstance(model, ReportsEpochs):
        assert [epoch["epoch"] for epoch in model.history_] == [*range(1, len(model.history_) + 1)]


def test_choices_have_the_columns_of_their_table(fitted: Fitted) -> None:
    model = fitted.model
    if not isinstance(model, ReportsChoices):
        return
    json.dumps(model.choices_)  # as the cache keeps them
    for choice in model.choices_:
        assert list(choice) == ["setting", "value", "edge"]
        assert all(isinstance(value, str) for value in choice.values())
        assert choice["edge"] in ("", "lowest", "highest")


def test_planted_signal_is_found(fitted: Fitted) -> None:
    p = fitted.model.predict_proba(fitted.X_new)[:, 1]
    if fitted.name == "prior":
        assert set(p) == {0.5}  # 30 of the 60 training rows are malignant
        return
    # Two columns 3 SD apart: the best possible is 0.999.
    assert roc_auc_score(fitted.y_new, p) > 0.95
    called = p >= fitted.model.threshold_
    assert (called == fitted.y_new).mean() > 0.8


def test_noise_is_not_learnt(fitted: Fitted) -> None:
    y_new = data(fitted.name, 400, seed=7, signal=0.0)[1]
    # The standard error of an AUC of 200 against 200 by chance is 0.029; this is 4 of them.
    assert abs(roc_auc_score(y_new, fitted.of_noise) - 0.5) < 0.116


def test_order_of_rows_is_irrelevant(fitted: Fitted) -> None:
    name, model, X_new = fitted.name, fitted.model, fitted.X_new
    order = np.random.default_rng(5).permutation(len(X_new))
    # A network's convolutions may round differently with a row's place in its batch: float32.
    atol = 1e-5 if is_image(name) else 1e-12
    np.testing.assert_allclose(
        model.predict_proba(X_new[order]), model.predict_proba(X_new)[order], rtol=0, atol=atol
    )


def test_fits_repeat_and_leave_inputs_and_global_state_alone(fitted: Fitted) -> None:
    """A new model is what one is that was fitted on other data before."""
    name, first = fitted.name, fitted.model.predict_proba(fitted.X_new)
    X, y, groups = data(name, 60, seed=0, signal=3.0)
    copies = [array.copy() for array in (X, y, groups)]
    other = build(name)  # imports a library, which may draw as it is imported
    np.random.seed(1)  # noqa: NPY002 - the global state is what is looked at
    fit(name, other, X, y, groups)
    drawn = np.random.rand()  # noqa: NPY002
    np.random.seed(1)  # noqa: NPY002
    assert drawn == np.random.rand()  # noqa: NPY002

    np.testing.assert_array_equal(other.predict_proba(fitted.X_new), first)
    assert other.threshold_ == fitted.model.threshold_
    np.testing.assert_array_equal(fitted.model.predict_proba(fitted.X_new), first)
    for array, copy in zip((X, y, groups), copies, strict=True):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize("name", [n for n in LEARNERS if not is_image(n)])
def test_jobs_change_nothing(name: str) -> None:
    X, y, groups = data(name, 60, seed=4, signal=0.7)
    one, two = build(name, jobs=1), build(name, jobs=2)
    fit(name, one, X, y, groups)
    fit(name, two, X, y, groups)
    np.testing.assert_array_equal(one.predict_proba(X), two.predict_proba(X))
    assert one.threshold_ == two.threshold_


@pytest.mark.parametrize("name", NAMES)
def test_unusable_training_data_is_refused(name: str) -> None:
    X, y, groups = data(name, 20, seed=8, signal=1.0)
    with pytest.raises(ValueError, match=r"y holds the classes \[1\]"):
        fit(name, build(name), X, np.ones_like(y), groups)
    with pytest.raises(ValueError, match="groups has shape"):
        fit(name, build(name), X, y, groups[:-1])
    X[3, 2] = np.nan
    with pytest.raises(ValueError, match=r"X\[3, 2.*is nan"):
        fit(name, build(name), X, y, groups)


def test_prior_is_the_prevalence() -> None:
    model = module("prior").build(0)
    X = np.zeros((8, 1))
    model.fit(X, np.array([0, 0, 0, 0, 0, 0, 1, 1]), np.array(list("abcdefgh")))
    np.testing.assert_array_equal(model.predict_proba(X), np.tile([0.75, 0.25], (8, 1)))


def test_inner_splits_keep_patients_together_and_classes_present() -> None:
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 14, 60).astype(str)
    y = (rng.random(60) < 0.3).astype(int)
    splits = inner_splits(y, groups, 5, 0)
    assert sorted(np.concatenate([held for _, held in splits])) == list(range(60))
    for fitted_rows, held in splits:
        assert not set(groups[fitted_rows]) & set(groups[held])
        assert set(y[fitted_rows]) == set(y[held]) == {0, 1}


def test_inner_splits_shrink_with_the_patients_and_say_when_too_few() -> None:
    y = np.array([1, 1, 1, 0, 0, 0, 0, 0])
    groups = np.array(list("aabcdefg"))
    assert len(inner_splits(y, groups, 5, 0)) == 2
    with pytest.raises(ValueError, match="1 with a malignant"):
        inner_splits(y, np.array(list("aaabcdef")), 5, 0)


@pytest.mark.parametrize(
    ("y", "scores", "threshold"),
    [
        ([0, 0, 1, 1], [0.1, 0.2, 0.6, 0.8], 0.4),  # separable: midway
        ([0, 1, 0, 1], [0.1, 0.2, 0.3, 0.4], 0.15),  # J .5 at .15 and .35: the lower
        ([0, 1, 0, 1], [0.3, 0.3, 0.3, 0.3], 0.5),  # constant
        ([1, 1, 0, 0], [0.1, 0.2, 0.6, 0.8], 0.5),  # reversed: J never above 0
        ([0, 0, 1, 0, 1], [0.2, 0.5, 0.5, 0.1, 0.9], 0.35),  # tied scores stay on one side
    ],
)
def test_youden_threshold_by_hand(y: list[int], scores: list[float], threshold: float) -> None:
    assert youden_threshold(np.array(y), np.array(scores)) == pytest.approx(threshold, abs=1e-12)


def test_decorrelate_drops_constants_and_copies() -> None:
    from models._decorrelate import Decorrelate

    a, b = np.random.default_rng(0).normal(size=(2, 50))
    X = np.column_stack([np.ones(50), a, np.exp(a), b, -3 * a])  # exp keeps the ranks
    assert Decorrelate(0.95).fit(X).kept_.tolist() == [1, 3]
    with pytest.raises(ValueError, match="all 2 columns of X are constant"):
        Decorrelate(0.95).fit(np.ones((5, 2)))


def test_split_patients_holds_out_whole_patients_of_both_kinds() -> None:
    y = np.array([0, 1, 0, 0, 1, 1, 0, 0, 1, 0] * 4)
    groups = np.array([f"p{i // 2}" for i in range(40)])
    fitted_rows, held = split_patients(y, groups, 0.25, 0)
    assert not set(groups[fitted_rows]) & set(groups[held])
    assert len(set(groups[held])) == 5  # a quarter of 20 patients
    assert set(y[held]) == set(y[fitted_rows]) == {0, 1}
    assert len(fitted_rows) + len(held) == 40
