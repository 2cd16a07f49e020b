"""Reading `.safetensors`: a JSON header and raw numbers, nothing that could be run.

The format is that of https://github.com/huggingface/safetensors#format: 8 bytes of length (little
endian), that many bytes of JSON, then the tensors' bytes. Read here, since the training environment
need not have the package.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

if TYPE_CHECKING:
    import torch

LONGEST_HEADER = 100_000_000
"""Bytes; the limit of the format's own reader."""
DTYPES = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "I16": "int16",
    "U16": "uint16",
    "F16": "float16",
    "BF16": "bfloat16",
    "I32": "int32",
    "U32": "uint32",
    "F32": "float32",
    "I64": "int64",
    "U64": "uint64",
    "F64": "float64",
    "C64": "complex64",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
}
"""Their names in the header, and torch's."""


def read_safetensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """The tensors of a file by name, on the CPU, and its metadata.

    Raises:
        OSError: It cannot be read.
        ValueError: It is no such file, or is cut off; the text says where.
    """
    with path.open("rb") as file:
        length = path.stat().st_size
        size = int.from_bytes(file.read(8), "little")
        if length < 8 or not 2 <= size <= min(LONGEST_HEADER, length - 8):
            raise ValueError(f"no header of safetensors in {length} bytes")
        entries: Any = json.loads(file.read(size))
        if not isinstance(entries, dict):
            raise ValueError("its header is no JSON object")
        entries = cast("dict[str, Any]", entries)
        metadata = cast("dict[str, str]", entries.pop("__metadata__", {}))
        room = length - 8 - size
        tensors = {
            name: _tensor(file, name, entry, 8 + size, room) for name, entry in entries.items()
        }
    return tensors, metadata


def _tensor(file: BinaryIO, name: str, entry: Any, start: int, room: int) -> torch.Tensor:
    import torch

    dtype, shape, begin, end = _checked(name, entry)
    if end > room:
        raise ValueError(f"{name!r} ends {end - room} bytes after the file")
    if math.prod(shape) * dtype.itemsize != end - begin:
        raise ValueError(f"{name!r} of shape {tuple(shape)} does not have {end - begin} bytes")
    if begin == end:
        return torch.empty(shape, dtype=dtype)
    file.seek(start + begin)
    content = bytearray(file.read(end - begin))
    if len(content) != end - begin:
        raise ValueError(f"{name!r} is cut off")
    return torch.frombuffer(content, dtype=dtype).reshape(shape)


def _checked(name: str, entry: Any) -> tuple[torch.dtype, list[int], int, int]:
    import torch

    try:
        dtype = getattr(torch, DTYPES[entry["dtype"]])
        shape, (begin, end) = _naturals(entry["shape"]), _naturals(entry["data_offsets"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(
            f"the entry of {name!r} is damaged, or of an unknown type: {error}"
        ) from None
    if begin > end:
        raise ValueError(f"{name!r} ends before it begins")
    return dtype, shape, begin, end


def _naturals(value: Any) -> list[int]:
    if not all(type(each) is int and each >= 0 for each in value):
        raise ValueError(f"{value} are no sizes")
    return list(value)
