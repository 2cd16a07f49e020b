"""A file that is followed: its bytes, and the decoder that its content asked for."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Protocol

from traintop.records import (
    Begins,
    Item,
    LayerNames,
    News,
    Older,
    Reread,
    Reset,
    SourceReport,
)
from traintop.sources import preview
from traintop.sources.backwards import HEAD_SIZE, Backwards
from traintop.sources.decoder import Forkable, Overwriting, Resumable, Settling
from traintop.sources.lines import LineSplitter
from traintop.sources.mark import Mark
from traintop.sources.tail import HEAD, Chunk, FileTail

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from traintop.sources.aside import Aside
    from traintop.sources.decoder import Decoder
    from traintop.sources.tail import Jump, Tail


_OVERWRITTEN = re.compile(rb"[^\r\n]\r[^\n]")

SHORT = 4 << 20
"""Bytes of a file that is read from its start at once."""
NEWEST = 1 << 20
"""Bytes at the end of a longer one that are read first."""
PIECE = 1 << 21
"""Bytes of its history that are read at a time."""
FORWARDS = "its records depend on those before them"
LONG = 24 << 20
"""Bytes that are worth a process of its own: to start one takes 0.1 s."""


class Source(Protocol):
    """Something that hands over records as they are written."""

    @property
    def path(self) -> Path:
        """The file."""
        ...

    @property
    def pending(self) -> bool:
        """Whether more bytes are known to be there."""
        ...

    @property
    def held_open(self) -> bool:
        """Whether a writer is known to be there: more may come for sure."""
        ...

    @property
    def awaited(self) -> int | None:
        """The descriptor that more will come from, where nothing else is to be read at once."""
        ...

    @property
    def polled(self) -> bool:
        """Whether the operating system does not tell when there is more to read."""
        ...

    def read(self, max_bytes: int) -> Sequence[News]:
        """Read about `max_bytes` that are new, without waiting.

        Where earlier content is gone, a `Reset` comes before what is new.
        """
        ...

    def finish(self) -> Sequence[News]:
        """Hand over what was held back, such as a last line without a line feed."""
        ...

    def report(self) -> SourceReport:
        """What the file turned out to be, as far as it was read."""
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...


class FileSource:
    """Follows one file. Its format is told by its first bytes: a whole line of text, if it is text.

    Of a long file whose records stand by themselves the newest are read first, and then the others
    piece by piece towards its start, while what is appended is followed. Of one that has to be read
    from its start the newest part is handed over once, and then that it is to be read anew.

    Args:
        tail: The bytes.
        choose: The decoder for a file that begins with these bytes, or, as text, why there is none.
        newest_first: Whether a long file may be read from its end.
        aside: Has the history of a very long one read in another process: what is shown soon is
            worth something.
    """

    def __init__(
        self,
        tail: Tail,
        choose: Callable[[bytes], Decoder | str],
        *,
        newest_first: bool = False,
        aside: Callable[[Jump], Aside] | None = None,
    ) -> None:
        self._tail = tail
        self._choose = choose
        self._decoder: Decoder | None = None
        self._refused: str | None = None
        self._lines = LineSplitter()
        self._untold = b""  # what was read while the format could not be told
        self._newest_first = newest_first
        self._aside = aside
        self._history: Backwards | Aside | None = None
        self._begin_anew = False
        """Whether all is to be read from its start now that the newest part is shown."""

    @property
    def path(self) -> Path:
        """The file."""
        return self._tail.path

    @property
    def pending(self) -> bool:
        """Whether more bytes are known to be there."""
        if self._history is not None or self._begin_anew:
            return True
        return self._refused is None and self._tail.pending

    @property
    def awaited(self) -> int | None:
        """The pipe that more will come from, where there is nothing else to be read at once."""
        if self._history is None or self._tail.pending or self._history.gather():
            return None
        return self._history.fileno()

    @property
    def held_open(self) -> bool:
        """Whether a writer is known to be there: more may come for sure."""
        return self._refused is None and self._tail.held_open

    @property
    def polled(self) -> bool:
        """Whether the operating system does not tell when there is more to read."""
        return self._tail.polled

    def read(self, max_bytes: int) -> list[News]:
        """Read about `max_bytes` that are new. Nothing of a file is read that has no format."""
        if self._refused is not None:
            return []
        if self._begin_anew:
            self._begin_anew = False
            return [Reread(path=self.path, why=FORWARDS)]
        items: list[News] = []
        jumping = self._newest_first and self._tail.bytes_total > 0
        if jumping:
            self._newest_first = False
            items += self._jump()
            if self._history is None and self._aside is not None:
                items = self._preview()
                if items or self._tail.bytes_total > LONG:
                    self._begin_anew = True
                    return items
            if self._history is not None:
                max_bytes = max(max_bytes, NEWEST)  # The newest of all are in the first picture.
        chunk = self._tail.read(max_bytes)
        if chunk.reset:
            self._leave_history()
            if self._decoder is not None:
                items.append(Reset(path=self.path, tables=self._decoder.tables))
            self._decoder = None
            self._lines.clear()
            self._untold = b""
        items += self._take(chunk)
        if not chunk.data and isinstance(self._decoder, Settling):
            items += self._decoder.settle()
        # The first picture does not wait for history, not even for the start of a process.
        if self._history is not None and not jumping and len(chunk.data) < max_bytes:
            items += self._read_history(self._history)
        return items

    def finish(self) -> list[Item]:
        """Hand over the last line, though it has no line feed, and what the decoder held back."""
        items: list[Item] = []
        if self._decoder is None and self._untold:
            items = self._begin(self._choose(self._untold[:HEAD]))
        if self._decoder is None:
            return items
        rest = self._lines.flush()
        return items + (self._decoder.feed(rest) if rest else []) + self._decoder.finish()

    @property
    def tables(self) -> tuple[str, ...]:
        """Where its rows went so far."""
        return () if self._decoder is None else self._decoder.tables

    def mark(self) -> Mark | None:
        """How far the file was read; None where its decoder cannot go on from there."""
        decoder, tail = self._decoder, self._tail
        if self._history is not None or not isinstance(tail, FileTail):
            return None
        if not isinstance(decoder, Resumable) or (state := decoder.state()) is None:
            return None
        place = tail.place(self._lines.held)
        if place is None:
            return None
        return Mark(place=place, format=decoder.format, tables=decoder.tables, decoder=state)

    def resume(self, mark: Mark) -> bool:
        """Go on from a mark, before anything is read; False where the file is another now."""
        tail = self._tail
        if not isinstance(tail, FileTail) or self._decoder is not None:
            return False
        jump = tail.resume(mark.place, HEAD_SIZE)
        if jump is None:
            return False
        os.close(jump.fd)
        head = jump.head[:HEAD]
        learnt, older = self._choose(head), self._choose(head)
        if isinstance(learnt, Resumable) and isinstance(older, Resumable):
            learnt.feed(jump.head[: jump.head.rfind(b"\n") + 1])
            older.restore(mark.decoder)
            decoder = learnt.fork()
            if decoder is not None and learnt.format == mark.format and decoder.join(older):
                self._decoder, self._newest_first = decoder, False
                return True
        tail.rewind()
        return False

    @property
    def rewritten(self) -> bool:
        """Whether such a file is written whole, again and again, and holds only rows."""
        return self._decoder is not None and self._decoder.rewritten

    def report(self) -> SourceReport:
        """What the file turned out to be, as far as it was read."""
        decoder, tail, history = self._decoder, self._tail, self._history
        if decoder is not None and history is not None:
            return SourceReport(
                path=self.path,
                format=decoder.format,
                records=decoder.tally.records + history.records,
                bytes_read=tail.bytes_read - history.left,
                bytes_total=tail.bytes_total,
                # The numbers of the lines are not known yet.
                skipped_total=decoder.tally.skipped_total + history.skipped_total,
                error=tail.error,
            )
        return SourceReport(
            path=self.path,
            format="unknown" if decoder is None else decoder.format,
            why=decoder.tally.why
            if decoder is not None
            else ""
            if tail.bytes_total
            else "it is empty",
            units={} if decoder is None else dict(decoder.tally.units),
            records=0 if decoder is None else decoder.tally.records,
            bytes_read=tail.bytes_read,
            bytes_total=tail.bytes_total,
            skipped=() if decoder is None else tuple(decoder.tally.skipped),
            skipped_total=0 if decoder is None else decoder.tally.skipped_total,
            ignored={} if decoder is None else dict(decoder.tally.ignored),
            notes={} if decoder is None else dict(decoder.tally.notes),
            error=self._refused or tail.error,
        )

    def close(self) -> None:
        """Let go of the file."""
        self._leave_history()
        self._tail.close()

    def _preview(self) -> list[News]:
        """The newest part of a long file that is to be read from its start."""
        tail = self._tail
        if not isinstance(tail, FileTail) or tail.bytes_total < SHORT:
            return []
        try:
            ends = preview.Ends(*tail.ends(HEAD_SIZE, preview.NEWEST, preview.GRAIN))
        except OSError:
            return []  # The next read says why.
        return preview.read_newest(ends, self._choose)

    def _jump(self) -> list[LayerNames | Begins]:
        """Go to the newest part of a long file; return what has to be known to read on there."""
        tail = self._tail
        if not isinstance(tail, FileTail) or tail.bytes_total < SHORT:
            return []
        jump = tail.jump(HEAD_SIZE, NEWEST)
        if jump is None:
            return []
        head = jump.head[:HEAD]
        learnt = self._choose(head)
        if isinstance(learnt, Forkable) and learnt.by_lines and not learnt.rewritten:
            items = learnt.feed(jump.head[: jump.head.rfind(b"\n") + 1])
            self._decoder = learnt.fork()
            if self._decoder is not None:
                self._history = self._begin_history(jump, learnt)
                names = [item for item in items if isinstance(item, LayerNames)][-1:]
                return [*names, *preview.first_step(items)]
        os.close(jump.fd)
        tail.rewind()
        return []

    def _begin_history(self, jump: Jump, learnt: Forkable) -> Backwards | Aside:
        if self._aside is not None and jump.offset > LONG and isinstance(learnt, Resumable):
            return self._aside(jump)
        head = jump.head[:HEAD]
        return Backwards(jump, lambda: self._choose(head), learnt, PIECE)

    def _read_history(self, history: Backwards | Aside) -> list[News]:
        """Read what is next towards the start of the file."""
        items = history.read()
        if history.failed is None and history.left and not items:
            return []  # The other process is not as far yet.
        decoder = self._decoder
        if history.failed is None and not history.left:
            assert isinstance(decoder, Forkable)  # noqa: S101 - it is a fork
            if not decoder.join(history.decoder):
                history.failed = "its newest records depend on the others"
            self._leave_history()
        if history.failed is not None:
            self._leave_history()
            return [Reread(path=self.path, why=history.failed)]
        return [Older(path=self.path, items=tuple(items))]

    def _leave_history(self) -> None:
        if self._history is not None:
            self._history.close()
            self._history = None

    def _take(self, chunk: Chunk) -> list[Item]:
        decoder = self._decoder
        if decoder is not None:
            return self._feed(decoder, chunk)
        # The last line of a rotated file ends where the file does.
        seam = b"\n" if chunk.seam and self._untold and self._untold[-1:] != b"\n" else b""
        self._untold += seam + chunk.data
        head = self._untold[:HEAD]
        chosen = self._choose(head) if head else None
        # What is text may turn out otherwise at the end of its first line; other data may never
        # end one. A progress bar shows early that it is none.
        torn = b"\n" not in head and len(head) < HEAD and not _OVERWRITTEN.search(head)
        if chosen is None or (torn and not isinstance(chosen, str) and chosen.by_lines):
            return []
        return self._begin(chosen)

    def _begin(self, chosen: Decoder | str) -> list[Item]:
        untold, self._untold = self._untold, b""
        if isinstance(chosen, str):
            self._refused = chosen
            return []
        self._decoder = chosen
        return self._feed(chosen, Chunk(untold))

    def _feed(self, decoder: Decoder, chunk: Chunk) -> list[Item]:
        data = chunk.data
        if decoder.by_lines:
            ended = self._lines.flush() if chunk.seam else b""
            data = (ended + b"\n" if ended else b"") + self._lines.feed(data)
        items = decoder.feed(data) if data else []
        if isinstance(decoder, Overwriting) and (states := self._lines.states()):
            items += decoder.overwrite(states)
        return items
