"""A process of our own that reads for this one, so that whoever draws need not wait.

Decoding holds the interpreter's lock. What the other process has decoded comes through a pipe, a
piece at a time, and costs this one little more than copying it.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar, cast

if TYPE_CHECKING:
    import io
    from collections.abc import Sequence

NICENESS = 10
"""What is drawn, and the training beside it, come first."""
PIPE_SIZE = 1 << 20
"""Bytes that the other process may be ahead, where the system lets us choose."""
_F_SETPIPE_SZ = 1031
"""Linux, since 2.6.35; Python has a name for it from 3.10 on, but only there."""
_SIZE = 8
"""Bytes of a length in a frame."""

P = TypeVar("P")


class Opening(NamedTuple):
    """How a path is to be read: what `registry.open_source` is asked with."""

    path: str
    table: str
    alone: bool
    only_lines: bool


class ReaderProcess(Generic[P]):
    """Runs `history_worker`, and takes the pieces that it writes.

    Args:
        request: What it is asked for.
        fds: Descriptors that it has as well.
    """

    def __init__(self, request: dict[str, Any], fds: Sequence[int] = ()) -> None:
        self.failed: str | None = None
        """Why nothing more will come."""
        self._request = request
        self._fds = fds
        self._process: subprocess.Popen[bytes] | None = None
        self._pieces = self._frames()
        self._ready: P | None = None

    def start(self) -> None:
        """Start the process; by itself it is started when something is asked for.

        Raises:
            OSError: It cannot be started.
        """
        # -P: nothing is imported from the folder that we are in, which may be a stranger's.
        worker = ["-P", "-m", "traintop.sources.history_worker"]
        command = [sys.executable, *worker, json.dumps(self._request)]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            pass_fds=tuple(self._fds),
            env=environment,
        )
        # At once, so that not even its start is in the way.
        with contextlib.suppress(OSError):
            priority = os.getpriority(os.PRIO_PROCESS, 0)
            os.setpriority(os.PRIO_PROCESS, self._process.pid, priority + NICENESS)
        pipe = self._pipe.fileno()
        os.set_blocking(pipe, False)
        _enlarge(pipe)

    @property
    def pid(self) -> int | None:
        """The process, once it is started."""
        return None if self._process is None else self._process.pid

    def fileno(self) -> int:
        """What can be read from when there is news."""
        return self._pipe.fileno()

    def gather(self) -> bool:
        """Take what has come so far; True when `take` has something to hand over, or it failed."""
        if self._ready is None and self.failed is None:
            try:
                if self._process is None:
                    self.start()
                self._ready = next(self._pieces)
            except (OSError, EOFError, StopIteration, pickle.UnpicklingError):
                self.failed = "the process that read it has ended"
        return self._ready is not None or self.failed is not None

    def take(self) -> P | None:
        """Take the next piece; None where it is still awaited, or will not come."""
        self.gather()
        piece, self._ready = self._ready, None
        return piece

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._pipe.close()
            self._process.kill()
            self._process.wait()

    @property
    def _pipe(self) -> io.FileIO:
        assert self._process is not None  # noqa: S101 - it is started first
        return cast("io.FileIO", self._process.stdout)  # it has no buffer

    def _frames(self) -> Generator[P | None]:
        """Piece after piece; None each time that there is nothing more to be had at the moment."""
        while True:
            count = int.from_bytes((yield from self._take(_SIZE)), "little")
            table = yield from self._take(_SIZE * count)
            sizes = [
                int.from_bytes(table[at : at + _SIZE], "little")
                for at in range(0, len(table), _SIZE)
            ]
            parts: list[bytearray] = []
            for size in sizes:
                part = yield from self._take(size)
                parts.append(part)
            yield pickle.loads(parts[0], buffers=parts[1:])  # noqa: S301 - of our own process

    def _take(self, size: int) -> Generator[None, None, bytearray]:
        data = bytearray(size)
        room = memoryview(data)
        while len(room):
            got = self._pipe.readinto(room)
            if got is None:
                yield None
                continue
            if not got:
                raise EOFError
            room = room[got:]
        return data


def send(piece: object, fd: int) -> None:
    """Write a piece to a pipe: arrays are sent as they lie in memory.

    Raises:
        BrokenPipeError: Nobody wants it.
    """
    arrays: list[pickle.PickleBuffer] = []
    body = pickle.dumps(piece, protocol=5, buffer_callback=arrays.append)
    parts: list[Any] = [body, *(array.raw() for array in arrays)]
    sizes = b"".join(len(part).to_bytes(_SIZE, "little") for part in parts)
    for part in [len(parts).to_bytes(_SIZE, "little") + sizes, *parts]:
        left = memoryview(part)
        while len(left):
            left = left[os.write(fd, left) :]


def _enlarge(pipe: int) -> None:
    if sys.platform != "linux":
        return
    import fcntl

    with contextlib.suppress(OSError):
        fcntl.fcntl(pipe, _F_SETPIPE_SZ, PIPE_SIZE)
