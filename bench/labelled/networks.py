"""The networks of all families: a body, perhaps with something planted behind it, and a head."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import pairwise

import torch
from bench.labelled.recipe import Recipe
from torch import Tensor, nn
from torch.nn import functional

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}
DEAD_BIAS = -25.0
"""Far below what the inputs of a unit can lift above zero."""


class Network(nn.Module):
    """A body that makes features, optional layers behind it, a head, a branch that has no effect.

    Args:
        recipe: Says what is planted.
        stem: What comes before body and branch: an embedding, or nothing.
        body: Inputs to features of shape (..., features).
        branch_inputs: Size of an input of the branch, flattened.
        features: Size of the features.
        outputs: Size of the output.
    """

    def __init__(
        self,
        recipe: Recipe,
        stem: nn.Module,
        body: nn.Module,
        *,
        branch_inputs: int,
        features: int,
        outputs: int,
    ) -> None:
        super().__init__()
        self.stem, self.body = stem, body
        self.branch_use = recipe.branch
        self.behind = nn.Sequential(*_behind(recipe, features))
        self.branch = (
            nn.Sequential(
                nn.Linear(branch_inputs, 2 * features), nn.ReLU(), nn.Linear(2 * features, features)
            )
            if recipe.branch
            else None
        )
        self.head = nn.Linear(features, outputs)

    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs of shape (..., outputs)."""
        embedded = self.stem(inputs)
        features = self.behind(self.body(embedded))
        if self.branch is not None and self.branch_use == "detached":
            flat = embedded if embedded.ndim == 3 else embedded.flatten(1)
            features = features + self.branch(flat).detach()
        outputs: Tensor = self.head(features)
        return outputs


def dense_body(recipe: Recipe, inputs: int) -> nn.Sequential:
    """Linear layers of the recipe's width and depth."""
    sizes = [inputs, *[recipe.width] * recipe.depth]
    return nn.Sequential(
        *(
            module
            for before, after in pairwise(sizes)
            for module in _with_activation(recipe, nn.Linear(before, after), nn.BatchNorm1d)
        )
    )


def convolutional_body(recipe: Recipe, size: int) -> nn.Sequential:
    """Convolutions of stride 2, then one linear layer, for images of (1, size, size)."""
    channels = [1, *(max(2, recipe.width // 8) * 2**index for index in range(recipe.depth))]
    modules: list[nn.Module] = []
    for before, after in pairwise(channels):
        convolution = nn.Conv2d(before, after, 3, stride=2, padding=1)
        modules += _with_activation(recipe, convolution, nn.BatchNorm2d)
        size = (size + 1) // 2
    flat = nn.Linear(channels[-1] * size * size, recipe.width)
    return nn.Sequential(*modules, nn.Flatten(), *_with_activation(recipe, flat, nn.BatchNorm1d))


def transformer_body(recipe: Recipe) -> nn.Sequential:
    """Pre-norm blocks, then a norm."""
    blocks = (Block(recipe) for _ in range(recipe.depth))
    return nn.Sequential(*blocks, nn.LayerNorm(recipe.width))


class Embedding(nn.Module):
    """Tokens (batch, length) to vectors (batch, length, width)."""

    def __init__(self, vocabulary: int, length: int, width: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Parameter(0.1 * torch.randn(length, width))
        nn.init.normal_(self.tokens.weight, std=0.3)

    def forward(self, tokens: Tensor) -> Tensor:
        """Embed."""
        vectors: Tensor = self.tokens(tokens) + self.positions[: tokens.shape[1]]
        return vectors


class Block(nn.Module):
    """Causal attention and a feed-forward layer, each behind a norm and beside a residual path."""

    def __init__(self, recipe: Recipe, heads: int = 2) -> None:
        super().__init__()
        width = recipe.width
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up = nn.Linear(width, 4 * width)
        self.act = ACTIVATIONS[recipe.activation]()
        self.down = nn.Linear(4 * width, width)
        self.drop = nn.Dropout(recipe.dropout)

    def forward(self, values: Tensor) -> Tensor:
        """Values of shape (batch, length, width), the same out."""
        batch, length, width = values.shape
        qkv = self.qkv(self.norm1(values)).view(batch, length, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        mixed = mixed.transpose(1, 2).reshape(batch, length, width)
        values = values + self.drop(self.out(mixed))
        forward: Tensor = self.drop(self.down(self.act(self.up(self.norm2(values)))))
        return values + forward


@torch.no_grad()
def plant(recipe: Recipe, network: Network) -> list[nn.Parameter]:
    """Spoil initial weights as the recipe says; return the parameters that are to be trained."""
    linear = [module for module in network.modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    if recipe.initial_gain != 1:
        for module in linear:
            module.weight *= recipe.initial_gain
    if recipe.dead_share:
        for module in _before_activations(network):
            assert module.bias is not None
            module.bias[: round(recipe.dead_share * len(module.bias))] = DEAD_BIAS
    left_out: set[nn.Parameter] = set()
    hidden = [module for module in linear if module is not network.head]
    if recipe.frozen == "requires_grad":
        for module in hidden[: math.ceil(len(hidden) / 2)]:
            module.requires_grad_(False)
    elif recipe.frozen == "not_in_optimizer":
        left_out.update(hidden[len(hidden) // 2].parameters())
    elif recipe.frozen == "one_small":
        left_out.update(min(hidden, key=lambda each: each.weight.numel()).parameters())
    return [each for each in network.parameters() if each.requires_grad and each not in left_out]


def _with_activation(
    recipe: Recipe, layer: nn.Linear | nn.Conv2d, norm: Callable[[int], nn.Module]
) -> list[nn.Module]:
    """A layer with its norm, activation and dropout."""
    if recipe.activation in ("relu", "gelu", "silu"):
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return [
        layer,
        *([norm(layer.weight.shape[0])] if recipe.batch_norm else []),
        ACTIVATIONS[recipe.activation](),
        *([nn.Dropout(recipe.dropout)] if recipe.dropout else []),
    ]


def _behind(recipe: Recipe, features: int) -> Iterator[nn.Module]:
    """What is planted between the body and the head."""
    for _ in range(recipe.sigmoid_layers):
        yield nn.Linear(features, features)
        yield nn.Sigmoid()


def _before_activations(network: nn.Module) -> Iterator[nn.Linear | nn.Conv2d]:
    """The layers whose output goes into an activation, past a norm if there is one."""
    last: nn.Linear | nn.Conv2d | None = None
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            last = module
        elif type(module) in ACTIVATIONS.values() and last is not None:
            yield last
            last = None
