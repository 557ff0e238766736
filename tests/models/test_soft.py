"""Regressions on ratings: what they learn from, and what weights, sigmoid and threshold rest on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import QuantileTransformer

from benchmark.plugins.arms import NO_LABEL
from benchmark.plugins.contracts import Readings
from models import _ratings, _soft, blend, soft_ridge, soft_svr, soft_trees
from models._normal_columns import NormalColumns
from models._quantiles import Quantiles
from models._soft_regressions import ridge

MODELS = {"soft_svr": soft_svr, "soft_ridge": soft_ridge, "soft_trees": soft_trees, "blend": blend}


def cohort(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, Readings]:
    """Nodules of two a patient whose ratings follow one column; those rated 3 have no label."""
    rng = np.random.default_rng(seed)
    grade = rng.integers(1, 6, n)
    X = rng.normal(size=(n, 5))
    X[:, 0] += 1.5 * grade
    y = np.where(grade == 3, NO_LABEL, grade > 3).astype(np.int64)
    groups = np.array([f"p{i // 2}" for i in range(n)])
    ratings = tuple((int(g),) * int(rng.integers(1, 5)) for g in grade)
    return X, y, groups, Readings(ratings, ({},) * n)


def fitted(X: Any, y: Any, groups: Any, readings: Readings, model: str = "soft_svr") -> Any:
    trees = {"trees": 30} if model in ("soft_trees", "blend") else {}
    built = MODELS[model].build(0, **trees)  # type: ignore[attr-defined]
    built.fit(X, y, groups, readings=readings)
    return built


def some(readings: Readings, rows: np.ndarray) -> Readings:
    return Readings(tuple(readings.ratings[i] for i in rows), ({},) * len(rows))


@pytest.mark.parametrize("model", MODELS)
def test_ratings_and_nodules_without_a_label_are_learnt_from(model: str) -> None:
    X, y, groups, readings = cohort(120, 0)
    X_new, y_new, _, _ = cohort(200, 1)
    known = y_new != NO_LABEL
    p = fitted(X, y, groups, readings, model).predict_proba(X_new)[:, 1]
    assert roc_auc_score(y_new[known], p[known]) > 0.95
    labelled = np.flatnonzero(y != NO_LABEL)
    without = fitted(X[labelled], y[labelled], groups[labelled], some(readings, labelled), model)
    assert not np.allclose(without.predict_proba(X_new)[:, 1], p)
    other = Readings(tuple((5,) if 2 in each else each for each in readings.ratings), ({},) * 120)
    assert not np.allclose(fitted(X, y, groups, other, model).predict_proba(X_new)[:, 1], p)


@pytest.mark.parametrize("model", MODELS)
def test_what_is_learnt_from_can_be_narrowed(model: str) -> None:
    X, y, groups, readings = cohort(120, 0)
    labelled = np.flatnonzero(y != NO_LABEL)
    of_labelled = X[labelled], y[labelled], groups[labelled], some(readings, labelled)

    def learnt(learn_from: str, *data: Any) -> np.ndarray:
        built = MODELS[model].build(0, learn_from=learn_from)  # type: ignore[attr-defined]
        built.fit(*data[:3], readings=data[3])
        return np.asarray(built.predict_proba(X)[:, 1])

    whole = X, y, groups, readings
    np.testing.assert_array_equal(
        learnt("ratings", *whole), learnt("ratings+left_out", *of_labelled)
    )
    by_label = Readings(
        tuple((4,) if label else (2,) for label in y[labelled]), ({},) * len(labelled)
    )
    np.testing.assert_array_equal(
        learnt("labels", *whole), learnt("ratings", *of_labelled[:3], by_label)
    )
    assert not np.allclose(learnt("labels", *whole), learnt("ratings", *whole))


def test_inner_folds_hold_patients_out_whole_with_their_nodules_without_a_label() -> None:
    _, y, groups, _ = cohort(120, 0)
    folds = _ratings.folds_of_labelled(y, groups, 5, 0)
    assert (
        sorted(np.concatenate([tested for _, tested in folds]))
        == np.flatnonzero(y != NO_LABEL).tolist()
    )
    for rows, tested in folds:
        assert not set(groups[rows]) & set(groups[tested])
        assert (y[tested] != NO_LABEL).all()
        assert (y[rows] == NO_LABEL).any()
    sides = [set(groups[y == NO_LABEL]) & set(groups[tested]) for _, tested in folds]
    assert any(sides), "no patient has both kinds, so nothing was shown"


def noise(n: int = 80, columns: int = 300) -> tuple[np.ndarray, np.ndarray, np.ndarray, Readings]:
    """Nodules whose ratings have nothing to do with their columns."""
    rng = np.random.default_rng(3)
    X, y = rng.normal(size=(n, columns)), np.arange(n) % 2
    readings = Readings(tuple((5,) if label else (1,) for label in y), ({},) * n)
    return X, y, np.array([f"p{i}" for i in range(n)]), readings


@pytest.mark.parametrize("model", MODELS)
def test_sigmoid_and_threshold_rest_on_scores_of_rows_that_were_not_fitted(model: str) -> None:
    """On noise, fitted rows look separable and held-out ones do not: the slope tells which."""
    X, y, groups, readings = noise()
    p = fitted(X, y, groups, readings, model).predict_proba(X)[:, 1]
    assert np.ptp(p) < 0.9  # from fitted scores it is .96
    assert p[y == 1].mean() < 0.8


class ByHeart:
    """Gives the rating of rows that it was fitted on, and of others nothing but noise."""

    def fit(self, X: np.ndarray, target: np.ndarray, sample_weight: np.ndarray) -> ByHeart:
        self.known = {row.tobytes(): rating for row, rating in zip(X, target, strict=True)}
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        noise = np.sin(1e4 * X[:, 1])
        return np.array(
            [self.known.get(row.tobytes(), other) for row, other in zip(X, noise, strict=True)]
        )


def test_weights_rest_on_scores_of_rows_that_were_not_fitted() -> None:
    """A regression that knows all fitted rows by heart, and says nothing of others, gets none."""
    X, y, groups, readings = cohort(160, 0)
    model = _soft.SoftModel(
        [_soft.Regression("by heart", ByHeart()), ridge((10.0,))],
        seed=0, inner_folds=5, learn_from="ratings+left_out", apart=True,
    )  # fmt: skip
    model.fit(X, y, groups, readings=readings)
    weights = {each["setting"]: float(each["value"]) for each in model.choices_}
    assert weights["weight of by heart on "] < 0.2 < weights["weight of ridge on "]


def test_a_sum_of_held_out_rows_has_weights_of_other_rows() -> None:
    """Other ratings of rows held out together change none of their sums, but those of others."""
    X, y, groups, readings = cohort(120, 0)
    model = _soft.SoftModel(
        [ridge((10.0,)), ridge((1e4,))],
        seed=0, inner_folds=4, learn_from="ratings+left_out", apart=True,
    )  # fmt: skip
    _, target, weight = _ratings.targets(readings, y, "ratings+left_out")
    folds = _ratings.folds_of_labelled(y, groups, 4, 0)
    with_labels = y != NO_LABEL
    parts = model._parts({"": X}, y, target, weight, folds)
    changed = target.copy()
    tested = folds[0][1]
    changed[tested] = changed[tested][::-1]
    model.choices_ = []
    before, after = (model._sum(parts, y, each, weight, folds) for each in (target, changed))
    np.testing.assert_array_equal(before[tested], after[tested])
    others = np.setdiff1d(np.flatnonzero(with_labels), tested)
    assert not np.allclose(before[others], after[others])


def test_a_row_weighs_by_the_root_of_its_readers() -> None:
    y = np.zeros(2, np.int64)
    of = Readings(((4,), (2, 5, 3, 4)), ({},) * 2)
    rows, means, weight = _ratings.targets(of, y, "ratings+left_out")
    assert (rows.tolist(), means.tolist(), weight.tolist()) == ([0, 1], [4.0, 3.5], [1.0, 2.0])


@pytest.mark.parametrize("model", MODELS)
def test_several_feature_sets_come_as_a_mapping(model: str) -> None:
    X, y, groups, readings = cohort(120, 0)
    X_new, y_new, _, _ = cohort(200, 1)
    known = y_new != NO_LABEL
    split = {"one": X[:, 1:3], "other": np.column_stack([X[:, 0], X[:, 3:]])}
    new = {"one": X_new[:, 1:3], "other": np.column_stack([X_new[:, 0], X_new[:, 3:]])}
    built = fitted(split, y, groups, readings, model)
    p = built.predict_proba(new)[:, 1]
    assert roc_auc_score(y_new[known], p[known]) > 0.9  # 30 trees that try two columns: .92
    with pytest.raises(ValueError, match="X has no feature set 'other'"):
        built.predict_proba({"one": new["one"]})
    with pytest.raises(ValueError, match="X has 2 columns; the model was fitted on 3"):
        built.predict_proba({"one": new["one"], "other": new["one"]})
    if model == "blend":
        told = {each["setting"]: float(each["value"]) for each in built.choices_}
        weights = {name: value for name, value in told.items() if name.startswith("weight")}
        assert len(weights) == 6
        assert min(weights.values()) >= 0
        assert sum(v for k, v in weights.items() if k.endswith("other")) > 0.5
        assert sum(v for k, v in weights.items() if k.endswith("one")) < 0.5


def test_feature_sets_weigh_alike_whatever_their_number_of_columns() -> None:
    rng = np.random.default_rng(0)
    tables = {"wide": rng.normal(size=(50, 90)), "narrow": rng.normal(size=(50, 10))}
    got = NormalColumns().fit(tables).transform(tables)
    # Variances of standardised columns add up to their number: half of all columns each.
    assert got[:, :90].var(axis=0).sum() == pytest.approx(50)
    assert got[:, 90:].var(axis=0).sum() == pytest.approx(50)


@pytest.mark.parametrize("n", [2, 30, 999, 1000, 1001, 1300])
def test_quantiles_are_those_of_scikit_learn_to_the_bit(n: int) -> None:
    rng = np.random.default_rng(n)
    columns = rng.normal(size=n), rng.integers(0, 4, n), np.ones(n), rng.lognormal(8, 3, n)
    X = np.column_stack(columns)
    new = np.concatenate([X, 1.5 * X - 1])
    theirs = QuantileTransformer(
        n_quantiles=min(n, 1000), output_distribution="normal", subsample=None
    ).fit(X)
    np.testing.assert_array_equal(Quantiles().fit(X).transform(new), theirs.transform(new))


def test_rows_without_ratings_are_refused() -> None:
    X, y, groups, readings = cohort(60, 0)
    with pytest.raises(ValueError, match="training row 7 has no rating"):
        silent = tuple(() if i == 7 else each for i, each in enumerate(readings.ratings))
        fitted(X, y, groups, Readings(silent, readings.attributes))
    with pytest.raises(ValueError, match="readings has 59 rows; X has 60"):
        fitted(X, y, groups, some(readings, np.arange(59)))
