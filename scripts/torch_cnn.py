"""The paper's CNN in plain PyTorch, channels last: the yardstick of ``time_cnn.py``.

    python -m scripts.torch_cnn IMAGES.npz --epochs N --threads N [--seed N] [--no-augment]

Needs torch and numpy alone, so any interpreter that has them will do. Same network, batch size,
Adam, class weights, augmentation and curves as ``models/paper_cnn.py``. Augmentation is one
resampling with an affine matrix a batch, where Keras' layers resample twice. Prints JSON: wall and
processor seconds at the end of each epoch, and the last epoch's loss and accuracy.
"""

from __future__ import annotations

import argparse
import json
import math
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional

BATCH, LEARNING_RATE, DROPOUT, FILTERS = 20, 0.001, 0.3, (32, 64, 64)
TURN, ZOOM = 0.1, 0.1  # of a full turn, of the side


def network(side: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    before = 1
    for filters in FILTERS:
        # Keras' momentum of .99 and epsilon
        normalisation = nn.BatchNorm2d(filters, eps=1e-3, momentum=0.01)
        layers += [nn.Conv2d(before, filters, 3), nn.ReLU(), normalisation, nn.MaxPool2d(2)]
        before, side = filters, (side - 2) // 2
    hidden = nn.Linear(before * side * side, 128)
    layers += [nn.Flatten(), hidden, nn.ReLU(), nn.Dropout(DROPOUT), nn.Linear(128, 2)]
    return nn.Sequential(*layers)


def augmented(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Rotated, flipped and zoomed, edges repeated; one resampling."""

    def uniform(low: float, high: float) -> torch.Tensor:
        return low + (high - low) * torch.rand(len(x), generator=generator)

    turn = uniform(-TURN, TURN) * 2 * math.pi
    zoom = uniform(1 - ZOOM, 1 + ZOOM)
    flip_x, flip_y = (torch.sign(uniform(-1, 1)) for _ in range(2))
    matrix = torch.zeros(len(x), 2, 3)
    matrix[:, 0, 0], matrix[:, 0, 1] = flip_x * zoom * turn.cos(), -flip_x * zoom * turn.sin()
    matrix[:, 1, 0], matrix[:, 1, 1] = flip_y * zoom * turn.sin(), flip_y * zoom * turn.cos()
    grid = functional.affine_grid(matrix, list(x.shape), align_corners=False)
    return functional.grid_sample(x, grid, padding_mode="border", align_corners=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("images")
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-augment", dest="augment", action="store_false")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    generator = torch.Generator().manual_seed(arguments.seed)
    with np.load(arguments.images) as stored:
        X, y = stored["X"].astype(np.float32), stored["y"].astype(np.int64)

    start = time.perf_counter()
    images = torch.from_numpy(X).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
    labels = torch.from_numpy(y)
    weights = torch.from_numpy(len(y) / (2 * np.bincount(y, minlength=2))).float()
    model = network(X.shape[1]).to(memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    ends = []
    for _ in range(arguments.epochs):
        total = right = torch.zeros(())
        for rows in torch.randperm(len(y), generator=generator).split(BATCH):
            x, truth = images[rows], labels[rows]
            if arguments.augment:
                x = augmented(x, generator)
            output = model(x)
            losses = functional.cross_entropy(output, truth, reduction="none")
            loss = (losses * weights[truth]).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total = total + loss.detach() * len(rows)
            right = right + (output.detach().argmax(1) == truth).sum()
        curves = {"loss": float(total) / len(y), "accuracy": float(right) / len(y)}
        ends.append((time.perf_counter() - start, time.process_time()))
    versions = {"torch": torch.__version__}
    print(json.dumps({"ends_s": ends, "fit_s": ends[-1][0], **curves, "versions": versions}))


if __name__ == "__main__":
    main()
