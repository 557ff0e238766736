"""A weighted sum of the soft models on each of several feature sets, calibrated to P(malignant).

Support vector, ridge and tree regressions on the readers' mean rating, each fitted on each feature
set by itself. The weights of the sum, none below 0, are fitted to the ratings on scores out of the
inner folds; sigmoid and threshold rest on sums whose weights were fitted on the other folds.
"""

from __future__ import annotations

from models._ratings import LearnFrom
from models._rules import AtLeastZero, Count, Folds, Positive, Positives
from models._soft import SoftModel
from models._soft_regressions import extra_trees, ridge, support_vectors

FEATURES = ("radiomics_filtered", "imagenet2d")
SUPERVISION = "ratings+left_out"


def build(
    seed: int,
    *,
    jobs: int = 1,
    C: Positive = 0.3,
    epsilon: AtLeastZero = 0.2,
    alpha: Positives = (10000.0, 3000.0, 1000.0, 300.0),
    trees: Count = 100,
    min_samples_leaf: Count = 5,
    inner_folds: Folds = 5,
    learn_from: LearnFrom = "ratings+left_out",
) -> SoftModel:
    """The sum of ``soft_svr``, ``soft_ridge`` and ``soft_trees`` on each feature set.

    Parameters
    ----------
    seed : int
        Of the trees and of the inner folds.
    jobs : int
        Changes nothing.
    C, epsilon, alpha, trees, min_samples_leaf, inner_folds, learn_from
        As in those models.
    """
    return SoftModel(
        [support_vectors(C, epsilon), ridge(alpha), extra_trees(seed, trees, min_samples_leaf)],
        seed=seed, inner_folds=inner_folds, learn_from=learn_from, apart=True,
    )  # fmt: skip
