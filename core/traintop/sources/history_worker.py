"""The process that reads the history of a file for another one: see `aside`.

It ends with the one that asked: there is nobody left to write to then.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from traintop.sources.aside import Opening, Piece, frame
from traintop.sources.backwards import HEAD_SIZE, Backwards
from traintop.sources.decoder import Decoder, Forkable, Resumable
from traintop.sources.registry import choose
from traintop.sources.tail import HEAD, Jump

PIECE = 8 << 20
"""Bytes read at a time: large enough that little is done for each piece."""


def main() -> None:
    """Read what the argument names, and write it to standard output."""
    request: dict[str, Any] = json.loads(sys.argv[1])
    fd, end = request.pop("fd"), request.pop("end")
    opening = Opening(**request)
    jump = Jump(fd, os.pread(fd, HEAD_SIZE, 0), end)
    head = jump.head[:HEAD]

    def fresh() -> Decoder | str:
        return choose(Path(opening.path), head, opening.table, opening.alone, opening.only_lines)

    learnt = fresh()
    if not isinstance(learnt, Forkable):
        return
    learnt.feed(jump.head[: jump.head.rfind(b"\n") + 1])
    if learnt.fork() is None:
        return
    history = Backwards(jump, fresh, learnt, PIECE)
    with contextlib.suppress(BrokenPipeError):  # Nobody wants the rest.
        while history.left and history.failed is None:
            send(history, history.read())


def send(history: Backwards, items: list[Any]) -> None:
    """Write a piece to standard output."""
    decoder = history.decoder
    tally, state = decoder.tally, None
    if not history.left and isinstance(decoder, Resumable):
        state = decoder.state()
    piece = Piece(items, history.left, tally.records, tally.skipped_total, history.failed, state)
    for part in frame(piece):
        left = memoryview(part)
        while len(left):
            left = left[os.write(1, left) :]


if __name__ == "__main__":
    main()
