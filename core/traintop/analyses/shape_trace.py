"""The shapes that go into and come out of every module of a model, in the order of the calls."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from traintop.analyses.model_order import bare_name

Shapes = list[Any] | None
"""The shape of a tensor; of several tensors a list of shapes; None where there is none."""
MAX_TENSORS = 8
"""Tensors of one input or output that are listed: a decoder's cache may hold hundreds."""


@dataclass(kw_only=True, eq=False)
class Call:
    """A module and the first of its calls."""

    name: str
    module: nn.Module
    calls: int = 0
    input: Shapes = None
    output: Shapes = None
    inputs: tuple[Any, ...] = ()
    """The input itself, while the module runs: what a failure is explained by."""
    running: bool = False


class ShapeTrace:
    """While entered, notes the calls of all modules of a model."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._handles: list[Any] = []
        self.calls: list[Call] = []
        """In the order of their first calls; a module comes before those inside it."""

    def __enter__(self) -> ShapeTrace:
        """Begin to note."""
        named = cast("Iterable[tuple[str, nn.Module]]", self._model.named_modules())
        for path, module in named:
            call = Call(name=bare_name(path), module=module)
            self._handles += [
                module.register_forward_pre_hook(self._begin(call), with_kwargs=True),
                module.register_forward_hook(_end(call)),
            ]
        return self

    def __exit__(self, *error: object) -> None:
        """Leave the model as it was."""
        for handle in self._handles:
            handle.remove()
        for call in self.calls:
            call.inputs = ()

    @property
    def failed(self) -> Call | None:
        """The innermost module that was called and has not come back."""
        return next((call for call in reversed(self.calls) if call.running), None)

    def _begin(self, call: Call) -> Callable[..., None]:
        def begin(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            if not call.calls:
                call.input = shapes_of((*args, *kwargs.values()))
                self.calls.append(call)
            call.calls += 1
            call.inputs = (*args, *kwargs.values())
            call.running = True

        return begin


def _end(call: Call) -> Callable[..., None]:
    def end(_module: nn.Module, _args: Any, output: Any) -> None:
        if call.calls == 1:
            call.output = shapes_of(output)
        call.running = False
        call.inputs = ()

    return end


def shapes_of(value: Any) -> Shapes:
    """The shapes of the tensors in a value, at most `MAX_TENSORS` of them."""
    found = [list(tensor.shape) for tensor in tensors_of(value)[:MAX_TENSORS]]
    return found[0] if len(found) == 1 else found or None


def tensors_of(value: Any) -> list[torch.Tensor]:
    """All tensors in nested containers, dataclasses of outputs included."""
    if isinstance(value, torch.Tensor):
        return [value]
    items: Iterable[Any] = ()
    if isinstance(value, Mapping):
        items = cast("Mapping[str, Any]", value).values()
    elif isinstance(value, list | tuple):
        items = cast("list[Any]", value)
    elif hasattr(value, "__dataclass_fields__"):
        items = cast("dict[str, Any]", vars(value)).values()
    return [tensor for item in items for tensor in tensors_of(item)]


def rows(trace: ShapeTrace, model: nn.Module) -> list[dict[str, Any]]:
    """A row a module: those called in order, then those that were not but have parameters.

    `parameters` are those of the module itself, without the modules inside it; a parameter that
    several modules share is counted at the first, so that the sum is that of the model.
    """
    counted: set[int] = set()
    table = [_row(call.name, call.module, call, counted) for call in trace.calls]
    called = {id(call.module) for call in trace.calls}
    for path, module in cast("Iterable[tuple[str, nn.Module]]", model.named_modules()):
        own = list(module.parameters(recurse=False))
        if own and id(module) not in called and not counted.issuperset(map(id, own)):
            table.append(_row(bare_name(path), module, None, counted))
    return table


def count(model: nn.Module, *, trainable: bool = False) -> int:
    """The number of parameters, each counted once, or of those that are trained."""
    return sum(
        _numel(parameter)
        for parameter in model.parameters()
        if parameter.requires_grad or not trainable
    )


def _row(name: str, module: nn.Module, call: Call | None, counted: set[int]) -> dict[str, Any]:
    # Attention uses the weights of its output projection without calling it.
    inside = isinstance(module, nn.MultiheadAttention)
    own = [p for p in module.parameters(recurse=inside) if id(p) not in counted]
    counted.update(map(id, own))
    return {
        "name": name,
        "type": type(module).__name__,
        "input": call.input if call is not None else None,
        "output": call.output if call is not None else None,
        "parameters": sum(map(_numel, own)),
        "calls": call.calls if call is not None else 0,
    }


def _numel(parameter: nn.Parameter) -> int:
    # A lazy module that was never called has no shape yet.
    return 0 if is_lazy(parameter) else parameter.numel()
