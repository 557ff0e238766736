"""The networks of ``models/`` trained in plain PyTorch, channels last: ``time_cnn.py``'s yardstick.

    python scripts/torch_cnn.py IMAGES.npz --epochs N --threads N [--model NAME] [--seed N] [...]

Needs torch and numpy alone, so any interpreter that has them will do. Same network
(``torch_networks.py``), batch size, optimiser, loss, class weights and curves as the model of that
name, and ``paper_cnn``'s augmentation of planes: one resampling with an affine matrix a batch,
where Keras' layers resample twice. ``fusion_rgd`` is given the first columns that differ, where the
model selects as many. Prints JSON: wall and processor seconds at the end of each epoch, the last
epoch's loss and accuracy, and the number of trainable weights.
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
from torch_networks import READER_OUTPUTS, SIDE, network

BATCHES = {
    "paper_cnn": 20, "conv_attention": 20, "multitask": 20, "cct": 20, "vit": 20,
    "fusion_rgd": 32, "dense3d": 16, "shortcut3d": 16, "cmixnet": 16,
}  # fmt: skip
"""Models, and their images a batch."""

LEARNING_RATE, DECAY, SMOOTHING = 0.001, 0.0001, 0.1
COLUMNS = 32  # of fusion_rgd
TURN, ZOOM = 0.1, 0.1  # of a full turn, of the side


def augmented(x: torch.Tensor, generator: torch.Generator, zoom_by: float) -> torch.Tensor:
    """Rotated, flipped and zoomed, edges repeated; one resampling."""

    def uniform(low: float, high: float) -> torch.Tensor:
        return low + (high - low) * torch.rand(len(x), generator=generator)

    turn = uniform(-TURN, TURN) * 2 * math.pi
    zoom = uniform(1 - zoom_by, 1 + zoom_by)
    flip_x, flip_y = (torch.sign(uniform(-1, 1)) for _ in range(2))
    matrix = torch.zeros(len(x), 2, 3)
    matrix[:, 0, 0], matrix[:, 0, 1] = flip_x * zoom * turn.cos(), -flip_x * zoom * turn.sin()
    matrix[:, 1, 0], matrix[:, 1, 1] = flip_y * zoom * turn.sin(), flip_y * zoom * turn.cos()
    grid = functional.affine_grid(matrix, list(x.shape), align_corners=False)
    return functional.grid_sample(x, grid, padding_mode="border", align_corners=False)


def losses(name: str, output: torch.Tensor, truth: torch.Tensor, told: torch.Tensor):
    """Loss of each image, before class weights, and the logits of its label."""
    if name == "multitask":  # its label's column has the class weight already

        def entropy(target: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
            return -(target * logits.log_softmax(dim=1)).sum(dim=1)

        error = (told[:, 15:] * (told[:, 7:15] - output[:, 7:]) ** 2).mean(dim=1)
        of_label, of_ratings = (
            entropy(told[:, :2], output[:, :2]),
            entropy(told[:, 2:7], output[:, 2:7]),
        )
        return of_label + of_ratings + error, output[:, :2]
    if name == "fusion_rgd":
        both = functional.cross_entropy(
            output.flatten(0, 1), truth.repeat_interleave(2), reduction="none"
        )
        return both.view(-1, 2).mean(dim=1), output.mean(dim=1)
    smoothing = SMOOTHING if name == "cct" else 0.0
    found = functional.cross_entropy(output, truth, reduction="none", label_smoothing=smoothing)
    return found, output


def few_columns(columns: np.ndarray) -> torch.Tensor:
    """The first columns that differ between rows, standardised, shape (n, at most 32)."""
    some = columns[:, columns.std(axis=0) > 0][:, :COLUMNS].astype(np.float32)
    return torch.from_numpy((some - some.mean(axis=0)) / some.std(axis=0))


def optimiser_of(name: str, model: nn.Module) -> torch.optim.Optimizer:
    if name in ("cct", "vit"):
        return torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=DECAY)
    return torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)


def kept_weights(name: str, model: nn.Module) -> int:
    """Trainable weights of the network that predicts: without ``multitask``'s further outputs."""
    *_, last = (module for module in model.modules() if isinstance(module, nn.Linear))
    dropped = READER_OUTPUTS * (last.in_features + 1) if name == "multitask" else 0
    return sum(weights.numel() for weights in model.parameters()) - dropped


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("images")
    parser.add_argument("--model", choices=BATCHES, default="paper_cnn")
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-augment", dest="augment", action="store_false")
    arguments = parser.parse_args()
    name = arguments.model
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    generator = torch.Generator().manual_seed(arguments.seed)
    with np.load(arguments.images) as stored:
        X, y = stored["X"].astype(np.float32), stored["y"].astype(np.int64)
        told, columns = torch.from_numpy(stored["told"]), few_columns(stored["columns"])

    start = time.perf_counter()
    images = torch.from_numpy(X).movedim(-1, 1)
    model = network(name, X.shape[1], columns.shape[1])
    volumes = X.ndim == 5
    layout = torch.channels_last_3d if volumes else torch.channels_last
    images = 2 * images - 1 if volumes else images
    images, model = images.contiguous(memory_format=layout), model.to(memory_format=layout)
    labels = torch.from_numpy(y)
    weights = torch.from_numpy(len(y) / (2 * np.bincount(y, minlength=2))).float()
    weights = torch.ones(2) if name == "multitask" else weights
    optimiser = optimiser_of(name, model)
    ends = []
    for _ in range(arguments.epochs):
        total = right = torch.zeros(())
        for rows in torch.randperm(len(y), generator=generator).split(BATCHES[name]):
            x, truth = images[rows], labels[rows]
            if name == "vit":
                x = functional.interpolate(x, (SIDE, SIDE), mode="bilinear")
            if arguments.augment:
                x = augmented(x, generator, 0.0 if name == "fusion_rgd" else ZOOM)
            output = model(x, columns[rows]) if name == "fusion_rgd" else model(x)
            found, logits = losses(name, output, truth, told[rows])
            loss = (found * weights[truth]).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total = total + loss.detach() * len(rows)
            right = right + (logits.detach().argmax(1) == truth).sum()
        curves = {"loss": float(total) / len(y), "accuracy": float(right) / len(y)}
        ends.append((time.perf_counter() - start, time.process_time()))
    about = {"versions": {"torch": torch.__version__}, "weights": kept_weights(name, model)}
    print(json.dumps({"ends_s": ends, "fit_s": ends[-1][0], **curves, **about}))


if __name__ == "__main__":
    main()
