"""Says when a backward pass has ended, with every gradient in place and not yet clipped.

PyTorch has no public hook for it. A hook on a parameter can ask the engine for a call at the end of
the pass that is running, so one parameter is enough, and it costs two microseconds a pass. It must
be one that always gets a gradient: in the first pass all parameters are hooked, and the last one to
fire stays. Should it ever be missed, all are hooked again and the set of those that stay grows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from torch import Tensor
from torch.nn import Parameter

from traintop.recorder.torch_internals import at_end_of_backward


class BackwardWatch:
    """Calls a function at the end of every backward pass, once `watch_all` has been called.

    Args:
        parameters: The parameters of the model.
        ended: What to call. It must not raise: it would raise into the training.
    """

    def __init__(self, parameters: Iterable[Parameter], ended: Callable[[], None]) -> None:
        self._parameters = tuple(parameters)
        self._ended = ended
        self._handles: dict[int, Any] = {}
        self._kept: set[int] = set()
        self._last: int | None = None
        self._asked = False
        self._settled = False

    def watch_all(self) -> None:
        """Hook every parameter until the next pass has shown which of them to keep."""
        self._settled = False
        for place, parameter in enumerate(self._parameters):
            if place not in self._handles and parameter.requires_grad:
                # A view, as sharding leaves them, cannot be hooked; the others can.
                with suppress(RuntimeError, ValueError):
                    self._handles[place] = self._register(parameter, self._hook(place))

    def reset(self) -> None:
        """Forget a pass that broke off with an exception."""
        self._asked = False

    def close(self) -> None:
        """Take all hooks away."""
        for handle in self._handles.values():
            handle.remove()
        self._handles.clear()

    @staticmethod
    def _register(parameter: Any, hook: Callable[[Tensor], None]) -> Any:
        return parameter.register_post_accumulate_grad_hook(hook)

    def _hook(self, place: int) -> Callable[[Tensor], None]:
        def fired(_: Tensor) -> None:
            self._last = place
            if not self._asked:
                self._asked = True
                at_end_of_backward(self._at_end)

        return fired

    def _at_end(self) -> None:
        # Asked again, so as to come after whatever else waits for this end: data-parallel
        # averaging of the gradients does.
        at_end_of_backward(self._after_all)

    def _after_all(self) -> None:
        self._asked = False
        if not self._settled and self._last is not None:
            self._settled = True
            self._kept.add(self._last)
            for place in [place for place in self._handles if place not in self._kept]:
                self._handles.pop(place).remove()
        self._ended()
