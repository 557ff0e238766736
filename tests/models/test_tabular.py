"""The machinery of the tabular models: what reaches which fold, what is fitted on what."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import pytest
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import Pipeline

from benchmark.runtime.paths import ROOT
from models._calibration import IDENTITY, apply_platt, fit_platt
from models._tabular import SHARE_CLIP, Options, TunedClassifier, log_odds
from models._threshold import youden_threshold
from models._training import check_training, inner_splits, split_patients

N = 24
TABULAR = ["logistic", "random_forest", "size_only", "svm", "xgb"]


def test_every_tabular_model_is_looked_at_here() -> None:
    ours = [p.stem for p in (ROOT / "models").glob("*.py") if "TunedClassifier" in p.read_text()]
    # The boosters of cmixnet are those of xgb.
    assert sorted(ours) == sorted([*TABULAR, "_tabular", "cmixnet"])


class Memory(ClassifierMixin, BaseEstimator):
    """Knows the rows that it was fitted on by heart, and scores others by their second column.

    Columns: the row's number, its score, its patient. Scores are log-odds.
    """

    asked: ClassVar[list[tuple[set[float], set[float]]]] = []
    """Of each prediction, the patients fitted on and those asked about."""

    def __init__(self, strength: float = 1.0, turned: bool = False, noise: int = 0) -> None:
        self.strength, self.turned, self.noise = strength, turned, noise

    def fit(self, X: np.ndarray, y: np.ndarray) -> Memory:
        self.classes_ = np.array([0, 1])
        self.known_ = dict(zip(X[:, 0].tolist(), y.tolist(), strict=True))
        self.patients_ = set(X[:, 2].tolist())
        return self

    def decision_function(self, X: np.ndarray) -> np.ndarray:
        self.asked.append((self.patients_, set(X[:, 2].tolist())))
        by_heart = np.array([self.known_.get(row, -1) for row in X[:, 0].tolist()])
        score = self.strength * X[:, 1] * (-1 if self.turned else 1)
        return np.where(by_heart >= 0, 0.8 + 0.1 * by_heart, score)


@pytest.fixture(autouse=True)
def _nothing_asked() -> Iterator[None]:
    Memory.asked.clear()
    yield
    Memory.asked.clear()


def table() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Three rows a patient; scores of 0.1 to 0.3, higher where malignant but for some."""
    rng = np.random.default_rng(0)
    y = np.arange(N) // 3 % 2
    score = 0.15 + 0.1 * y + rng.uniform(-0.05, 0.05, N)
    score[[0, 7]], score[[3, 4]] = 0.27, 0.12
    patient = np.arange(N) // 3
    return np.column_stack([np.arange(N), score, patient]), y, patient.astype(str)


def fitted(
    strength: tuple[float, ...] = (), calibration: Any = "none", **more: Any
) -> TunedClassifier:
    grid = {"strength": Options("strength", strength)} if strength else {}
    model = TunedClassifier(
        Pipeline([("classify", Memory())]), grid, folds=4, seed=0, jobs=1,
        calibration=calibration, **more,
    )  # fmt: skip
    model.fit(*table())
    return model


@pytest.mark.parametrize("again", [{}, {"while_searching": {"noise": 3}}])
def test_no_patient_is_on_both_sides_of_an_inner_fold(again: dict[str, Any]) -> None:
    """Neither of the search nor of the scores that threshold and sigmoid come from."""
    fitted((1.0, 0.5), **again)
    # Two settings in four folds, then, after a cheaper search, the chosen one.
    assert len(Memory.asked) == 2 * 4 + 4 * bool(again)
    for trained, asked in Memory.asked:
        assert not trained & asked
        assert trained | asked == set(range(N // 3))


def test_the_threshold_is_of_scores_that_were_not_fitted_on() -> None:
    X, y, _ = table()
    model = fitted()
    assert model.threshold_ == youden_threshold(y, expit(X[:, 1]))
    assert model.threshold_ < expit(0.3)  # rows that are known by heart have 0.8 and 0.9


def test_the_sigmoid_is_of_decision_values_that_were_not_fitted_on() -> None:
    X, y, _ = table()
    model = fitted(calibration="platt")
    sigmoid = fit_platt(X[:, 1], y)
    assert model.threshold_ == youden_threshold(y, apply_platt(X[:, 1], sigmoid))
    new = X + np.array([1000, 0.02, 1000])
    p = model.predict_proba(new)[:, 1]
    np.testing.assert_allclose(p, apply_platt(new[:, 1], sigmoid), rtol=1e-12)


@pytest.mark.parametrize("calibration", ["none", "platt"])
def test_the_model_that_predicts_was_fitted_on_all_rows(calibration: str) -> None:
    X, y, _ = table()
    p = fitted(calibration=calibration).predict_proba(X)[:, 1]
    sigmoid = fit_platt(X[:, 1], y) if calibration == "platt" else IDENTITY
    np.testing.assert_allclose(p, apply_platt(0.8 + 0.1 * y, sigmoid), rtol=1e-12)


def test_the_setting_is_the_best_one_and_the_first_of_equals() -> None:
    # A negative strength turns the order of scores round; positive ones leave it.
    assert fitted((-1.0, 0.5, 1.0)).choices_ == [chose("0.5")]
    assert fitted((2.0, 1.0, 0.5, -1.0)).choices_ == [chose("2", "highest")]


def chose(value: str, edge: str = "") -> dict[str, str]:
    return {"setting": "strength", "value": value, "edge": edge}


def test_an_end_of_a_grid_is_an_edge_unless_nature_sets_it() -> None:
    assert fitted((0.5, 1.0)).choices_ == [chose("0.5", "lowest")]
    natural = Options("strength", (0.5, 1.0), natural_ends=(0.5,))
    assert [natural.edge(value) for value in natural.values] == ["", "highest"]
    assert fitted((0.5,)).choices_ == []  # nothing was chosen
    depth = Options("depth", (2, 4, 0), unlimited=0)
    assert [depth.edge(value) for value in depth.values] == ["lowest", "", ""]


def test_a_cheaper_search_decides_on_the_setting_and_not_on_the_scores() -> None:
    """A search with its scores turned round finds another setting; the threshold is as without."""
    X, y, _ = table()
    model = fitted((-1.0, 0.5), while_searching={"turned": True})
    assert model.choices_ == [chose("-1", "lowest")]
    assert model.threshold_ == youden_threshold(y, expit(-X[:, 1]))


@pytest.mark.parametrize("depth", [1, 3])
def test_first_trees_of_many_score_as_a_model_of_few(depth: int) -> None:
    from xgboost import XGBClassifier

    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(80, 5)), np.arange(80) % 2
    drawn = {"subsample": 0.7, "colsample_bytree": 0.5, "max_depth": depth, "random_state": 3}
    many, few = (XGBClassifier(n_estimators=n, n_jobs=1, **drawn).fit(X, y) for n in (40, 15))
    np.testing.assert_array_equal(log_odds(many, X, 15), log_odds(few, X))
    assert (log_odds(many, X) != log_odds(few, X)).all()


def test_staged_values_cost_one_fit_and_score_as_fits_of_their_own() -> None:
    """Choice, threshold and probabilities are those of a search that fits every value."""
    rng = np.random.default_rng(2)
    X, y = rng.normal(size=(60, 4)), np.arange(60) % 2
    X[:, 0] += y
    groups = np.array([f"p{i}" for i in range(60)])
    staged = build("xgb", trees=(60, 5, 20), max_depth=(2, 1))
    each = build("xgb", trees=(60, 5, 20), max_depth=(2, 1))
    each.grid = {**each.grid, "trees": Options("n_estimators", (60, 5, 20))}
    for model in (staged, each):
        model.fit(X, y, groups)
    assert staged.choices_ == each.choices_
    assert staged.choices_[1]["value"] == "5"  # not what comes first, nor all trees
    assert staged.threshold_ == each.threshold_
    np.testing.assert_array_equal(staged.predict_proba(X), each.predict_proba(X))


def test_votes_keep_their_order_as_log_odds() -> None:
    class Votes:
        def predict_proba(self, X: np.ndarray) -> np.ndarray:
            return np.column_stack([1 - X, X])

    votes = np.array([0.0, 1e-7, 0.25, 0.5, 1 - 1e-7, 1.0])
    found = log_odds(Votes(), votes)
    assert np.isfinite(found).all()
    assert (np.diff(found) > 0).all()
    np.testing.assert_allclose(expit(found), votes, rtol=0, atol=1.01 * SHARE_CLIP)


def test_seed_and_number_of_folds_decide_on_the_inner_folds() -> None:
    def sides(folds: int, seed: int) -> list[set[float]]:
        Memory.asked.clear()
        model = TunedClassifier(
            Pipeline([("classify", Memory())]),
            {},
            folds=folds,
            seed=seed,
            jobs=1,
        )
        model.fit(*table())
        return [asked for _, asked in Memory.asked]

    assert sides(4, 0) == sides(4, 0) != sides(4, 1)
    assert len(sides(3, 0)) == 3


def test_other_columns_than_fitted_are_refused() -> None:
    model = fitted()
    with pytest.raises(ValueError, match="X has 2 columns; the model was fitted on 3"):
        model.predict_proba(table()[0][:, :2])


def build(name: str, **settings: Any) -> TunedClassifier:
    return importlib.import_module(f"models.{name}").build(settings.pop("seed", 0), **settings)


def described(model: TunedClassifier) -> str:
    parameters = model.pipeline.get_params()
    plain = {k: v for k, v in parameters.items() if isinstance(v, (int, float, str))}
    values = [options.values for options in model.grid.values()]
    searching = list(model.while_searching.values())
    return str((plain, values, searching, model.folds, model.seed, model.jobs))


def settings() -> list[tuple[str, str]]:
    builds = {name: importlib.import_module(f"models.{name}").build for name in TABULAR}
    return [(name, s) for name in TABULAR for s in inspect.signature(builds[name]).parameters]


@pytest.mark.parametrize(("name", "setting"), settings())
def test_every_setting_arrives(name: str, setting: str) -> None:
    """Once each: where it should be, and nowhere else."""
    default = inspect.signature(importlib.import_module(f"models.{name}").build).parameters[setting]
    if (name, setting) == ("size_only", "jobs"):
        assert build(name, jobs=7).jobs == 1  # as it says
        return
    marked = 0.123 if isinstance(default.default, float) else 70
    value = (marked, marked) if isinstance(default.default, tuple) else marked
    changed = described(build(name, **{setting: value}))
    # A seed is that of the inner folds, and of an estimator that draws.
    places = 2 if setting == "seed" and name in ("random_forest", "svm", "xgb") else 1
    assert changed.count(str(value)) - described(build(name)).count(str(value)) == places


def test_scores_of_inner_folds_are_comparable_however_strong_the_penalty() -> None:
    """Else the prevalences of the folds would decide on threshold and calibration."""
    rng = np.random.default_rng(0)
    y = (np.arange(61) % 3 == 0).astype(int)  # folds of unequal shares of malignant rows
    X = rng.normal(size=(61, 10))
    X[:, :3] += 1.5 * y[:, None]
    splits = inner_splits(y, np.arange(61).astype(str), 5, 0)
    _, scores = build("logistic", C=(1e-5,))._search(X, y, splits)
    within = np.mean([roc_auc_score(y[held], scores[held]) for _, held in splits])
    assert roc_auc_score(y, scores) > within - 0.03  # uncorrected it is .19 less


@pytest.mark.parametrize("name", TABULAR)
def test_units_of_a_column_change_nothing(name: str) -> None:
    """mm or micrometres, mm^3 or litres: columns are scaled, or only their order counts."""
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    X = rng.normal(size=(60, 5))
    X[:, :2] += 0.8 * y[:, None]
    units = 2.0 ** np.array([10, -10, 0, 14, -14])  # powers of two change no digit
    groups = np.array([f"p{i}" for i in range(60)])
    few = {"random_forest": {"trees": 30}, "xgb": {"trees": (30,)}}.get(name, {})
    plain, scaled = build(name, **few), build(name, **few)
    plain.fit(X, y, groups)
    scaled.fit(X * units, y, groups)
    new = rng.normal(size=(30, 5))
    np.testing.assert_allclose(
        scaled.predict_proba(new * units), plain.predict_proba(new), rtol=0, atol=1e-6
    )  # XGBoost's bins are float32
    assert scaled.threshold_ == pytest.approx(plain.threshold_, abs=1e-6)


def test_training_data_of_two_lengths_are_refused() -> None:
    X, y, groups = table()
    with pytest.raises(ValueError, match=r"y has shape \(23,\); X has 24 rows"):
        check_training(X, y[:-1], groups, 2)
    with pytest.raises(ValueError, match=r"X has shape \(24, 3\); it must have 4 axes"):
        check_training(X, y, groups, 4)
    with pytest.raises(ValueError, match=r"X has shape \(24, 0\)"):
        check_training(X[:, :0], y, groups, 2)
    with pytest.raises(ValueError, match=r"y holds the classes \[0, 2\]"):
        check_training(X, 2 * y, groups, 2)


def test_inner_folds_are_stratified_and_drawn_by_the_seed() -> None:
    rng = np.random.default_rng(0)
    groups = np.array([f"p{i // 2}" for i in range(200)])
    y = np.repeat(rng.random(100) < 0.3, 2).astype(int)
    for _, held in inner_splits(y, groups, 5, 0):
        # Patients of two rows each: exact to one patient in twenty.
        assert y[held].mean() == pytest.approx(y.mean(), abs=0.051)

    def drawn(seed: int) -> list[list[int]]:
        return [held.tolist() for _, held in inner_splits(y, groups, 5, seed)]

    assert drawn(0) == drawn(0) != drawn(1)


def test_inner_folds_are_fewer_where_one_would_lack_a_class() -> None:
    """Five patients with benign and six with malignant ROIs, so dealt out that only 3 folds do."""
    rng = np.random.default_rng(8)
    groups = rng.integers(0, 7, 16).astype(str)
    y = (rng.random(16) < 0.3).astype(int)
    lacking = [
        any(len(set(y[held])) < 2 for _, held in folder.split(y, y, groups))
        for folder in (StratifiedGroupKFold(n, shuffle=True, random_state=0) for n in (5, 4, 3))
    ]
    assert lacking == [True, True, False]
    splits = inner_splits(y, groups, 5, 0)
    assert len(splits) == 3
    assert all(set(y[side]) == {0, 1} for split in splits for side in split)


@pytest.mark.parametrize(("fraction", "n_held"), [(0.0, 0), (0.01, 2), (0.3, 6), (0.99, 18)])
def test_share_of_patients_held_out(fraction: float, n_held: int) -> None:
    """Of ten patients with and ten without a malignant ROI: at least one of each on either side."""
    y = np.array([0, 1] * 10 + [0, 0] * 10)
    groups = np.array([f"p{i // 2}" for i in range(40)])
    kept, held = split_patients(y, groups, fraction, 0)
    assert len(set(groups[held])) == n_held
    assert len({g for g, malignant in zip(groups[held], y[held], strict=True) if malignant}) == (
        n_held // 2
    )
    assert sorted([*kept, *held]) == list(range(40))
    if 0 < n_held < 18:
        assert split_patients(y, groups, fraction, 1)[1].tolist() != held.tolist()


@pytest.mark.parametrize(("y", "kind"), [([0, 0, 0, 1], "a"), ([1, 1, 1, 0], "no")])
def test_one_patient_of_a_kind_cannot_be_on_both_sides(y: list[int], kind: str) -> None:
    with pytest.raises(ValueError, match=f"1 patients with {kind} malignant ROI"):
        split_patients(np.array(y), np.array(list("abcd")), 0.5, 0)
