"""Leakage: on ratings dealt out to other patients, every model that learns is at an AUC of .5."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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
from benchmark.runtime.paths import ROOT
from benchmark.runtime.progress import Progress
from benchmark.runtime.workers import LocalWorkers
from benchmark.statistics.scoring import score

SEEDS = range(5)
SPREAD = 0.06  # of one AUC over 60 other seeds of soft_ridge (mean .502)


@dataclass(frozen=True)
class Case:
    """Arms that are fitted together, and the settings that keep them short."""

    arms: tuple[tuple[str, str], ...]
    settings: dict[str, dict[str, Any]]
    folds: int = 2

    @property
    def named(self) -> list[Arm]:
        return [
            Arm(name, features, supervision=registry.load_model(name).supervision)
            for name, features in self.arms
        ]


CASES = {
    "regressions": Case(
        (
            ("soft_svr", "few"), ("soft_ridge", "few"), ("soft_trees", "few"),
            ("soft_svr", "few+many"), ("blend", "few+many"),
        ),
        {"soft_trees": {"trees": 30}, "blend": {"trees": 30, "inner_folds": 3}},
        folds=5,
    ),
    "planes": Case(
        (
            ("cct", "planes"), ("vit", "planes"), ("conv_attention", "planes"),
            ("multitask", "planes"), ("transfer", "planes"),
        ),
        {
            "cct": {"epochs": 10},
            "vit": {"epochs": 24, "blocks": 1, "learning_rate": 0.003},
            "conv_attention": {"epochs": 6},
            "multitask": {"epochs": 6},
            "transfer": {"pretraining_epochs": 6, "epochs": 6},
        },
    ),
    "cubes": Case(
        (
            ("dense3d", "cubes"), ("shortcut3d", "cubes"),
            ("checkpoint_ensemble", "cubes"), ("cmixnet", "cubes"),
        ),
        {
            "dense3d": {"blocks": (1,), "epochs": 10},
            "shortcut3d": {"blocks": (1,), "epochs": 10},
            "checkpoint_ensemble": {"blocks": (1,), "epochs": 10},
            "cmixnet": {"blocks": (1,), "epochs": 10},
        },
    ),
    "graphs": Case(
        (("fusion_rgd", "planes+clear"), ("population_graph", "clear")),
        {"fusion_rgd": {"epochs": 14}, "population_graph": {"inner_folds": 2}},
    ),
}  # fmt: skip


class Silent(Progress):
    def update(self, task: str, done: float, total: float) -> None:
        """Nobody watches."""


def read(record: RoiRecord) -> Roi:
    raise AssertionError("features are given")


def pictures(shown: Any, patient: Any, rng: Any, sides: tuple[int, ...]) -> Any:
    """Noise around a blob that ``shown`` brightens, and a pattern of the patient's own.

    Shape (n, *sides, 1), in [0, 1].
    """
    own = 0.1 * rng.normal(size=(patient.max() + 1, *sides))[patient]
    noise = 0.1 * rng.normal(size=own.shape)
    middle = tuple(slice(side // 4, -side // 4) for side in sides)
    made = 0.4 + own + noise
    made[(slice(None), *middle)] += (0.08 * (shown - 3)).reshape(-1, *(1 for _ in sides))
    return np.clip(made, 0, 1).astype(np.float32)[..., None]


def auc_of(case: Case, seed: int, *, permuted: bool) -> pd.DataFrame:
    """AUC of every arm on 240 patients of one to three nodules, a fifth of them left out.

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
        RoiRecord(
            f"r{i}", f"p{p}", None, (rating[d],) * 3, attributes={"spiculation": f"{rating[d]} 2"}
        )
        for i, (p, d) in enumerate(zip(patient.tolist(), dealt.tolist(), strict=True))
    )
    arms = case.named
    cohort = assemble(RoiDataset("permuted", records, read), LabelRule())
    kept = records_to_extract(cohort, arms)
    place = {record.roi_id: int(record.roi_id[1:]) for record in kept}
    values = {
        "few": few,
        "many": many,
        "clear": few + kind[:, None],
        "planes": pictures(kind, patient, rng, (32, 32)),
        "cubes": pictures(kind, patient, rng, (16, 16, 16)),
    }
    tables = {
        name: FeatureTable(place, table, tuple(map(str, range(table.shape[1] * (table.ndim == 2)))))
        for name, table in values.items()
    }
    bench = Bench(Builder(case.settings, 1), seed, "train", LocalWorkers(1), Silent())
    splits = make_splits(cohort, SplitRule("kfold", folds=case.folds), seed)
    fits = fit_and_test(tables, cohort, splits, arms, bench)
    assert not fits.failures
    found = score(fits.prediction_table, Bootstrap(500), seed)
    return found[found.metric == "auc"].assign(seed=seed)


@pytest.mark.simulation
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", CASES)
def test_permuted_ratings_give_an_auc_of_a_half(name: str) -> None:
    found = pd.concat([auc_of(CASES[name], seed, permuted=True) for seed in SEEDS])
    print(found[["seed", "arm", "value", "ci_low", "ci_high"]].to_string(index=False))
    # One interval in twenty misses, or a few more: of 25, five or more hardly ever do. One AUC
    # spreads by more than its interval says, which takes fits as given.
    outside = (found.ci_low > 0.5) | (found.ci_high < 0.5)
    assert outside.mean() < 0.2
    # Three standard errors of a mean over seeds.
    assert (found.groupby("arm").value.mean() - 0.5).abs().max() < 3 * SPREAD / len(SEEDS) ** 0.5


@pytest.mark.simulation
@pytest.mark.parametrize("name", CASES)
def test_the_same_nodules_with_their_own_ratings_are_told_apart(name: str) -> None:
    found = auc_of(CASES[name], 0, permuted=False)
    print(found[["arm", "value", "ci_low", "ci_high"]].to_string(index=False))
    assert found.value.min() > 0.85


def test_every_model_that_learns_is_among_them() -> None:
    """Models of the first edition learn from labels alone, as ``logistic`` does."""
    tried = {name for case in CASES.values() for name, _ in case.arms}
    first = {"prior", "size_only", "logistic", "svm", "random_forest", "xgb", "paper_cnn"}
    assert tried | first == {p.stem for p in (ROOT / "models").glob("[!_]*.py")}
