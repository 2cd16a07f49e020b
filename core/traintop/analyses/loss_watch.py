"""Watching the loss functions that a training step calls, and what they are given.

A target may say `loss=nn.CrossEntropyLoss()`, a `step` of its own, or leave the loss to a Hugging
Face model: in the end all of them call functions of `torch.nn.functional`, which are watched here.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

CLASS_LOSSES = frozenset(("cross_entropy", "nll_loss"))
BINARY_LOSSES = frozenset(("binary_cross_entropy", "binary_cross_entropy_with_logits"))
REGRESSION_LOSSES = frozenset(("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"))
LOSSES = CLASS_LOSSES | BINARY_LOSSES | REGRESSION_LOSSES | {"kl_div"}
"""By the names of torch's functions."""

_ORIGINS = frozenset(
    ("softmax", "log_softmax", "sigmoid", "logsigmoid", "relu", "leaky_relu", "gelu", "tanh")
)
_LOGS = {"log": 0.0, "log2": 0.0, "log10": 0.0, "log1p": -1.0}
"""The argument from which on downwards a logarithm is not finite."""
_KEEPS_VALUES = frozenset(
    (
        *("view", "reshape", "squeeze", "unsqueeze", "flatten", "permute", "transpose", "movedim"),
        *("contiguous", "float", "double", "to", "clone", "detach", "__getitem__"),
    )
)
_OF_LOG = {"softmax": "log_softmax", "sigmoid": "logsigmoid"}
_ORIGIN = "_traintop_origin"


class StopWatchingError(Exception):
    """Raised by `before` of a watch to end the step before a call that would fail."""


@dataclass(kw_only=True, eq=False)
class LossCall:
    """One call of a loss function."""

    name: str
    function: Callable[..., torch.Tensor]
    input: torch.Tensor
    """What the model gave, detached."""
    target: torch.Tensor
    options: Mapping[str, Any]
    """All further arguments, defaults filled in: `reduction`, `ignore_index`, `weight` ..."""
    origin: str | None
    """The activation that the input comes from (`softmax`, `relu` ...), where that was seen."""
    value: torch.Tensor | None = None
    """What it returned; None while it runs, or where it raised."""


@dataclass(kw_only=True)
class Seen:
    """What a watch has seen."""

    losses: list[LossCall] = field(default_factory=list[LossCall])
    log_zeros: int = 0
    """Arguments of logarithms that have none: how many were zero or below."""
    log_of: str | None = None
    """`softmax` or `sigmoid`, where a logarithm was taken of its bare output."""


class LossWatch(TorchFunctionMode):
    """While entered, keeps every call of a loss function in `seen`.

    Args:
        before: Called with each call before it is made; what it raises ends the step.
    """

    def __init__(self, before: Callable[[LossCall], None] | None = None) -> None:
        super().__init__()
        self.seen = Seen()
        self._before = before

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run the function; look at it where it is a loss, a logarithm or an activation."""
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        plain = name if name.startswith("__") else name.rstrip("_")
        given = args[0] if args else kwargs.get("input")
        origin = getattr(given, _ORIGIN, None) if isinstance(given, torch.Tensor) else None
        call = _loss_call(func, plain, args, kwargs, origin) if plain in LOSSES else None
        if call is not None:
            self.seen.losses.append(call)
            if self._before is not None:
                self._before(call)
        if plain in _LOGS and isinstance(given, torch.Tensor) and given.numel():
            self.seen.log_zeros += int((given.detach() <= _LOGS[plain]).sum())
            if origin in _OF_LOG:
                self.seen.log_of = origin
        output = func(*args, **kwargs)
        if isinstance(output, torch.Tensor):
            if call is not None:
                call.value = output.detach()
            _mark(output, plain, origin)
        return output


def _loss_call(
    func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], origin: str | None
) -> LossCall | None:
    try:
        bound = inspect.signature(func).bind(*args, **kwargs)
    except (TypeError, ValueError):  # a builtin without a signature, or a call that will raise
        return None
    bound.apply_defaults()
    options = dict(bound.arguments)
    given, target = options.pop("input", None), options.pop("target", None)
    if not isinstance(given, torch.Tensor) or not isinstance(target, torch.Tensor):
        return None
    for old in ("size_average", "reduce"):  # both have long been replaced by `reduction`
        if options.get(old) is None:
            options.pop(old, None)
    return LossCall(
        name=name,
        function=func,
        input=given.detach(),
        target=target.detach(),
        options=options,
        origin=origin,
    )


def _mark(output: torch.Tensor, name: str, origin: str | None) -> None:
    """Remember on a tensor which activation its values come from."""
    if name in _ORIGINS:
        known: str | None = name
    elif name in _KEEPS_VALUES:
        known = origin
    elif name == "log":
        known = _OF_LOG.get(origin or "")
    else:
        known = None
    if known is not None:
        setattr(output, _ORIGIN, known)
    elif hasattr(output, _ORIGIN):
        delattr(output, _ORIGIN)
