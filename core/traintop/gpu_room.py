"""Which GPUs an analysis may be offered: what NVML says is free beside what runs there."""

from __future__ import annotations

import os
from typing import Any

import msgspec


class FreeGpu(msgspec.Struct, frozen=True):
    """One device, and what of it is free now."""

    index: int
    uuid: str
    """What CUDA_VISIBLE_DEVICES takes to name this one and no other."""
    name: str
    free: int
    """Bytes."""
    total: int
    """Bytes."""


def free_gpus(visible: str | None = None) -> tuple[list[FreeGpu], str | None]:
    """The devices, the one with the most free memory first.

    Devices in slices (MIG) are left out: NVML gives the memory of the whole, not of the slice.

    Args:
        visible: What CUDA_VISIBLE_DEVICES allows this user; default: the environment's.

    Returns:
        The devices, and where there is none, why.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES") if visible is None else visible
    try:
        import pynvml  # type: ignore[import-untyped] # it ships no types

        pynvml.nvmlInit()
        count: int = pynvml.nvmlDeviceGetCount()
        found = [gpu for index in range(count) if (gpu := _device(pynvml, index)) is not None]
    except Exception as error:  # noqa: BLE001 - a broken driver only means that there is no GPU
        return [], f"no NVIDIA GPU can be asked how much memory is free ({type(error).__name__})"
    if not found:
        return [], "no GPU says how much of its memory is free"
    if visible is not None:
        allowed = [each.strip() for each in visible.split(",") if each.strip()]
        found = [gpu for gpu in found if any(_names(each, gpu) for each in allowed)]
        if not found:
            return [], f"CUDA_VISIBLE_DEVICES={visible!r} leaves no GPU that can be asked"
    return sorted(found, key=lambda gpu: -gpu.free), None


def _device(nvml: Any, index: int) -> FreeGpu | None:
    try:
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        if _is_sliced(nvml, handle):
            return None
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
        uuid, name = (
            _text(read(handle)) for read in (nvml.nvmlDeviceGetUUID, nvml.nvmlDeviceGetName)
        )
        free = int(memory.total) - int(memory.used)
        return FreeGpu(index, uuid, name, free, int(memory.total))
    except nvml.NVMLError:
        return None  # lost, or not to be asked


def _is_sliced(nvml: Any, handle: Any) -> bool:
    try:
        return bool(nvml.nvmlDeviceGetMigMode(handle)[0])
    except nvml.NVMLError:
        return False  # a device that knows no slices


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode()


def _names(entry: str, gpu: FreeGpu) -> bool:
    """Whether an entry of CUDA_VISIBLE_DEVICES means this device; a UUID may be cut short."""
    return entry == str(gpu.index) if entry.isdecimal() else gpu.uuid.startswith(entry)
