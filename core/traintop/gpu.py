"""GPU memory and utilisation through NVML, where there is an NVIDIA driver."""

from __future__ import annotations

import time
from typing import Any

import msgspec

PERIOD = 2.0
"""Seconds between samples."""


class GpuSample(msgspec.Struct, frozen=True):
    """One device at one moment."""

    index: int
    name: str
    time: float
    """Seconds since 1970."""
    memory_used: int
    """Bytes."""
    memory_total: int
    """Bytes."""
    utilization: int | None
    """Percent of the last period in which a kernel ran; None where the device does not say."""
    power: float | None
    """Watts."""


class GpuMonitor:
    """Samples all devices. Without a driver it has no devices and says why in `reason`."""

    def __init__(self) -> None:
        self.reason: str | None = None
        self.samples: list[GpuSample] = []
        """The newest sample of each device."""
        self._nvml: Any = None
        self._devices = range(0)
        self._due = 0.0

    def start(self) -> None:
        """Find the devices. Slow the first time (a driver is loaded): call it off the screen."""
        try:
            import pynvml  # type: ignore[import-untyped] # it ships no types

            pynvml.nvmlInit()
            self._nvml = pynvml
            self._devices = range(pynvml.nvmlDeviceGetCount())
            if not self._devices:
                self.reason = "no NVIDIA GPU to watch (the driver has none)"
        except Exception as error:  # noqa: BLE001 - a broken driver must not cost the screen
            self.reason = f"no NVIDIA GPU to watch ({type(error).__name__})"

    def sample(self, now: float | None = None) -> bool:
        """Sample all devices if the last sample is old enough; return whether that was done."""
        now = time.time() if now is None else now
        if not self._devices or now < self._due:
            return False
        self._due = now + PERIOD
        self.samples = [
            sample
            for index in self._devices
            if (sample := self._sample_device(index, now)) is not None
        ]
        return True

    def _sample_device(self, index: int, now: float) -> GpuSample | None:
        """Sample one device; None where it is lost or not to be asked."""
        nvml = self._nvml
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            memory = nvml.nvmlDeviceGetMemoryInfo(handle)
            name = nvml.nvmlDeviceGetName(handle)
        except nvml.NVMLError:
            return None
        return GpuSample(
            index,
            name if isinstance(name, str) else name.decode(),
            now,
            int(memory.used),
            int(memory.total),
            self._optional(lambda: int(nvml.nvmlDeviceGetUtilizationRates(handle).gpu)),
            self._optional(lambda: nvml.nvmlDeviceGetPowerUsage(handle) / 1000),
        )

    def _optional(self, read: Any) -> Any:
        """Not every device says everything: MIG slices have no utilisation."""
        try:
            return read()
        except self._nvml.NVMLError:
            return None
