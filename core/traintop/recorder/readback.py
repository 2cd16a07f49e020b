"""From tensors on a device to floats on the host, with one transfer a record."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor

MOST_PENDING = 32


class Packet:
    """The tensors of one record, laid end to end."""

    def __init__(self) -> None:
        self._parts: list[Tensor] = []
        self._size = 0

    def add(self, tensor: Tensor) -> slice:
        """Put a tensor in; returns where its elements will stand among the floats."""
        self._parts.append(tensor.detach().reshape(-1))
        start = self._size
        self._size += tensor.numel()
        return slice(start, self._size)

    def flat(self) -> Tensor | None:
        """All elements in one tensor, or None where there are none.

        float64, in which counts and losses are exact; float32 on Apple's devices, which lack it.
        """
        if not self._parts:
            return None
        device = next((p.device for p in self._parts if p.device.type != "cpu"), None)
        device = device or self._parts[0].device
        dtype = torch.float32 if device.type == "mps" else torch.float64
        return torch.cat([part.to(device, dtype, non_blocking=True) for part in self._parts])


class Readback:
    """Hands packets over as floats, in order, without making the host wait for the device.

    On CUDA a packet is copied into pinned memory behind the work already queued and is handed over
    by a later call, one to three steps on, when its event has passed. Elsewhere it is at once.
    """

    def __init__(self) -> None:
        self._pending: deque[tuple[Tensor | None, Any, Callable[[list[float]], None]]] = deque()

    def packet(self) -> Packet:
        """An empty packet."""
        return Packet()

    def submit(self, packet: Packet, deliver: Callable[[list[float]], None]) -> None:
        """Have `deliver` called with the packet's floats, now or at a later call."""
        flat = packet.flat()
        event = None
        if flat is not None and flat.device.type == "cuda":
            with torch.cuda.device(flat.device):
                flat = flat.to("cpu", non_blocking=True)  # into pinned memory
                event = torch.cuda.Event()  # type: ignore[no-untyped-call] # torch's own gap
                event.record()
        self._pending.append((flat, event, deliver))
        self.poll()

    def poll(self) -> None:
        """Hand over what has arrived."""
        while self._pending:
            event = self._pending[0][1]
            # A host this far ahead can wait for one packet: the device has 31 more queued.
            if event is not None and not event.query() and len(self._pending) < MOST_PENDING:
                return
            self._deliver_first()

    def drain(self) -> None:
        """Hand over everything, waiting for it."""
        while self._pending:
            self._deliver_first()

    def _deliver_first(self) -> None:
        flat, event, deliver = self._pending.popleft()
        if event is not None:
            event.synchronize()
        deliver([] if flat is None else cast("list[float]", flat.tolist()))
