"""One arm on one split: which rows a model sees, what is timed, and at which stage it failed."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from benchmark.cohort.splits import Split
from benchmark.plugins.arms import Arm
from benchmark.plugins.builder import Builder
from benchmark.run import fitting
from benchmark.run.fitting import Task, fit_alone, fit_together
from benchmark.run.stored_models import pack
from benchmark.runtime.failures import Failure
from tests.helpers.clock import Clock

VALUES = np.column_stack([np.arange(10.0), np.arange(10.0)[::-1]])
BUILD_S, FIT_S, PREDICT_S = 100.0, 7.0, 0.5


def task(seed: int = 3, *, kept: bool = False) -> Task:
    return Task(
        arm=Arm("model", "features"),
        split=Split("kfold", 2, 1, ("train",), ("test",)),
        seed=seed,
        train=np.array([8, 1, 6, 2, 5]),
        test=np.array([9, 0, 4]),
        y=np.array([1, 0, 0, 0, 1]),
        groups=np.array(list("abbcd")),
        places=np.array([5, 6, 7]),
        kept=kept,
    )


class Model:
    """Rates by the first column and moves the clock; remembers what it was given."""

    def __init__(self, seed: int, clock: Clock) -> None:
        self.seed, self.clock = seed, clock
        self.device_ = "abacus"

    def fit(self, X: np.ndarray, y: np.ndarray, groups: np.ndarray) -> None:
        self.clock.spend(FIT_S)
        self.given = X, y, groups
        self.threshold_ = np.float32(0.25)

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        self.clock.spend(PREDICT_S)
        p = X[:, 0] / 10
        return np.column_stack([1 - p, p])


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(fitting, "time", clock)
    return clock


class Bench:
    """Builds models, slowly, and holds them."""

    def __init__(self, clock: Clock, kind: type[Model] = Model) -> None:
        self.clock, self.kind = clock, kind
        self.built: list[Any] = []

    def build(self, arm: Arm, seed: int) -> Model:
        assert arm == Arm("model", "features")
        self.clock.spend(BUILD_S)
        self.built.append(self.kind(seed, self.clock))
        return self.built[-1]


def test_a_model_sees_its_training_rows_and_is_asked_about_its_test_rows(clock: Clock) -> None:
    bench = Bench(clock)
    found = fit_alone(VALUES, bench.build, None, task())
    assert isinstance(found, fitting.Tested)
    (model,) = bench.built
    assert model.seed == 3
    X, y, groups = model.given
    np.testing.assert_array_equal(X, VALUES[[8, 1, 6, 2, 5]])
    assert (y.tolist(), groups.tolist()) == ([1, 0, 0, 0, 1], list("abbcd"))
    assert found.probabilities.tolist() == [0.9, 0.0, 0.4]
    assert found.probabilities.dtype == np.float64
    assert (found.threshold, type(found.threshold)) == (0.25, float)
    assert found.training_auc == roc_auc_score([1, 0, 0, 0, 1], [8, 1, 6, 2, 5]) < 1
    assert (found.device, found.epochs, found.packed, found.cached) == ("abacus", [], b"", False)


def test_building_and_the_look_at_training_rows_are_not_timed(clock: Clock) -> None:
    found = fit_alone(VALUES, Bench(clock).build, None, task())
    assert isinstance(found, fitting.Tested)
    assert (found.fit_s, found.predict_s) == (FIT_S, PREDICT_S)
    assert clock.now == BUILD_S + FIT_S + 2 * PREDICT_S


def test_fits_together_share_their_time_and_keep_their_order(clock: Clock) -> None:
    bench = Bench(clock)

    def together(models: list[Model], data: list[tuple[np.ndarray, ...]]) -> None:
        clock.spend(30)
        for model, (X, y, groups) in zip(models, data, strict=True):
            model.given = X, y, groups
            model.threshold_ = model.seed / 10

    found = fit_together(VALUES, bench.build, None, together, [task(1), task(2), task(3)])
    assert found is not None
    assert [f.threshold for f in found] == [0.1, 0.2, 0.3]
    assert [(f.fit_s, f.predict_s) for f in found] == [(10, PREDICT_S)] * 3
    np.testing.assert_array_equal(bench.built[2].given[0], VALUES[[8, 1, 6, 2, 5]])


def test_only_models_that_are_wanted_are_packed(clock: Clock) -> None:
    def pack(model: Model) -> bytes:
        return f"model of seed {model.seed}".encode()

    bench = Bench(clock)
    assert fit_alone(VALUES, bench.build, pack, task(kept=True)).packed == b"model of seed 3"
    assert fit_alone(VALUES, bench.build, pack, task(kept=False)).packed == b""
    assert fit_alone(VALUES, bench.build, None, task(kept=True)).packed == b""


class Epochs(Model):
    """Trains in epochs, and tells."""

    def __init__(self, seed: int, clock: Clock) -> None:
        super().__init__(seed, clock)
        self.on_epoch: Any = None
        self.history_: list[dict[str, float]] = []

    def fit(self, X: np.ndarray, y: np.ndarray, groups: np.ndarray) -> None:
        super().fit(X, y, groups)
        self.on_epoch(1, 1)
        self.history_ = [{"epoch": 1.0, "loss": 0.5}]


def test_epochs_are_told_and_their_history_kept(clock: Clock) -> None:
    told: list[tuple[int, int]] = []
    found = fit_alone(
        VALUES, Bench(clock, Epochs).build, None, task(), lambda *epoch: told.append(epoch)
    )
    assert isinstance(found, fitting.Tested)
    assert told == [(1, 1)]
    assert found.epochs == [{"epoch": 1.0, "loss": 0.5}]


def failing(stage: str) -> type[Model]:
    class Failing(Model):
        def __init__(self, seed: int, clock: Clock) -> None:
            if stage == "build":
                raise RuntimeError("no luck")
            super().__init__(seed, clock)

        def fit(self, X: np.ndarray, y: np.ndarray, groups: np.ndarray) -> None:
            super().fit(X, y, groups)
            if stage == "fit":
                raise RuntimeError("no\n  luck")

        def predict_proba(self, X: np.ndarray) -> np.ndarray:
            p = super().predict_proba(X)
            if stage == "infinite":
                p[1, 1] = np.inf
            return p[:, 1] if stage == "flat" else p[:-1] if stage == "short" else p

    return Failing


@pytest.mark.parametrize(
    ("how", "stage", "reason"),
    [
        ("build", "fit", "RuntimeError: no luck"),
        ("fit", "fit", "RuntimeError: no luck"),
        ("infinite", "predict", "ValueError: predict_proba gave shape (3, 2) with 1 values that"),
        ("flat", "predict", "ValueError: predict_proba gave shape (3,) with 0 values"),
        ("short", "predict", "ValueError: predict_proba gave shape (2, 2) with 0 values"),
        ("pack", "keep", "TypeError: cannot pack"),
    ],
)
def test_a_failure_says_where_and_why(how: str, stage: str, reason: str, clock: Clock) -> None:
    def pack(model: Model) -> bytes:
        raise TypeError("cannot pack")

    found = fit_alone(
        VALUES, Bench(clock, failing(how)).build, pack if how == "pack" else None, task(kept=True)
    )
    assert isinstance(found, Failure)
    assert (found.status, found.stage) == ("failed", stage)
    assert (found.model, found.features, found.repeat, found.fold) == ("model", "features", 2, 1)
    assert found.reason.startswith(reason)


def test_a_fit_together_that_fails_warns_and_leaves_it_to_others(clock: Clock) -> None:
    def together(models: list[Model], data: object) -> None:
        raise MemoryError("too large")

    with pytest.warns(RuntimeWarning, match="one by one: MemoryError: too large"):
        assert fit_together(VALUES, Bench(clock).build, None, together, [task(), task()]) is None


def saying(**attributes: Any) -> type[Model]:
    """A model whose fit sets attributes; ``probabilities`` is what it predicts."""

    class Saying(Model):
        def __init__(self, seed: int, clock: Clock) -> None:
            super().__init__(seed, clock)
            if "history_" in attributes:
                self.on_epoch, self.history_ = None, []

        def fit(self, X: np.ndarray, y: np.ndarray, groups: np.ndarray) -> None:
            super().fit(X, y, groups)
            vars(self).update(attributes)

        def predict_proba(self, X: np.ndarray) -> np.ndarray:
            p = super().predict_proba(X)
            return attributes["probabilities"](p) if "probabilities" in attributes else p

    return Saying


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"probabilities": lambda p: p * 100}, "and 5 values in all outside [0, 1]"),
        ({"probabilities": lambda p: p - 1}, "outside [0, 1]; probabilities are needed"),
        ({"probabilities": lambda p: p / 2}, "a row that adds up to 0.5; the probabilities"),
        ({"probabilities": lambda p: p.tolist()}, "predict_proba gave list [[0.0"),
        ({"probabilities": pd.DataFrame}, "predict_proba gave DataFrame"),
        ({"probabilities": lambda p: p.astype(object)}, "an array of floats, shape (3, 2)"),
        ({"probabilities": lambda p: None}, "predict_proba gave None"),
        ({"threshold_": np.nan}, "threshold_ is nan; it must be a number from 0 to 1"),
        ({"threshold_": 9}, "threshold_ is 9"),
        ({"threshold_": "0.5"}, "threshold_ is '0.5'"),
        ({"threshold_": None}, "threshold_ is None"),
        ({"device_": 3}, "device_ is 3; it must be text"),
        ({"history_": "no"}, "history_ is 'no'; it must be a list of dicts"),
        ({"history_": [{"loss": 1.0}]}, "history_ has the row {'loss': 1.0}; each row holds"),
        ({"history_": [{"epoch": 1, "loss": "low"}]}, "history_ has the row"),
        ({"choices_": {"C": 1}}, "choices_ is dict {'C': 1}; it must be a list of dicts"),
        ({"choices_": [{"setting": "C", "value": 1, "edge": ""}]}, "choices_ has the row"),
        ({"choices_": [{"setting": "C", "value": "1", "edge": "left"}]}, "choices_ has the row"),
        ({"choices_": [{"setting": "C"}]}, "choices_ has the row {'setting': 'C'}"),
    ],
)  # fmt: skip
def test_a_model_that_gives_something_else_is_not_scored(
    attributes: dict[str, Any], reason: str, clock: Clock
) -> None:
    found = fit_alone(VALUES, Bench(clock, saying(**attributes)).build, None, task())
    assert isinstance(found, Failure)
    assert (found.status, found.stage) == ("failed", "predict")
    assert reason in found.reason


def test_half_precision_is_precise_enough(clock: Clock) -> None:
    kind = saying(probabilities=lambda p: p.astype(np.float16))
    found = fit_alone(VALUES, Bench(clock, kind).build, None, task())
    assert isinstance(found, fitting.Tested)
    assert found.probabilities.dtype == np.float64


@pytest.mark.parametrize("raised", [SystemExit(0), GeneratorExit(), MemoryError("full")])
@pytest.mark.parametrize("stage", ["fit", "predict_proba", "pack"])
def test_a_model_may_raise_anything(raised: BaseException, stage: str, clock: Clock) -> None:
    def end(*_: Any) -> Any:
        raise raised

    bench = Bench(clock, type("Ending", (Model,), {} if stage == "pack" else {stage: end}))
    found = fit_alone(VALUES, bench.build, end if stage == "pack" else None, task(kept=True))
    assert isinstance(found, Failure)
    assert type(raised).__name__ in found.reason


def test_a_model_that_writes_on_what_it_is_given_changes_nothing_else(clock: Clock) -> None:
    class Scribbling(Model):
        def fit(self, X: np.ndarray, y: np.ndarray, groups: np.ndarray) -> None:
            super().fit(X, y, groups)
            X[:], y[:], groups[:] = 0, 1, "z"

        def predict_proba(self, X: np.ndarray) -> np.ndarray:
            p = super().predict_proba(X)
            X[:] = 0
            return p

    values, given = VALUES.copy(), task()
    found = fit_alone(values, Bench(clock, Scribbling).build, None, given)
    plain = fit_alone(VALUES, Bench(clock).build, None, task())
    assert isinstance(found, fitting.Tested)
    assert isinstance(plain, fitting.Tested)
    np.testing.assert_array_equal(values, VALUES)
    assert (given.y.tolist(), given.groups.tolist()) == ([1, 0, 0, 0, 1], list("abbcd"))
    assert found.training_auc == plain.training_auc


class Unruly:
    """An arm's model that hangs or crashes, by name of the arm; picklable, unlike a closure."""

    threshold_ = 0.5

    def __init__(self, way: str) -> None:
        self.way = way

    def fit(self, X: np.ndarray, y: np.ndarray, groups: np.ndarray) -> None:
        if self.way == "hangs":
            time.sleep(1000)
        if self.way == "crashes":
            os.kill(os.getpid(), signal.SIGSEGV)

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        p = X[:, 0] / 10
        return np.column_stack([1 - p, p])


def unruly(arm: Arm, seed: int) -> Unruly:
    return Unruly(arm.name)


@pytest.mark.parametrize(
    ("way", "limit_s", "reason"),
    [
        ("hangs", 5, "TimeoutError: it took longer than 5 s and was ended"),
        ("crashes", 60, "ChildProcessError: its process ended by itself (SIGSEGV)"),
    ],
)
def test_a_fit_that_hangs_or_crashes_within_a_limit_fails_alone(
    way: str, limit_s: float, reason: str
) -> None:
    def outcome(name: str) -> Any:
        each = replace(task(), arm=Arm("model", "features", name))
        return fitting.fit_within(limit_s, VALUES, unruly, None, each)

    found = outcome(way)
    assert isinstance(found, Failure)
    assert (found.stage, found.reason, found.arm, found.fold) == ("fit", reason, way, 1)
    sound = outcome("sound")
    assert isinstance(sound, fitting.Tested)
    assert sound.probabilities.tolist() == [0.9, 0.0, 0.4]


@pytest.mark.parametrize("model", ["random_forest", "logistic"])
def test_a_limit_changes_no_bit(model: str) -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(60, 6))
    arm = Arm(model, "radiomics", settings={"inner_folds": 2})
    given = Task(
        arm=arm, split=Split("kfold", 0, 0, (), ()), seed=5, train=np.arange(45),
        test=np.arange(45, 60), y=rng.permutation(45) % 2,
        groups=np.array([f"p{i}" for i in range(45)]), places=np.arange(15), kept=True,
    )  # fmt: skip
    build = Builder({}, 1)
    alone = fit_alone(values, build, pack, given)
    within = fitting.fit_within(300, values, build, pack, given)
    assert isinstance(alone, fitting.Tested)
    assert isinstance(within, fitting.Tested)
    np.testing.assert_array_equal(alone.probabilities, within.probabilities)
    assert (alone.threshold, alone.choices) == (within.threshold, within.choices)
    assert len(within.packed) > 1000
