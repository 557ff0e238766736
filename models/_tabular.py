"""A scikit-learn pipeline: tuning, calibration and threshold on inner folds grouped by patient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from models._calibration import (
    IDENTITY,
    Sigmoid,
    apply_platt,
    at_whole_prevalence,
    choose_sigmoid,
    fit_platt,
)
from models._threshold import youden_threshold
from models._training import (
    Floats,
    Indices,
    check_inputs,
    check_training,
    inner_splits,
    two_columns,
)

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

    from models._shap import Contributions

SHARE_CLIP = 1e-6
"""Votes are kept this far from 0 and 1 before their log-odds are taken: a forest says 0."""

Setting = tuple[float, ...]
"""A value of each setting of a grid, in its order."""


@dataclass(frozen=True)
class Options:
    """Values of one setting to choose from.

    Attributes
    ----------
    parameter : str
        Of the pipeline's last step.
    values : sequence of float
        Simplest first: the first of equals is taken.
    natural_ends : tuple of float
        Values that no wider grid would go beyond, such as a leaf of one ROI.
    unlimited : float, optional
        The value that sets no limit, which is the highest whatever its number.
    staged : bool
        True for a number of boosted trees: the model with most trees is asked for its first ones,
        so that all values cost one fit.
    """

    parameter: str
    values: Sequence[float]
    natural_ends: tuple[float, ...] = ()
    unlimited: float | None = None
    staged: bool = False

    def edge(self, chosen: float) -> str:
        """``lowest`` or ``highest`` where the chosen value ends a grid that could go on."""
        limits = [value for value in self.values if value != self.unlimited]
        if chosen in self.natural_ends or chosen not in limits:
            return ""
        if chosen == max(limits) and len(limits) == len(self.values):
            return "highest"
        return "lowest" if chosen == min(limits) else ""


class TunedClassifier:
    """Grid search by ROC AUC over inner folds, a calibration, a threshold, and a refit.

    All three are chosen on out-of-fold scores: the setting by its mean AUC over the folds, the
    calibration and the threshold on the scores of that setting. Steps before the last are
    fitted once a fold and never look at a setting; they too see only the rows that a fold fits on.

    Parameters
    ----------
    pipeline : sklearn.pipeline.Pipeline
        Unfitted, and left so: copies of it are fitted. Settings are those of its last step.
    grid : mapping of str to Options
        By the name of the setting. Empty: nothing is tuned.
    folds : int
        Inner folds, fewer where patients are few (see ``inner_splits``).
    seed : int
        Of the inner folds; the pipeline has its own.
    jobs : int
        Processes; it changes the time and nothing else.
    calibration : {"chosen", "platt", "none"}
        ``chosen`` takes Platt's sigmoid of the log-odds where it beats none (see
        ``choose_sigmoid``); ``platt`` always takes it, for estimators with a
        ``decision_function`` and no sound ``predict_proba`` (SVC).
    while_searching : mapping of str to object, optional
        Parameters of the last step that make the search cheaper; the chosen setting is then
        scored once more without them.

    Attributes
    ----------
    threshold_ : float
        On P(malignant), see ``youden_threshold``.
    choices_ : list of dict
        The chosen value of each setting with several values, and the calibration where it is
        chosen, as ``ReportsChoices`` states.
    """

    threshold_: float
    choices_: list[dict[str, str]]

    def __init__(
        self,
        pipeline: Pipeline,
        grid: Mapping[str, Options],
        *,
        folds: int,
        seed: int,
        jobs: int,
        calibration: Literal["chosen", "platt", "none"] = "chosen",
        while_searching: Mapping[str, object] | None = None,
    ) -> None:
        self.pipeline = pipeline
        self.grid = grid
        self.folds = folds
        self.seed = seed
        self.jobs = jobs
        self.calibration = calibration
        self.while_searching = while_searching or {}

    def fit(self, X: NDArray[Any], y: NDArray[Any], groups: NDArray[Any]) -> None:
        """Tune, calibrate, choose the threshold, and refit on all rows.

        Parameters
        ----------
        X : ndarray, shape (n, p)
            Finite; constant and duplicate columns do no harm.
        y : ndarray, shape (n,)
            0 benign, 1 malignant.
        groups : ndarray, shape (n,)
            Patient ids; a patient's rows stay together in the inner folds.

        Raises
        ------
        ValueError
            For data that cannot be learnt from or split into two inner folds.
        """
        from joblib import parallel_config
        from sklearn.base import clone
        from threadpoolctl import threadpool_limits

        check_training(X, y, groups, ndim=2)
        splits = inner_splits(y, groups, self.folds, self.seed)
        # One thread everywhere: sums in another order could settle a tie otherwise, and
        # results would depend on `jobs` and on the machine's number of cores.
        with (
            threadpool_limits(1),
            parallel_config("loky", n_jobs=self.jobs, inner_max_num_threads=1),
        ):
            chosen, held_out = self._search(X, y, splits)
            whole = clone(self.pipeline)
            whole[-1].set_params(**self._parameters(chosen))
            self._fitted: Pipeline = whole.fit(X, y)
        self._columns = X.shape[1]
        self._sigmoid = self._calibrate(held_out, y, groups, splits)
        self.threshold_ = youden_threshold(y, apply_platt(held_out, self._sigmoid))
        self.choices_ = self._choices(chosen)

    def predict_proba(self, X: NDArray[Any]) -> Floats:
        """Probabilities of benign and malignant, shape (n, 2), of rows of shape (n, p)."""
        from threadpoolctl import threadpool_limits

        self._check_columns(X)
        with threadpool_limits(1):
            for _, step in self._fitted.steps[:-1]:
                X = step.transform(X)
            scores = log_odds(self._fitted[-1], X)
        return two_columns(apply_platt(scores, self._sigmoid))

    def contributions(self, X: NDArray[Any], background: NDArray[Any]) -> Contributions:
        """SHAP: what each column of X, shape (n, p), adds to each row's output.

        Parameters
        ----------
        X : ndarray, shape (n, p)
        background : ndarray, shape (m, p)
            Training rows that stand for not knowing a column.

        Raises
        ------
        ValueError
            For another number of columns than fitted, and where values do not add up.
        """
        from threadpoolctl import threadpool_limits

        from models import _shap

        for rows in (X, background):
            self._check_columns(rows)
        with threadpool_limits(1):
            return _shap.explain(self._fitted, X, background, self._sigmoid)

    def _search(
        self, X: NDArray[Any], y: NDArray[Any], splits: Sequence[tuple[Indices, Indices]]
    ) -> tuple[Setting, Floats]:
        """The setting with the best mean AUC over the folds, and its out-of-fold scores."""
        from sklearn.metrics import roc_auc_score

        settings = list(product(*(options.values for options in self.grid.values())))
        sides = [_prepared(self.pipeline, X, y, *split) for split in splits]
        held_out = [tested for _, tested in splits]
        scores = self._out_of_fold(settings, sides, held_out, self.while_searching)
        aucs = [[roc_auc_score(y[rows], each[rows]) for rows in held_out] for each in scores]
        best = int(np.argmax(np.mean(aucs, axis=1)))
        found = scores[best]
        if self.while_searching:
            found = self._out_of_fold([settings[best]], sides, held_out, {})[0]
        if self.calibration != "platt":  # decision values are no log-odds
            found = at_whole_prevalence(found, y, splits)
        return settings[best], found

    def _out_of_fold(
        self,
        settings: Sequence[Setting],
        sides: Sequence[_Side],
        held_out: Sequence[Indices],
        others: Mapping[str, object],
    ) -> Floats:
        """Log-odds of every row by a model of other patients, one line a setting."""
        from joblib import Parallel, delayed
        from sklearn.base import clone

        served: dict[Setting, list[int]] = {}
        for number, setting in enumerate(settings):
            served.setdefault(self._most_trees(setting), []).append(number)
        last = self.pipeline[-1]
        found = iter(
            Parallel()(
                delayed(_fit_and_score)(
                    clone(last).set_params(**self._parameters(most), **others),
                    side,
                    [self._trees(settings[number]) for number in numbers],
                )
                for most, numbers in served.items()
                for side in sides
            )
        )
        scores = np.empty((len(settings), sum(map(len, held_out))))
        for numbers in served.values():
            for rows in held_out:
                scores[np.ix_(np.array(numbers), rows)] = next(found)
        return scores

    def _parameters(self, setting: Setting) -> dict[str, float]:
        names = (options.parameter for options in self.grid.values())
        return dict(zip(names, setting, strict=True))

    def _most_trees(self, setting: Setting) -> Setting:
        """The setting whose model holds that of this one."""
        pairs = zip(self.grid.values(), setting, strict=True)
        return tuple(max(o.values) if o.staged else value for o, value in pairs)

    def _trees(self, setting: Setting) -> int:
        """How many trees of a model to ask; 0 asks all."""
        pairs = zip(self.grid.values(), setting, strict=True)
        return next((int(value) for options, value in pairs if options.staged), 0)

    def _calibrate(
        self,
        held_out: Floats,
        y: NDArray[Any],
        groups: NDArray[Any],
        splits: Sequence[tuple[Indices, Indices]],
    ) -> Sigmoid:
        if self.calibration == "none":
            return IDENTITY
        if self.calibration == "platt":
            return fit_platt(held_out, y)
        return choose_sigmoid(held_out, y, groups, splits)

    def _choices(self, chosen: Setting) -> list[dict[str, str]]:
        found = [
            {"setting": name, "value": f"{value:g}", "edge": options.edge(value)}
            for (name, options), value in zip(self.grid.items(), chosen, strict=True)
            if len(options.values) > 1
        ]
        if self.calibration == "chosen":
            taken = "none" if self._sigmoid == IDENTITY else "platt"
            found.append({"setting": "calibration", "value": taken, "edge": ""})
        return found

    def _check_columns(self, X: NDArray[Any]) -> None:
        check_inputs(X, ndim=2)
        if X.shape[1] != self._columns:
            raise ValueError(f"X has {X.shape[1]} columns; the model was fitted on {self._columns}")


_Side = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]
"""Rows to fit on, their labels, and rows held out, as a pipeline's last step is given them."""


def _prepared(
    pipeline: Pipeline, X: NDArray[Any], y: NDArray[Any], fitted: Indices, held_out: Indices
) -> _Side:
    from sklearn.base import clone

    rows, others = X[fitted], X[held_out]
    for _, step in pipeline.steps[:-1]:
        fresh = clone(step).fit(rows, y[fitted])
        rows, others = fresh.transform(rows), fresh.transform(others)
    return rows, y[fitted], others


def _fit_and_score(model: Any, side: _Side, trees: Sequence[int]) -> list[Floats]:
    """Log-odds of the rows held out, by each of the numbers of trees."""
    rows, y, held_out = side
    model.fit(rows, y)
    return [log_odds(model, held_out, each) for each in trees]


def log_odds(model: Any, X: NDArray[Any], trees: int = 0) -> Floats:
    """Log-odds of malignancy, shape (n,), by an estimator; decision values of an SVC.

    Votes v of a forest become log-odds of ``SHARE_CLIP + (1 - 2 SHARE_CLIP) v``, which keeps
    their order. Of boosted trees the first ``trees`` are asked, or all.
    """
    from scipy.special import logit

    if hasattr(model, "get_booster"):
        margin = model.predict(X, output_margin=True, iteration_range=(0, trees))
        return np.asarray(margin, np.float64)
    if hasattr(model, "decision_function"):
        return np.asarray(model.decision_function(X), np.float64)
    votes = model.predict_proba(X)[:, 1]
    return np.asarray(logit(SHARE_CLIP + (1 - 2 * SHARE_CLIP) * votes), np.float64)
