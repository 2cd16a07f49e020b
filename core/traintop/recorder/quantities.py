"""Quantities of one step: each puts numbers into the packet, and says later what they mean."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from traintop.recorder.layers import add_gradient_statistics, norms
from traintop.recorder.readback import Packet
from traintop.recorder.sampling import Sample, cosine, weighted_dots

Floats = Sequence[float]
Scale = Callable[[Floats], float]
"""The loss scale that gradients were multiplied by, from the packet's floats."""


@dataclass
class Measured:
    """What the floats of one packet mean, in the names of the diagnostics format."""

    row: dict[str, float | bool] = field(default_factory=dict[str, "float | bool"])
    layers: dict[str, list[Any]] = field(default_factory=dict[str, "list[Any]"])
    train_mode: bool | None = None
    bad_layers: list[str] = field(default_factory=list[str])
    """Parameters whose gradient is not finite."""


Decoder = Callable[[Floats, Measured], None]


def unscaled(_: Floats) -> float:
    """The scale of gradients that were not scaled."""
    return 1.0


def add_scale(packet: Packet, scale: Tensor | float | None) -> Scale:
    """A loss scale, which may still be on its device."""
    if scale is None:
        return unscaled
    if not isinstance(scale, Tensor):
        known = scale
        return lambda _: known
    at = packet.add(scale)
    return lambda floats: floats[at][0]


def gradient_norm(
    packet: Packet, gradients: Sequence[Tensor], names: Sequence[str], scale: Scale
) -> Decoder:
    """The global norm before clipping, and mean, least and greatest norm of a parameter."""
    at = packet.add(norms(gradients))

    def decode(floats: Floats, measured: Measured) -> None:
        each = [norm / scale(floats) for norm in floats[at]]
        total = _length(each)
        measured.row["grad_norm"] = total
        measured.row["mean_grad_norm"] = sum(each) / len(each)
        measured.row["min_grad_norm"] = min(each)
        measured.row["max_grad_norm"] = max(each)
        if not math.isfinite(total):
            paired = zip(names, each, strict=True)
            measured.bad_layers = [name for name, norm in paired if not math.isfinite(norm)]

    return decode


def clipped_norm(packet: Packet, gradients: Sequence[Tensor], scale: Scale) -> Decoder:
    """The global norm as the optimizer sees it."""
    at = packet.add(norms(gradients))

    def decode(floats: Floats, measured: Measured) -> None:
        measured.row["grad_norm_clipped"] = _length(floats[at]) / scale(floats)

    return decode


def gradient_cosine(packet: Packet, now: Sample, before: Sample, weights: Tensor) -> Decoder:
    """The cosine of this step's gradient with the one before, estimated from samples."""
    at = packet.add(weighted_dots(now.values, before.values, weights))

    def decode(floats: Floats, measured: Measured) -> None:
        value = cosine(*floats[at])
        if value is not None:
            measured.row["grad_cos"] = value

    return decode


def weight_update(packet: Packet, before: Sample, after: Sample, weights: Tensor) -> Decoder:
    """Norm of the update over norm of the weights, estimated from samples of both."""
    at = packet.add(weighted_dots(after.values - before.values, before.values, weights))

    def decode(floats: Floats, measured: Measured) -> None:
        update, weight, _ = floats[at]
        if weight > 0 or math.isnan(weight):
            measured.row["weight_update"] = math.sqrt(update / weight)

    return decode


def layer_gradients(
    packet: Packet, gradients: Sequence[Tensor], rows: Sequence[int], count: int, scale: Scale
) -> Decoder:
    """Statistics of layers' gradients; `rows` are their places among `count` layers."""
    statistics = add_gradient_statistics(
        packet, gradients, [gradient.numel() for gradient in gradients]
    )

    def decode(floats: Floats, measured: Measured) -> None:
        for name, values in statistics(floats, scale(floats)).items():
            column: list[float | None] = [None] * count
            for row, value in zip(rows, values, strict=True):
                column[row] = value
            measured.layers[name] = column

    return decode


def layer_weights(packet: Packet, weights: Sequence[Tensor]) -> Decoder:
    """The norm of every layer's weights."""
    at = packet.add(norms(weights))

    def decode(floats: Floats, measured: Measured) -> None:
        measured.layers["weight_norm"] = list(floats[at])

    return decode


def layer_updates(
    packet: Packet, before: Sample, after: Sample, rows: dict[int, int], count: int
) -> Decoder:
    """Update over weights of every layer; `rows` has its row by its place in the samples."""
    sizes = list(before.sizes)
    update = packet.add(norms(torch.split(after.values - before.values, sizes)))
    weight = packet.add(norms(torch.split(before.values, sizes)))

    def decode(floats: Floats, measured: Measured) -> None:
        column: list[float | None] = [None] * count
        for place, part, whole in zip(before.members, floats[update], floats[weight], strict=True):
            if place in rows and (whole > 0 or math.isnan(whole)):
                column[rows[place]] = part / whole
        measured.layers["update_ratio"] = column

    return decode


def _length(norms_of_parts: Sequence[float]) -> float:
    # Not hypot, which makes infinity of an infinity beside a NaN.
    return math.sqrt(sum(norm * norm for norm in norms_of_parts))
