"""TensorBoard event files and W&B run files made by hand, from the description of each."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

BLOCK = 1 << 15
WANDB_MAGIC = b":W&B\xe1\xbe\0"


def varint(number: int) -> bytes:
    """A number of the wire format; a negative one in two's complement of 64 bits."""
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes((*out, number))


def field(number: int, content: bytes | int | float) -> bytes:
    """A field: bytes and messages, whole numbers, or doubles."""
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    if isinstance(content, float):
        return varint(number << 3 | 1) + struct.pack("<d", content)
    return varint(number << 3 | 2) + varint(len(content)) + content


# --- TensorBoard ------------------------------------------------------------------------------


def crc32c(data: bytes) -> int:
    """CRC-32C, a bit at a time."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0x82F63B78 * (crc & 1)
    return crc ^ 0xFFFFFFFF


def masked(data: bytes) -> bytes:
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def record(data: bytes) -> bytes:
    head = struct.pack("<Q", len(data))
    return head + masked(head) + data + masked(data)


def simple(tag: str, value: float) -> bytes:
    """A value of a summary as PyTorch writes it."""
    return field(1, tag.encode()) + b"\x15" + struct.pack("<f", value)


def tensor(tag: str, dtype: int, content: bytes, plugin: str = "scalars") -> bytes:
    """A value of a summary as TensorFlow 2 writes it: one element in `tensor_content`."""
    body = field(1, dtype) + field(2, b"") + field(4, content)
    metadata = field(1, field(1, plugin.encode()))
    return field(1, tag.encode()) + field(8, body) + field(9, metadata)


def event(step: int, *values: bytes, time: float = 1.7e9) -> bytes:
    body = b"".join(field(1, value) for value in values)
    return field(1, time) + (field(2, step) if step else b"") + field(5, body)


def version(time: float = 1.7e9) -> bytes:
    return record(field(1, time) + field(3, b"brain.Event:2"))


def event_file(events: Iterable[bytes]) -> bytes:
    return version() + b"".join(map(record, events))


# --- W&B --------------------------------------------------------------------------------------


def wandb_file(records: Iterable[bytes]) -> bytes:
    """Records in blocks of 32 KiB, as a LevelDB log has them."""
    out = bytearray(WANDB_MAGIC)
    for data in records:
        kinds = (2, 3)  # of the first piece and of those after it, if there are several
        at = 0
        while True:
            room = BLOCK - len(out) % BLOCK
            if room < 7:
                out += bytes(room)
                continue
            piece = data[at : at + room - 7]
            last = at + len(piece) == len(data)
            kind = (1 if last else kinds[0]) if at == 0 else (4 if last else kinds[1])
            crc = zlib.crc32(bytes([kind]) + piece)
            out += struct.pack("<IHB", crc, len(piece), kind) + piece
            at += len(piece)
            if last:
                break
            if at == 0:  # no room for data in this block: a first piece without any
                kinds, at = (3, 3), 0
    return bytes(out)


def item(key: str | Sequence[str], value: Any, *, old: bool = False) -> bytes:
    """An item of a row: old clients give its key, newer ones a nested key."""
    keys = [key] if isinstance(key, str) else key
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return b"".join(field(1 if old else 2, each.encode()) for each in keys) + field(16, text)


def history(number: int, *items: bytes) -> bytes:
    return field(1, number) + field(2, b"".join(field(1, each) for each in items))


def row(number: int, values: dict[str, Any], *, old: bool = False) -> bytes:
    """A row of the history, as the client numbers and writes it."""
    return history(number, *(item(key, value, old=old) for key, value in values.items()))


def summary(number: int, values: dict[str, Any]) -> bytes:
    body = b"".join(field(1, item(key, value)) for key, value in values.items())
    return field(1, number) + field(3, body)


def stats(number: int, seconds: int, values: dict[str, Any]) -> bytes:
    body = b"".join(field(3, item(key, value, old=True)) for key, value in values.items())
    return field(1, number) + field(7, field(2, field(1, seconds)) + body)


def output(number: int, text: str) -> bytes:
    return field(1, number) + field(13, field(1, 1) + field(3, text.encode()))


def ending(number: int, code: int) -> bytes:
    return field(1, number) + field(18, field(1, code))


def settings(number: int, values: dict[str, Any]) -> bytes:
    body = b"".join(field(1, item(key, value, old=True)) for key, value in values.items())
    return field(1, number) + field(17, field(1, b"abc123") + field(4, body))
