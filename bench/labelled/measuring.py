"""What is recorded of a step: gradients, weights and activations, read by our own small hooks."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

NUMBERS = 4
"""Significant digits of a layer's statistics."""
KINDS: dict[type[nn.Module], str] = {
    nn.ReLU: "relu",
    nn.GELU: "gelu",
    nn.SiLU: "silu",
    nn.Tanh: "tanh",
    nn.Sigmoid: "sigmoid",
}
SATURATED_WITHIN = 0.01
NEVER_ZERO_BOUND = 1e-5


def rounded(value: float, digits: int = 6) -> float:
    """A number to so many significant digits, as logs have them."""
    return float(f"{value:.{digits}g}") if math.isfinite(value) else value


def flat(tensors: Sequence[Tensor]) -> Tensor:
    """All elements of some tensors in one dimension."""
    return torch.cat([tensor.detach().reshape(-1) for tensor in tensors])


class LayerMeter:
    """Statistics of the weight matrices and activation modules of a model.

    Attributes:
        header: The first line of `layers.jsonl`.
    """

    def __init__(self, model: nn.Module) -> None:
        named = [(name, each) for name, each in model.named_parameters() if each.ndim >= 2]
        self._weights = [each for _, each in named]
        modules = [(name, each) for name, each in model.named_modules() if type(each) in KINDS]
        self._seen: dict[str, Tensor] = {}
        self._armed = False
        self._before: list[Tensor] = []
        self._kinds = [KINDS[type(each)] for _, each in modules]
        self._names = [name for name, _ in modules]
        for name, module in modules:
            module.register_forward_hook(lambda *seen, to=name: self._see(to, seen[-1]))
        self.header = {
            "names": [name for name, _ in named],
            "numel": [each.numel() for each in self._weights],
            "requires_grad": [each.requires_grad for each in self._weights],
            "act_names": self._names,
            "act_kinds": self._kinds,
        }

    def arm(self) -> None:
        """Look at the next forward pass, and remember the weights before the step."""
        self._armed = True
        self._seen.clear()
        self._before = [each.detach().clone() for each in self._weights]

    def record(self) -> dict[str, list[float | None]]:
        """The statistics of the step that has just been taken, one list a statistic."""
        self._armed = False
        rows = [
            _of_weight(weight, before)
            for weight, before in zip(self._weights, self._before, strict=True)
        ]
        activations = [
            _of_activation(kind, self._seen.get(name))
            for name, kind in zip(self._names, self._kinds, strict=True)
        ]
        columns = [*_columns(WEIGHT_STATISTICS, rows), *_columns(ACT_STATISTICS, activations)]
        return dict(columns)

    def _see(self, name: str, output: Tensor) -> None:
        if self._armed and torch.is_grad_enabled():
            self._seen[name] = output.detach()


WEIGHT_STATISTICS = (
    "grad_norm", "grad_mean", "grad_std", "grad_min", "grad_max", "grad_nan", "grad_zero_frac",
    "weight_norm", "update_ratio",
)  # fmt: skip
ACT_STATISTICS = ("act_mean", "act_std", "act_zero_frac", "act_dead_frac", "act_sat_frac")


def _columns(
    names: tuple[str, ...], rows: list[list[float | None]]
) -> list[tuple[str, list[float | None]]]:
    return [(name, [row[index] for row in rows]) for index, name in enumerate(names)]


def _of_weight(weight: nn.Parameter, before: Tensor) -> list[float | None]:
    norm = before.norm().item()
    change = (weight.detach() - before).norm().item() / max(norm, 1e-12)
    ends: list[float | None] = [rounded(norm, NUMBERS), rounded(change, NUMBERS)]
    grad = weight.grad
    if grad is None:
        return [None] * (len(WEIGHT_STATISTICS) - 2) + ends
    deviation, mean = torch.std_mean(grad, correction=0)
    low, high = torch.aminmax(grad)
    numbers = torch.stack([grad.norm(), mean, deviation, low, high]).tolist()
    bad = int((~torch.isfinite(grad)).sum())
    zeros = (grad == 0).float().mean().item()
    return [*(rounded(each, NUMBERS) for each in numbers), bad, rounded(zeros, NUMBERS), *ends]


def _of_activation(kind: str, output: Tensor | None) -> list[float | None]:
    if output is None:
        return [None] * len(ACT_STATISTICS)
    axis = 1 if output.ndim == 4 else output.ndim - 1
    others = [each for each in range(output.ndim) if each != axis]
    deviation, mean = torch.std_mean(output, correction=0)
    saturated = dead = torch.zeros(())
    if kind == "tanh":
        saturated = (output.abs() > 1 - SATURATED_WITHIN).float().mean()
    elif kind == "sigmoid":
        saturated = ((output - 0.5).abs() > 0.5 - SATURATED_WITHIN).float().mean()
    else:
        bound = 0.0 if kind == "relu" else NEVER_ZERO_BOUND
        dead = (output.abs().amax(dim=others) <= bound).float().mean()
    zeros = (output == 0).float().mean()
    numbers = torch.stack([mean, deviation, zeros, dead, saturated]).tolist()
    return [rounded(each, NUMBERS) for each in numbers]
