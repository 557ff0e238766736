"""Regressions on the readers' mean rating, summed by fitted weights, calibrated to P(malignant).

The label of a nodule keeps of its ratings only which side of 3 they lie on. Here regressions learn
the mean rating itself, also of training patients' nodules that the label rule leaves out.

Whatever is chosen or fitted on scores - a regression's setting, the weights of a sum, the sigmoid,
the threshold - rests on scores of labelled nodules by regressions of other patients.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models._calibration import apply_platt, fit_platt
from models._normal_columns import Inputs, NormalColumns, Tables, as_tables, rows_of
from models._ratings import NO_LABEL, LearnFrom, Readings, folds_of_labelled, targets
from models._tabular import Options
from models._threshold import youden_threshold
from models._training import Floats, Indices, check_rows, check_training, two_columns

Folds = Sequence[tuple[Indices, Indices]]


@dataclass(frozen=True)
class Regression:
    """A regression, and the setting of it that inner folds choose.

    Attributes
    ----------
    name : str
    estimator : object
        Of scikit-learn, unfitted; copies of it are fitted.
    options : Options, optional
        Values of one setting; the one with the least squared error in the inner folds is taken.
    """

    name: str
    estimator: Any
    options: Options | None = None

    def variants(self) -> list[Any]:
        """The estimator, unfitted, with each value of its setting."""
        if self.options is None:
            return [deepcopy(self.estimator)]
        name, values = self.options.parameter, self.options.values
        return [deepcopy(self.estimator).set_params(**{name: value}) for value in values]


class SoftModel:
    """A sum of regressions on mean ratings, with a calibrated output.

    Parameters
    ----------
    regressions : sequence of Regression
    seed : int
        Of the inner folds.
    inner_folds : int
    learn_from : {"ratings+left_out", "ratings", "labels"}
    apart : bool
        Fit each regression on each feature set by itself, instead of on all columns together.

    Attributes
    ----------
    threshold_ : float
        On P(malignant), see ``youden_threshold``.
    choices_ : list of dict
        Settings that were chosen and, of a sum, its weights, as ``ReportsChoices`` states.
    """

    threshold_: float
    choices_: list[dict[str, str]]

    def __init__(
        self,
        regressions: Sequence[Regression],
        *,
        seed: int,
        inner_folds: int,
        learn_from: LearnFrom,
        apart: bool = False,
    ) -> None:
        self.regressions = regressions
        self.seed = seed
        self.inner_folds = inner_folds
        self.learn_from = learn_from
        self.apart = apart

    def fit(self, X: Inputs, y: NDArray[Any], groups: NDArray[Any], *, readings: Readings) -> None:
        """Fit the regressions on all rows; weights, sigmoid and threshold on labelled ones.

        Parameters
        ----------
        X : ndarray, shape (n, p), or mapping of str to such arrays
            Features of one set, or of several by name.
        y : ndarray, shape (n,)
            0 benign, 1 malignant, ``NO_LABEL`` where the label rule leaves the ROI out.
        groups : ndarray, shape (n,)
            Patient ids.
        readings : Readings
            At least one rating of each row.

        Raises
        ------
        ValueError
            For data that cannot be learnt from or split into two inner folds.
        """
        from threadpoolctl import threadpool_limits

        tables = as_tables(X)
        labelled = np.flatnonzero(y != NO_LABEL)
        for table in tables.values():
            check_rows(table, y, groups, ndim=2)
            check_training(table[labelled], y[labelled], groups[labelled], ndim=2)
        rows, target, weight = targets(readings, y, self.learn_from)
        tables, y, groups = rows_of(tables, rows), y[rows], groups[rows]
        target, weight = target[rows], weight[rows]
        folds = folds_of_labelled(y, groups, self.inner_folds, self.seed)
        together = [(name,) for name in tables] if self.apart else [tuple(tables)]
        # One thread, so that sums do not depend on the number of cores.
        with threadpool_limits(1):
            grouped = [
                self._parts({name: tables[name] for name in names}, y, target, weight, folds)
                for names in together
            ]
        self._fitted = [
            (each[0].columns, {part.name: part.regression for part in each}) for each in grouped
        ]
        parts = [part for each in grouped for part in each]
        self.choices_ = [part.choice for part in parts if part.choice]
        labelled = np.flatnonzero(y != NO_LABEL)
        scores = self._sum(parts, y, target, weight, folds)[labelled]
        self._sigmoid = fit_platt(scores, y[labelled])
        self.threshold_ = youden_threshold(y[labelled], apply_platt(scores, self._sigmoid))

    def predict_proba(self, X: Inputs) -> Floats:
        """Probabilities of benign and malignant, shape (n, 2), of rows as in ``fit``."""
        scores = np.column_stack(list(self.part_scores(X).values()))
        return two_columns(apply_platt(scores @ self._weights, self._sigmoid))

    def part_scores(self, X: Inputs) -> dict[str, Floats]:
        """Outputs of each regression, shape (n,), on the scale of ratings, by its name."""
        from threadpoolctl import threadpool_limits

        tables = as_tables(X)
        with threadpool_limits(1):
            return {
                name: regression.predict(given)
                for columns, regressions in self._fitted
                for given in [columns.transform(tables)]
                for name, regression in regressions.items()
            }

    def _parts(
        self, tables: Tables, y: NDArray[Any], target: Floats, weight: Floats, folds: Folds
    ) -> list[_Part]:
        """Each regression on some feature sets: fitted, with its scores of rows held out."""
        variants = [regression.variants() for regression in self.regressions]
        held_out = [np.full((len(each), len(y)), np.nan) for each in variants]
        for fitted, tested in folds:
            columns = NormalColumns().fit(rows_of(tables, fitted))
            seen, unseen = (columns.transform(rows_of(tables, r)) for r in (fitted, tested))
            for scores, each in zip(held_out, variants, strict=True):
                for line, estimator in zip(scores, each, strict=True):
                    estimator.fit(seen, target[fitted], sample_weight=weight[fitted])
                    line[tested] = estimator.predict(unseen)
        known = y != NO_LABEL
        columns = NormalColumns().fit(tables)
        whole = columns.transform(tables)
        found = []
        for regression, scores, each in zip(self.regressions, held_out, variants, strict=True):
            errors = np.average((scores - target)[:, known] ** 2, axis=1, weights=weight[known])
            best = int(np.argmin(errors))
            fitted_whole = each[best].fit(whole, target, sample_weight=weight)
            name = f"{regression.name} on {'+'.join(tables)}" if self.apart else regression.name
            choice = _choice(name, regression.options, best)
            found.append(_Part(name, columns, fitted_whole, scores[best], choice))
        return found

    def _sum(
        self, parts: Sequence[_Part], y: NDArray[Any], target: Floats, weight: Floats, folds: Folds
    ) -> Floats:
        """Fit the weights; sums of rows held out, NaN elsewhere, by weights of other rows."""
        held_out = np.column_stack([part.held_out for part in parts])
        labelled = y != NO_LABEL
        if len(parts) == 1:
            self._weights = np.ones(1)
            return held_out[:, 0]
        found = np.full(len(y), np.nan)
        for _, tested in folds:
            others = labelled.copy()
            others[tested] = False
            found[tested] = held_out[tested] @ _weights(held_out, target, weight, others)
        self._weights = _weights(held_out, target, weight, labelled)
        for part, value in zip(parts, self._weights, strict=True):
            setting = f"weight of {part.name}"
            self.choices_.append({"setting": setting, "value": f"{value:.3f}", "edge": ""})
        return found


@dataclass(frozen=True, eq=False)
class _Part:
    """A regression on some feature sets.

    Attributes
    ----------
    name : str
    columns : NormalColumns
    regression : object
        Fitted on all rows.
    held_out : ndarray, shape (n,)
        Scores by regressions of other patients; NaN of rows without a label.
    choice : dict
        As ``ReportsChoices`` states; empty where nothing was chosen.
    """

    name: str
    columns: NormalColumns
    regression: Any
    held_out: Floats
    choice: dict[str, str]


def _weights(held_out: Floats, target: Floats, weight: Floats, rows: NDArray[np.bool_]) -> Floats:
    """Weights of a sum, none below 0, by least squares to the ratings (Breiman 1996, "Stacked
    regressions"); plain means where none of the scores rises with the ratings."""
    from scipy.optimize import nnls

    w = weight[rows]
    scores, wanted = held_out[rows], target[rows]
    scores = scores - np.average(scores, axis=0, weights=w)
    wanted = wanted - np.average(wanted, weights=w)
    root = np.sqrt(w)
    found, _ = nnls(scores * root[:, None], wanted * root)
    return np.asarray(found) if found.any() else np.full(len(found), 1 / len(found))


def _choice(name: str, options: Options | None, best: int) -> dict[str, str]:
    if options is None or len(options.values) == 1:
        return {}
    value = options.values[best]
    return {
        "setting": f"{options.parameter} of {name}", "value": f"{value:g}",
        "edge": options.edge(value),
    }  # fmt: skip
