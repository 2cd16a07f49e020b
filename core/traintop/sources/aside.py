"""Reading the history of a file in a process of its own, so that whoever draws need not wait.

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
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from traintop.records import Item
from traintop.sources.decoder import Decoder, Resumable

if TYPE_CHECKING:
    import io
    from collections.abc import Callable

    from traintop.sources.decoder import Forkable
    from traintop.sources.tail import Jump

NICENESS = 10
"""What is drawn, and the training beside it, come first."""
PIPE_SIZE = 1 << 20
"""Bytes that the other process may be ahead, where the system lets us choose."""
_F_SETPIPE_SZ = 1031
"""Linux, since 2.6.35; Python has a name for it from 3.10 on, but only there."""
_SIZE = 8
"""Bytes of a length in a frame."""


class Opening(NamedTuple):
    """How a file is to be read: what `registry.choose` is asked with."""

    path: str
    table: str
    alone: bool
    only_lines: bool


class Piece(NamedTuple):
    """What the other process tells at a time."""

    items: list[Item]
    """In file order."""
    left: int
    """Bytes before it."""
    records: int
    """Records so far."""
    skipped: int
    """Lines that could not be read so far."""
    failed: str | None = None
    state: dict[str, Any] | None = None
    """With the last piece: that of the decoder that would have been fed all of them."""


class Aside:
    """Has the first bytes of a file read in another process, the newest lines first.

    Args:
        jump: The file and where its history ends: the start of a line.
        opening: How it is read.
        choose: Makes its decoder.
    """

    def __init__(self, jump: Jump, opening: Opening, choose: Callable[[], Decoder | str]) -> None:
        self.left = jump.offset
        """Bytes from the start of the file that are not read yet."""
        self.failed: str | None = None
        """Why the file has to be read from its start instead."""
        self.records = self.skipped_total = 0
        self._choose = choose
        self._jump = jump
        self._opening = opening
        self._decoder: Forkable | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._pieces = self._frames()
        self._ready: Piece | None = None

    def start(self) -> None:
        """Start the process; by itself it is started when something is asked for.

        Raises:
            OSError: It cannot be started.
        """
        jump = self._jump
        request = {"fd": jump.fd, "end": jump.offset, **self._opening._asdict()}
        # -P: nothing is imported from the folder that we are in, which may be a stranger's.
        worker = ["-P", "-m", "traintop.sources.history_worker"]
        command = [sys.executable, *worker, json.dumps(request)]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            pass_fds=(jump.fd,),
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

    @property
    def _pipe(self) -> io.FileIO:
        assert self._process is not None  # noqa: S101 - it is started first
        return cast("io.FileIO", self._process.stdout)  # it has no buffer

    @property
    def decoder(self) -> Forkable:
        """The one that would have been fed all, once nothing is left."""
        assert self._decoder is not None  # noqa: S101 - asked for at the end only
        return self._decoder

    def fileno(self) -> int:
        """What can be read from when there is news."""
        return self._pipe.fileno()

    def gather(self) -> bool:
        """Take what has come so far; True when `read` has something to hand over, or to say."""
        if self._ready is None and self.failed is None:
            try:
                if self._process is None:
                    self.start()
                self._ready = next(self._pieces)
            except (OSError, EOFError, StopIteration, pickle.UnpicklingError):
                self.failed = "the process that read it has ended"
        return self._ready is not None or self.failed is not None

    def read(self) -> list[Item]:
        """Take what stands before all that was read so far; nothing where it is still awaited."""
        self.gather()
        piece, self._ready = self._ready, None
        if piece is None:
            return []
        self.records, self.skipped_total = piece.records, piece.skipped
        self.failed = piece.failed
        if piece.state is not None:
            decoder = self._choose()
            if not isinstance(decoder, Resumable):
                self.failed = "its first lines are no longer what they were"
                return []
            decoder.restore(piece.state)
            self._decoder = decoder
        self.left = piece.left
        return piece.items

    def close(self) -> None:
        """End the process."""
        os.close(self._jump.fd)
        if self._process is not None:
            self._pipe.close()
            self._process.kill()
            self._process.wait()

    def _frames(self) -> Generator[Piece | None]:
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


def frame(piece: Piece) -> list[Any]:
    """The parts of a piece as they go through the pipe: arrays are sent as they lie in memory."""
    arrays: list[pickle.PickleBuffer] = []
    body = pickle.dumps(piece, protocol=5, buffer_callback=arrays.append)
    parts: list[Any] = [body, *(array.raw() for array in arrays)]
    sizes = b"".join(len(part).to_bytes(_SIZE, "little") for part in parts)
    return [len(parts).to_bytes(_SIZE, "little") + sizes, *parts]


def _enlarge(pipe: int) -> None:
    if sys.platform != "linux":
        return
    import fcntl

    with contextlib.suppress(OSError):
        fcntl.fcntl(pipe, _F_SETPIPE_SZ, PIPE_SIZE)
