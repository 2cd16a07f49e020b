"""How the gradient of each layer stands among the others: the rules, apart from the measurement."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

VANISHED = 1e-3
"""RMS gradient over that of the last layers. AutoTrainer (ICSE 2021) takes 1e-3 of the norms of
the first and the last layer; per element, the widths of the layers do not matter."""
FAR_VANISHED = 1e-4
"""From here on it is more than advice: no plain training was seen to come back from it."""
EXPLODED = 70.0
"""RMS gradient over that of the last layers: AutoTrainer's ratio of first to last, per element."""
GROWN = 10.0
"""Gradient norm over the median of the earlier checkpoints: runmedic's ratio."""
ROUNDING = 1e-5
"""RMS gradient over the largest of any layer that rounding alone makes: that of a bias before a
batch norm is 0, since the mean is taken off, and comes out as some 1e-7 of others in float32."""
UPDATE_HIGH, UPDATE_LOW = 0.1, 1e-5
"""Median update over the weights (DeepDiagnosis, ICSE 2022); 1e-3 is usual."""


@dataclass(frozen=True, kw_only=True)
class Layer:
    """The gradient of one parameter over all batches looked at."""

    name: str
    numel: int
    trains: bool
    """Whether it asks for a gradient."""
    judged: bool
    """Whether it is compared with others: a weight matrix or kernel."""
    grad_norm: float | None = None
    """Root mean square over the batches of the norm; None: there was no finite gradient."""
    grad_mean: float | None = None
    grad_std: float | None = None
    grad_max: float | None = None
    """The largest |gradient|."""
    zero_fraction: float | None = None
    """Elements whose gradient was exactly 0 in every batch."""
    nan: int = 0
    """Elements that were not finite, in the worst batch."""
    weight_norm: float = 0.0
    update_ratio: float | None = None
    """Norm of the optimizer's next step over that of the weights."""

    @property
    def rms(self) -> float:
        """Root mean square of the gradient per element; 0 where there is none."""
        return (self.grad_norm or 0.0) / math.sqrt(max(self.numel, 1))


def last_layers(layers: Sequence[Layer]) -> list[Layer]:
    """The last quarter of the weight matrices that have a gradient.

    Args:
        layers: In the order in which they are called.

    Returns:
        Empty where there are fewer than three such matrices: nothing has a depth then.
    """
    known = [layer for layer in layers if layer.judged and layer.rms > 0]
    return known[-max(1, len(known) // 4) :] if len(known) >= 3 else []


def reference(layers: Sequence[Layer]) -> float | None:
    """The median RMS gradient of the last layers; None where there is no depth."""
    last = [layer.rms for layer in last_layers(layers)]
    return median(last) if last else None


def statuses(layers: Sequence[Layer]) -> list[str]:
    """One word for each layer: ok, frozen, none, nan, zero, vanishing or exploding.

    `frozen` asks for no gradient; `none` does and gets none; `zero` gets exactly 0 in all elements.
    """
    last, usual = last_layers(layers), reference(layers)
    found: list[str] = []
    for layer in layers:
        compared = layer.judged and not any(layer is each for each in last)
        if not layer.trains:
            status = "frozen"
        elif layer.nan:
            status = "nan"
        elif layer.grad_norm is None:
            status = "none"
        elif layer.grad_norm == 0:
            status = "zero"
        elif usual is not None and compared and layer.rms < VANISHED * usual:
            status = "vanishing"
        elif usual is not None and compared and layer.rms > EXPLODED * usual:
            status = "exploding"
        else:
            status = "ok"
        found.append(status)
    return found


def total_norm(layers: Sequence[Layer]) -> float | None:
    """The norm of the whole gradient; None where a part of it is never finite."""
    if any(layer.nan and layer.grad_norm is None for layer in layers):
        return None
    return math.hypot(*(layer.grad_norm or 0.0 for layer in layers))
