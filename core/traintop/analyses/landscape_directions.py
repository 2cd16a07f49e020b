"""Directions in the space of a model's weights, and the model moved along them."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

Direction = list["torch.Tensor"]
"""One tensor for each of the weights."""


def random_direction(
    weights: Sequence[torch.Tensor], generator: torch.Generator | None = None
) -> Direction:
    """A Gaussian direction without a scale of its own; drawn on the CPU, the same on any device.

    Args:
        weights: Only their shapes count.
        generator: Decides the direction; None: torch's own.
    """
    import torch

    return [
        torch.randn(each.shape, generator=generator, dtype=torch.float32).to(
            device=each.device, dtype=each.dtype
        )
        for each in weights
    ]


def filter_normalised(direction: Direction, weights: Sequence[torch.Tensor]) -> Direction:
    """Scale each filter of a direction to the norm of the filter of the weights (Li et al., 2018).

    A filter is what makes one output: a row of a linear layer, a channel of a convolution. Biases
    and what scales and shifts a normalisation, all of one axis, are left where they are, as there;
    where there is nothing else, each of them is taken as a filter.
    """
    import torch

    only_vectors = all(each.ndim < 2 for each in weights)
    scaled: Direction = []
    for part, weight in zip(direction, weights, strict=True):
        if weight.ndim < 2 and not only_vectors:
            scaled.append(torch.zeros_like(part))
            continue
        rows = (weight.shape[0], -1) if weight.ndim > 1 else (1, -1)
        of, to = part.reshape(rows).float(), weight.detach().reshape(rows).float()
        ratio = (to.square().sum(1, True) / of.square().sum(1, True).clamp_min(1e-20)).sqrt()
        scaled.append((of * ratio).reshape(part.shape).to(part.dtype))
    return scaled


@contextmanager
def moved(
    weights: Sequence[torch.Tensor], by: Sequence[tuple[float, Direction]]
) -> Generator[None]:
    """Move weights by so many times each direction, and put them back just as they were."""
    import torch

    kept = [each.detach().clone() for each in weights]
    try:
        with torch.no_grad():
            for factor, direction in by:
                for weight, part in zip(weights, direction, strict=True):
                    weight.add_(part, alpha=factor)
        yield
    finally:
        with torch.no_grad():
            for weight, value in zip(weights, kept, strict=True):
                weight.copy_(value)
