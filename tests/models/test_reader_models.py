"""Networks that learn what readers said: what they are told, and that no test patient is learnt."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from benchmark.cohort.labels import LabelRule, assemble
from benchmark.cohort.splits import SplitRule, make_splits
from benchmark.plugins import registry
from benchmark.plugins.arms import NO_LABEL, Arm
from benchmark.plugins.builder import Builder
from benchmark.plugins.contracts import Readings
from benchmark.roi import Roi, RoiDataset, RoiRecord
from benchmark.run.loop import Bench, fit_and_test
from benchmark.run.results import FeatureTable
from benchmark.run.supervision import records_to_extract
from benchmark.runtime.progress import Progress
from benchmark.runtime.workers import LocalWorkers
from features import ratings as ratings_feature
from models import _reader_targets, multitask, transfer
from models._backend import load_keras
from models._reader_targets import CHARACTERISTICS
from tests.helpers.backends import on_backend

MODELS = {"multitask": multitask, "transfer": transfer}
SIDE = 24


def cohort(n: int, seed: int = 0) -> tuple[Any, Any, Any, Readings]:
    """Two nodules a patient, whose brightness follows the rating; those of 3 have no label."""
    rng = np.random.default_rng(seed)
    grade = rng.permutation(np.arange(n) % 5 + 1)
    X = rng.normal(0.4, 0.1, (n, SIDE, SIDE, 1)).astype(np.float32)
    X[:, 6:18, 6:18] += (0.1 * (grade - 3))[:, None, None, None].astype(np.float32)
    y = np.where(grade == 3, NO_LABEL, grade > 3).astype(np.int64)
    attributes = tuple({"texture": f"{6 - g} {6 - g}", "margin": "2 3"} for g in grade)
    readings = Readings(tuple((int(g),) * 3 for g in grade), attributes)
    return np.clip(X, 0, 1), y, np.array([f"p{i // 2}" for i in range(n)]), readings


def rows_of(data: tuple[Any, Any, Any, Readings], rows: Any) -> tuple[Any, Any, Any, Readings]:
    X, y, groups, readings = data
    kept = Readings(
        tuple(readings.ratings[i] for i in rows), tuple(readings.attributes[i] for i in rows)
    )
    return X[rows], y[rows], groups[rows], kept


def given(name: str, n: int = 30, seed: int = 0) -> tuple[Any, Any, Any, Readings]:
    """Rows as a model is given them: without a label only where its supervision says so."""
    data = cohort(n, seed)
    return data if name == "transfer" else rows_of(data, np.flatnonzero(data[1] != NO_LABEL))


def fitted(name: str, data: tuple[Any, Any, Any, Readings], **settings: Any) -> Any:
    model = MODELS[name].build(1, **({"epochs": 1, "augment": False} | settings))  # type: ignore[attr-defined]
    X, y, groups, readings = data
    model.fit(X, y, groups, readings=readings)
    return model


def test_the_characteristics_are_those_of_the_feature_set() -> None:
    assert ratings_feature.CHARACTERISTICS == CHARACTERISTICS


def test_targets_by_hand() -> None:
    readings = Readings(
        ((1, 1, 5), (4,)),
        ({"texture": "5 4 3", "margin": "1"}, {"texture": " ", "spiculation": "2"}),
    )
    np.testing.assert_allclose(
        _reader_targets.distributions(readings), [[2 / 3, 0, 0, 0, 1 / 3], [0, 0, 0, 1, 0]]
    )
    nan = float("nan")
    np.testing.assert_array_equal(
        _reader_targets.characteristics(readings),
        [[nan, nan, nan, nan, 1, nan, nan, 4], [nan, nan, nan, nan, nan, nan, 2, nan]],
    )
    assert _reader_targets.characteristics(Readings(((1,),) * 2, ({}, {}))).shape == (2, 8)


def test_columns_are_standardised_by_the_rows_that_are_learnt_from() -> None:
    values = np.array([[1.0, 7, np.nan], [3, 7, np.nan], [np.nan, 7, 5], [9, 8, 5]])
    got, known = _reader_targets.standardised(values, np.arange(3))
    # Mean 2 and SD 1 of the first two; the second column never varies, the third has one value.
    np.testing.assert_array_equal(got[:, 0], [-1, 1, 0, 7])
    np.testing.assert_array_equal(known, [[1, 0, 0], [1, 0, 0], [0, 0, 0], [1, 0, 0]])
    assert not got[:, 1:].any()


@pytest.mark.parametrize("weights", [(1.0, 1.0), (0.5, 2.0)])
def test_the_multitask_loss_by_hand(weights: tuple[float, float]) -> None:
    _, y, _, readings = given("multitask")
    model = multitask.build(0, rating_weight=weights[0], attribute_weight=weights[1])
    told = model.told(y, readings, np.arange(len(y)))
    output = np.random.default_rng(0).normal(size=(len(y), 15)).astype(np.float32)
    loss = np.asarray(model.loss(load_keras())(told, output))
    texture = np.array([float(of["texture"][0]) for of in readings.attributes])
    grade = np.array([each[0] for each in readings.ratings])

    def log_share(of: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        logs = of - np.log(np.exp(of).sum(axis=1, keepdims=True))
        return np.asarray(logs[np.arange(len(of)), chosen])

    wanted = (texture - texture.mean()) / texture.std()  # the margin is the same in all
    expected = (
        -log_share(output[:, :2], y) * len(y) / (2 * np.bincount(y)[y])
        - weights[0] * log_share(output[:, 2:7], grade - 1)
        + weights[1] * (wanted - output[:, 14]) ** 2 / 8
    )
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_what_predicts_is_the_papers_network() -> None:
    for name in MODELS:
        model = fitted(name, given(name))
        kinds = [type(layer).__name__ for layer in model._network.layers]
        assert kinds[-4:] == ["Flatten", "Dense", "Dropout", "Dense"]
        assert model._network.layers[-1].units == 2
        assert model._network.layers[-1].activation.__name__ == "softmax"
        X = given(name)[0]
        again = pickle.loads(pickle.dumps(model))
        np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
        assert model.heat_maps(X).shape == X.shape[:-1]
        assert set(model.history_[0]) == {"epoch", "loss", "accuracy"}


def test_ratings_and_characteristics_are_learnt_from() -> None:
    X, y, groups, readings = given("multitask")
    others = replace(readings, ratings=tuple((each[0], 1, 5) for each in readings.ratings))
    turned = replace(readings, attributes=tuple({"texture": f"{i % 5}"} for i in range(len(y))))
    before, *after = (
        fitted("multitask", (X, y, groups, each)).predict_proba(X)
        for each in (readings, others, turned)
    )
    for each in after:
        assert np.abs(before - each).max() > 1e-6


def test_what_is_left_out_is_pretrained_on_and_nothing_else() -> None:
    data = given("transfer")
    X, y, groups, readings = data
    model = fitted("transfer", data, pretraining_epochs=2)
    assert [each["epoch"] for each in model.pretraining_] == [1, 2]
    assert len(model.history_) == 1
    labelled = np.flatnonzero(y != NO_LABEL)
    without = fitted("transfer", rows_of(data, labelled))
    assert without.pretraining_ == []
    assert np.abs(without.predict_proba(X) - model.predict_proba(X)).max() > 1e-6
    # What readers said of nodules with a label is not used.
    said = list(readings.ratings)
    for row in labelled:
        said[row] = (1, 2)
    told = tuple({} if label != NO_LABEL else readings.attributes[i] for i, label in enumerate(y))
    other = fitted("transfer", (X, y, groups, Readings(tuple(said), told)), pretraining_epochs=2)
    np.testing.assert_array_equal(other.predict_proba(X), model.predict_proba(X))


class Fits:
    """Images and targets of every call of Keras' ``fit``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.images: list[np.ndarray] = []
        keras = load_keras()
        original = keras.Model.fit

        def spy(network: Any, x: Any, y: Any, **settings: Any) -> Any:
            self.images.append(np.asarray(x))
            return original(network, x, y, **settings)

        monkeypatch.setattr(keras.Model, "fit", spy)


def test_patients_held_out_for_validation_are_not_pretrained_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = given("transfer", 60)
    X, y, groups, _ = data
    marked = X.copy()
    marked[:, 0, 0, 0] = np.arange(60) / 100
    fits = Fits(monkeypatch)
    fitted("transfer", (marked, *data[1:]), validation_fraction=0.3, pretraining_epochs=1)
    pretrained, trained = (np.rint(x[:, 0, 0, 0] * 100).astype(int) for x in fits.images)
    assert (y[pretrained] == NO_LABEL).all()
    labelled = np.flatnonzero(y != NO_LABEL)
    held_out = set(groups[np.setdiff1d(labelled, trained)])
    assert not held_out & set(groups[pretrained])
    assert held_out & set(groups[y == NO_LABEL]), "no such patient, so nothing was shown"


def test_rows_without_ratings_are_refused() -> None:
    for name in MODELS:
        X, y, groups, readings = given(name)
        silent = replace(readings, ratings=((), *readings.ratings[1:]))
        with pytest.raises(ValueError, match="training row 0 has no rating"):
            fitted(name, (X, y, groups, silent))


class Silent(Progress):
    def update(self, task: str, done: float, total: float) -> None:
        """Nobody watches."""


def read(record: RoiRecord) -> Roi:
    raise AssertionError("features are given")


def dataset(n: int = 36) -> RoiDataset:
    """Three nodules a patient: one benign, one malignant, one that the label rule leaves out."""
    kinds = ((1, 2, 1), (5, 4, 5), (3, 3, 3))
    records = tuple(
        RoiRecord(
            f"r{i:02}", f"p{i // 3:02}", None, kinds[i % 3],
            attributes=dict.fromkeys(CHARACTERISTICS, f"{1 + i % 5} {1 + i % 3}"),
        )
        for i in range(n)
    )  # fmt: skip
    return RoiDataset("d", records, read)


def numbered(records: Any, seed: int = 0) -> FeatureTable:
    """Images whose first pixel is the nodule's number in hundredths."""
    rng = np.random.default_rng(seed)
    X = rng.normal(0.4, 0.1, (len(records), SIDE, SIDE, 1)).astype(np.float32)
    X[:, 0, 0, 0] = [int(record.roi_id[1:]) / 100 for record in records]
    return FeatureTable({record.roi_id: i for i, record in enumerate(records)}, X)


def run(name: str, of: RoiDataset) -> tuple[dict[int, Any], list[Any]]:
    """Scores of each fold, and its split."""
    arm = Arm(name, "images", supervision=registry.load_model(name).supervision)
    cohort = assemble(of, LabelRule())
    splits = make_splits(cohort, SplitRule("kfold", folds=2), 0)
    short = {"epochs": 1} | ({"pretraining_epochs": 1} if name == "transfer" else {})
    bench = Bench(Builder({name: short}, 1), 0, "train", LocalWorkers(1), Silent())
    records = records_to_extract(cohort, [arm])
    fits = fit_and_test({"images": numbered(records)}, cohort, splits, [arm], bench)
    assert not fits.failures
    table = fits.prediction_table
    scores = {
        fold: dict(zip(part.roi_id, part.y_prob, strict=True))
        for fold, part in table.groupby("fold")
    }
    return scores, splits


@pytest.mark.parametrize("name", MODELS)
def test_nothing_of_a_test_patient_is_learnt(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No image of theirs reaches a fit, and no bit changes with what readers said of them."""
    of, fits = dataset(), Fits(monkeypatch)
    before, splits = run(name, of)
    seen = [set(np.rint(x[:, 0, 0, 0] * 100).astype(int).tolist()) for x in fits.images]
    steps = 2 if name == "transfer" else 1
    assert len(seen) == steps * len(splits)
    for place, split in enumerate(splits):
        tested = {int(roi_id[1:]) // 3 for roi_id in split.test}
        trained = set().union(*seen[steps * place : steps * (place + 1)])
        assert not {row // 3 for row in trained} & tested
        # Every nodule of the others, with a label or, for the one that learns from it, without.
        kinds = {0, 1, 2} if name == "transfer" else {0, 1}
        others = set(range(12)) - tested
        assert trained == {3 * patient + kind for patient in others for kind in kinds}

    # Other ratings of the same side of 3, and other characteristics, of one fold's patients.
    patients = {record.patient_id for record in of.records if record.roi_id in splits[0].test}
    other = {1: (2, 2, 2), 5: (4, 4, 4), 3: (2, 3, 4)}
    records = tuple(
        replace(
            record, malignancy_ratings=other[record.malignancy_ratings[0]],
            attributes=dict.fromkeys(CHARACTERISTICS, f"{int(record.roi_id[1:]) % 4}"),
        )
        if record.patient_id in patients
        else record
        for record in of.records
    )  # fmt: skip
    after, again = run(name, replace(of, records=records))
    assert [split.test for split in again] == [split.test for split in splits]
    assert after[0] == before[0]
    assert after[1] != before[1], "in the other fold they are trained on, so something must change"


CHILD = """
import importlib, json
import numpy as np
from benchmark.plugins.contracts import Readings
from tests.helpers.images import images
module = importlib.import_module("models.NAME")
X, y, groups = images(60, 0)
labels = np.where(np.arange(60) % 5 == 0, UNLABELLED, y)
readings = Readings(
    tuple((4, 5) if label else (1, 2) for label in y),
    tuple({"texture": str(1 + 3 * int(label))} for label in y),
)
X_new, y_new, _ = images(40, 1)
outputs = []
for _ in range(2):
    model = module.build(3, epochs=6, batch_size=8)
    model.fit(X, labels, groups, readings=readings)
    outputs.append(model.predict_proba(X_new))
print(json.dumps({
    "equal": bool((outputs[0] == outputs[1]).all()),
    "accuracy": float(((outputs[0][:, 1] >= 0.5) == y_new).mean()),
}))
"""


@pytest.mark.backends
@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
@pytest.mark.parametrize(("name", "unlabelled"), [("multitask", "y"), ("transfer", "-1")])
def test_every_backend_learns_and_repeats(name: str, unlabelled: str, backend: str) -> None:
    answer = on_backend(backend, CHILD.replace("NAME", name).replace("UNLABELLED", unlabelled))
    assert answer["equal"], "two fits with one seed differ"
    assert answer["accuracy"] > 0.9  # a square 3 SD brighter than the noise around it
