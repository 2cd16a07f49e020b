"""Gradients of several batches, added up to one set of statistics a layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from traintop.analyses.gradient_status import Layer
from traintop.analyses.model_order import bare_name
from traintop.analyses.weight_statistics import whole


@dataclass
class _Sums:
    """Of one parameter, over the batches whose gradient was finite."""

    seen: Tensor | None = None
    """Which elements have had a gradient; of the parameter's shape."""
    batches: int = 0
    total: float = 0.0
    squares: float = 0.0
    largest: float = 0.0
    nonfinite: int = 0


class GradientTally:
    """Statistics of the gradients that parameters hold after each of several backward passes."""

    def __init__(self, named: Sequence[tuple[str, nn.Parameter]], judged: Sequence[bool]) -> None:
        self._named = list(named)
        self._judged = list(judged)
        self._sums = [_Sums() for _ in self._named]

    def add(self) -> None:
        """Take in what the parameters hold now; one transfer from the device."""
        at: list[int] = []
        measured: list[Tensor] = []
        for place, (_, parameter) in enumerate(self._named):
            if parameter.grad is None or not parameter.numel():
                continue
            gradient = dense(parameter.grad)
            at.append(place)
            measured.append(
                torch.stack(
                    [
                        (gradient.numel() - gradient.isfinite().sum()).double(),
                        gradient.sum(dtype=torch.float64),
                        torch.linalg.vector_norm(gradient, dtype=torch.float64),
                        gradient.abs().amax().double(),
                    ]
                )
            )
            sums = self._sums[place]
            touched = gradient != 0
            sums.seen = touched if sums.seen is None else sums.seen | touched
        if not measured:
            return
        rows = cast("list[list[float]]", torch.stack(measured).tolist())
        for place, (nonfinite, total, norm, largest) in zip(at, rows, strict=True):
            sums = self._sums[place]
            if nonfinite:
                sums.nonfinite = max(sums.nonfinite, int(nonfinite))
                continue
            sums.batches += 1
            sums.total += total
            sums.squares += norm**2
            sums.largest = max(sums.largest, largest)

    def layers(self, updates: Sequence[float | None], weights: Sequence[float]) -> list[Layer]:
        """The statistics, with the update ratios and the norms of the weights."""
        return [
            _layer(bare_name(name), parameter, judged, sums, update, weight)
            for (name, parameter), judged, sums, update, weight in zip(
                self._named, self._judged, self._sums, updates, weights, strict=True
            )
        ]


def dense(gradient: Tensor) -> Tensor:
    """The gradient as plain numbers.

    The sparse ones of `Embedding(sparse=True)` are unpacked, shards are put together (all ranks
    must ask for it), complex numbers become pairs.
    """
    gradient = whole(gradient.detach())
    if gradient.is_sparse:
        gradient = gradient.to_dense()
    return torch.view_as_real(gradient) if gradient.is_complex() else gradient


def _layer(
    name: str,
    parameter: nn.Parameter,
    judged: bool,
    sums: _Sums,
    update: float | None,
    weight: float,
) -> Layer:
    known: dict[str, float] = {}
    if sums.batches:
        count = sums.batches * parameter.numel()
        mean = sums.total / count
        known = {
            "grad_norm": math.sqrt(sums.squares / sums.batches),
            "grad_mean": mean,
            "grad_std": math.sqrt(max(sums.squares / count - mean**2, 0.0)),
            "grad_max": sums.largest,
        }
    if sums.seen is not None:
        known["zero_fraction"] = 1.0 - float(sums.seen.double().mean())
    return Layer(
        name=name,
        numel=parameter.numel(),
        trains=parameter.requires_grad,
        judged=judged,
        nan=sums.nonfinite,
        weight_norm=weight,
        update_ratio=update,
        **known,
    )
