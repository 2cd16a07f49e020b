"""A driver with as many devices as a test wants, some of them in a bad way."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any


class NVMLError(Exception):
    """What a driver answers."""


class FakeNvml:
    """Stands for the module `pynvml`.

    Args:
        devices: Bytes in use on each device, or an exception that any question to it raises.
        total: Bytes of memory of each.
        plain: Whether devices tell nothing but their memory, as slices of one do.
        sliced: Whether they are in slices (MIG).
    """

    NVMLError = NVMLError

    def __init__(
        self,
        *devices: int | Exception,
        total: int = 8 << 30,
        plain: bool = False,
        sliced: bool = False,
    ) -> None:
        self.devices = list(devices)
        self.total = total
        self.plain = plain
        self.sliced = sliced
        self.init_error: Exception | None = None

    def nvmlInit(self) -> None:  # noqa: N802 - as NVML has it
        if self.init_error is not None:
            raise self.init_error

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802 - as NVML has it
        return len(self.devices)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802 - as NVML has it
        self._used(index)
        return index

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Any:  # noqa: N802 - as NVML has it
        return SimpleNamespace(used=self._used(handle), total=self.total)

    def nvmlDeviceGetName(self, handle: int) -> str | bytes:  # noqa: N802 - as NVML has it
        # Older versions of the bindings answer bytes.
        return f"Fake {handle}" if handle % 2 else f"Fake {handle}".encode()

    def nvmlDeviceGetUUID(self, handle: int) -> str:  # noqa: N802 - as NVML has it
        return f"GPU-{handle:08d}-abcd"

    def nvmlDeviceGetMigMode(self, _handle: int) -> list[int]:  # noqa: N802 - as NVML has it
        if not self.sliced:
            raise NVMLError("not supported")
        return [1, 1]

    def nvmlDeviceGetUtilizationRates(self, _handle: int) -> Any:  # noqa: N802 - as NVML has it
        if self.plain:
            raise NVMLError("not supported")
        return SimpleNamespace(gpu=37)

    def nvmlDeviceGetPowerUsage(self, _handle: int) -> int:  # noqa: N802 - as NVML has it
        if self.plain:
            raise NVMLError("not supported")
        return 250_500

    def _used(self, index: int) -> int:
        device = self.devices[index]
        if isinstance(device, Exception):
            raise device
        return device
