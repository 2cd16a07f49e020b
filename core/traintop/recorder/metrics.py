"""The numbers that a script hands over, which may be tensors still on their way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from traintop.recorder.readback import Packet

RESERVED = frozenset({"step", "epoch", "time"})

Late = Callable[[Sequence[float]], dict[str, float]]


def take(metrics: Mapping[str, Any], packet: Packet, tell: Callable[[str], None]) -> Late:
    """Take metrics as they come; tensors of one element go into the packet unread.

    Args:
        metrics: Numbers, tensors, anything with `__float__`; None is left out.
        packet: Where tensors go.
        tell: Is told of what is no number, which is left out.

    Returns:
        A function of the packet's floats that gives all metrics in their order.
    """
    taken: dict[str, float | slice] = {}
    for name, value in metrics.items():
        if value is None:
            continue
        if name in RESERVED:
            tell(f"the metric {name!r} has the name of a field of its own")
        elif isinstance(value, int | float):
            taken[name] = value
        elif hasattr(value, "numel") and value.numel() == 1:
            taken[name] = packet.add(value)
        else:
            try:
                taken[name] = float(value)
            except (TypeError, ValueError, RuntimeError):
                tell(f"the metric {name!r} is not a number but a {type(value).__name__}")

    def late(floats: Sequence[float]) -> dict[str, float]:
        return {
            name: floats[value][0] if isinstance(value, slice) else value
            for name, value in taken.items()
        }

    return late
