"""An index of one large file: all that was read of it, as columns that are mapped and not read.

It is written beside the others in the cache folder once the file has been read, and makes the file
open at once the next time. It never is the only copy of anything: where it does not fit the file
any more, or is damaged, it is deleted and the file is read.

    header    magic, version, where the description is, how long, its CRC-32
    columns   each beginning with a page
    end       the description, in MessagePack
"""

from __future__ import annotations

import contextlib
import os
import struct
import time
import zlib
from pathlib import Path
from typing import NamedTuple

import msgspec

from traintop import __version__
from traintop.sources.mark import Mark
from traintop.store import Storage, Store
from traintop.store.image import ColumnImage, ImageReader, ImageWriter
from traintop.store.storage import PAGE
from traintop.store.streams import Streams, StreamsImage

MAGIC = b"traintop index\n\0"
VERSION = 1
"""Of the layout."""
HEADER = struct.Struct("<16sIIQI")
MOST_DESCRIPTION = 64 << 20
"""Bytes of a description; a longer one is damaged."""
CHECKED = 32 << 20
"""Bytes that are checked at a time."""
PIECE = 1 << 20
SUFFIX, UNFINISHED = ".columns", ".part"
ABANDONED = 3600.0
"""Seconds after which a file that somebody was writing was given up."""


class Description(msgspec.Struct, frozen=True, kw_only=True):
    """What an index says."""

    made_by: str
    """The version of traintop: another one may understand the same file otherwise."""
    path: str
    """The file that it is of."""
    mark: Mark
    streams: StreamsImage


class _Unchecked(NamedTuple):
    image: ColumnImage
    done: int
    checksum: int


class RunIndex:
    """An index that is open.

    Its description has been checked, its columns have not: `check` does that, behind the first
    picture.

    Args:
        file: The index.
        storage: Where the columns lie when they grow.
        mapped: Whether the file may be mapped. One on a network must not: where another machine
            deletes it, the system ends who looks at it.

    Raises:
        OSError: There is none, or it cannot be read.
        ValueError: It is damaged, or of another version.
    """

    def __init__(self, file: Path, storage: Storage, *, mapped: bool = True) -> None:
        self.file = file
        self._fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.description = self._describe()
            self._reader = ImageReader(self._fd, storage, mapped=mapped)
        except BaseException:
            os.close(self._fd)
            raise
        self._rest: list[_Unchecked] = []

    def restore(self, store: Store) -> None:
        """Let a store have what is in the index.

        Raises:
            ValueError: It does not fit.
        """
        store.restore(self.description.streams, self._reader)
        self._rest = [_Unchecked(image, 0, 0) for image in self._reader.unchecked]
        with contextlib.suppress(OSError):
            os.utime(self.file)  # It was used.

    def check(self) -> bool:
        """Check the next columns; return whether there are more.

        Raises:
            OSError: It cannot be read.
            ValueError: It is damaged.
        """
        left = CHECKED
        while self._rest and left > 0:
            image, done, checksum = self._rest.pop()
            size = image.size
            while done < size and left > 0:
                data = os.pread(self._fd, min(PIECE, size - done), image.place + done)
                if not data:
                    raise ValueError("too short")
                checksum = zlib.crc32(data, checksum)
                done, left = done + len(data), left - len(data)
            if done < size:
                self._rest.append(_Unchecked(image, done, checksum))
            elif checksum != image.checksum:
                raise ValueError("a column is not what was written")
        return bool(self._rest)

    def close(self) -> None:
        """Let go of the file; its columns stay usable."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _describe(self) -> Description:
        header = os.pread(self._fd, HEADER.size, 0)
        if len(header) < HEADER.size:
            raise ValueError("too short")
        magic, version, length, offset, checksum = HEADER.unpack(header)
        if magic != MAGIC or version != VERSION or length > MOST_DESCRIPTION:
            raise ValueError("not an index of this version")
        data = os.pread(self._fd, length, offset) if offset < 1 << 62 else b""
        if len(data) != length or zlib.crc32(data) != checksum:
            raise ValueError("its description is damaged")
        description = msgspec.msgpack.decode(data, type=Description)
        if description.made_by != __version__:
            raise ValueError("of another version")
        return description


def index_of(folder: Path, path: Path, read_as: str) -> Path:
    """Return where the index of a file is.

    Args:
        folder: The cache folder.
        path: The file.
        read_as: What else decides what is made of it, such as the names of its tables.
    """
    known = os.fsencode(path.absolute()) + b"\0" + read_as.encode()
    import hashlib  # With OpenSSL behind it: most files have no index.

    return folder / "indexes" / f"{hashlib.sha256(known).hexdigest()[:32]}{SUFFIX}"


def write_index(file: Path, path: Path, mark: Mark, streams: Streams, most: int) -> bool:
    """Write the index of a file, and delete others where they take too much room.

    Args:
        file: The index.
        path: The file that it is of.
        mark: How far that was read.
        streams: What was read of it.
        most: Bytes that all indexes may take.

    Returns:
        False where that would be too much, or is out of date already.

    Raises:
        OSError: It cannot be written.
    """
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fd, unfinished = _unfinished(file.parent)
    try:
        writer = ImageWriter(fd, PAGE)
        image = streams.image(writer)
        described = Description(
            made_by=__version__, path=str(path.absolute()), mark=mark, streams=image
        )
        data = msgspec.msgpack.encode(described)
        os.pwrite(fd, data, writer.end)
        header = HEADER.pack(MAGIC, VERSION, len(data), writer.end, zlib.crc32(data))
        os.pwrite(fd, header, 0)
        too_much = len(data) > MOST_DESCRIPTION or 512 * os.fstat(fd).st_blocks > most
        if too_much or not streams.unchanged:
            return False
        if not unfinished.exists():
            # With a descriptor, whatever it is, the link to the file is followed (linkat(2)).
            os.link(f"/proc/self/fd/{fd}", unfinished, src_dir_fd=fd)
        unfinished.replace(file)
    finally:
        os.close(fd)
        unfinished.unlink(missing_ok=True)
    prune(file.parent, most, keep=file)
    return True


def _unfinished(folder: Path) -> tuple[int, Path]:
    """Open a new file that only this user may read; return the name that it has, or may be given.

    Where the system can, it has no name yet: then nothing is left of it if this process ends.
    """
    name = folder / f"{os.urandom(8).hex()}{UNFINISHED}"
    if Path("/proc/self/fd").is_dir():
        with contextlib.suppress(OSError, AttributeError):
            return os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600), name
    return os.open(name, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600), name


def prune(folder: Path, most: int, keep: Path | None = None) -> None:
    """Delete the indexes that were not used for the longest, until the others fit.

    Args:
        folder: Of the indexes.
        most: Bytes that they may take.
        keep: The one that stays.
    """
    found: list[tuple[float, int, Path]] = []
    for file in folder.iterdir():
        with contextlib.suppress(OSError):
            status = file.stat()
            if file.suffix == UNFINISHED and status.st_mtime < time.time() - ABANDONED:
                file.unlink()
            elif file.suffix == SUFFIX:
                found.append((status.st_mtime, 512 * status.st_blocks, file))
    total = sum(size for _, size, _ in found)
    for _, size, file in sorted(found):
        if total <= most:
            return
        if file != keep:
            with contextlib.suppress(OSError):
                file.unlink()
            total -= size
