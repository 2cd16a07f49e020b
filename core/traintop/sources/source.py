"""A file that is followed: its bytes, and the decoder that its content asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from traintop.records import Item, Reset, SourceReport

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from traintop.sources.decoder import Decoder
    from traintop.sources.tail import Tail


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
    def polled(self) -> bool:
        """Whether the operating system does not tell when there is more to read."""
        ...

    def read(self, max_bytes: int) -> list[Item]:
        """Read at most `max_bytes` that are new, without waiting.

        Where earlier content is gone, a `Reset` comes before what is new.
        """
        ...

    def finish(self) -> list[Item]:
        """Hand over what was held back, such as a last line without a line feed."""
        ...

    def report(self) -> SourceReport:
        """What the file turned out to be, as far as it was read."""
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...


class FileSource:
    """Follows one file. Its format is told by its first bytes, as soon as there are any.

    Args:
        tail: The bytes.
        choose: The decoder for a file that begins with these bytes, or, as text, why there is none.
    """

    def __init__(self, tail: Tail, choose: Callable[[bytes], Decoder | str]) -> None:
        self._tail = tail
        self._choose = choose
        self._decoder: Decoder | None = None
        self._refused: str | None = None

    @property
    def path(self) -> Path:
        """The file."""
        return self._tail.path

    @property
    def pending(self) -> bool:
        """Whether more bytes are known to be there."""
        return self._refused is None and self._tail.pending

    @property
    def held_open(self) -> bool:
        """Whether a writer is known to be there: more may come for sure."""
        return self._refused is None and self._tail.held_open

    @property
    def polled(self) -> bool:
        """Whether the operating system does not tell when there is more to read."""
        return self._tail.polled

    def read(self, max_bytes: int) -> list[Item]:
        """Read at most `max_bytes` that are new. Nothing of a file is read that is no text."""
        if self._refused is not None:
            return []
        chunk = self._tail.read(max_bytes)
        items: list[Item] = []
        if chunk.reset and self._decoder is not None:
            items.append(Reset(path=self.path, tables=self._decoder.tables))
            self._decoder = None
        return items + self._feed(chunk.data)

    def finish(self) -> list[Item]:
        """Hand over the last line, though it has no line feed, and what the decoder held back."""
        items = self._feed(self._tail.finish().data)
        return items if self._decoder is None else items + self._decoder.finish()

    def report(self) -> SourceReport:
        """What the file turned out to be, as far as it was read."""
        decoder, tail = self._decoder, self._tail
        return SourceReport(
            path=self.path,
            format="unknown" if decoder is None else decoder.format,
            records=0 if decoder is None else decoder.tally.records,
            bytes_read=tail.bytes_read,
            bytes_total=tail.bytes_total,
            skipped=() if decoder is None else tuple(decoder.tally.skipped),
            skipped_total=0 if decoder is None else decoder.tally.skipped_total,
            ignored={} if decoder is None else dict(decoder.tally.ignored),
            error=self._refused or tail.error,
        )

    def close(self) -> None:
        """Let go of the file."""
        self._tail.close()

    def _feed(self, data: bytes) -> list[Item]:
        if self._decoder is None and self._refused is None:
            head = self._tail.head
            chosen = self._choose(head) if head else None
            if isinstance(chosen, str):  # binary data may never end a line, so do not wait for one
                self._refused = chosen
            elif data:
                self._decoder = chosen
        return self._decoder.feed(data) if data and self._decoder is not None else []
