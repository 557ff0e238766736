"""Extremely randomised trees on the readers' mean rating, calibrated to P(malignant).

As ``soft_svr``, with trees (Geurts, Ernst & Wehenkel, Machine Learning 2006;63:3). Nothing is
tuned.
"""

from __future__ import annotations

from models._ratings import LearnFrom
from models._rules import Count, Folds
from models._soft import SoftModel
from models._soft_regressions import extra_trees

FEATURES = "radiomics_filtered"
SUPERVISION = "ratings+left_out"


def build(
    seed: int,
    *,
    jobs: int = 1,
    trees: Count = 100,
    min_samples_leaf: Count = 5,
    inner_folds: Folds = 5,
    learn_from: LearnFrom = "ratings+left_out",
) -> SoftModel:
    """Extremely randomised trees; a split looks at the root of the number of columns.

    Parameters
    ----------
    seed : int
        Of the trees and of the inner folds, which serve sigmoid and threshold only.
    jobs : int
        Changes nothing.
    trees : int
    min_samples_leaf : int
        Smallest leaf, ROIs.
    inner_folds : int
    learn_from : {"ratings+left_out", "ratings", "labels"}
        As in ``soft_svr``.
    """
    return SoftModel(
        [extra_trees(seed, trees, min_samples_leaf)],
        seed=seed, inner_folds=inner_folds, learn_from=learn_from,
    )  # fmt: skip
