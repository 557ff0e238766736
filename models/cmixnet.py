"""3D mixed link networks with gradient boosting, after CMixNet (Nasrullah et al.).

Nasrullah et al. 2019 (Sensors 19:3722) report on LIDC-IDRI, by 10 folds of patients, a
sensitivity of .94 and a specificity of .91, probably with clinical data in the decision. That is no
AUC, and neither nodules nor label rule are known to be ours. Blocks and widths could not be
verified, so none of this is a reproduction. Ours:

- The mixed link layer is that of MixNet (Wang et al. 2018, arXiv:1802.01808): an inner and an
  outer link, each BN-ReLU-1(4 k)-BN-ReLU-3(k), k1 = k2 = 12, inner links at the last channels;
  three blocks of four, with stem, transitions, end, augmentation and training of ``dense3d`` and
  its deviations. .5 million parameters.
- Detection of nodules, and clinical data, are left out.
- Boosting is XGBoost with trees of depth 1 or 2, as many as inner folds choose, as in ``xgb``; it
  sees the 92 means that the network's last layer is given, and nothing else.

**Boosters never see features of nodules that their network was fitted on**, which are better
separated than any others. (DeepLung, a close relative, fits them on such features.) Training
patients are split into inner folds. A network is trained on all folds but one, a booster on its
features of that one; a nodule that is tested goes through each of these pairs, and the
probabilities are averaged. Channels of two networks have nothing to do with each other, so neither
are features of several networks mixed in one table, nor is a booster given those of a network
refitted on all patients: between fit and test there is no shift but that of other patients. The
price is that each network learns from one half of the training patients, and its booster from the
other: two inner folds, as three would take twice as long.

A booster's threshold is chosen on inner folds of its own half; the model's is their mean. There
are no heat maps: Grad-CAM needs a gradient, and trees have none.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models import xgb
from models._backend import device, load_keras
from models._keras import VOLUMES, KerasClassifier
from models._nets3d import linked_blocks, network
from models._rules import AtLeastZero, Count, Counts, Depths, Folds, Positive
from models._tabular import TunedClassifier
from models._training import Floats, check_training, inner_splits

__all__ = ["FEATURES", "SUPERVISION", "build", "device"]

FEATURES = "voxels3d"
SUPERVISION = "labels"

K1 = K2 = 12


class Boosted:
    """Pairs of a network and of a booster of its features, on inner folds by patient.

    Parameters
    ----------
    network : callable
        Given ``seed``, a network that is not fitted.
    booster : callable
        Given a seed, a booster that is not fitted.
    folds : int
        Pairs; fewer where patients are few (see ``inner_splits``).
    seed : int
        Of the inner folds; network and booster of pair i get seed + i.

    Attributes
    ----------
    threshold_ : float
        Mean of the boosters'.
    history_ : list of dict
        As of one network, each value the mean over the networks.
    choices_ : list of dict
        Of the boosters, numbered from 1.
    on_epoch : callable or None
        Called with epochs done and their total, of all networks.
    """

    threshold_: float
    device_: str
    choices_: list[dict[str, str]]

    def __init__(
        self,
        network: Callable[..., KerasClassifier],
        booster: Callable[[int], TunedClassifier],
        *,
        folds: int,
        seed: int,
    ) -> None:
        self.network = network
        self.booster = booster
        self.folds = folds
        self.seed = seed
        self.on_epoch: Callable[[int, int], None] | None = None
        self.history_: list[dict[str, float]] = []

    def fit(self, X: NDArray[Any], y: NDArray[Any], groups: NDArray[Any]) -> None:
        """Train each network on its folds, and its booster on the features of the one left out.

        Parameters and errors are those of ``KerasClassifier.fit`` and ``TunedClassifier.fit``.
        """
        check_training(X, y, groups, ndim=VOLUMES)
        splits = inner_splits(y, groups, self.folds, self.seed)
        self._pairs: list[tuple[KerasClassifier, TunedClassifier]] = []
        for i, (fitted, held_out) in enumerate(splits):
            network, booster = self.network(seed=self.seed + i), self.booster(self.seed + i)
            network.on_epoch = partial(self._tell, i, len(splits))
            network.fit(X[fitted], y[fitted], groups[fitted])
            network.on_epoch = None  # whoever watches is not stored with the model
            booster.fit(network.deep_features(X[held_out]), y[held_out], groups[held_out])
            self._pairs.append((network, booster))
        networks, boosters = zip(*self._pairs, strict=True)
        self.device_ = networks[0].device_
        self.threshold_ = float(np.mean([booster.threshold_ for booster in boosters]))
        self.history_ = [
            {name: float(np.mean([epoch[name] for epoch in epochs])) for name in epochs[0]}
            for epochs in zip(*(network.history_ for network in networks), strict=True)
        ]
        self.choices_ = [
            choice | {"setting": f"{choice['setting']} {number}"}
            for number, booster in enumerate(boosters, 1)
            for choice in booster.choices_
        ]

    def predict_proba(self, X: NDArray[Any]) -> Floats:
        """Mean of the pairs' probabilities of benign and malignant, shape (n, 2)."""
        found = [
            booster.predict_proba(network.deep_features(X)) for network, booster in self._pairs
        ]
        return np.asarray(np.mean(found, axis=0))

    def _tell(self, before: int, n_networks: int, done: int, total: int) -> None:
        if self.on_epoch is not None:
            self.on_epoch(before * total + done, n_networks * total)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"on_epoch": None}


def build(
    seed: int,
    *,
    jobs: int = 1,
    blocks: Counts = (4, 4, 4),
    epochs: Count = 20,
    batch_size: Count = 16,
    learning_rate: Positive = 0.001,
    augment: bool = True,
    class_weights: bool = True,
    trees: Counts = (15, 30, 60, 100, 150, 200, 300, 400),
    max_depth: Depths = (1, 2),
    min_child_weight: AtLeastZero = 1.0,
    inner_folds: Folds = 2,
) -> Boosted:
    """The networks, their training, and their boosters.

    Parameters
    ----------
    seed : int
        Of all that is random: inner folds, networks, boosters.
    jobs : int
        Processes for the boosters' search.
    blocks : tuple of int
        Mixed link layers of each block.
    epochs, batch_size, learning_rate, augment, class_weights
        As for ``dense3d.build``.
    trees, max_depth : tuple of int
    min_child_weight : float
        As for ``xgb.build``; branches may be lighter, as each booster sees half of the nodules.
    inner_folds : int
        Pairs of network and booster.
    """
    load_keras()  # here, so that no import falls into a timed fit
    body = partial(linked_blocks, blocks=blocks, k1=K1, k2=K2)
    settings: dict[str, Any] = {
        "make_network": partial(network, body=body, augment=augment),
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "class_weights": class_weights,
        "validation_fraction": 0.0,  # nothing is made of the network's own scores
    }
    return Boosted(
        partial(KerasClassifier, **settings),
        partial(
            xgb.build,
            jobs=jobs,
            trees=trees,
            max_depth=max_depth,
            min_child_weight=min_child_weight,
        ),
        folds=inner_folds,
        seed=seed,
    )
