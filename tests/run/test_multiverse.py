"""The multiverse: which universes there are, what they share, and what re-scoring does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest

from benchmark.cohort.labels import LabelRule
from benchmark.cohort.splits import SplitRule
from benchmark.columns import MULTIVERSE_TABLE
from benchmark.config import Bootstrap, Config, Multiverse
from benchmark.plugins.arms import Arm
from benchmark.roi import Roi, RoiDataset, RoiRecord
from benchmark.run import folder, multiverse
from benchmark.run.loop import Bench, fit_and_test
from benchmark.run.results import FeatureTable
from benchmark.runtime.workers import LocalWorkers
from benchmark.statistics import scoring
from tests.helpers.command_line import invoke, refused
from tests.helpers.volumes import WriteManifest

RATINGS = [
    (1, 2, 2),
    (4, 5, 4),
    (3, 3, 4),
    (3, 3, 2),
    (2, 2, 4),
    (5, 4, 2),
    (1, 1),
    (5, 5),
    (3, 3, 3),
]
ARMS = [Arm("size_only", "size"), Arm("noise", "size")]
CONFIG = Config(
    arms=("size_only:size",), splits=SplitRule(scheme="kfold", folds=3),
    bootstrap=Bootstrap(samples=100),
    multiverse=Multiverse(min_readers=(2, 3)),
)  # fmt: skip


def read(record: RoiRecord) -> Roi:
    raise AssertionError("features are handed in")


def dataset(n: int = 120, *, labels: bool = False) -> RoiDataset:
    """Two ROIs a patient; their ratings go through ``RATINGS`` over and over."""
    rows = []
    for i in range(n):
        ratings = RATINGS[i % len(RATINGS)]
        what = {"label": i % 2} if labels else {"malignancy_ratings": ratings}
        rows.append(RoiRecord(f"r{i:03}", f"p{i // 2:03}", **what))
    return RoiDataset("made", tuple(rows), read)


class Counting:
    """Predicts its single feature; the class counts how often it was fitted, on what."""

    fits: ClassVar[list[tuple[int, int]]] = []
    threshold_ = 0.5

    def fit(self, X: np.ndarray, y: np.ndarray, groups: np.ndarray) -> None:
        Counting.fits.append((len(y), int(y.sum())))

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        return np.column_stack([1 - X[:, 0], X[:, 0]])


class Silent:
    def update(self, task: str, done: float, total: float) -> None:
        pass


def explore(
    of: RoiDataset, config: Config = CONFIG
) -> tuple[list[multiverse.Universe], pd.DataFrame, pd.DataFrame]:
    every, skipped = multiverse.universes(of, config)
    assert not skipped
    own = next(u for u in every if u.own)
    everything = [*own.cohort.records, *multiverse.further_records(every, own.cohort)]
    rng = np.random.default_rng(0)
    noise = {r.roi_id: rng.uniform(0, 0.6) for r in of.records}
    means = {r.roi_id: np.mean(r.malignancy_ratings or (3,)) for r in of.records}
    table = FeatureTable(
        {r.roi_id: i for i, r in enumerate(everything)},
        np.array([[(means[r.roi_id] - 1) / 10 + noise[r.roi_id]] for r in everything]),
    )
    bench = Bench(lambda arm, seed: Counting(), config.seed, "train", LocalWorkers(1), Silent())
    run = fit_and_test({"size": table}, own.cohort, own.splits, ARMS, bench)
    Counting.fits.clear()
    scores, predictions, failures = multiverse.explore(
        every, run, {"size": table}, ARMS, bench, config
    )
    assert not failures
    return every, scores, predictions


def test_every_combination_and_the_runs_own() -> None:
    every, _ = multiverse.universes(dataset(), CONFIG)
    assert len({tuple(u.factors.values()) for u in every}) == len(every) == 2 * 2 * 3 * 2
    (own,) = [u for u in every if u.own]
    assert (own.label, own.rule) == (CONFIG.label, CONFIG.splits)
    outside = replace(CONFIG, label=LabelRule(min_readers=1))
    assert len(multiverse.universes(dataset(), outside)[0]) == (2 * 2 * 3 + 1) * 2


@pytest.mark.parametrize(
    ("changed", "named"),
    [({"test_dataset": "elsewhere"}, "--test-dataset"),
     ({"splits": SplitRule(scheme="given")}, "splits.scheme = given")],
)  # fmt: skip
def test_no_universes_without_splits_to_draw(changed: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=f"{named} leaves none to draw"):
        multiverse.universes(dataset(), replace(CONFIG, **changed))


def test_given_labels_leave_the_split_alone_to_vary() -> None:
    every, _ = multiverse.universes(dataset(labels=True), CONFIG)
    assert [(u.factors["aggregation"], u.rule.scheme) for u in every] == [
        ("given", "kfold"), ("given", "holdout"),
    ]  # fmt: skip


def test_a_universe_equals_a_run_of_its_own() -> None:
    """Scored by hand from a run configured that way."""
    every, scores, _ = explore(dataset())
    label, rule = LabelRule("mean", 2, "malignant"), SplitRule(scheme="holdout", folds=3)
    alone = replace(CONFIG, label=label, splits=rule)
    (number,) = [n for n, u in enumerate(every) if (u.label, u.rule) == (label, rule)]
    _, scores_alone, _ = explore(dataset(), alone)
    ours = scores[(scores.universe == number) & (scores.models == multiverse.TRAINED)]
    theirs = scores_alone[scores_alone.own]
    columns = ["model", "auc", "ci_low", "lift", "lift_high", "rank", "n_rois", "n_malignant"]
    pd.testing.assert_frame_equal(
        ours[columns].reset_index(drop=True), theirs[columns].reset_index(drop=True)
    )


def test_universes_that_come_to_the_same_share_their_fits() -> None:
    """Without two-reader nodules, a minimum of 2 and one of 3 are one universe."""
    three = tuple(r for r in dataset().records if len(r.malignancy_ratings) == 3)
    every, scores, _ = explore(RoiDataset("three", three, read))
    assert len(every) == 24
    # 12 distinct ones, the own one done already; k-fold fits 3 times and hold-out once, an arm.
    # Re-scoring makes the own 3 fits again.
    assert len(Counting.fits) == len(ARMS) * (5 * 3 + 6 * 1 + 3)
    pairs = scores[scores.models == multiverse.TRAINED].groupby(
        ["aggregation", "indeterminate", "scheme", "model"]
    )
    assert pairs.auc.min().equals(pairs.auc.max())


def test_the_runs_models_are_rescored_on_other_labels_only() -> None:
    every, scores, predictions = explore(dataset())
    own = next(n for n, u in enumerate(every) if u.own)
    rescored = predictions[predictions.models == multiverse.RESCORED]
    of_run = predictions[(predictions.universe == own)].set_index(["model", "roi_id"])
    assert own not in set(rescored.universe)
    for number, rows in rescored.groupby("universe"):
        cohort = every[number].cohort
        labels = dict(zip(cohort.roi_ids.tolist(), cohort.labels.tolist(), strict=True))
        assert rows.y_true.tolist() == [labels[i] for i in rows.roi_id]
        # A k-fold tests every ROI of every rule once, those that the run left out as well.
        assert sorted(rows[rows.model == "noise"].roi_id) == sorted(labels)
        known = rows[rows.roi_id.isin(every[own].cohort.roi_ids)]
        theirs = of_run.loc[list(zip(known.model, known.roi_id, strict=True))]
        assert known.y_prob.tolist() == theirs.y_prob.tolist()
        assert known.fold.tolist() == theirs.fold.tolist()
    trained = {(f.train, f.fold) for f in every[own].splits}
    assert len(trained) == 3
    assert set(scores[scores.models == multiverse.RESCORED].scheme) == {"kfold"}


@pytest.mark.parametrize("scheme", ["kfold", "holdout"])
def test_no_rescored_roi_is_of_a_patient_that_was_trained_on(scheme: str) -> None:
    config = replace(CONFIG, splits=SplitRule(scheme=scheme, folds=3))
    every, _, predictions = explore(dataset(), config)
    own = next(u for u in every if u.own)
    patient_of = {r.roi_id: r.patient_id for r in dataset().records}
    rescored = predictions[predictions.models == multiverse.RESCORED]
    for split in own.splits:
        trained = {patient_of[i] for i in split.train}
        assert not trained & set(rescored[rescored.fold == split.fold].patient_id)


def test_what_cannot_run_is_skipped_with_its_reason() -> None:
    few = RoiDataset("few", dataset(12).records, read)
    every, skipped = multiverse.universes(few, replace(CONFIG, splits=SplitRule(scheme="kfold")))
    assert skipped
    assert len(every) + len(skipped) == 24
    assert all(failure.status == "skipped" for failure in skipped)
    assert "this split makes" in skipped[0].reason


def test_from_the_command_line(
    write_manifest: WriteManifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change = {i: {"malignancy_ratings": "3 3 3"} for i in (3, 6, 9)}
    root = write_manifest(40, labels=False, change=change)
    out = tmp_path / "run"
    arguments = ["--models", "size_only,logistic", "--jobs", "1", "--set", "bootstrap.samples=200"]
    spanned = ["--set", "multiverse.min_readers=[3]", "--set", 'multiverse.aggregation=["mean"]']
    assert invoke("run", "--dataset", root, "--out", out, "--multiverse", *arguments, *spanned) == 0
    run = folder.read_run(out)
    assert run.multiverse is not None
    table = run.multiverse
    assert list(table.columns) == [*MULTIVERSE_TABLE.columns, "intensities"]
    assert set(table.indeterminate) == {"drop", "benign", "malignant"}
    report = (out / "report.md").read_text()
    assert "Multiverse: mean AUC by choice" in report
    assert "re-scored" in report

    # The own row is the run's own score, and every row can be made from the stored predictions.
    own = table[table.own & (table.models == multiverse.TRAINED)].set_index("model")
    auc = run.metrics[run.metrics.metric == "auc"].set_index("model")
    assert own.auc.to_dict() == auc.value.to_dict()
    assert own.ci_low.to_dict() == auc.ci_low.to_dict()
    stored = pd.read_parquet(out / "multiverse.parquet")
    row = table[(table.models == multiverse.RESCORED) & (table.model == "logistic")].iloc[0]
    frame = stored[
        (stored.universe == row.universe) & (stored.models == row.models)
        & (stored.model == row.model) & (stored.features == row.features)
    ]  # fmt: skip
    again = scoring.resample(scoring.cases(frame), Bootstrap(200), 0, ["auc"])["auc"]
    assert again.value == row.auc
    capsys.readouterr()
    others = {i: {"roi_id": f"q{i}", "patient_id": f"q{i}"} for i in range(24)}
    elsewhere = write_manifest(24, labels=False, change=others, folder="elsewhere")
    message = refused(
        capsys, "run", "--dataset", root, "--test-dataset", elsewhere, "--multiverse",
        "--out", tmp_path / "no",
    )  # fmt: skip
    assert "--test-dataset leaves none to draw" in message
