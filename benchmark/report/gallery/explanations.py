"""Why a run's models said what they said: heat maps and SHAP values, without retraining.

A nodule is explained by the model of the fold that tested it, on the columns that the run kept or
on images made again, and only where that model gives the very score that the run stored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark.cohort.splits import Split
from benchmark.columns import EXPLANATION_TABLE
from benchmark.plugins import registry
from benchmark.plugins.arms import Arm
from benchmark.plugins.builder import extractors
from benchmark.plugins.contracts import Model
from benchmark.report.wording.method_warnings import rated_arms
from benchmark.run import stored_models
from benchmark.run.extraction import extract
from benchmark.run.folder import RunFolder
from benchmark.run.inputs import Material
from benchmark.run.results import FeatureTable, stored_inputs
from benchmark.runtime.failures import describe_error
from benchmark.runtime.progress import Progress
from benchmark.runtime.seeds import derive_seed
from benchmark.runtime.workers import LocalWorkers

SAMPLE = 100
"""ROIs, evenly spaced by id, for the summary (those tested) and the background (the others)."""

SAME_SCORE = 1e-3
"""A float32 network differs by less than this between backends and devices."""

DRAWS = 3
"""Networks of shuffled weights that heat maps are compared with."""

HARDLY_CHANGED = 0.5
"""Rank correlation with maps of shuffled weights above which the maps are not to be trusted."""


@runtime_checkable
class ShowsHeat(Protocol):
    """A model of images that can say where it looks."""

    def heat_maps(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """Maps of at least 0, shape of X without channels."""

    def randomised_rank_correlation(
        self, X: NDArray[Any], *, draws: int, seed: int
    ) -> NDArray[np.float64]:
        """Likeness of each map to those of shuffled weights; NaN for blank maps."""


class Contributions(Protocol):
    """``base + values.sum(axis=1)`` is ``output``, in ``unit``."""

    base: float
    values: NDArray[np.float64]
    output: NDArray[np.float64]
    unit: str


@runtime_checkable
class ShowsContributions(Protocol):
    """A model of columns that can say what each adds."""

    def contributions(self, X: NDArray[Any], background: NDArray[Any]) -> Contributions:
        """Explain rows X against background rows."""


@dataclass(frozen=True, eq=False)
class HeatMap:
    """Image of a nodule, shape (..., channels), and where a network found malignancy in it."""

    image: NDArray[np.float32]
    heat: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Bars:
    """Contribution of each feature to one nodule's output."""

    columns: tuple[str, ...]
    values: NDArray[np.float64]
    base: float
    output: float
    unit: str


@dataclass(frozen=True, eq=False)
class Sanity:
    """The check by shuffled weights of an arm's heat maps.

    Attributes
    ----------
    arm : Arm
    correlations : ndarray
        One a nodule whose map is not blank.
    """

    arm: Arm
    correlations: NDArray[np.float64]

    @property
    def mean(self) -> float:
        """NaN where every map is blank."""
        return float(self.correlations.mean()) if self.correlations.size else float("nan")

    @property
    def warning(self) -> str:
        """Warning of maps that hardly depend on what was learnt; else empty."""
        if not self.mean > HARDLY_CHANGED:
            return ""
        return (
            f"{self.arm}: heat maps hardly change when the weights are shuffled (rank correlation "
            f"{self.mean:.2f}); they show the picture rather than what was learnt from pictures"
        )


@dataclass(eq=False)
class Explanations:
    """Explanations of the nodules asked for, by name of the arm and ROI id.

    ``notes`` says what is missing and why.
    """

    heat_maps: dict[tuple[str, str], HeatMap] = field(default_factory=dict)
    bars: dict[tuple[str, str], Bars] = field(default_factory=dict)
    summary: pd.DataFrame = field(default_factory=EXPLANATION_TABLE.frame)
    sanity: list[Sanity] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def explain(
    run: RunFolder,
    material: Material,
    roi_ids: Sequence[str],
    jobs: int,
    progress: Progress,
    *,
    trust: bool,
    explained: Callable[[Arm, Explanations], None] | None = None,
) -> Explanations:
    """Explain nodules by every arm that can explain itself.

    Parameters
    ----------
    run : RunFolder
    material : Material
        The dataset that the run was made on.
    roi_ids : sequence of str
        Tested in repeat 0.
    jobs : int
    progress : Progress
    trust : bool
        Load models that are not this user's own, which runs their code.
    explained : callable, optional
        Called with each arm once it is explained, and with what is known by then.
    """
    found = Explanations()
    if not stored_models.has_models(run.path):
        found.notes.append("the run kept no models (keep_models), so there are no explanations")
        return found
    splits = [split for split in run.splits if split.repeat == 0]
    arms = [arm for arm in run.arms if len(arm.feature_sets) == 1]
    try:
        if not trust:
            stored_models.refuse_unsigned(run.path, arms, [split.fold for split in splits])
    except stored_models.UnsignedError as error:
        found.notes.append(
            f"no explanations: {error}, and loading a stored model runs the code in it; if you "
            "trust who made the run folder, report with --trust"
        )
        return found
    sampled = _evenly(sorted(material.cohort.roi_ids.tolist()), SAMPLE)

    kept = ((name, stored_inputs(frame)) for name, frame in run.features.items())
    made = {**{name: t for name, t in kept if t is not None}, **material.feature_tables}

    def features(
        chosen: Sequence[Arm], ids: Sequence[str], workers: LocalWorkers
    ) -> dict[str, FeatureTable]:
        wanted = set(ids)
        records = [r for r in material.cohort.records if r.roi_id in wanted]
        extracted = extract(
            material.dataset, records, chosen, extractors(chosen, made),
            workers=workers, progress=progress, made=made,
        )  # fmt: skip
        found.notes += [f"{f.features} of '{f.roi_id}': {f.reason}" for f in extracted.failures]
        return extracted.tables

    silent, done = [arm for arm in run.arms if arm not in arms], 0
    # A network's backend takes seconds to import: what others say is drawn meanwhile.
    for group in ([arm for arm in arms if not _has_device(arm)], list(filter(_has_device, arms))):
        models = {arm: _load(run, arm, splits, found, trust=trust) for arm in group}
        seeing, adding, others = _by_kind(models)
        silent += others
        if not roi_ids:
            seeing = []  # the check of heat maps is made on the nodules shown
        # Images of a few nodules are made here: workers may be busy with drawing.
        tables = features(seeing, roi_ids, LocalWorkers(1))
        tables |= features(adding, [*roi_ids, *sampled], LocalWorkers(jobs))
        for arm in [*adding, *seeing]:  # the quicker ones first
            progress.update("Explaining", done, len(arms))
            done += 1
            explainer = _Explainer(run, arm, models[arm], splits, found)
            try:
                if arm in seeing:
                    explainer.look(tables[arm.features], roi_ids)
                else:
                    explainer.add_up(tables[arm.features], roi_ids, sampled)
            except Exception as error:  # any model may raise anything; the note says what
                found.notes.append(f"{arm} is not explained: {describe_error(error)}")
            if explained is not None:
                explained(arm, found)
    progress.update("Explaining", len(arms), len(arms))
    rated = rated_arms(run)
    if told := [str(arm) for arm in run.arms if arm in silent and arm in rated]:
        found.notes.append(
            f"there are neither heat maps nor SHAP values of models such as {', '.join(told)}"
        )
    return found


def _has_device(arm: Arm) -> bool:
    """True where the model's module says where it is trained, as a network's does."""
    try:
        return registry.load_model(arm.model).device is not None
    except ValueError:
        return False  # what is wrong with it is said of its stored models


def _by_kind(
    models: Mapping[Arm, Mapping[int, Model]],
) -> tuple[list[Arm], list[Arm], list[Arm]]:
    """Arms whose models show heat, arms whose models add up features, and arms of neither."""
    example = {arm: next(iter(by_fold.values())) for arm, by_fold in models.items() if by_fold}
    seeing = [arm for arm, model in example.items() if isinstance(model, ShowsHeat)]
    adding = [arm for arm, model in example.items() if isinstance(model, ShowsContributions)]
    return seeing, adding, [arm for arm in example if arm not in (*seeing, *adding)]


def _load(
    run: RunFolder, arm: Arm, splits: Sequence[Split], found: Explanations, *, trust: bool
) -> dict[int, Model]:
    """The arm's models by fold; none where one of them is missing."""
    models = {}
    for split in splits:
        try:
            model = stored_models.load(run.path, arm, split.fold, trust=trust)
        except ValueError as error:
            found.notes.append(f"{arm} is not explained: {error}")
            return {}
        if model is None:
            found.notes.append(f"{arm} is not explained: fold {split.fold} has no stored model")
            return {}
        models[split.fold] = model
    return models


@dataclass(frozen=True, eq=False)
class _Explainer:
    run: RunFolder
    arm: Arm
    models: dict[int, Any]
    splits: Sequence[Split]
    found: Explanations

    def look(self, table: FeatureTable, roi_ids: Sequence[str]) -> None:
        """Heat maps of the nodules, and the check of them."""
        correlations = [np.empty(0)]
        for split in self.splits:
            ids = self._tested(split, table, roi_ids)
            if not ids:
                continue
            model, X = self.models[split.fold], _rows(table, ids)
            self._check_scores(model, X, ids)
            for roi_id, image, heat in zip(ids, X, model.heat_maps(X), strict=True):
                self.found.heat_maps[self.arm.name, roi_id] = HeatMap(image, heat)
            seed = derive_seed(self.run.config["seed"], "shuffled", str(self.arm), split.fold)
            correlations.append(model.randomised_rank_correlation(X, draws=DRAWS, seed=seed))
        joined = np.concatenate(correlations)
        self.found.sanity.append(Sanity(self.arm, joined[~np.isnan(joined)]))

    def add_up(self, table: FeatureTable, roi_ids: Sequence[str], sampled: Sequence[str]) -> None:
        """SHAP values of the nodules, and their mean size over the sample."""
        sizes, units = [], set()
        for split in self.splits:
            shown = self._tested(split, table, roi_ids)
            summed = self._tested(split, table, sampled)
            trained = set(split.train)
            background = [i for i in sampled if i in trained and i in table.rows]
            ids = list(dict.fromkeys([*shown, *summed]))
            if not ids or not background:
                continue
            model, X = self.models[split.fold], _rows(table, ids)
            self._check_scores(model, X, ids)
            told: Contributions = model.contributions(X, _rows(table, background))
            units.add(told.unit)
            for row, roi_id in enumerate(ids):
                if roi_id in summed:
                    sizes.append(np.abs(told.values[row]))
                if roi_id in shown:
                    self.found.bars[self.arm.name, roi_id] = Bars(
                        table.columns, told.values[row], told.base, float(told.output[row]),
                        told.unit,
                    )  # fmt: skip
        if sizes:
            rows = pd.DataFrame({"feature": table.columns, "mean_abs_shap": np.mean(sizes, axis=0)})
            rows = rows.assign(**self.arm.columns, unit=units.pop(), n_rois=len(sizes))
            ranked = rows.sort_values("mean_abs_shap", ascending=False, kind="stable")
            known = [self.found.summary] if len(self.found.summary) else []
            self.found.summary = pd.concat(
                [*known, ranked[EXPLANATION_TABLE.columns]], ignore_index=True
            )

    def _tested(self, split: Split, table: FeatureTable, ids: Sequence[str]) -> list[str]:
        tested = set(split.test)
        return [roi_id for roi_id in ids if roi_id in tested and roi_id in table.rows]

    def _check_scores(self, model: Model, X: NDArray[Any], ids: Sequence[str]) -> None:
        """Refuse to explain a model that does not give the scores that the run stored."""
        stored = self.run.predictions
        stored = stored[(stored.arm == self.arm.name) & (stored["repeat"] == 0)].set_index("roi_id")
        off = np.abs(model.predict_proba(X)[:, 1] - stored.y_prob.loc[list(ids)].to_numpy())
        if not off.max() <= SAME_SCORE:
            raise ValueError(
                f"the stored model gives roi_id '{ids[int(off.argmax())]}' another score than the "
                f"run stored (by {off.max():.2g}); run it again with these package versions"
            )


def _rows(table: FeatureTable, ids: Sequence[str]) -> NDArray[Any]:
    return np.asarray(table.values)[[table.rows[roi_id] for roi_id in ids]]


def _evenly(ids: Sequence[str], most: int) -> list[str]:
    if len(ids) <= most:
        return list(ids)
    return [ids[i] for i in np.linspace(0, len(ids) - 1, most).round().astype(int)]
