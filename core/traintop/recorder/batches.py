"""Keeping a few batches of the training, so that analyses need no data pipeline.

Each is a file `batches/batch-00000.safetensors` of the run: the tensors, named 0, 1 ..., and in the
metadata how they are put together. The format is that of
https://github.com/huggingface/safetensors#format, which is written here in a few lines so that the
training environment need not have the package.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from traintop.recorder.guard import Guarded

FORMAT = "traintop.batch/1"
MOST_BYTES = 64 << 20
"""Of one batch; of a larger one as many samples are kept as fit."""
_DTYPES = {
    torch.bool: "BOOL",
    torch.uint8: "U8",
    torch.int8: "I8",
    torch.int16: "I16",
    torch.int32: "I32",
    torch.int64: "I64",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float32: "F32",
    torch.float64: "F64",
}


class BatchKeeper:
    """Keeps the first batches of a run.

    They are those that the script hands to `keep`. Where it hands over none, they are what the
    model is called with in training, which holds the targets only where the model takes them (as
    Hugging Face's do). Nothing here waits for a device: a copy is begun at once, and written by a
    later `poll` when it has arrived.

    Args:
        folder: Where the files go; what is there counts, so a resumed run keeps no more.
        count: How many batches.
        model: Watched until enough are kept.
        guarded: Holds back what goes wrong.
    """

    def __init__(self, folder: Path, count: int, model: torch.nn.Module, guarded: Guarded) -> None:
        self._folder = folder
        self._guarded = guarded
        self._seen: _Copy | None = None
        self._copies: list[_Copy] = []
        self._hook: Any = None
        there = list(folder.glob("batch-*.safetensors")) if count > 0 else []
        self._left, self._number = max(count - len(there), 0), len(there)
        if self._left:
            self._hook = model.register_forward_pre_hook(self._watch, with_kwargs=True)

    def keep(self, batch: Any) -> None:
        """Keep a batch as the script has it."""
        self._unhook()
        self._seen = None
        if self._left and not self._guarded.failed:
            self._take(_Copy(batch))

    def poll(self, *, wait: bool = False) -> None:
        """Write what has arrived; to be called after each step."""
        if self._guarded.failed:
            self._unhook()
            return
        seen, self._seen = self._seen, None
        if seen is not None and self._left:
            self._take(seen)
        while self._copies and (wait or self._copies[0].arrived()):
            copy = self._copies.pop(0)
            self._folder.mkdir(parents=True, exist_ok=True)
            copy.write(self._folder / f"batch-{self._number:05d}.safetensors")
            self._number += 1

    def close(self) -> None:
        """Write what is still on its way, and take the hook away."""
        self._unhook()
        self.poll(wait=True)

    def _take(self, copy: _Copy) -> None:
        self._copies.append(copy)
        self._left -= 1
        if not self._left:
            self._unhook()

    def _watch(self, module: torch.nn.Module, args: Any, kwargs: Any) -> None:
        # The first call of a step, held until its end: by then the script may have kept the batch.
        if torch.compiler.is_compiling() or not module.training or not torch.is_grad_enabled():
            return
        if self._seen is None and not self._guarded.failed:
            with self._guarded:
                self._seen = _Copy((args, kwargs), kind="inputs")

    def _unhook(self) -> None:
        if self._hook is not None:
            self._hook.remove()
            self._hook = None


class _Copy:
    """A batch on its way to the host."""

    def __init__(self, batch: Any, kind: str | None = None) -> None:
        tensors: list[Tensor] = []
        structure = _structure(batch, tensors)
        if not tensors:
            raise TypeError(f"a batch that is a {type(batch).__name__} holds no tensor to be kept")
        self._structure = structure if kind is None else {kind: structure["tuple"]}
        with torch.no_grad():
            self._tensors = [_to_host(each) for each in _that_fit(tensors)]
        self._event: Any = None
        if any(each.device.type == "cuda" for each in tensors):
            self._event = torch.cuda.Event()  # type: ignore[no-untyped-call] # torch's own gap
            self._event.record()

    def arrived(self) -> bool:
        """Whether it has."""
        return self._event is None or bool(self._event.query())

    def write(self, path: Path) -> None:
        """Write the file; it is there whole or not at all."""
        if self._event is not None:
            self._event.synchronize()
        header: dict[str, Any] = {
            "__metadata__": {"format": FORMAT, "structure": json.dumps(self._structure)}
        }
        end = 0
        for place, tensor in enumerate(self._tensors):
            begin, end = end, end + tensor.nbytes
            shape = list(tensor.shape)
            entry = {"dtype": _DTYPES[tensor.dtype], "shape": shape, "data_offsets": [begin, end]}
            header[str(place)] = entry
        head = json.dumps(header).encode()
        head += b" " * (-len(head) % 8)  # tensors begin at a multiple of 8 bytes
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        with beside.open("wb") as file:
            file.write(len(head).to_bytes(8, "little") + head)
            for tensor in self._tensors:
                # bfloat16 is unknown to numpy, bytes are not.
                file.write(tensor.reshape(-1).view(torch.uint8).numpy().data)
        beside.replace(path)


def _structure(item: Any, tensors: list[Tensor]) -> dict[str, Any]:
    """How a batch is put together; its tensors are appended to `tensors`."""
    if isinstance(item, Tensor):
        tensors.append(item.detach())
        if item.dtype not in _DTYPES or item.layout is not torch.strided:
            raise TypeError(f"a tensor of {item.dtype}, {item.layout} cannot be kept")
        return {"tensor": str(len(tensors) - 1)}
    if item is None or isinstance(item, bool | int | float | str):
        return {"value": item}
    if isinstance(item, Mapping):
        pairs = cast("Mapping[str, Any]", item).items()
        return {"dict": {str(key): _structure(value, tensors) for key, value in pairs}}
    if isinstance(item, list | tuple):
        parts = [_structure(each, tensors) for each in cast("list[Any]", item)]
        return {"tuple" if isinstance(item, tuple) else "list": parts}
    as_tensor: Callable[[], Tensor] | None = getattr(item, "__array__", None)
    if as_tensor is not None:
        return _structure(torch.as_tensor(item), tensors)
    raise TypeError(f"a {type(item).__name__} in a batch cannot be kept")


def _that_fit(tensors: list[Tensor]) -> list[Tensor]:
    """The tensors, cut to their first samples where together they are too large."""
    total = sum(each.nbytes for each in tensors)
    if total <= MOST_BYTES:
        return tensors
    lengths = {len(each) for each in tensors if each.ndim}
    most = min(lengths, default=0) * MOST_BYTES // total
    if len(lengths) > 1 or not most:
        raise ValueError(f"a batch of {total >> 20} MiB is too large to be kept")
    return [each[:most] if each.ndim else each for each in tensors]


def _to_host(tensor: Tensor) -> Tensor:
    """A copy that nobody else writes to; from a device it is only begun."""
    if tensor.device.type == "cpu":
        return tensor.clone(memory_format=torch.contiguous_format)
    on_cuda = tensor.device.type == "cuda"  # where it goes into pinned memory
    return tensor.contiguous().to("cpu", non_blocking=on_cuda)
