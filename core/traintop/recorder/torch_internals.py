"""The few functions of PyTorch that have no public name, in one place.

All of them are what PyTorch's own `clip_grad_norm_`, `GradScaler` and `DistributedDataParallel`
are made of. Where one is missing in some version, the measurement that needs it is switched off.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor


def foreach_norm(tensors: Sequence[Tensor], dtype: torch.dtype) -> Sequence[Tensor]:
    """The 2-norm of each tensor, in a few kernels for all of them. `tensors` must not be empty.

    `dtype` is what is summed in: float16 overflows from about 300 x 100,000 elements on.
    """
    norms: Any = torch._foreach_norm  # pyright: ignore[reportPrivateUsage, reportPrivateImportUsage]
    result: Sequence[Tensor] = norms(tensors, 2, dtype=dtype)
    return result


def at_end_of_backward(function: Callable[[], None]) -> None:
    """Call a function when the backward pass that is running has accumulated all gradients."""
    engine: Any = vars(torch.autograd.Variable)["_execution_engine"]
    engine.queue_callback(function)


def versions(tensors: Sequence[Tensor]) -> int:
    """A number that grows whenever one of the tensors is written to in place."""
    return sum(tensor._version for tensor in tensors)  # pyright: ignore[reportPrivateUsage] - see the module


def loss_scale(scaler: Any) -> Tensor | float | None:
    """The scale in force of a `torch.amp.GradScaler`, left on its device where that can be."""
    if scaler is None or not scaler.is_enabled():
        return None
    scale = getattr(scaler, "_scale", None)
    if isinstance(scale, Tensor):
        return scale.clone()
    return float(scaler.get_scale())
