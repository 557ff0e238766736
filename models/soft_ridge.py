"""Ridge regression on the readers' mean rating, calibrated to P(malignant).

As ``soft_svr``, with a linear regression. The penalty is chosen by the squared error of
the rating in the inner folds.
"""

from __future__ import annotations

from models._ratings import LearnFrom
from models._rules import Folds, Positives
from models._soft import SoftModel
from models._soft_regressions import ridge

FEATURES = "radiomics_filtered"
SUPERVISION = "ratings+left_out"


def build(
    seed: int,
    *,
    jobs: int = 1,
    alpha: Positives = (10000.0, 3000.0, 1000.0, 300.0),
    inner_folds: Folds = 5,
    learn_from: LearnFrom = "ratings+left_out",
) -> SoftModel:
    """Columns made normal by their quantiles, standardised; ridge regression.

    Parameters
    ----------
    seed : int
        Of the inner folds.
    jobs : int
        Changes nothing.
    alpha : tuple of float
        Penalties to choose from, the smoothest first.
    inner_folds : int
    learn_from : {"ratings+left_out", "ratings", "labels"}
        As in ``soft_svr``.
    """
    return SoftModel([ridge(alpha)], seed=seed, inner_folds=inner_folds, learn_from=learn_from)
