"""The loop, with callables of its own: it must know nothing of any plug-in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmark.cohort.labels import Cohort, LabelRule, assemble
from benchmark.cohort.splits import Split, SplitRule, make_splits
from benchmark.columns import CHOICE_TABLE
from benchmark.plugins.arms import Arm
from benchmark.roi import Roi, RoiDataset, RoiRecord, UnavailableError
from benchmark.run.cache import RunCache
from benchmark.run.extraction import extract
from benchmark.run.folder import RunFolder
from benchmark.run.loop import Bench, fit_and_test
from benchmark.run.results import Fits
from benchmark.runtime.store import Store
from benchmark.runtime.workers import LocalWorkers


def read(record: RoiRecord) -> Roi:
    size = 1 + int(record.roi_id[1:]) % 5 + 4 * (record.label or 0)
    mask = np.zeros((3, 12, 12), bool)
    mask[1, 1 : 1 + size, 1 : 1 + size] = True
    return Roi(record, np.zeros(mask.shape, np.float32), mask, (1.0, 1.0, 1.0))


def make(n: int = 60) -> tuple[RoiDataset, Cohort, list[Split]]:
    records = tuple(RoiRecord(f"r{i:03}", f"p{i // 2}", label=int(i % 3 == 0)) for i in range(n))
    dataset = RoiDataset("test", records, read)
    cohort = assemble(dataset, LabelRule())
    return dataset, cohort, make_splits(cohort, SplitRule(scheme="kfold", folds=3), 0)


class BySize:
    """Rates by the first column; remembers what it was given."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.threshold_ = 0.25

    def fit(self, X: np.ndarray, y: np.ndarray, groups: np.ndarray) -> None:
        assert len(X) == len(y) == len(groups)
        self.scale = X[:, 0].max()

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        p = np.clip(X[:, 0] / self.scale, 0, 1)
        return np.column_stack([1 - p, p])


class Silent:
    def update(self, task: str, done: float, total: float) -> None:
        assert 0 <= done <= total


def size(roi: Roi) -> dict[str, float]:
    return {"n": float(roi.mask.sum())}


def run(arms: list[Arm], extractors: dict[str, Any], build: Any = None, **kwargs: Any) -> Fits:
    dataset, cohort, splits = make()
    workers, progress = LocalWorkers(kwargs.get("jobs", 1)), kwargs.get("progress", Silent())
    extracted = extract(
        dataset, cohort.records, arms, extractors, workers=workers, progress=progress
    )
    threshold = kwargs.get("threshold", "train")
    bench = Bench(
        build or (lambda _, s: BySize(s)), 0, threshold, workers, progress,
        unavailable=kwargs.get("unavailable"),
    )  # fmt: skip
    fits = fit_and_test(extracted.tables, cohort, splits, arms, bench)
    return replace(
        fits,
        timings=[*extracted.timings, *fits.timings],
        failures=[*extracted.failures, *fits.failures],
    )


ARM = Arm("by_size", "size")


def test_every_roi_is_tested_once_by_every_arm() -> None:
    other = Arm("other", "size")
    results = run([ARM, other], {"size": size})
    for arm in (ARM, other):
        ids = [p["roi_id"] for p in results.predictions if p["model"] == arm.model]
        assert sorted(ids) == [f"r{i:03}" for i in range(60)]
    assert not results.failures
    assert {p["threshold"] for p in results.predictions} == {0.25}


def test_a_fixed_threshold_replaces_the_models_own() -> None:
    assert {p["threshold"] for p in run([ARM], {"size": size}, threshold=0.5).predictions} == {0.5}


def test_seeds_come_from_names_not_from_order() -> None:
    def seeds(arms: list[Arm]) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}

        def build(arm: Arm, seed: int) -> BySize:
            found.setdefault(arm.model, []).append(seed)
            return BySize(seed)

        run(arms, {"size": size}, build)
        return found

    a, b = Arm("a", "size"), Arm("b", "size")
    both = seeds([a, b])
    assert both == {"b": seeds([b])["b"], "a": seeds([a])["a"]}
    assert len({*both["a"], *both["b"]}) == 6


def test_models_are_fitted_on_training_patients_only() -> None:
    _, cohort, splits = make()
    seen: list[set[str]] = []

    class Spy(BySize):
        def fit(self, X: np.ndarray, y: np.ndarray, groups: np.ndarray) -> None:
            seen.append(set(groups.tolist()))
            super().fit(X, y, groups)

    run([ARM], {"size": size}, lambda _, s: Spy(s))
    patient_of = dict(zip(cohort.roi_ids.tolist(), cohort.patients.tolist(), strict=True))
    for patients, split in zip(seen, splits, strict=True):
        assert patients == {patient_of[i] for i in split.train}
        assert not patients & {patient_of[i] for i in split.test}


def test_a_failing_model_is_recorded_and_the_others_go_on() -> None:
    def build(arm: Arm, seed: int) -> BySize:
        if arm.model == "broken":
            raise RuntimeError("out of\nluck")
        return BySize(seed)

    results = run([Arm("broken", "size"), ARM], {"size": size}, build)
    assert [(f.model, f.fold, f.reason) for f in results.failures] == [
        ("broken", fold, "RuntimeError: out of luck") for fold in range(3)
    ]
    assert results.predictions == run([ARM], {"size": size}).predictions


def test_nan_predictions_are_a_failure() -> None:
    class Nan(BySize):
        def predict_proba(self, X: np.ndarray) -> np.ndarray:
            return np.full((len(X), 2), np.nan)

    results = run([ARM], {"size": size}, lambda _, s: Nan(s))
    assert len(results.failures) == 3
    assert "not finite" in results.failures[0].reason
    assert not results.predictions


def test_a_failing_roi_is_recorded_and_the_others_go_on() -> None:
    def fragile(roi: Roi) -> dict[str, float]:
        if roi.record.roi_id == "r007":
            raise ZeroDivisionError("r007")
        return size(roi)

    results = run([ARM], {"size": fragile})
    (failure,) = results.failures
    assert (failure.roi_id, failure.status, failure.stage) == ("r007", "failed", "extract")
    tested = sorted(row["roi_id"] for row in results.predictions)
    assert tested == [f"r{i:03}" for i in range(60) if i != 7]
    whole = {row["roi_id"]: row for row in run([ARM], {"size": size}).predictions}
    # Of folds that trained without it, as it was there to be tested in.
    _, _, splits = make()
    (fold,) = (split.fold for split in splits if "r007" in split.test)
    for row in results.predictions:
        if row["fold"] == fold:
            assert row == whole[row["roi_id"]]


def test_a_feature_set_that_the_data_cannot_give_is_skipped_with_its_reason() -> None:
    def unavailable(roi: Roi) -> dict[str, float]:
        raise UnavailableError("no ratings here")

    results = run([Arm("by_size", "ratings"), ARM], {"ratings": unavailable, "size": size})
    assert [(f.status, f.features, f.reason) for f in results.failures] == [
        ("skipped", "ratings", "no ratings here")
    ]
    assert results.predictions == run([ARM], {"size": size}).predictions


def test_an_arm_whose_model_cannot_be_built_here_is_skipped_with_its_reason() -> None:
    lost = Arm("by_size", "size", "lost", {"weights": "lost.weights.h5"})

    def why(arm: Arm) -> str:
        return "no such file" if "weights" in arm.settings else ""

    results = run([lost, ARM], {"size": size}, unavailable=why)
    assert [(f.status, f.arm, f.reason) for f in results.failures] == [
        ("skipped", "lost", "no such file")
    ]
    assert results.predictions == run([ARM], {"size": size}).predictions


def test_columns_that_differ_between_rois_are_a_failure() -> None:
    def uneven(roi: Roi) -> dict[str, float]:
        return {roi.record.roi_id: 1.0}

    results = run([ARM], {"size": uneven})
    assert "gives other columns for roi_id 'r001'" in results.failures[0].reason


@pytest.mark.parametrize("jobs", [1, 2])
def test_timings_and_parallel_extraction(jobs: int) -> None:
    results = run([ARM], {"size": size}, jobs=jobs)
    stages = [(t["stage"], t["n_rois"]) for t in results.timings]
    assert stages[0] == ("extract", 60)
    assert stages[1:] == [("fit", 40), ("predict", 20)] * 3
    assert all(t["seconds"] > 0 and t["device"] == "cpu" for t in results.timings)
    assert results.predictions == run([ARM], {"size": size}).predictions


def test_epochs_are_reported_and_kept() -> None:
    class Slow(BySize):
        def __init__(self, seed: int) -> None:
            super().__init__(seed)
            self.on_epoch: Any = None
            self.history_: list[dict[str, float]] = []

        def fit(self, X: np.ndarray, y: np.ndarray, groups: np.ndarray) -> None:
            super().fit(X, y, groups)
            self.history_ = [{"epoch": 1.0, "loss": 0.5}]
            self.on_epoch(1, 2)

    done: list[float] = []

    class Log:
        def update(self, task: str, at: float, total: float) -> None:
            if task == "Training":
                done.append(at)

    results = run([ARM], {"size": size}, lambda _, s: Slow(s), progress=Log())
    assert done == [0, 0.5, 1, 1, 1.5, 2, 2, 2.5, 3]
    assert [h["fold"] for h in results.epochs] == [0, 1, 2]


def test_choices_are_kept_with_their_arm_and_split(tmp_path: Path) -> None:
    class Choosy(BySize):
        def fit(self, X: np.ndarray, y: np.ndarray, groups: np.ndarray) -> None:
            super().fit(X, y, groups)
            found = {"setting": "trees", "value": "600", "edge": "highest"}
            self.choices_ = [found, {"setting": "calibration", "value": "none", "edge": ""}]

    def build(arm: Arm, seed: int) -> BySize:
        return Choosy(seed) if arm == ARM else BySize(seed)

    results = run([ARM, Arm("other", "size")], {"size": size}, build)
    CHOICE_TABLE.write(CHOICE_TABLE.frame(results.choices), tmp_path, "acquired")
    found = RunFolder(tmp_path).choices
    assert found is not None
    assert found[[*CHOICE_TABLE.columns]].to_numpy().tolist() == [
        ["by_size:size", "by_size", "size", 0, fold, *chosen]
        for fold in range(3)
        for chosen in (["trees", "600", "highest"], ["calibration", "none", ""])
    ]


def test_older_runs_have_no_choices(tmp_path: Path) -> None:
    assert RunFolder(tmp_path).choices is None


def together(models: list[Any], data: list[tuple[np.ndarray, ...]]) -> None:
    for model, one in zip(models, data, strict=True):
        model.fit(*one)
        model.was_together = len(models)


def test_arms_that_can_are_fitted_together() -> None:
    dataset, cohort, splits = make()
    workers = LocalWorkers(1)
    other = Arm("other", "size")
    shared = {"workers": workers, "progress": Silent()}
    tables = extract(dataset, cohort.records, [ARM], {"size": size}, **shared).tables
    built: list[BySize] = []

    def build(arm: Arm, seed: int) -> BySize:
        built.append(BySize(seed))
        return built[-1]

    bench = Bench(
        build, 0, "train", workers, Silent(),
        together=lambda arm: together if arm == ARM else None,
    )  # fmt: skip
    results = fit_and_test(tables, cohort, splits, [ARM, other], bench)
    assert [getattr(model, "was_together", 0) for model in built] == [3, 3, 3, 0, 0, 0]
    alone = run([ARM, other], {"size": size})
    assert results.predictions == alone.predictions
    assert [t["stage"] for t in results.timings] == [t["stage"] for t in alone.timings[1:]]


class FailsAlone(BySize):
    """Needs patient p0 to train on."""

    def fit(self, X: np.ndarray, y: np.ndarray, groups: np.ndarray) -> None:
        if "p0" not in groups:
            raise ValueError("p0 is not there")
        super().fit(X, y, groups)


def test_fits_that_fail_together_fail_or_succeed_alone() -> None:
    dataset, cohort, splits = make()
    workers = LocalWorkers(1)
    shared = {"workers": workers, "progress": Silent()}
    tables = extract(dataset, cohort.records, [ARM], {"size": size}, **shared).tables
    bench = Bench(
        lambda _, s: FailsAlone(s), 0, "train", workers, Silent(), together=lambda _: together
    )
    with pytest.warns(RuntimeWarning, match="is fitted one by one: ValueError: p0 is not there"):
        results = fit_and_test(tables, cohort, splits, [ARM], bench)
    (failure,) = results.failures
    assert (failure.stage, failure.reason) == ("fit", "ValueError: p0 is not there")
    alone = run([ARM], {"size": size}, lambda _, s: FailsAlone(s))
    assert results.predictions == alone.predictions
    assert len({p["fold"] for p in results.predictions}) == 2


def test_an_arm_that_is_fitted_together_is_recalled_as_a_whole(tmp_path: Path) -> None:
    dataset, cohort, splits = make()
    store = Store(tmp_path / "store")
    companies: list[int] = []

    def counted(models: list[Any], data: list[tuple[np.ndarray, ...]]) -> None:
        companies.append(len(models))
        together(models, data)

    def go(splits: list[Split]) -> RunCache:
        workers = LocalWorkers(1)
        # Keys name the file of a model and of a feature set: any that exist.
        arm = Arm("prior", "diameter")
        contents = {record.roi_id: record.roi_id for record in cohort.records}
        memory = RunCache(store, contents, {})
        tables = extract(
            dataset, cohort.records, [arm], {"diameter": size},
            workers=workers, progress=Silent(), cache=memory,
        ).tables  # fmt: skip
        bench = Bench(
            lambda _, s: BySize(s),
            0,
            "train",
            workers,
            Silent(),
            memory,
            together=lambda _: counted,
        )
        fit_and_test(tables, cohort, splits, [arm], bench)
        return memory

    go(splits[:2])
    assert companies == [2]
    assert (go(splits).fits.recalled, companies) == (0, [2, 3])  # not the third by itself
    assert (go(splits).fits.recalled, companies) == (3, [2, 3])
    assert (go(splits[1:]).fits.recalled, companies) == (0, [2, 3, 2])  # another company
    assert (go(splits[:2]).fits.recalled, companies) == (2, [2, 3, 2])


def test_a_model_without_a_threshold_is_a_failure() -> None:
    class Without(BySize):
        def fit(self, X: np.ndarray, y: np.ndarray, groups: np.ndarray) -> None:
            super().fit(X, y, groups)
            del self.threshold_

    results = run([ARM], {"size": size}, lambda _, s: Without(s))
    assert [f.stage for f in results.failures] == ["predict"] * 3
    assert "threshold_" in results.failures[0].reason


def test_which_arms_can_be_fitted_together() -> None:
    from benchmark.plugins.builder import fits_together
    from models.paper_cnn import fit_together

    assert fits_together(Arm("paper_cnn", "voxels2d_box")) is fit_together
    assert fits_together(Arm("logistic", "radiomics")) is None


def test_training_holds_each_fits_auc_on_its_own_training_rows() -> None:
    from sklearn.metrics import roc_auc_score

    _, cohort, splits = make()
    label_of = dict(zip(cohort.roi_ids.tolist(), cohort.labels.tolist(), strict=True))
    noisy = {i: label_of[i] + int(i[1:]) * 7 % 11 / 6 for i in label_of}

    def score(roi: Roi) -> dict[str, float]:
        return {"n": noisy[roi.record.roi_id]}

    results = run([ARM], {"size": score})
    expected = [
        roc_auc_score([label_of[i] for i in s.train], [noisy[i] for i in s.train]) for s in splits
    ]
    assert [(t["fold"], t["n_rois"]) for t in results.training] == [(0, 40), (1, 40), (2, 40)]
    assert [t["auc"] for t in results.training] == pytest.approx(expected, abs=1e-12)
    assert len({round(value, 6) for value in expected}) > 1
    tested = {s.fold: set(s.test) for s in splits}
    for row in results.predictions:
        assert row["roi_id"] in tested[row["fold"]]
        assert row["y_true"] == label_of[row["roi_id"]]
