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
        self._device: torch.device | None = None

    def add(self, tensor: Tensor) -> slice:
        """Put a tensor in; returns where its elements will stand among the floats."""
        if tensor.requires_grad:
            tensor = tensor.detach()
        if tensor.device.type != "cpu":
            self._device = tensor.device
        self._parts.append(tensor)
        start = self._size
        self._size += tensor.numel()
        return slice(start, self._size)

    def on_device(self) -> Tensor | None:
        """All elements in one tensor; None where all of them are on the host already.

        float64, in which counts and losses are exact; float32 on Apple's devices, which lack it.
        """
        if self._device is None:
            return None
        dtype = torch.float32 if self._device.type == "mps" else torch.float64
        parts = [part.to(self._device, dtype, non_blocking=True) for part in self._parts]
        return torch.cat([part.reshape(-1) for part in parts])

    def on_host(self) -> list[float]:
        """All elements, where they are on the host."""
        floats: list[float] = []
        for part in self._parts:
            floats += cast("list[float]", part.reshape(-1).tolist())
        return floats


class Readback:
    """Hands packets over as floats, in order, without making the host wait for the device.

    On CUDA a packet is copied into pinned memory behind the work already queued and is handed over
    by a later call, one to three steps on, when its event has passed. Elsewhere it is at once.
    """

    def __init__(self) -> None:
        self._pending: deque[tuple[Tensor, Any, Callable[[list[float]], None]]] = deque()

    def packet(self) -> Packet:
        """An empty packet."""
        return Packet()

    def submit(self, packet: Packet, deliver: Callable[[list[float]], None]) -> None:
        """Have `deliver` called with the packet's floats, now or at a later call."""
        flat = packet.on_device()
        if flat is None and not self._pending:
            deliver(packet.on_host())
            return
        event = None
        if flat is None:
            flat = torch.tensor(packet.on_host(), dtype=torch.float64)
        elif flat.device.type == "cuda":
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
        deliver(cast("list[float]", flat.tolist()))
