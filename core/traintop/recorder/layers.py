"""Statistics of every layer's gradients and weights: one pass each, one transfer for all."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from traintop.recorder.readback import Packet
from traintop.recorder.torch_internals import foreach_norm

GRADIENT_STATISTICS = (
    "grad_norm",
    "grad_mean",
    "grad_std",
    "grad_min",
    "grad_max",
    "grad_nan",
    "grad_zero_frac",
)


def norms(tensors: Sequence[Tensor]) -> Tensor:
    """The 2-norm of each of one or more dense real tensors.

    Returns:
        Shape (n,), float32; float64 where a tensor is.
    """
    wide = any(tensor.dtype == torch.float64 for tensor in tensors)
    return _column(foreach_norm(tensors, torch.float64 if wide else torch.float32))


def add_gradient_statistics(
    packet: Packet, gradients: Sequence[Tensor], numels: Sequence[int]
) -> Callable[[Sequence[float], float], dict[str, list[float | int | None]]]:
    """Measure gradients into a packet.

    Args:
        packet: Where the measured numbers go.
        gradients: Dense real tensors, none of them empty, at least one.
        numels: Elements of each.

    Returns:
        A function of the packet's floats and the loss scale that the gradients were multiplied by,
        which gives a list for each of `GRADIENT_STATISTICS`. The standard deviation is formed from
        the norm and the mean in float64: its relative error is below 1e-4.
    """
    size = packet.add(norms(gradients))
    lows, highs = zip(*[torch.aminmax(gradient) for gradient in gradients], strict=True)
    sums = [gradient.sum(dtype=torch.float32) for gradient in gradients]
    total = packet.add(_column(sums))
    low = packet.add(_column(lows))
    high = packet.add(_column(highs))
    nonzero = packet.add(_column([torch.count_nonzero(gradient) for gradient in gradients]))
    nan = packet.add(_column([_nan_count(*each) for each in zip(gradients, sums, strict=True)]))

    def decode(floats: Sequence[float], scale: float) -> dict[str, list[float | int | None]]:
        rows = [
            _statistics(numel, scale, *row)
            for numel, *row in zip(
                numels, *(floats[at] for at in (size, total, low, high, nonzero, nan)), strict=True
            )
        ]
        return {
            name: list(column)
            for name, column in zip(GRADIENT_STATISTICS, zip(*rows, strict=True), strict=True)
        }

    return decode


def _statistics(
    numel: int,
    scale: float,
    norm: float,
    total: float,
    low: float,
    high: float,
    nonzero: float,
    nan: float,
) -> tuple[float | int, ...]:
    norm, mean = norm / scale, total / scale / numel
    spread = norm * norm - numel * mean * mean
    std = math.sqrt(spread / max(numel - 1, 1)) if spread > 0 else 0.0 if spread <= 0 else math.nan
    return norm, mean, std, low / scale, high / scale, int(nan), 1.0 - nonzero / numel


def _nan_count(tensor: Tensor, total: Tensor) -> Tensor:
    # Counting is a slow pass on the CPU, and the sum, which is known there, says if it is needed.
    if tensor.device.type == "cpu" and not math.isnan(float(total)):
        return torch.zeros((), dtype=torch.int64)
    return torch.count_nonzero(torch.isnan(tensor))


def _column(scalars: Sequence[Tensor]) -> Tensor:
    """Scalars in one tensor, on the device of the first (a model may be spread over several)."""
    device = scalars[0].device
    return torch.stack([scalar.to(device) for scalar in scalars])
