"""Lines that each hold a JSON object, as columns: one dictionary of columns for many lines."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from traintop.records import Column
from traintop.sources.keys import Keys
from traintop.sources.lines import CUT_MARK
from traintop.sources.schema import (
    Block,
    Flattener,
    NotRepresentable,
    Record,
    Schema,
    columns,
    put_stand_ins,
)

if TYPE_CHECKING:
    from traintop.sources.decoder import Tally

MAX_SEEN = 20_000
"""Different keys that are looked at; a file with more is not a table of metrics."""

BLOCK = 1 << 18
"""Bytes decoded at once: a line that does not fit costs no more than this much work twice."""

NEWLINE = 10

FEW = 64
"""Objects that are looked at one by one."""
_ENCODER = msgspec.json.Encoder()

_UNDECODABLE = (msgspec.MsgspecError, ValueError, RecursionError)
_LOWER_CASE = re.compile(r"(?<=[:,\[\s])([+-]?)(nan|inf|infinity)(?=\s*[,}\]])", re.IGNORECASE)
_SPELLED = {"nan": "NaN", "inf": "Infinity", "infinity": "Infinity"}


class Burst(NamedTuple):
    """Consecutive records as columns."""

    size: int
    columns: dict[str, Column]
    texts: dict[str, list[Any]]
    """The values of keys that hold text and are needed as it stands: split and time."""


class ObjectDecoder:
    """Turns lines into bursts of columns; what cannot be read goes to the tally."""

    def __init__(self, tally: Tally) -> None:
        self.keys = Keys()
        self._known_keys = self.keys.copy()  # what was chosen before the first of its lines
        self._tally = tally
        self._seen: set[str] = set()
        self._schema: Schema | None = Schema()
        self._blocks: list[Block] = []  # decoded with the present schema
        self._loose: list[dict[str, Any]] = []  # records where no schema can be had
        self._bursts: list[Burst] = []

    def fork(self, tally: Tally) -> ObjectDecoder:
        """A decoder for lines further on, which knows the keys that were met here."""
        fork = ObjectDecoder(tally)
        fork.keys, fork._known_keys = self.keys.copy(), self.keys.copy()
        fork._seen = set(self._seen)
        fork._schema = None if self._schema is None else self._schema.copy()
        return fork

    def state(self) -> dict[str, Any]:
        """The keys that were met, in plain values."""
        return {"keys": self.keys.state(), "seen": sorted(self._seen)}

    def restore(self, state: dict[str, Any]) -> None:
        """Know the keys that were met before."""
        self.keys.restore(state["keys"])
        self._seen = set(state["seen"])

    def join(self, older: ObjectDecoder) -> bool:
        """Take in what was met in the lines before; False if these would have been read otherwise.

        They would if the older lines told more of what the special keys are than was known here.
        """
        own = self.keys.chosen - self._known_keys.chosen
        if older.keys != self._known_keys or not own.isdisjoint(older._seen):
            return False
        self._known_keys = older._known_keys
        self._seen |= older._seen
        return True

    def decode(self, data: bytes) -> list[Burst]:
        """Decode whole lines."""
        at = 0
        view = memoryview(data)  # slices of it are no copies
        while at < len(data):
            end = data.rfind(b"\n", at, at + BLOCK) + 1 or data.find(b"\n", at) + 1 or len(data)
            self._decode_block(view[at:end])
            at = end
        self._close()
        bursts, self._bursts = self._bursts, []
        return bursts

    def take(self, objects: list[dict[str, Any]], *, finite: bool) -> list[Burst]:
        """Take objects that were decoded elsewhere.

        Args:
            objects: As `msgspec` or `json` decode them.
            finite: Whether no number in them is NaN or infinite. To write many of those as lines
                and decode them anew takes a fifth of the time of looking at each of them.
        """
        if finite and len(objects) > FEW:
            lines = self._tally.lines
            try:
                return self.decode(_ENCODER.encode_lines(objects))
            except OverflowError:  # a whole number of more than 64 bits
                pass
            finally:
                self._tally.lines = lines
        records: list[Record] = []
        for found in objects:
            self._add(found, records)
        self._flush(records)
        self._close()
        bursts, self._bursts = self._bursts, []
        return bursts

    def _decode_block(self, view: memoryview) -> None:
        # numpy counts twice as fast as bytes.count.
        ends = np.count_nonzero(np.frombuffer(view, np.uint8) == NEWLINE)
        lines = int(ends) + (view[-1] != NEWLINE)
        data: memoryview | bytes = view
        for stand_ins in (False, True):
            if stand_ins:
                data = bytes(view)
                if b"NaN" not in data and b"Inf" not in data:
                    break
                data = put_stand_ins(data)
            if self._schema is None:
                break
            try:
                records = self._schema.decode_lines(data)
            except _UNDECODABLE:
                continue
            # More or fewer values than lines: blank lines, or one object over several lines, or
            # several on one, which must not depend on how the bytes were cut into blocks.
            if len(records) == lines:
                self._blocks.append(self._schema.block(records, stand_ins))
                self._tally.lines += lines
                return
        self._decode_line_by_line(bytes(view))

    def _decode_line_by_line(self, data: bytes) -> None:
        records: list[Record] = []
        for number, line in self._tally.number(data):
            if self._schema is not None:
                try:
                    records.append(self._schema.decode_line(line))
                    continue
                except _UNDECODABLE:
                    pass
            for found in self._objects(number, line):
                self._add(found, records)
        self._flush(records)

    def _add(self, found: dict[str, Any], records: list[Record]) -> None:
        """Take an object in, as one of the records that were decoded since the schema changed."""
        if self._schema is None:
            self._notice(found)
            self._loose.append(found)
            return
        if not self._schema.fits(found):
            self._flush(records)
            self._close()
            self._notice(found)
            if not self._learn(found):
                return
        records.append(self._schema.make(found))

    def _objects(self, number: int, line: bytes) -> list[dict[str, Any]]:
        """The objects on a line, by the most forgiving way of reading it; none if it is broken."""
        why = "not an object"
        values: list[Any] = []
        try:
            values = _parse(line)
        except RecursionError:
            why = "nested too deeply"
        except ValueError as error:
            why = "line too long" if line.endswith(CUT_MARK) else f"not JSON: {error}"
        if not values or not all(isinstance(value, dict) for value in values):
            self._tally.skip(number, why)
            return []
        return values

    def _notice(self, found: dict[str, Any]) -> None:
        """Look at the keys that are new."""
        new = {key: value for key, value in found.items() if key not in self._seen}
        if new and len(self._seen) < MAX_SEEN:
            self._seen.update(new)
            self.keys.learn(new)

    def _learn(self, found: dict[str, Any]) -> bool:
        """Let the schema grow; where it cannot any more, go on without one."""
        assert self._schema is not None  # noqa: S101 - only called while there is one
        try:
            self._schema.learn(found)
        except NotRepresentable:
            self._schema = None
            self._loose.append(found)
            return False
        return True

    def _flush(self, records: list[Record]) -> None:
        if records and self._schema is not None:
            self._blocks.append(self._schema.block(records, stand_ins=False))
            records.clear()

    def _close(self) -> None:
        """Make one burst of what was decoded since the schema last changed."""
        flat = Flattener()
        found: dict[str, Column] = {}
        texts: dict[str, list[Any]] = {}
        kept = {self.keys.split, self.keys.time}
        if self._loose:
            count = len(self._loose)
            texts = {key: [one.get(key) for one in self._loose] for key in kept if key is not None}
            for row, one in enumerate(self._loose):
                for key in one.keys() - kept:
                    flat.add(key, one[key], row)
            self._loose = []
        elif self._blocks and self._schema is not None:
            numbers = np.concatenate([block.numbers for block in self._blocks], axis=1)
            count = numbers.shape[1]
            found = columns(self._schema.numbers, numbers)
            for key in self._schema.others:
                values = [value for block in self._blocks for value in block.others[key]]
                if key in kept:
                    texts[key] = values
                    continue
                for row, value in enumerate(values):
                    flat.add(key, value, row)
            self._blocks = []
        else:
            return
        for key, times in flat.ignored.items():
            self._tally.ignore(key, times)
        self._bursts.append(Burst(count, flat.columns(count) | found, texts))


def _parse(line: bytes) -> list[Any]:
    """The JSON values on a line, with what other writers than strict ones write.

    Takes NaN, nan, Infinity and inf, a byte order mark, bytes that are no UTF-8, NULs around the
    line (a writer that crashed) and several objects on one line (two writers).

    Raises:
        ValueError: It is no JSON.
        RecursionError: It is nested too deeply.
    """
    try:
        return [msgspec.json.decode(line)]
    except (msgspec.MsgspecError, UnicodeDecodeError):
        text = line.decode("utf-8", "replace").strip("\0\ufeff \t\r\n")
    if not text.startswith("{"):
        raise ValueError("does not begin with {" if text else "nothing but NUL bytes")
    return parse_values(text)


def parse_values(text: str) -> list[Any]:
    """The JSON values of a text, one after another; bare NaN, nan, Infinity and inf are taken.

    Raises:
        ValueError: It is no JSON.
        RecursionError: It is nested too deeply.
    """
    try:
        return _values(text)
    except ValueError:
        return _values(
            _LOWER_CASE.sub(lambda m: m[1].replace("+", "") + _SPELLED[m[2].lower()], text)
        )


def _values(text: str) -> list[Any]:
    decoder = json.JSONDecoder()
    values: list[Any] = []
    at = 0
    while at < len(text):
        value, at = decoder.raw_decode(text, at)
        values.append(value)
        while at < len(text) and text[at].isspace():
            at += 1
    return values
