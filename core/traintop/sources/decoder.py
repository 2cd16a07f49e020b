"""What every format has to offer: bytes in, records out, and a tally of what was not read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

import msgspec

from traintop.records import Item, Skipped

if TYPE_CHECKING:
    from collections.abc import Iterator

SKIPS_KEPT = 100


class Tally:
    """Counts what a decoder read, what it could not read, and what it left aside.

    Memory is bounded: of the skipped lines the first hundred are kept, the others only counted.
    """

    def __init__(self) -> None:
        self.records = 0
        self.lines = 0
        """Lines that were taken in so far, read or not."""
        self.skipped: list[Skipped] = []
        self.skipped_total = 0
        self.why = ""
        """By what the file was recognised, in words: `a header line with 9 columns`."""
        self.units: dict[str, str] = {}
        """Series -> the unit that is written behind its values."""
        self.ignored: dict[str, int] = {}
        """Keys whose values are no numbers -> how many of them were met."""
        self.notes: dict[str, int] = {}
        """What a user should know of how the file was read -> how many records it is true of, 0
        where that is the whole file."""

    def state(self) -> dict[str, Any]:
        """What was counted so far, in plain values."""
        return dict(vars(self), skipped=msgspec.to_builtins(self.skipped))

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what was counted before."""
        vars(self).update(state, skipped=msgspec.convert(state["skipped"], list[Skipped]))

    def skip(self, line: int, why: str) -> None:
        """Count a line, numbered from 1, that cannot be read."""
        self.skipped_total += 1
        if len(self.skipped) < SKIPS_KEPT:
            self.skipped.append(Skipped(line=line, why=why))

    def ignore(self, key: str, count: int = 1) -> None:
        """Count values of a key that are no numbers."""
        if key in self.ignored or len(self.ignored) < SKIPS_KEPT:
            self.ignored[key] = self.ignored.get(key, 0) + count

    def note(self, what: str, count: int = 1) -> None:
        """Count records that something is true of which a user should know; 0 where it is true of
        the whole file.
        """  # noqa: D205 - the first sentence is long
        if what in self.notes or len(self.notes) < SKIPS_KEPT:
            self.notes[what] = self.notes.get(what, 0) + count

    def join(self, older: Tally) -> None:
        """Take in what was counted of the lines that come before all of those counted here."""
        shifted = [Skipped(line=each.line + older.lines, why=each.why) for each in self.skipped]
        self.skipped = [*older.skipped, *shifted][:SKIPS_KEPT]
        self.skipped_total += older.skipped_total
        self.lines += older.lines
        self.records += older.records
        mine, self.ignored = self.ignored, dict(older.ignored)
        for key, count in mine.items():
            self.ignore(key, count)
        noted, self.notes = self.notes, dict(older.notes)
        for what, count in noted.items():
            self.note(what, count)

    def number(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """The lines of a chunk that are not blank, each with its number over all chunks."""
        for line in data.removesuffix(b"\n").split(b"\n"):
            self.lines += 1
            if line and not line.isspace():
                yield self.lines, line


class Decoder(Protocol):
    """One format: a state machine that is fed bytes and never raises, whatever they hold."""

    format: str
    tally: Tally

    @property
    def by_lines(self) -> bool:
        """Whether it is fed whole lines, rather than bytes as they come."""
        ...

    @property
    def rewritten(self) -> bool:
        """Whether programs write such a file whole, again and again, and it holds only rows."""
        ...

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables that rows were handed over for so far."""
        ...

    def feed(self, data: bytes) -> list[Item]:
        """Take what is new; of whole lines only the very last one may lack its line feed."""
        ...

    def finish(self) -> list[Item]:
        """Hand over what was held back: no more will come."""
        ...


@runtime_checkable
class Settling(Decoder, Protocol):
    """A format whose records may wait for the line that follows them."""

    def settle(self) -> list[Item]:
        """Hand over records that wait, though more may come: nothing has come for a while."""
        ...


@runtime_checkable
class Overwriting(Decoder, Protocol):
    """A format of lines in which carriage returns let a line say one thing after the other."""

    def overwrite(self, data: bytes) -> list[Item]:
        """Take the next states of a line, whole as they are; later `feed` is given all of it."""
        ...


@runtime_checkable
class Forkable(Decoder, Protocol):
    """A format whose records stand by themselves, so that a file may be read from its end.

    What is read of a file piece by piece, in any order, and joined is what one decoder would have
    read that was fed all of it from the start; or `join` says that it is not.
    """

    def fork(self) -> Self | None:
        """A decoder for what comes anywhere later in the file, which knows what this one learnt.

        None where records depend on those before them.
        """
        ...

    def join(self, older: Self) -> bool:
        """Become the decoder that would have been fed the lines of `older` first.

        Args:
            older: Was fed what comes just before the first line of this one. Both are of one fork,
                or `older` began the file.

        Returns:
            False where the records would have been others; neither is of use any more.
        """
        ...


@runtime_checkable
class Resumable(Forkable, Protocol):
    """A format whose decoder can be written down, to go on from when the file is opened again."""

    def state(self) -> dict[str, Any] | None:
        """What is needed to go on, in plain values; None where something is held back."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Become, new as it was made, the decoder that `state` was asked of."""
        ...
