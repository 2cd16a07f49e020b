"""A model in double precision for a while, and its loss as a function that can be called again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from traintop.analyses.batches import loss_of, seed_everything
from traintop.analyses.model_order import named_modules, owner
from traintop.analyses.saved_weights import SavedBuffers
from traintop.analyses.target import Target


class Doubled:
    """While entered, a model and its loss function compute in float64.

    What the forward pass makes anew (masks, zeros) follows the default dtype, so that is set too.
    """

    def __init__(self, model: nn.Module, target: Target) -> None:
        self._model = model
        self._target = target
        self._modules = [model, *([target.loss] if isinstance(target.loss, nn.Module) else [])]
        self._saved: list[tuple[nn.Module, str, Tensor]] = []
        self._default = torch.get_default_dtype()

    def __enter__(self) -> Doubled:
        """Convert all floating-point weights and buffers."""
        for module in self._modules:
            named = (*module.named_parameters(), *module.named_buffers())
            self._saved += [(module, name, tensor.detach().clone()) for name, tensor in named]
            module.double()
        torch.set_default_dtype(torch.float64)
        return self

    def __exit__(self, *error: object) -> None:
        """Put back the very weights and buffers, in their dtypes."""
        torch.set_default_dtype(self._default)
        for module, name, value in self._saved:
            holder = module.get_submodule(owner(name))
            held = getattr(holder, name.rpartition(".")[2])
            if isinstance(held, nn.Parameter):
                held.data, held.grad = value, None
            else:
                setattr(holder, name.rpartition(".")[2], value)


def doubled_batch(batch: Any) -> Any:
    """The batch with all floating-point tensors in float64."""
    if isinstance(batch, Tensor):
        return batch.double() if batch.is_floating_point() else batch
    if isinstance(batch, Mapping):
        pairs = cast("Mapping[str, Any]", batch).items()
        return {key: doubled_batch(value) for key, value in pairs}
    if isinstance(batch, list | tuple):
        kind: Any = type(cast("object", batch))
        items = [doubled_batch(item) for item in cast("Iterable[Any]", batch)]
        return kind(*items) if hasattr(kind, "_fields") else kind(items)
    return batch


class RepeatedLoss:
    """The loss of one batch, the same each time it is asked for while the weights are the same."""

    def __init__(self, target: Target, model: nn.Module, batch: Any, seed: int) -> None:
        self._target, self._model, self._batch, self._seed = target, model, batch, seed
        self._buffers = SavedBuffers(model)

    def tensor(self) -> Tensor:
        """The loss with its graph; random numbers and buffers begin anew."""
        self.restore()
        seed_everything(self._seed)
        return loss_of(self._target, self._model, self._batch)

    def restore(self) -> None:
        """Put the buffers back."""
        self._buffers.restore()

    def value(self) -> float:
        """The loss."""
        return float(self.tensor().detach())

    def rounding_unit(self) -> float:
        """That of the coarsest dtype which any module hands on: a part may lower the precision."""
        units: list[float] = []

        def seen(_module: nn.Module, _inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor) and output.is_floating_point():
                units.append(torch.finfo(output.dtype).eps)

        handles = [each.register_forward_hook(seen) for _, each in named_modules(self._model)]
        try:
            loss = self.tensor()
        finally:
            for handle in handles:
                handle.remove()
        return max([torch.finfo(loss.dtype).eps, *units])
