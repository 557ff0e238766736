"""The paper's CNN and the 3D networks in plain PyTorch, channels last: ``time_cnn.py``'s yardstick.

    python -m scripts.torch_cnn IMAGES.npz --epochs N --threads N [--model NAME] [--seed N] [...]

Needs torch and numpy alone, so any interpreter that has them will do. Same network, batch size,
Adam, class weights and curves as the model of that name, and ``paper_cnn``'s augmentation: one
resampling with an affine matrix a batch, where Keras' layers resample twice. The 3D networks pad
both ends of an axis where Keras' stride of 2 pads one, which changes no size. Prints JSON: wall and
processor seconds at the end of each epoch, the last epoch's loss and accuracy, and the number of
trainable weights.
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

LEARNING_RATE, DROPOUT, FILTERS = 0.001, 0.3, (32, 64, 64)
BATCH = {"paper_cnn": 20, "dense3d": 16, "shortcut3d": 16}
STEM, STAGES, BLOCK_LAYERS = 32, (32, 64, 128), (4, 4, 4)
GROWTH = 16
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


class DenseLink(nn.Module):
    """A layer whose maps are set beside those that it is given."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.new = bottleneck(channels, GROWTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x, self.new(x)], dim=1)


class Residual(nn.Module):
    """A pre-activation residual block."""

    def __init__(self, before: int, filters: int, stride: int) -> None:
        super().__init__()
        self.activated = activated(before)
        changes = stride > 1 or before != filters
        self.shortcut = convolution(before, filters, 1, stride) if changes else None
        self.first = convolution(before, filters, 3, stride)
        self.second = nn.Sequential(activated(filters), convolution(filters, filters, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.activated(x)
        kept = x if self.shortcut is None else self.shortcut(y)
        return kept + self.second(self.first(y))


def convolution(before: int, filters: int, side: int, stride: int = 1) -> nn.Conv3d:
    return nn.Conv3d(before, filters, side, stride, padding=side // 2, bias=False)


def activated(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.BatchNorm3d(channels, eps=1e-3, momentum=0.01), nn.ReLU())


def bottleneck(channels: int, filters: int) -> nn.Sequential:
    wide = 4 * filters
    narrow = [activated(channels), convolution(channels, wide, 1)]
    return nn.Sequential(*narrow, activated(wide), convolution(wide, filters, 3))


def network3d(name: str) -> nn.Sequential:
    """As ``models/_nets3d.network`` with the body of a model; voxels are scaled before it."""
    layers: list[nn.Module] = [convolution(1, STEM, 3, 2), activated(STEM), nn.MaxPool3d(3, 2, 1)]
    channels = STEM
    if name == "shortcut3d":
        for stage, filters in enumerate(STAGES):
            layers.append(Residual(channels, filters, 2 if stage else 1))
            layers.append(Residual(filters, filters, 1))
            channels = filters
    else:
        for block, n_layers in enumerate(BLOCK_LAYERS):
            if block:
                half = convolution(channels, channels // 2, 1)
                layers += [activated(channels), half, nn.AvgPool3d(2)]
                channels //= 2
            for _ in range(n_layers):
                layers.append(DenseLink(channels))
                channels += GROWTH
    pooled = nn.Sequential(nn.AdaptiveAvgPool3d(1), nn.Flatten())
    return nn.Sequential(*layers, activated(channels), pooled, nn.Linear(channels, 2))


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
    parser.add_argument("--model", choices=BATCH, default="paper_cnn")
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
    images = torch.from_numpy(X).movedim(-1, 1)
    if arguments.model == "paper_cnn":
        layout, model = torch.channels_last, network(X.shape[1])
    else:
        layout, model = torch.channels_last_3d, network3d(arguments.model)
        images = 2 * images - 1
    images, model = images.contiguous(memory_format=layout), model.to(memory_format=layout)
    labels = torch.from_numpy(y)
    weights = torch.from_numpy(len(y) / (2 * np.bincount(y, minlength=2))).float()
    optimiser = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    ends = []
    for _ in range(arguments.epochs):
        total = right = torch.zeros(())
        for rows in torch.randperm(len(y), generator=generator).split(BATCH[arguments.model]):
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
    about = {
        "versions": {"torch": torch.__version__},
        "weights": sum(weights.numel() for weights in model.parameters()),
    }
    print(json.dumps({"ends_s": ends, "fit_s": ends[-1][0], **curves, **about}))


if __name__ == "__main__":
    main()
