"""Watching every activation function of a model, whether it is a module or a call of `F.relu`.

Hooks on modules do not see calls of functions, so all of torch's functions are watched while the
model runs; hooks only keep the path of the module that is running.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, cast

import torch
from torch.overrides import TorchFunctionMode

ACTIVATIONS = frozenset(
    (
        "relu",
        "relu6",
        "hardswish",
        "gelu",
        "silu",
        "mish",
        "tanh",
        "sigmoid",
        "hardtanh",
        "hardsigmoid",
    )
)
"""By the names of torch's functions, those that end in an underscore (in place) included."""

Seen = Callable[[str, str, torch.Tensor, torch.Tensor, int], None]
"""`seen(name, kind, input, output, unit_axis)`."""

_CHANNELS_FIRST = frozenset(("batch_norm", "group_norm", "instance_norm"))
_FEATURES_LAST = frozenset(
    ("linear", "layer_norm", "rms_norm", "embedding", "matmul", "__matmul__")
)
_REARRANGE = frozenset(
    ("permute", "transpose", "swapaxes", "movedim", "view", "reshape", "__get__")
)
_AXIS = "_traintop_unit_axis"
_OF_ACTIVATIONS = "torch.nn.modules.activation"


class ActivationWatch(TorchFunctionMode):
    """While entered, hands every activation inside the model to `seen`.

    A call is named by the module that it is (`features.1`) or, for a function, by the module that
    calls it, the function, and which call of it that was (`block.relu#2`). A module that is called
    again in the same pass is another layer: `act`, `act#2`.
    """

    def __init__(self, model: torch.nn.Module, seen: Seen) -> None:
        super().__init__()
        self._model = model
        self._seen = seen
        self._running: list[tuple[str, torch.nn.Module]] = []
        self._calls: Counter[str] = Counter()
        self._handles: list[Any] = []

    def begin_pass(self) -> None:
        """Count calls anew; to be called before each batch."""
        self._calls.clear()
        self._running.clear()

    def __enter__(self) -> ActivationWatch:
        """Begin to watch."""
        for path, module in cast(
            "Iterable[tuple[str, torch.nn.Module]]", self._model.named_modules()
        ):
            if _may_activate(module):
                self._handles += [
                    module.register_forward_pre_hook(self._entering(path)),
                    module.register_forward_hook(self._leaving, always_call=True),
                ]
        super().__enter__()  # type: ignore[no-untyped-call] # torch leaves it untyped
        return self

    def __exit__(self, *error: Any) -> None:
        """Leave the model as it was."""
        super().__exit__(*error)  # type: ignore[no-untyped-call] # torch leaves it untyped
        for handle in self._handles:
            handle.remove()

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run the function; look at it where it is an activation."""
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        kind = _kind(name, args, kwargs)
        given = args[0] if args else kwargs.get("input")
        before: torch.Tensor | None = None
        if kind is not None and self._running and isinstance(given, torch.Tensor):
            # In place, it would overwrite what it is given.
            before = given.detach().clone() if _in_place(name, args, kwargs) else given.detach()
        output = func(*args, **kwargs)
        if isinstance(output, torch.Tensor):
            _remember_axis(name, args, kwargs, output)
            if kind is not None and before is not None:
                at = getattr(output, _AXIS, 1 if output.ndim >= 4 else output.ndim - 1)
                self._seen(self._name(kind), kind, before, output.detach(), at)
        return output

    def _entering(self, path: str) -> Callable[[torch.nn.Module, Any], None]:
        def enter(module: torch.nn.Module, _inputs: Any) -> None:
            self._running.append((path, module))

        return enter

    def _leaving(self, _module: torch.nn.Module, _inputs: Any, _output: Any) -> None:
        if self._running:
            self._running.pop()

    def _name(self, kind: str) -> str:
        path, module = self._running[-1]
        is_module = type(module).__module__ == _OF_ACTIVATIONS
        base = path if is_module else f"{path}.{kind}".lstrip(".")
        base = base or kind
        self._calls[base] += 1
        count = self._calls[base]
        return base if is_module and count == 1 else f"{base}#{count}"


def _may_activate(module: torch.nn.Module) -> bool:
    """Whether an activation may be called by it; torch's own layers, such as `Linear`, call none.

    They are most of a model's modules, and each hook takes its time.
    """
    where = type(module).__module__
    plain = where.startswith("torch.nn.modules.") and where != _OF_ACTIVATIONS
    return not plain or any(True for _ in module.children())


def _kind(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
    plain = name if name.startswith("__") else name.rstrip("_")
    if plain == "hardtanh":
        low = args[1] if len(args) > 1 else kwargs.get("min_val", -1.0)
        # That is how ReLU6 is made; bounds other than 0 or -1 say nothing about saturation.
        return "relu6" if low == 0 else "hardtanh" if low == -1 else None
    if plain in ACTIVATIONS:
        return plain
    if plain in ("clamp", "clip", "clamp_min"):  # max(x, 0), written another way
        low = args[1] if len(args) > 1 else kwargs.get("min")
        high = args[2] if len(args) > 2 else kwargs.get("max")
        if isinstance(low, int | float) and low == 0 and high is None:
            return "relu"
    return None


def _in_place(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    return name.endswith("_") or bool(kwargs.get("inplace")) or any(arg is True for arg in args)


def _unit_axis(args: tuple[Any, ...], kwargs: dict[str, Any]) -> int | None:
    """Where the first tensor with known units among the arguments has them."""
    for value in (*args, *kwargs.values()):
        items = cast("list[object]", value) if isinstance(value, list | tuple) else [value]
        for item in items:
            if isinstance(item, torch.Tensor) and hasattr(item, _AXIS):
                return int(getattr(item, _AXIS))
    return None


def _remember_axis(
    name: str, args: tuple[Any, ...], kwargs: dict[str, Any], output: torch.Tensor
) -> None:
    """Mark the axis of a tensor along which its units lie.

    Convolutions have channels along axis 1, linear layers features along the last; shape alone does
    not tell, since both give three axes (Conv1d, a transformer) and four (Conv2d, ConvNeXt's MLP).
    """
    given = args[0] if args else kwargs.get("input")
    known: int | None
    if name.startswith("conv") or name in _CHANNELS_FIRST:
        known = 1
    elif name in _FEATURES_LAST:
        known = output.ndim - 1
    elif name not in _REARRANGE and (
        (isinstance(given, torch.Tensor) and given.shape == output.shape)
        or "pool" in name
        or name in ("cat", "interpolate")
    ):
        known = _unit_axis(args, kwargs)
    else:
        known = None
    if known is not None and known < output.ndim:
        setattr(output, _AXIS, known)
    elif hasattr(output, _AXIS):
        delattr(output, _AXIS)
