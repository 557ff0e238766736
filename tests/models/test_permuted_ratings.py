"""Leakage: on ratings dealt out to other patients, models that learn from ratings are at .5."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from benchmark.cohort.labels import LabelRule, assemble
from benchmark.cohort.splits import SplitRule, make_splits
from benchmark.config import Bootstrap
from benchmark.plugins import registry
from benchmark.plugins.arms import Arm
from benchmark.plugins.builder import Builder
from benchmark.roi import Roi, RoiDataset, RoiRecord
from benchmark.run.loop import Bench, fit_and_test
from benchmark.run.results import FeatureTable
from benchmark.run.supervision import records_to_extract
from benchmark.runtime.progress import Progress
from benchmark.runtime.workers import LocalWorkers
from benchmark.statistics.scoring import score

SEEDS = range(5)
ARMS = [
    Arm(name, features, supervision=registry.load_model(name).supervision)
    for name, features in (
        ("soft_svr", "few"), ("soft_ridge", "few"), ("soft_trees", "few"),
        ("soft_svr", "few+many"), ("blend", "few+many"),
    )
]  # fmt: skip


class Silent(Progress):
    def update(self, task: str, done: float, total: float) -> None:
        """Nobody watches."""


def read(record: RoiRecord) -> Roi:
    raise AssertionError("features are given")


def auc_of(seed: int, *, permuted: bool) -> pd.DataFrame:
    """AUC of every arm on 240 patients of one to three nodules, a third of them left out.

    Nodules of a patient resemble each other in features and ratings, as real ones do, so that a
    patient on both sides would show.
    """
    rng = np.random.default_rng(seed)
    patient = np.repeat(np.arange(240), rng.integers(1, 4, 240))
    kind = rng.integers(1, 6, 240)[patient]
    own = rng.normal(size=(240, 30))[patient]
    few = own + 0.3 * rng.normal(size=own.shape)
    few[:, 0] += kind
    many = np.repeat(few, 4, axis=1) + 0.5 * rng.normal(size=(len(few), 120))
    dealt = rng.permutation(240)[patient] if permuted else patient
    rating = dict(zip(patient.tolist(), kind.tolist(), strict=True))
    records = tuple(
        RoiRecord(f"r{i}", f"p{p}", None, (rating[d],) * 3, attributes={})
        for i, (p, d) in enumerate(zip(patient.tolist(), dealt.tolist(), strict=True))
    )
    cohort = assemble(RoiDataset("permuted", records, read), LabelRule())
    kept = records_to_extract(cohort, ARMS)
    place = {record.roi_id: int(record.roi_id[1:]) for record in kept}
    tables = {
        name: FeatureTable(place, values, tuple(map(str, range(values.shape[1]))))
        for name, values in (("few", few), ("many", many))
    }
    few_trees = {"soft_trees": {"trees": 30}, "blend": {"trees": 30, "inner_folds": 3}}
    bench = Bench(Builder(few_trees, 1), seed, "train", LocalWorkers(1), Silent())
    splits = make_splits(cohort, SplitRule("kfold", folds=5), seed)
    fits = fit_and_test(tables, cohort, splits, ARMS, bench)
    assert not fits.failures
    found = score(fits.prediction_table, Bootstrap(500), seed)
    return found[found.metric == "auc"].assign(seed=seed)


@pytest.mark.simulation
def test_permuted_ratings_give_an_auc_of_a_half() -> None:
    found = pd.concat([auc_of(seed, permuted=True) for seed in SEEDS])
    print(found[["seed", "arm", "value", "ci_low", "ci_high"]].to_string(index=False))
    # One interval in twenty misses, or a few more: of 25, five or more hardly ever do.
    outside = (found.ci_low > 0.5) | (found.ci_high < 0.5)
    assert outside.sum() < 5
    # Three standard errors of a mean over seeds. One AUC spreads by .06, measured over 60 other
    # seeds of soft_ridge (mean .502): by more than its interval says, which takes fits as given.
    assert (found.groupby("arm").value.mean() - 0.5).abs().max() < 3 * 0.06 / len(SEEDS) ** 0.5


@pytest.mark.simulation
def test_the_same_nodules_with_their_own_ratings_are_told_apart() -> None:
    found = auc_of(0, permuted=False)
    assert found.value.min() > 0.85
