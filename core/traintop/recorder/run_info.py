"""Where a run is recorded and what is known of it before the first step."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

DEFAULT_DIRECTORY = "results/diagnostics"


def rank_and_world_size() -> tuple[int, int]:
    """This process's rank and how many there are, from torch.distributed or its environment."""
    distributed: Any = getattr(sys.modules.get("torch"), "distributed", None)
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        return int(distributed.get_rank()), int(distributed.get_world_size())
    return _integer("RANK", 0), _integer("WORLD_SIZE", 1)


def _integer(variable: str, default: int) -> int:
    text = os.environ.get(variable, "")
    return int(text) if text.isdecimal() else default


def run_directory(directory: str | os.PathLike[str] | None, rank: int) -> Path:
    """Where this rank's files go: rank 0 at the top, rank 3 in `rank00003`."""
    top = Path(directory or os.environ.get("DIAGNOSTICS_DIR") or DEFAULT_DIRECTORY)
    return top.absolute() / f"rank{rank:05d}" if rank else top.absolute()


def run_info(
    model: Any, optimizer: Any, scaler: Any, world_size: int, metadata: Mapping[str, object]
) -> dict[str, object]:
    """The contents of `run.json`: what we can see, overridden by what the script says."""
    groups: list[dict[str, Any]] = getattr(optimizer, "param_groups", None) or [{}]
    seen: dict[str, object] = {
        "format": "traintop/1",
        "model": type(model).__name__,
        "parameters": _count(model),
        "optimizer": None if optimizer is None else type(optimizer).__name__,
        "weight_decay": groups[0].get("weight_decay"),
        "amp": True if scaler is not None else None,
        "gpu_memory_total_mb": _gpu_memory(),
        "world_size": world_size,
        "cadence": "step",
        "python": sys.executable,
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "started": datetime.now(UTC).astimezone().isoformat(timespec="seconds"),
    }
    info = seen | {name: _plain(value) for name, value in metadata.items()}
    if isinstance(info.get("target"), str):
        info["target"] = _absolute_target(str(info["target"]))
    return {name: value for name, value in info.items() if value is not None}


def _count(model: Any) -> int | None:
    try:
        return int(sum(parameter.numel() for parameter in model.parameters()))
    except (AttributeError, ValueError, RuntimeError):
        return None  # a lazy model has no sizes before its first batch


def _gpu_memory() -> float | None:
    """Capacity of the current device in MB; None where CUDA is not in use, which is not begun."""
    cuda: Any = getattr(sys.modules.get("torch"), "cuda", None)
    if cuda is None or not cuda.is_initialized():
        return None
    try:
        properties = cuda.get_device_properties(cuda.current_device())
        return round(float(properties.total_memory) / 2**20, 1)
    except (AssertionError, RuntimeError):
        return None


def _plain(value: object) -> object:
    if value is None or isinstance(value, int | float | str):
        return value
    return (
        list(map(_plain, cast("Iterable[object]", value)))
        if isinstance(value, list | tuple)
        else str(value)
    )


def _absolute_target(target: str) -> str:
    """`FILE:FUNCTION` with a file that can be found from everywhere."""
    file, colon, function = target.rpartition(":")
    return f"{Path(file).absolute()}:{function}" if colon and Path(file).is_file() else target
