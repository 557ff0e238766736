"""SHAP values of the classical models: they add up, and a linear model's are known by hand."""

from __future__ import annotations

import pickle
from copy import copy
from typing import Any

import numpy as np
import pytest
from scipy.special import logit

from models import _shap, logistic, random_forest, svm, xgb

MODELS: dict[str, tuple[Any, dict[str, Any], str]] = {
    "logistic": (logistic, {}, _shap.LOG_ODDS),
    "svm": (svm, {"C": (1.0,), "gamma": (0.01,)}, _shap.LOG_ODDS),
    "random_forest": (
        random_forest,
        {"trees": 30, "min_samples_leaf": (3,), "max_features": (0.3,)},
        _shap.VOTES,
    ),
    "xgb": (xgb, {"trees": (30,), "max_depth": (2,)}, _shap.LOG_ODDS),
}
COPY, CONSTANT = 5, 6


def table(n: int, seed: int) -> tuple[Any, Any, Any]:
    """Columns 0 and 1 decide; 5 is a copy of 0 and 6 is constant, so neither is used."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    X = rng.normal(size=(n, 5))
    X[:, 0] += 2.0 * y
    X[:, 1] -= 1.5 * y
    X = np.column_stack([X, 10 * X[:, 0] + 3, np.ones(n)])
    return X, y, np.array([f"p{i}" for i in range(n)])


@pytest.fixture(scope="module", params=MODELS)
def fitted(request: pytest.FixtureRequest) -> tuple[Any, str]:
    module, settings, unit = MODELS[request.param]
    model = module.build(0, **settings)
    model.fit(*table(80, 0))
    return model, unit


def predicted(model: Any, unit: str, X: Any) -> Any:
    """What is explained: calibrated log-odds, or a forest's votes."""
    if unit == _shap.VOTES:
        return model._fitted.predict_proba(X)[:, 1]
    return logit(model.predict_proba(X)[:, 1])


def test_contributions_add_up_to_what_is_predicted(fitted: tuple[Any, str]) -> None:
    model, unit = fitted
    X, background = table(12, 1)[0], table(30, 2)[0]
    found = model.contributions(X, background)
    assert found.unit == unit
    assert found.values.shape == X.shape
    output = predicted(model, unit, X)
    np.testing.assert_allclose(found.output, output, rtol=0, atol=1e-5)  # XGBoost's float32
    np.testing.assert_allclose(found.base + found.values.sum(axis=1), output, rtol=0, atol=1e-4)
    assert not found.values[:, [COPY, CONSTANT]].any()  # dropped before the model saw them
    strength = np.abs(found.values).mean(axis=0)
    assert set(np.argsort(strength)[-2:]) == {0, 1}
    assert np.corrcoef(X[:, 0], found.values[:, 0])[0, 1] > 0.7
    assert np.corrcoef(X[:, 1], found.values[:, 1])[0, 1] < -0.7


def test_base_is_the_mean_over_the_background(fitted: tuple[Any, str]) -> None:
    model, unit = fitted
    background = table(_shap.SAMPLED_BACKGROUND, 2)[0]
    output = predicted(model, unit, background)
    found = model.contributions(table(3, 1)[0], background)
    assert found.base == pytest.approx(output.mean(), abs=1e-5)


def test_a_linear_models_values_by_hand() -> None:
    model = logistic.build(0)
    model.fit(*table(80, 0))
    model._sigmoid = (1.0, 0.0)
    X, background = table(12, 1)[0], table(200, 2)[0]
    select, scale, classify = (step for _, step in model._fitted.steps)
    kept = select.kept_
    # In the features' own units: (w / sd) (x - mean of the background).
    slope = classify.coef_[0] / scale.scale_
    by_hand = slope * (X[:, kept] - background[:, kept].mean(axis=0))
    found = model.contributions(X, background)
    np.testing.assert_allclose(found.values[:, kept], by_hand, rtol=1e-9, atol=1e-12)


def test_calibration_scales_what_columns_add_to_log_odds(fitted: tuple[Any, str]) -> None:
    model, unit = fitted
    X, background = table(12, 1)[0], table(30, 2)[0]
    raw, steep = copy(model), copy(model)
    raw._sigmoid, steep._sigmoid = (1.0, 0.0), (2.0, -0.3)
    plain, scaled = (each.contributions(X, background) for each in (raw, steep))
    slope, intercept = (1.0, 0.0) if unit == _shap.VOTES else (2.0, -0.3)
    np.testing.assert_allclose(scaled.values, slope * plain.values, rtol=1e-9)
    np.testing.assert_allclose(scaled.output, slope * plain.output + intercept, rtol=1e-9)
    assert scaled.base == pytest.approx(slope * plain.base + intercept, abs=1e-9)
    output = predicted(steep, unit, X)
    np.testing.assert_allclose(scaled.output, output, rtol=0, atol=1e-4)  # XGBoost's float32


def test_values_that_do_not_add_up_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = logistic.build(0)
    model.fit(*table(80, 0))
    monkeypatch.setattr(_shap, "_base", lambda values: 0.5 + float(np.ravel(values)[0]))
    with pytest.raises(ValueError, match=r"miss the output of LogisticRegression by up to 0\.5"):
        model.contributions(table(3, 1)[0], table(30, 2)[0])


def test_other_columns_are_refused() -> None:
    model = logistic.build(0)
    X, y, groups = table(80, 0)
    model.fit(X, y, groups)
    with pytest.raises(ValueError, match="X has 6 columns; the model was fitted on 7"):
        model.contributions(X, X[:, :6])


def test_pickled_models_predict_and_explain_alike(fitted: tuple[Any, str]) -> None:
    model, _ = fitted
    again = pickle.loads(pickle.dumps(model))
    X, background = table(12, 1)[0], table(30, 2)[0]
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    np.testing.assert_array_equal(
        again.contributions(X, background).values, model.contributions(X, background).values
    )
    assert again.threshold_ == model.threshold_


def test_a_background_is_thinned_evenly() -> None:
    rows = np.arange(11.0)[:, None]
    assert _shap.evenly_spaced(rows, 3).ravel().tolist() == [0, 5, 10]
    assert _shap.evenly_spaced(rows, 11) is rows
