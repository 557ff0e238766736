"""A 3D DenseNet after Jung et al.: three dense blocks of four layers, .4 million parameters.

Jung et al. 2018 (BMC Med Imaging 18:48) tell nodules from other candidates in LUNA16's reduction of
false positives, by 3D networks with shortcut and with dense connections and by an ensemble of
checkpoints; they report a CPM of .91. That is neither malignancy nor an AUC, and nothing to compare
with. Their layers, cube and optimiser could not be verified, so none of this is a reproduction.

Layers here are those of the 3D DenseNet of DenseSharp (Zhao et al. 2018, Cancer Res 78:6881): a
convolution to 32 channels, three blocks of four layers BN-ReLU-1(64)-BN-ReLU-3(16), between them
transitions that halve the channels and the side, then BN-ReLU, mean, dense; he_uniform, Adam;
training cubes shifted by up to 3 voxels, turned by 90 degrees and flipped. Where we deviate:

- The first convolution has stride 2, and a max-pooling follows, as in the 2D DenseNet (Huang et
  al. 2017). So the blocks work on 8, 4 and 2 voxels a side, not 32, 16 and 8: an epoch takes a
  sixtieth of the operations, without which five folds would not be done in minutes on two cores.
- 20 epochs of batches of 16 at a rate of .001: theirs are unknown to us. These were set by the time
  that 750 nodules may take, before any was tested, and nothing was tuned.
- Each of the cube's 48 rotations and reflections is as likely. Voxels are scaled by a window of
  [-1000, 400] HU, and classes are weighted.
- Batch normalisation predicts with means over all training batches (see ``paper_cnn.build``).
- No head for the outline: DenseSharp learns that too.
"""

from __future__ import annotations

from functools import partial

from models._backend import device, load_keras
from models._initial import Initial, Trained, unavailable
from models._keras import KerasClassifier
from models._nets3d import linked_blocks, network
from models._rules import Count, Counts, Positive, ShareBelowOne

__all__ = ["FEATURES", "SUPERVISION", "build", "device", "unavailable"]

FEATURES = "voxels3d"
SUPERVISION = "labels"

GROWTH = 16


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
    validation_fraction: ShareBelowOne = 0.15,
    weights: str = "",
    weights_sha256: str = "",
    trained: Trained = "all",
) -> KerasClassifier:
    """The network and its training.

    Parameters
    ----------
    seed : int
        Of weights, order, augmentation and held-out patients.
    jobs : int
        Changes nothing: the backend takes the cores that it finds.
    blocks : tuple of int
        Layers of each dense block.
    epochs, batch_size : int
    learning_rate : float
        Of Adam.
    augment : bool
        Shift, turn and flip training cubes at random.
    class_weights : bool
        Balance the classes in the loss.
    validation_fraction : float
        Share of the training patients held out for validation curves and for the threshold, which
        is chosen on fitted cubes, and optimistic, at 0.
    weights : str
        Path of a file that ``save_weights`` of Keras wrote for this network (``.weights.h5``), to
        start from; empty for weights drawn by the seed. Nothing tells whether the patients that
        they were trained on are tested here: that is the user's to know.
    weights_sha256 : str
        Checksum of that file; needed with it.
    trained : {"all", "last_block"}
        ``last_block`` trains what comes after the last pooling that a convolution follows, and
        leaves the rest as it was loaded.
    """
    load_keras()  # here, so that no import falls into a timed fit
    body = partial(linked_blocks, blocks=blocks, k1=0, k2=GROWTH)
    return KerasClassifier(
        partial(network, body=body, augment=augment),
        seed=seed,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        class_weights=class_weights,
        validation_fraction=validation_fraction,
        initial=Initial(weights, weights_sha256, trained),
    )
