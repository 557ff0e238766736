"""A scikit-learn pipeline, tuned and given a threshold on inner folds grouped by patient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models._threshold import youden_threshold
from models._training import Floats, check_inputs, check_training, inner_splits, two_columns

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

    from models._shap import Contributions


class TunedClassifier:
    """Grid search by ROC AUC over inner folds, a refit, and a threshold from the same folds.

    The probabilities that the threshold is chosen on are out-of-fold ones of the chosen
    setting. Scaling and selection are steps of the pipeline, so they too see only the rows
    that a fold fits on.

    Parameters
    ----------
    pipeline : sklearn.pipeline.Pipeline
        Unfitted, and left so: copies of it are fitted.
    grid : mapping of str to sequence
        Values of the pipeline's parameters, simplest first: the first of equals is taken.
        Empty: nothing is tuned.
    folds : int
        Inner folds, fewer where patients are few (see ``inner_splits``).
    seed : int
        Of the inner folds; the pipeline has its own.
    jobs : int
        Processes; it changes the time and nothing else.
    platt : bool
        For estimators with a ``decision_function`` and no sound ``predict_proba`` (SVC):
        Platt's sigmoid, fitted on the out-of-fold decision values.

    Attributes
    ----------
    threshold_ : float
        On P(malignant), see ``youden_threshold``.
    settings_ : dict
        The chosen values of the grid.
    """

    threshold_: float
    settings_: dict[str, Any]

    def __init__(
        self,
        pipeline: Pipeline,
        grid: Mapping[str, Sequence[object]],
        *,
        folds: int,
        seed: int,
        jobs: int,
        platt: bool = False,
    ) -> None:
        self.pipeline = pipeline
        self.grid = grid
        self.folds = folds
        self.seed = seed
        self.jobs = jobs
        self.platt = platt

    def fit(self, X: NDArray[Any], y: NDArray[Any], groups: NDArray[Any]) -> None:
        """Tune, choose the threshold and refit on all rows.

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
        from sklearn.model_selection import GridSearchCV, cross_val_predict
        from threadpoolctl import threadpool_limits

        check_training(X, y, groups, ndim=2)
        splits = inner_splits(y, groups, self.folds, self.seed)
        method = "decision_function" if self.platt else "predict_proba"
        # One thread everywhere: sums in another order could settle a tie otherwise, and
        # results would depend on `jobs` and on the machine's number of cores.
        with (
            threadpool_limits(1),
            parallel_config("loky", n_jobs=self.jobs, inner_max_num_threads=1),
        ):
            search = GridSearchCV(
                self.pipeline,
                {name: list(values) for name, values in self.grid.items()},
                scoring="roc_auc",
                cv=splits,
                error_score="raise",
            ).fit(X, y)
            held_out = cross_val_predict(search.best_estimator_, X, y, cv=splits, method=method)
        self._fitted: Pipeline = search.best_estimator_
        self._columns = X.shape[1]
        self.settings_ = dict(search.best_params_)
        if self.platt:
            self._sigmoid = fit_platt(held_out, y)
            self.threshold_ = youden_threshold(y, apply_platt(held_out, self._sigmoid))
        else:
            self.threshold_ = youden_threshold(y, held_out[:, 1].astype(np.float64))

    def predict_proba(self, X: NDArray[Any]) -> Floats:
        """Probabilities of benign and malignant, shape (n, 2), of rows of shape (n, p)."""
        from threadpoolctl import threadpool_limits

        self._check_columns(X)
        with threadpool_limits(1):
            if self.platt:
                return two_columns(apply_platt(self._fitted.decision_function(X), self._sigmoid))
            return two_columns(self._fitted.predict_proba(X)[:, 1])

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
            return _shap.explain(self._fitted, X, background, self._sigmoid if self.platt else None)

    def _check_columns(self, X: NDArray[Any]) -> None:
        check_inputs(X, ndim=2)
        if X.shape[1] != self._columns:
            raise ValueError(f"X has {X.shape[1]} columns; the model was fitted on {self._columns}")


def fit_platt(decision: Floats, y: NDArray[Any]) -> tuple[float, float]:
    """Slope and intercept of the sigmoid that maps decision values to P(malignant).

    The labels are softened to (n1 + 1) / (n1 + 2) and 1 / (n0 + 2), which keeps the slope
    finite where the classes separate. Source: Platt 1999, "Probabilistic outputs for support
    vector machines", section 2.2. The decision values must be out-of-fold ones.
    """
    from sklearn.linear_model import LogisticRegression

    n_malignant = int((y == 1).sum())
    n_benign = len(y) - n_malignant
    soft = np.where(y == 1, (n_malignant + 1) / (n_malignant + 2), 1 / (n_benign + 2))
    # Scaled for the optimiser, whose tolerance is absolute; a soft label is two weighted rows.
    scale = float(np.std(decision)) or 1.0
    fitted = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000).fit(
        np.tile(decision / scale, 2)[:, None],
        np.repeat([1, 0], len(y)),
        sample_weight=np.concatenate([soft, 1 - soft]),
    )
    return float(fitted.coef_[0, 0]) / scale, float(fitted.intercept_[0])


def apply_platt(decision: Floats, sigmoid: tuple[float, float]) -> Floats:
    """P(malignant), shape (n,), of decision values by a slope and an intercept."""
    from scipy.special import expit

    slope, intercept = sigmoid
    return np.asarray(expit(slope * decision + intercept), dtype=np.float64)
