"""The process that reads for another one: see `reader_process`.

It ends with the one that asked: there is nobody left to write to then.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

from traintop.sources.ahead import parts_of
from traintop.sources.aside import Piece
from traintop.sources.backwards import HEAD_SIZE, Backwards
from traintop.sources.decoder import Decoder, Forkable, Resumable
from traintop.sources.reader_process import Opening, send
from traintop.sources.registry import choose, open_source
from traintop.sources.tail import HEAD, Jump

PIECE = 8 << 20
"""Bytes read at a time from the end: large enough that little is done for each piece."""
PART = 4 << 20
"""The same from the start. The lines of a log are taken in one by one, which takes longer."""
OUTPUT = 1


def main() -> None:
    """Read what the argument names, and write it to standard output."""
    request: dict[str, Any] = json.loads(sys.argv[1])
    fd, end = request.pop("fd", None), request.pop("end", None)
    opening = Opening(**request)
    with contextlib.suppress(BrokenPipeError):  # Nobody wants the rest.
        if fd is None:
            read_forwards(opening)
        else:
            read_backwards(opening, fd, end)


def read_forwards(opening: Opening) -> None:
    """Read all of a source, from its start."""
    path, table, alone, only_lines = opening
    source = open_source(Path(path), table, alone=alone, only_lines=only_lines)
    parts_of(source, PART, partial(send, fd=OUTPUT))


def read_backwards(opening: Opening, fd: int, end: int) -> None:
    """Read the first bytes of a file, the newest lines first."""
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
    while history.left and history.failed is None:
        items = history.read()
        send(_piece(history, items), OUTPUT)


def _piece(history: Backwards, items: list[Any]) -> Piece:
    decoder = history.decoder
    tally, state = decoder.tally, None
    if not history.left and isinstance(decoder, Resumable):
        state = decoder.state()
    return Piece(items, history.left, tally.records, tally.skipped_total, history.failed, state)


if __name__ == "__main__":
    main()
