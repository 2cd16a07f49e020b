"""The parameters of a model, by place: names, gradients, and which of them are shown as layers."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from traintop.recorder.sampling import dense

_WRAPPERS = ("module.", "_orig_mod.")


class Parameters:
    """The parameters that a model has now. Parameters added to it later are not followed.

    Args:
        named: Names and parameters, as `nn.Module.named_parameters` gives them.
        every: Show every parameter as a layer; else matrices and filters (two dimensions and more),
            and all only where a model has none of those.

    Attributes:
        names: Their names, without the prefixes of data-parallel and compiling wrappers.
        all: The parameters themselves.
    """

    def __init__(self, named: Iterable[tuple[str, nn.Parameter]], every: bool) -> None:
        pairs = list(named)
        self.names = [bare_name(name) for name, _ in pairs]
        self.all = [parameter for _, parameter in pairs]
        self._every = every
        self._plain = True

    @cached_property
    def numels(self) -> list[int]:
        """Real numbers in each; known from the first forward pass on, where a model is lazy."""
        return [dense(parameter).numel() for parameter in self.all]

    @cached_property
    def rows(self) -> dict[int, int]:
        """Place of a layer's parameter -> its row among the layers."""
        # Quantised weights are integers, whose norm says nothing.
        real = [
            place
            for place, each in enumerate(self.all)
            if each.is_floating_point() or each.is_complex()
        ]
        wide = [place for place in real if self.all[place].ndim > 1]
        return {place: row for row, place in enumerate(real if self._every or not wide else wide)}

    def header(self) -> dict[str, list[Any]]:
        """Names, sizes and trainability of the layers."""
        shown = [self.all[place] for place in self.rows]
        return {
            "names": [self.names[place] for place in self.rows],
            "numel": [parameter.numel() for parameter in shown],
            "requires_grad": [parameter.requires_grad for parameter in shown],
        }

    def shown(self) -> list[Tensor]:
        """The weights of the layers, dense and real."""
        return [dense(self.all[place]) for place in self.rows]

    def dense(self) -> list[tuple[int, Tensor]]:
        """Place and weights of every floating-point parameter, dense and real."""
        weights = [(place, dense(parameter)) for place, parameter in enumerate(self.all)]
        return [
            (place, each) for place, each in weights if each.numel() and each.is_floating_point()
        ]

    def gradients(self) -> list[tuple[int, Tensor]]:
        """Place and gradient of every parameter that has one, dense and real, none empty."""
        found = [
            (place, gradient)
            for place, parameter in enumerate(self.all)
            if (gradient := parameter.grad) is not None
        ]
        if self._plain:
            self._plain = all(_is_plain(gradient) for _, gradient in found)
        if not self._plain:
            found = [(place, dense(gradient)) for place, gradient in found]
        return [(place, gradient) for place, gradient in found if gradient.numel()]


def _is_plain(tensor: Tensor) -> bool:
    return type(tensor) is Tensor and tensor.layout is torch.strided and not tensor.is_complex()


def bare_name(name: str) -> str:
    """A name in the model, without the prefixes of data-parallel and compiling wrappers."""
    for prefix in _WRAPPERS:
        name = name.removeprefix(prefix)
    return name
