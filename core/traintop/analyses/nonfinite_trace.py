"""Where the first number that is not finite comes from: operations of both passes, traced by data.

Every operation of the forward and of the backward pass is looked at. One whose output is not finite
while its inputs are is an origin, which its output carries along, and what is computed from it. So
the origin of a loss or a gradient is known exactly, and a mask of -inf, which harms nothing where
softmax takes it, is not mistaken for one. Anomaly mode of torch names the backward function only,
and sees no infinities; the source line of the forward pass is taken from it.
"""

from __future__ import annotations

import math
import re
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from traintop.analyses.model_order import named_modules

OUTSIDE = "(loss)"
"""In place of a module: what runs outside the model."""
_PLACES_CONSTANTS = frozenset(
    ("masked_fill", "where", "full", "full_like", "new_full", "fill", "scalar_tensor", "lift_fresh")
)
"""Operations that put an infinity where they are told to: masks. By name without the final `_`."""
_TAKES_MASKS = ("softmax", "attention")
"""Parts of the names of operations that expect -inf."""
_ALLOCATES = frozenset(("empty", "empty_like", "new_empty", "empty_strided", "new_empty_strided"))
"""What they return has not been written yet."""
_OURS, _TORCH = Path(__file__).parent, Path(torch.__file__).parent
_PLACE = re.compile(r'File "(.+?)", line (\d+)')


@dataclass(frozen=True, kw_only=True)
class Origin:
    """An operation, weights or an input that brought in what is not finite."""

    phase: str
    """forward, backward, weights or input."""
    module: str
    """Path of the module that ran it, or holds the weights; empty: the model itself."""
    what: str
    """The operation, or the name of the tensor."""
    kind: str
    """nan or inf."""
    placed: bool = False
    """Whether the infinity was put there as a constant."""
    line: str | None = None
    """`file:line` of the user's code."""
    inputs: tuple[dict[str, Any], ...] = ()
    """Statistics of what went in."""
    order: int = 0
    """Origins that were noted before."""


class NonfiniteTrace(TorchDispatchMode):
    """While entered, notes the origin of whatever is not finite.

    It sees tensors below autograd, in both passes, where they are made; `begin_backward` parts the
    passes.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # torch leaves it untyped
        self._model = model
        self._running: list[str] = [OUTSIDE]
        self._modules: dict[Any, str] = {}
        """By the node of the graph: the module that made it."""
        self._origins: dict[int, Origin] = {}
        """By the memory of what was not finite: graphs hand on the same memory in new tensors."""
        self._unwritten: set[int] = set()
        """Memory that was asked for and holds whatever it held before."""
        self._handles: list[Any] = []
        self._backward = False
        self._count = 0
        self._anomaly = torch.is_anomaly_enabled()

    def __enter__(self) -> NonfiniteTrace:
        """Begin to trace."""
        for path, module in named_modules(self._model):
            self._handles += [
                module.register_forward_pre_hook(self._entering(path), with_kwargs=True),
                module.register_forward_hook(self._leaving, always_call=True),
            ]
        # So that the nodes of the graph know where in the forward pass they were made.
        torch.autograd.set_detect_anomaly(True, check_nan=False)
        super().__enter__()  # type: ignore[no-untyped-call] # torch leaves it untyped
        return self

    def __exit__(self, *error: Any) -> None:
        """Leave the model as it was."""
        super().__exit__(*error)  # type: ignore[no-untyped-call] # torch leaves it untyped
        torch.autograd.set_detect_anomaly(self._anomaly)
        for handle in self._handles:
            handle.remove()

    def begin_backward(self, loss: Tensor) -> None:
        """Say that the forward pass is over."""
        self._claim(loss)
        self._backward = True

    def origin_of(self, tensor: Tensor) -> Origin | None:
        """Where a tensor that is not finite has it from."""
        return None if nonfinite_kind(tensor) is None else self._origins.get(_memory(tensor))

    def mark(self, tensor: Tensor, phase: str, module: str, name: str) -> None:
        """Note that weights, a buffer or an input are not finite, if so."""
        kind = nonfinite_kind(tensor)
        if kind is not None:
            # Buffers and inputs hold masks.
            placed = kind == "inf" and not isinstance(tensor, nn.Parameter)
            self._note(tensor, phase, module, name, kind, (tensor,), placed=placed)

    def _note(
        self,
        tensor: Tensor,
        phase: str,
        module: str,
        what: str,
        kind: str,
        inputs: Iterable[Tensor],
        *,
        placed: bool = False,
        line: str | None = None,
    ) -> None:
        self._origins[_memory(tensor)] = Origin(
            phase=phase,
            module=module,
            what=what,
            kind=kind,
            placed=placed,
            line=line,
            inputs=tuple(statistics(each) for each in inputs if each.is_floating_point()),
            order=self._count,
        )
        self._count += 1

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run the operation and look at what it gives."""
        kwargs = kwargs or {}
        name = getattr(func, "overloadpacket", func).__name__
        # What is copied over does not matter.
        given = list(_tensors((args[1:] if name == "copy_" else args, kwargs)))
        # In place, it overwrites what went in.
        in_place = getattr(getattr(func, "_schema", None), "is_mutable", False)
        before = self._bad(given) if in_place else None
        output = func(*args, **kwargs)
        if name in _ALLOCATES:
            self._unwritten.add(_memory(output))
            return output
        for tensor in _tensors(output):
            self._unwritten.discard(_memory(tensor))
            kind = nonfinite_kind(tensor)
            if kind is not None:
                bad = self._bad(given) if before is None else before
                self._trace(tensor, name, kind, given, bad)
        return output

    def _bad(self, given: Iterable[Tensor]) -> list[tuple[str, Origin | None]]:
        """The kinds and origins of those inputs that are not finite."""
        written = [tensor for tensor in given if _memory(tensor) not in self._unwritten]
        kinds = [(nonfinite_kind(tensor), tensor) for tensor in written]
        return [
            (kind, self._origins.get(_memory(tensor))) for kind, tensor in kinds if kind is not None
        ]

    def _trace(
        self,
        tensor: Tensor,
        name: str,
        kind: str,
        given: list[Tensor],
        bad: list[tuple[str, Origin | None]],
    ) -> None:
        """Inherit where an input was bad in the same way, or in a way that explains it."""
        known = [(each, origin) for each, origin in bad if origin is not None]
        alike = [origin for each, origin in known if each == kind]
        # An overflow makes NaNs later; a mask is not to blame for what softmax makes of it.
        takes_masks = any(part in name for part in _TAKES_MASKS) and not any(
            bool((tensor == math.inf).any()) for tensor in given
        )
        caused = [
            origin
            for _, origin in known
            if not origin.placed or (origin.phase == "input" and not takes_masks)
        ]
        if alike or caused:
            self._origins[_memory(tensor)] = min(alike or caused, key=lambda each: each.order)
            return
        if any(origin is None and each == kind for each, origin in bad):
            what = f"an argument of {name} that is made outside the model"
            self._note(tensor, "input", self._module_now(), what, kind, given, line=self._line())
            return
        phase = "backward" if self._backward else "forward"
        placed = kind == "inf" and name.rstrip("_") in _PLACES_CONSTANTS
        what = name.strip("_")
        if self._backward and (node := _current_node()) is not None:
            what = f"{what} in {node.name()}"
        module, line = self._module_now(), self._line()
        self._note(tensor, phase, module, what, kind, given, placed=placed, line=line)

    def _module_now(self) -> str:
        if not self._backward:
            return self._running[-1]
        return self._modules.get(_current_node(), OUTSIDE)

    def _line(self) -> str | None:
        """The innermost line of code that is neither torch's nor ours."""
        if self._backward:
            node: Any = _current_node()
            text = "" if node is None else "".join(node.metadata.get("traceback_", ()))
        else:
            text = "".join(traceback.format_stack())
        users = [
            f"{file}:{line}"
            for file, line in _PLACE.findall(text)
            if not any(Path(file).is_relative_to(folder) for folder in (_TORCH, _OURS))
        ]
        return users[-1] if users else None

    def _entering(self, path: str) -> Callable[[nn.Module, Any, Any], None]:
        def enter(_module: nn.Module, args: Any, kwargs: Any) -> None:
            for tensor in _tensors((args, kwargs)):
                self._claim(tensor)
            self._running.append(path)

        return enter

    def _leaving(self, _module: nn.Module, _inputs: Any, output: Any) -> None:
        for tensor in _tensors(output):
            self._claim(tensor)
        if len(self._running) > 1:
            self._running.pop()

    def _claim(self, tensor: Tensor) -> None:
        """Give the nodes behind a tensor that belong to no module yet to the one that runs."""
        waiting: list[Any] = [tensor.grad_fn]
        while waiting:
            node = waiting.pop()
            if node is None or node in self._modules:
                continue
            self._modules[node] = self._running[-1]
            waiting += [parent for parent, _ in node.next_functions]


def nonfinite_kind(tensor: Tensor) -> str | None:
    """`nan`, `inf`, or None where all numbers are finite."""
    if not (tensor.is_floating_point() or tensor.is_complex()) or not tensor.numel():
        return None
    if tensor.is_sparse:
        tensor = tensor._values()
    # Float8 knows neither test.
    wide = tensor.float() if tensor.is_floating_point() and tensor.element_size() == 1 else tensor
    if bool(wide.isfinite().all()):
        return None
    return "nan" if bool(wide.isnan().any()) else "inf"


def statistics(tensor: Tensor) -> dict[str, Any]:
    """Shape, dtype, range of the finite numbers, and how many are not."""
    values = torch.view_as_real(tensor) if tensor.is_complex() else tensor
    values = values.to_dense() if values.is_sparse else values
    known = values.double()
    finite = known[known.isfinite()]
    return {
        "shape": list(tensor.shape),
        "dtype": str(tensor.dtype).removeprefix("torch."),
        "min": float(finite.min()) if finite.numel() else None,
        "max": float(finite.max()) if finite.numel() else None,
        "smallest": float(finite.abs().min()) if finite.numel() else None,
        "nan": int(known.isnan().sum()),
        "inf": int(known.isinf().sum()),
    }


def _current_node() -> Any:
    """The node of the graph whose backward runs; torch has no public name for it."""
    return torch._C._current_autograd_node()  # pyright: ignore[reportPrivateUsage] - see above


def _memory(tensor: Tensor) -> int:
    held = tensor._values() if tensor.is_sparse else tensor
    return held.untyped_storage().data_ptr()


def _tensors(value: Any) -> Iterator[Tensor]:
    """The tensors anywhere in nested containers."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        yield from _tensors(list(cast("Mapping[str, Any]", value).values()))
    elif isinstance(value, list | tuple):
        for item in cast("Iterable[Any]", value):
            yield from _tensors(item)
