"""The networks of ``models/`` in plain PyTorch, for ``torch_cnn.py``.

Same layers and numbers of trainable weights; ``time_cnn.py`` compares the latter. The 3D networks
pad both ends of an axis where Keras' stride of 2 pads one, which changes no size.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

FILTERS, UNITS, DROPOUT = (32, 64, 64), 128, 0.3
READER_OUTPUTS = 13
"""Of ``multitask``, beside the label's two, while it is trained."""

STEM, STAGES, BLOCK_LAYERS = 32, (32, 64, 128), (4, 4, 4)
GROWTH, MIXED = 16, 12
SIDE, PATCH, WIDTH, HEADS, BLOCKS = 72, 6, 64, 4, 8  # of vit
TOKENISER = (16, 32, 64)
CELL_FILTERS, GRAPH_WIDTHS, HIDDEN, NEIGHBOURS, LONGEST_SIDE = (16, 32, 64), (64, 32), 64, 5, 64


def network(name: str, side: int, columns: int = 0) -> nn.Module:
    """The network of a model for images of a side, and columns beside them."""
    if name in ("paper_cnn", "multitask"):
        outputs = 2 + (READER_OUTPUTS if name == "multitask" else 0)
        trunk, cells = convolutions(side)
        return nn.Sequential(trunk, *head(cells, UNITS, outputs))
    if name == "conv_attention":
        trunk, cells = convolutions(side)
        attention = [Tokens(), Positions(cells, WIDTH), Encoder(WIDTH, HEADS, WIDTH // HEADS)]
        return nn.Sequential(trunk, *attention, *head(cells, 125, 2))
    planar = {"cct": cct, "vit": vit, "fusion_rgd": Fusion}
    return planar[name](side, columns) if name in planar else network3d(name)


# The paper's CNN, and what is made of it


def convolutions(side: int) -> tuple[nn.Sequential, int]:
    """Three convolutions, and the number of cells of the last map."""
    layers: list[nn.Module] = []
    before = 1
    for filters in FILTERS:
        # Keras' momentum of .99 and epsilon
        normalisation = nn.BatchNorm2d(filters, eps=1e-3, momentum=0.01)
        layers += [nn.Conv2d(before, filters, 3), nn.ReLU(), normalisation, nn.MaxPool2d(2)]
        before, side = filters, (side - 2) // 2
    return nn.Sequential(*layers), side * side


def head(cells: int, units: int, outputs: int) -> list[nn.Module]:
    hidden = nn.Linear(FILTERS[-1] * cells, units)
    return [nn.Flatten(), hidden, nn.ReLU(), nn.Dropout(DROPOUT), nn.Linear(units, outputs)]


# Transformers


class Tokens(nn.Module):
    """Cells of maps as tokens: (n, channels, rows, columns) to (n, tokens, channels)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(2).transpose(1, 2)


class Positions(nn.Module):
    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.positions = nn.Parameter(torch.empty(tokens, width).uniform_(-0.05, 0.05))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.positions


class Attention(nn.Module):
    """Self-attention; ``local`` leaves out the token itself and learns the temperature."""

    def __init__(self, width: int, heads: int, key_dim: int, dropout: float, local: bool) -> None:
        super().__init__()
        inner = heads * key_dim
        self.query, self.key, self.value = (nn.Linear(width, inner) for _ in range(3))
        self.output = nn.Linear(inner, width)
        self.heads, self.key_dim, self.dropout = heads, key_dim, dropout
        self.temperature = nn.Parameter(torch.tensor(key_dim**0.5)) if local else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, tokens, _ = x.shape
        query, key, value = (
            layer(x).view(n, tokens, self.heads, self.key_dim).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        mask = scale = None
        if self.temperature is not None:
            query, mask, scale = query / self.temperature, -1e9 * torch.eye(tokens), 1.0
        mixed = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, scale=scale,
            dropout_p=self.dropout if self.training else 0.0,
        )  # fmt: skip
        return self.output(mixed.transpose(1, 2).reshape(n, tokens, -1))


class Encoder(nn.Module):
    """Attention, then dense layers, each normalised before and added."""

    def __init__(
        self, width: int, heads: int, key_dim: int, units: tuple[int, ...] = (),
        dropout: float = 0.0, skipped: float = 0.0, local: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.skipped = skipped
        branches = [nn.LayerNorm(width), Attention(width, heads, key_dim, dropout, local)]
        self.attention = nn.Sequential(*branches)
        self.dense: nn.Sequential | None = None
        if units:
            layers: list[nn.Module] = [nn.LayerNorm(width)]
            for before, after in zip((width, *units), units, strict=False):
                layers += [nn.Linear(before, after), nn.GELU(), nn.Dropout(dropout)]
            self.dense = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for branch in (self.attention, self.dense):
            x = x if branch is None else x + self._some(branch(x))
        return x

    def _some(self, x: torch.Tensor) -> torch.Tensor:
        if not (self.training and self.skipped):
            return x
        kept = (torch.rand(len(x), 1, 1) >= self.skipped).to(x.dtype)
        return x * kept / (1 - self.skipped)


class SequencePooling(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.score = nn.Linear(width, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (self.score(x).softmax(dim=1).transpose(1, 2) @ x).squeeze(1)


class ShiftedPatches(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        half, side = PATCH // 2, x.shape[-1]
        padded = functional.pad(x, (half, half, half, half))
        shifts = [(half, half), *((i, j) for i in (0, 2 * half) for j in (0, 2 * half))]
        stacked = torch.cat([padded[..., i : i + side, j : j + side] for i, j in shifts], dim=1)
        return functional.unfold(stacked, PATCH, stride=PATCH).transpose(1, 2)


class Mean(nn.Module):
    """Over the tokens."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean(dim=1)


def cct(side: int, _columns: int) -> nn.Module:
    layers: list[nn.Module] = []
    before, width = 1, TOKENISER[-1]
    for channels in TOKENISER:
        convolved = nn.Conv2d(before, channels, 3, bias=False)
        layers += [convolved, nn.ReLU(), nn.ZeroPad2d(1), nn.MaxPool2d(3, 2, 1)]
        before, side = channels, (side + 1) // 2
    blocks = [Encoder(width, 2, width, (width, width), 0.1, skipped) for skipped in (0.0, 0.1)]
    end = [nn.LayerNorm(width), SequencePooling(width), nn.Linear(width, 2)]
    return nn.Sequential(*layers, Tokens(), Positions(side * side, width), *blocks, *end)


def vit(_side: int, _columns: int) -> nn.Module:
    patched, tokens = 5 * PATCH**2, (SIDE // PATCH) ** 2
    start = [nn.LayerNorm(patched, eps=1e-6), nn.Linear(patched, WIDTH), Positions(tokens, WIDTH)]
    of_one = (WIDTH, HEADS, WIDTH // HEADS, (2 * WIDTH, WIDTH), 0.1, 0.0, True)
    blocks = [Encoder(*of_one) for _ in range(BLOCKS)]
    end = [nn.LayerNorm(WIDTH, eps=1e-6), Mean(), nn.Dropout(DROPOUT), nn.Linear(WIDTH, 2)]
    return nn.Sequential(ShiftedPatches(), *start, *blocks, *end)


# A graph of a map's cells


class Fusion(nn.Module):
    """As ``models/_cell_graph``: logits of two heads, shape (n, 2, 2)."""

    def __init__(self, side: int, columns: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.AvgPool2d(2)] if side > LONGEST_SIDE else []
        before = 1
        for filters in CELL_FILTERS:
            convolved = nn.Conv2d(before, filters, 3, padding=1, bias=False)
            normalised = nn.GroupNorm(8, filters, eps=1e-3)
            layers += [convolved, normalised, nn.ReLU(), nn.MaxPool2d(2)]
            before = filters
        self.cells = nn.Sequential(*layers, Tokens())
        widths = (before, *GRAPH_WIDTHS)
        pairs = zip(widths, GRAPH_WIDTHS, strict=False)
        self.graph = nn.ModuleList(nn.Linear(a, b, bias=False) for a, b in pairs)
        self.heads = nn.ModuleList(
            nn.Sequential(
                nn.Linear(width, HIDDEN), nn.ReLU(), nn.Dropout(DROPOUT), nn.Linear(HIDDEN, 2)
            )
            for width in (before, GRAPH_WIDTHS[-1] + columns)
        )

    def forward(self, x: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
        cells = self.cells(x)
        with torch.no_grad():
            itself = torch.eye(cells.shape[1])
            along = functional.normalize(cells, dim=-1)
            likeness = along @ along.transpose(1, 2) - 4 * itself
            last = likeness.topk(NEIGHBOURS).values[..., -1:]
            near = (likeness >= last).float()
            joined = torch.maximum(near, near.transpose(1, 2)) + itself
            scale = joined.sum(dim=-1).rsqrt()
            mixing = joined * scale[:, :, None] * scale[:, None, :]
        nodes = cells
        for layer in self.graph:
            nodes = functional.relu(mixing @ layer(nodes))
        fused = torch.cat([nodes.mean(dim=1), columns], dim=1)
        parts = (cells.mean(dim=1), fused)
        return torch.stack([h(part) for h, part in zip(self.heads, parts, strict=True)], dim=1)


# Volumes


class MixedLink(nn.Module):
    """A layer whose maps are set beside those that it is given, and others added to the last."""

    def __init__(self, channels: int, inner: int, outer: int) -> None:
        super().__init__()
        self.kept = channels - inner
        self.inner = bottleneck(channels, inner) if inner else None
        self.outer = bottleneck(channels, outer)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts = [x]
        if self.inner is not None:
            parts = [x[:, : self.kept], x[:, self.kept :] + self.inner(x)]
        return torch.cat([*parts, self.outer(x)], dim=1)


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
        inner, outer = (MIXED, MIXED) if name == "cmixnet" else (0, GROWTH)
        for block, n_layers in enumerate(BLOCK_LAYERS):
            if block:
                half = convolution(channels, channels // 2, 1)
                layers += [activated(channels), half, nn.AvgPool3d(2)]
                channels //= 2
            for _ in range(n_layers):
                layers.append(MixedLink(channels, inner, outer))
                channels += outer
    pooled = nn.Sequential(nn.AdaptiveAvgPool3d(1), nn.Flatten())
    return nn.Sequential(*layers, activated(channels), pooled, nn.Linear(channels, 2))
