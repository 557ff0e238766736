"""Support vector regression on the readers' mean rating, calibrated to P(malignant).

The label of a nodule keeps of its ratings only which side of 3 they lie on. Here the regression
learns the mean rating itself, also of training patients' nodules that the label rule leaves out.
Its output becomes a probability by Platt's sigmoid, and a decision by a threshold, both fitted on
the out-of-fold outputs of labelled nodules. Nothing is tuned: penalty, tube and weights are those
of one earlier measurement on the same collection.
"""

from __future__ import annotations

from models._ratings import LearnFrom
from models._rules import AtLeastZero, Folds, Positive
from models._soft import SoftModel
from models._soft_regressions import support_vectors

FEATURES = "radiomics_filtered"
SUPERVISION = "ratings+left_out"


def build(
    seed: int,
    *,
    jobs: int = 1,
    C: Positive = 0.3,
    epsilon: AtLeastZero = 0.2,
    inner_folds: Folds = 5,
    learn_from: LearnFrom = "ratings+left_out",
) -> SoftModel:
    """Columns made normal by their quantiles, standardised; RBF support vector regression.

    A row weighs the square root of its number of readers.

    Parameters
    ----------
    seed : int
        Of the inner folds, which serve sigmoid and threshold only.
    jobs : int
        Changes nothing.
    C : float
        Inverse penalty.
    epsilon : float
        Half width, in units of the rating scale, of the tube in which errors cost nothing.
    inner_folds : int
    learn_from : {"ratings+left_out", "ratings", "labels"}
        ``ratings`` leaves out nodules without a label; ``labels`` takes 2 for the rating of a
        benign nodule and 4 for that of a malignant one.
    """
    return SoftModel(
        [support_vectors(C, epsilon)], seed=seed, inner_folds=inner_folds, learn_from=learn_from
    )
