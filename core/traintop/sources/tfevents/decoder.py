"""TensorBoard event files: scalars become series; what else they hold is counted by kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from traintop.sources.decoder import Tally
from traintop.sources.protobuf import Malformed
from traintop.sources.scalars import NO_POINTS, Placer, Points
from traintop.sources.tfevents.bulk import PAD, Heads, Templates, read_heads
from traintop.sources.tfevents.crc32c import checksum, mask
from traintop.sources.tfevents.event import read_event
from traintop.sources.tfevents.framing import FOOTER, HEADER, Frames, find_frames

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from traintop.records import Item

MAX_HELD = 16 << 20
"""A longer record (a graph, a video) is passed over without being held in memory."""


class EventFile:
    """Decodes TensorBoard event files of any version, as all writers make them.

    Numbers are kept as they were written: a float32 that has overflowed is an infinity. The
    checksums of all lengths and payloads are checked, but for those of records of more than 16 MiB,
    which are passed over. After a length that is damaged, reading goes on where a header with the
    right checksum follows. A record that is not whole yet is waited for; so are further scalars of
    the last step while there is such a record.

    Args:
        placer: Makes the rows. The files of a run share one.
    """

    format = "tfevents"
    by_lines = False
    rewritten = False

    def __init__(self, placer: Placer) -> None:
        self.tally = Tally()
        self.tally.why = "its first record is an event, with the checksum that TFRecord files have"
        self._placer = placer
        self._templates = Templates()
        self._held: list[bytes] = []  # of a record that is not whole
        self._size = 0  # of what is held
        self._wanted = 0  # before it is worth looking again
        self._passing = 0  # bytes of a long record that are still to come
        self._offset = 0  # in the file, of what is held
        self._lost = False  # whether the bytes before were damaged
        self._events = 0
        self._waiting: Points | None = None  # the scalars of the last step

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables that rows were handed over for so far."""
        return self._placer.tables

    def feed(self, data: bytes) -> list[Item]:
        """Take bytes, cut anywhere."""
        if self._passing:
            passed = min(self._passing, len(data))
            self._passing -= passed
            self._offset += passed
            data = data[passed:]
        self._held.append(data)
        self._size += len(data)
        if self._size < max(self._wanted, HEADER + FOOTER):
            return []
        size = self._size
        whole = b"".join((*self._held, bytes(PAD)))
        buffer = np.frombuffer(whole, np.uint8)
        frames = find_frames(buffer, size, self._lost)
        for at in frames.damaged:
            self._skip(
                self._offset + at, "no record begins here; read on at the next that is whole"
            )
        points = self._points(whole, buffer, frames)
        self._keep(whole[frames.end : size], frames)
        return list(self._placer.rows(self._settled(points)))

    def leap(self, offset: int) -> None:
        """Go on at this place of the file, with the first record that begins after it."""
        self._held, self._size, self._wanted, self._passing = [], 0, 0, 0
        self._offset, self._lost, self._waiting = offset, True, None

    def finish(self) -> list[Item]:
        """Hand over the scalars of the last step, though the record that follows is not whole."""
        return self.release()

    def release(self) -> list[Item]:
        """Hand over the scalars of the last step, though a record is not whole yet."""
        waiting, self._waiting = self._waiting, None
        return [] if waiting is None else list(self._placer.rows(waiting))

    def _keep(self, rest: bytes, frames: Frames) -> None:
        """Keep what is not whole yet."""
        self._offset += frames.end
        self._lost = bool(frames.damaged or self._lost) and not len(frames.starts)
        self._wanted = frames.wanted
        if frames.wanted > MAX_HELD:
            self.tally.ignore("record of more than 16 MiB")
            self._passing = frames.wanted - len(rest)
            self._offset += len(rest)
            self._events += 1
            rest, self._wanted = b"", 0
        self._held, self._size = [rest], len(rest)

    def _points(self, whole: bytes, buffer: NDArray[np.uint8], frames: Frames) -> Points:
        """The scalars of whole records, in file order."""
        if not len(frames.starts):
            return NO_POINTS
        heads = read_heads(buffer, frames.starts, frames.lengths)
        points, sources, unlike = self._templates.decode(buffer, heads)
        if not len(unlike):
            self._events += len(frames.starts)
            self.tally.records += len(points.tags)
            return points
        parts, origins = [points], [sources]
        # The first event of each kind teaches what the others are like.
        met: set[int] = set()
        first: list[int] = []
        for event in unlike.tolist():
            key = int(heads.keys[event])
            if key not in met and heads.step_sizes[event]:
                met.add(key)
                first.append(event)
        self._one_by_one(whole, heads, first, parts, origins)
        rest = np.setdiff1d(unlike, first)
        if len(rest):
            points, sources, unlike = self._templates.decode(buffer, heads.at(rest))
            parts.append(points)
            origins.append(rest[sources])
            self._one_by_one(whole, heads, rest[unlike].tolist(), parts, origins)
        self._events += len(frames.starts)
        order = np.argsort(np.concatenate(origins), kind="stable")
        points = Points.joined(parts).at(order)
        self.tally.records += len(points.tags)
        return points

    def _one_by_one(
        self,
        whole: bytes,
        heads: Heads,
        events: list[int],
        parts: list[Points],
        origins: list[NDArray[np.int64]],
    ) -> None:
        """Read events field by field, and learn what they are like."""
        tags: list[int] = []
        rows: list[tuple[float, float, float]] = []
        found: list[int] = []
        for number in events:
            start = int(heads.starts[number]) + HEADER
            end = start + int(heads.lengths[number])
            data = whole[start:end]
            where = self._offset + start - HEADER
            if mask(checksum(data)) != int.from_bytes(whole[end : end + FOOTER], "little"):
                self._skip(where, "wrong checksum", self._events + number)
                continue
            try:
                event = read_event(data)
            except Malformed as error:
                self._skip(where, f"no event: {error}", self._events + number)
                continue
            for kind in event.others:
                self.tally.ignore(kind)
            numbers = [self._placer.number(one.tag) for one in event.scalars]
            tags += numbers
            rows += [(float(event.step), event.time, one.value) for one in event.scalars]
            found += [number] * len(numbers)
            self._templates.learn(
                int(heads.keys[number]), int(heads.step_sizes[number]), data, event, numbers
            )
        steps, times, values = np.array(rows, np.float64).reshape(-1, 3).T
        parts.append(Points(np.array(tags, np.int64), steps, times, values))
        origins.append(np.array(found, np.int64))

    def _settled(self, points: Points) -> Points:
        """The scalars of steps that are over; those of the last one wait for the record to come."""
        if self._waiting is not None:
            points = Points.joined((self._waiting, points))
            self._waiting = None
        if not self._size or not len(points.tags):
            return points
        changes = np.flatnonzero(points.steps[1:] != points.steps[:-1])
        if not len(changes):
            return points  # Whoever writes no steps does not wait.
        over = int(changes[-1]) + 1
        self._waiting = points.at(slice(over, None))
        return points.at(slice(over))

    def _skip(self, offset: int, why: str, event: int | None = None) -> None:
        """Count a record that cannot be read."""
        number = self._events if event is None else event
        self.tally.skip(number + 1, f"byte {offset}: {why}")
