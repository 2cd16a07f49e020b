"""Compressed logs, read through: gzip, bzip2, xz and Zstandard, also while they are written.

A file that grows is followed as far as what was flushed of it can be unpacked.
"""

from __future__ import annotations

import bz2
import importlib
import lzma
import zlib
from typing import TYPE_CHECKING, Protocol

from traintop.sources.tail import HEAD, Chunk

if TYPE_CHECKING:
    from collections.abc import Callable

    from traintop.sources.tail import Tail

SUFFIXES: tuple[str, ...] = (".gz", ".bz2", ".xz", ".zst")
"""Endings of the names of compressed files."""

BLOCK = 1 << 16
"""Compressed bytes unpacked at once."""

MOST_EXPANSION = 400
"""Logs shrink to a tenth or twentieth, those of one line again and again to a hundredth; gzip
reaches at most 1032 times (zlib's technical details), and only a bomb comes near that."""
ALWAYS_ALLOWED = 256 << 20
"""Unpacked bytes up to which the expansion does not matter."""


class Unpacker(Protocol):
    """One stream of one format."""

    @property
    def eof(self) -> bool:
        """Whether the stream has come to its end."""
        ...

    @property
    def unused_data(self) -> bytes:
        """What came behind the end of the stream."""
        ...

    def decompress(self, data: bytes, max_length: int = ...) -> bytes:
        """Unpack some bytes, to at most `max_length` where that is given."""
        ...


class CompressedTail:
    """The bytes of a compressed file; its interface is that of `Tail`.

    Args:
        packed: The file as it is.
        unpacker: Makes an unpacker; such files may hold several streams, one behind the other.
    """

    def __init__(self, packed: Tail, unpacker: Callable[[], Unpacker]) -> None:
        self.path = packed.path
        self._packed = packed
        self._new_unpacker = unpacker
        self._unpacker: Unpacker | None = None  # None between two streams
        self._head = b""
        self._unpacked = 0
        self._waiting = b""  # compressed bytes that were read and not unpacked yet
        self._full = False  # whether the unpacker has more than it was allowed to hand out
        self._broken: str | None = None

    @property
    def error(self) -> str | None:
        """Why nothing more can be read at the moment."""
        return self._broken or self._packed.error

    @property
    def polled(self) -> bool:
        """Whether the operating system does not tell when there is more to read."""
        return self._packed.polled

    @property
    def head(self) -> bytes:
        """The first bytes of the content, at most `HEAD`."""
        return self._head

    @property
    def bytes_read(self) -> int:
        """Compressed bytes unpacked so far."""
        return self._packed.bytes_read - len(self._waiting)

    @property
    def bytes_total(self) -> int:
        """Compressed bytes known to be there."""
        return self._packed.bytes_total

    @property
    def pending(self) -> bool:
        """Whether more is known to be there."""
        if self._broken is not None:
            return False
        return self._packed.pending or bool(self._waiting) or self._full

    @property
    def held_open(self) -> bool:
        """Whether a writer is known to be there."""
        return self._packed.held_open

    def read(self, max_bytes: int) -> Chunk:
        """Take at most `max_bytes` of the content, without waiting for any."""
        reset = seam = False
        if not self._waiting and not self._full:
            chunk = self._packed.read(min(max_bytes, BLOCK))
            reset, seam = chunk.reset, chunk.seam
            if reset or seam:
                self._begin(chunk.reset)
            self._waiting = chunk.data
        data = b""
        while self._broken is None and len(data) < max_bytes and (self._waiting or self._full):
            data += self._unpack(max_bytes - len(data))
        self._unpacked += len(data)
        if len(self._head) < HEAD:
            self._head += data[: HEAD - len(self._head)]
        if self._unpacked > max(ALWAYS_ALLOWED, MOST_EXPANSION * self.bytes_read):
            self._broken = (
                f"it expands more than {MOST_EXPANSION} times, as no log does; "
                f"the first {self._unpacked >> 20} MiB were read"
            )
        return Chunk(data, reset, seam)

    def close(self) -> None:
        """Let go of the file."""
        self._packed.close()

    def _begin(self, anew: bool) -> None:
        self._unpacker = None
        self._waiting, self._full, self._broken = b"", False, None
        if anew:
            self._head, self._unpacked = b"", 0

    def _unpack(self, most: int) -> bytes:
        waiting, self._waiting = self._waiting, b""
        if self._unpacker is None:
            # Zeros may fill a file up behind its last stream.
            waiting = waiting.lstrip(b"\0")
            if not waiting:
                return b""
        try:
            self._unpacker = self._unpacker or self._new_unpacker()
            data = self._unpacker.decompress(waiting, most)
        except ImportError:
            self._broken = "it is compressed by Zstandard: pip install 'traintop[zstd]' reads that"
            return b""
        except Exception as error:  # noqa: BLE001 - each library has errors of its own
            self._broken = f"what follows cannot be unpacked: {error}"
            return b""
        self._full = len(data) == most
        if self._unpacker.eof:
            self._waiting, self._full = self._unpacker.unused_data, False
            self._unpacker = None
        return data


class _Gzip:
    """What `zlib` has for gzip, with the interface of `bz2` and `lzma`."""

    def __init__(self) -> None:
        self._object = zlib.decompressobj(zlib.MAX_WBITS | 16)

    @property
    def eof(self) -> bool:
        return self._object.eof

    @property
    def unused_data(self) -> bytes:
        return self._object.unused_data

    def decompress(self, data: bytes, max_length: int = 0) -> bytes:
        return self._object.decompress(self._object.unconsumed_tail + data, max_length)


def _zstd() -> Unpacker:
    """Make an unpacker of the standard library (Python 3.14), or of its backport."""
    try:
        module = importlib.import_module("compression.zstd")
    except ImportError:
        module = importlib.import_module("backports.zstd")
    unpacker: Unpacker = module.ZstdDecompressor()
    return unpacker


_MAGIC: tuple[tuple[bytes, Callable[[], Unpacker]], ...] = (
    (b"\x1f\x8b", _Gzip),
    (b"BZh", bz2.BZ2Decompressor),
    (b"\xfd7zXZ\x00", lzma.LZMADecompressor),
    (b"\x28\xb5\x2f\xfd", _zstd),
)
_LONGEST_MAGIC = max(len(magic) for magic, _ in _MAGIC)
_BY_SUFFIX: dict[str, Callable[[], Unpacker]] = dict(
    zip(SUFFIXES, (unpacker for _, unpacker in _MAGIC), strict=True)
)


def is_packed(head: bytes) -> bool:
    """Whether a file that begins with these bytes is compressed."""
    return any(head.startswith(magic) for magic, _ in _MAGIC)


def unpacked(packed: Tail) -> Tail:
    """The content of a file: as it is, or unpacked if its first bytes say that it is compressed.

    Of a file that is not there yet, or empty, the name tells.
    """
    try:
        with packed.path.open("rb") as file:
            head = file.read(_LONGEST_MAGIC)
    except OSError:
        head = b""
    if not head:
        unpacker = _BY_SUFFIX.get(packed.path.suffix.lower())
    else:
        unpacker = next((found for magic, found in _MAGIC if head.startswith(magic)), None)
    return packed if unpacker is None else CompressedTail(packed, unpacker)
