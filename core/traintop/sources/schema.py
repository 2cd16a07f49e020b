"""Decoding JSON lines at the speed of C: the keys met so far become a msgspec struct.

A line that does not fit the struct makes it grow; then it fits. An absent key is told from a NaN by
the default of its field: a NaN with bits of its own, which survive all the way into the array.
"""

from __future__ import annotations

import itertools
import struct
from operator import itemgetter
from typing import Any, NamedTuple, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from traintop.records import Column, Floats
from traintop.sources.keys import SETTINGS_KEYS, as_number

ABSENT_BITS = 0x7FF8_DEAD_0000_0001
ABSENT: float = struct.unpack("<d", struct.pack("<Q", ABSENT_BITS))[0]

# Numbers that stand in for the bare NaN and Infinity that JSON does not have. No measurement is
# so large, and they are far enough from the largest float to be parsed as fast as any number
# (msgspec 0.22 needs 10 us for one above 1e300).
NAN_STAND_IN = b"7.09317e281"
INF_STAND_IN = b"7.09318e281"
_NAN, _INF = float(NAN_STAND_IN), float(INF_STAND_IN)

PACKED_FLOAT = 8
"""Bytes of a float in MessagePack, after one that says what it is."""
LARGEST_ARRAY_HEADER = 5
pack = msgspec.msgpack.Encoder().encode

MAX_KEYS = 4096
MAX_BUILDS = 200
MAX_DEPTH = 4
"""Objects nested deeper than this are left aside."""

_BUILT = {"_field", "_type", "_decoder", "_packed"}
"""What a schema makes of its keys."""
_MEASURED = {"num", "mean", "std"}
"""What StyleGAN writes of each quantity: the mean is the measurement."""

Record = msgspec.Struct
Scalar = float | bool | None


class NotRepresentable(Exception):  # noqa: N818 - says what is the case, never leaves the package
    """The keys cannot be a struct's fields: too many, ever new, or with quotes in their names."""


class Block(NamedTuple):
    """Records of one schema as columns."""

    size: int
    numbers: Floats
    """Shape (keys that hold numbers only, records), with `ABSENT_BITS` where a key is absent."""
    others: dict[str, list[Any]]
    """Every other key: a value a record, `ABSENT` where it is absent."""


class Schema:
    """The top-level keys of a file's records: those that hold only numbers, and all others."""

    def __init__(self) -> None:
        self.numbers: list[str] = []
        self.others: list[str] = []
        self._known: set[str] = set()
        self._builds = 0
        self._build()

    def copy(self) -> Schema:
        """The same keys, to go on from."""
        same = Schema.__new__(Schema)
        vars(same).update(vars(self))  # What `_build` made is replaced as a whole, never changed.
        same.numbers, same.others = list(self.numbers), list(self.others)
        same._known = set(self._known)
        return same

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what `_build` made: classes that are nowhere by name cannot be pickled."""
        return {name: value for name, value in vars(self).items() if name not in _BUILT}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Make it again."""
        vars(self).update(state, _builds=state["_builds"] - 1)
        self._build()

    def fits(self, record: dict[str, Any]) -> bool:
        """Whether a record can be made of this object without learning anything."""
        return not self._new(record) and not self._moved(record)

    def learn(self, record: dict[str, Any]) -> None:
        """Make room for a record.

        Raises:
            NotRepresentable: The keys cannot be the fields of a struct.
        """
        new, moved = self._new(record), self._moved(record)
        self._known.update(new)
        for key in new:
            (self.numbers if _is_number(record[key]) else self.others).append(key)
        self.numbers = [key for key in self.numbers if key not in moved]
        self.others += moved
        self._build()

    def _new(self, record: dict[str, Any]) -> list[str]:
        return [key for key in record if key not in self._known]

    def _moved(self, record: dict[str, Any]) -> list[str]:
        """Keys that held only numbers until this record."""
        return [key for key in self.numbers if key in record and not _is_number(record[key])]

    def decode_line(self, line: bytes) -> Record:
        """Decode one line; raises what msgspec raises where it does not fit."""
        return self._decoder.decode(line)

    def decode_lines(self, data: bytes | memoryview) -> list[Record]:
        """Decode many lines; raises what msgspec raises where one does not fit."""
        return self._decoder.decode_lines(data)

    def make(self, record: dict[str, Any]) -> Record:
        """A record from a decoded object whose keys were all learnt."""
        values = {self._field[key]: value for key, value in record.items()}
        for key in record.keys() - set(self.others):
            value = values[self._field[key]]
            values[self._field[key]] = None if value is None else as_number(value)
        return self._type(**values)

    def block(self, records: list[Record], stand_ins: bool) -> Block:
        """The columns of records of this schema.

        Args:
            records: Decoded with this schema.
            stand_ins: Whether some were decoded from lines with stand-ins for NaN and Infinity.
        """
        numbers = None if self.others else self._packed_numbers(records)
        if numbers is not None:
            if stand_ins:
                restore(numbers)
            return Block(len(records), numbers, {})
        width = len(self.numbers)
        rows: list[tuple[Any, ...]] = list(map(msgspec.structs.astuple, records))
        number_rows = map(itemgetter(slice(width)), rows) if self.others else rows
        cells = itertools.chain.from_iterable(number_rows)
        table = np.fromiter(cells, np.float64, len(rows) * width).reshape(len(rows), width)
        bits = table.view(np.uint64)
        for row, column in np.argwhere(np.isnan(table) & (bits != ABSENT_BITS)):
            if rows[row][column] is None:
                bits[row, column] = ABSENT_BITS
        numbers = np.ascontiguousarray(table.T)
        if stand_ins:
            restore(numbers)
        others = {key: [row[at] for row in rows] for at, key in enumerate(self.others, start=width)}
        return Block(len(rows), numbers, others)

    def _packed_numbers(self, records: list[Record]) -> Floats | None:
        """The numbers of records without other keys; None where some are absent or booleans.

        In MessagePack a record of nothing but floats has the same length as any other, so that the
        numbers can be taken from the packed bytes at the speed of memory: half the time of having
        each of them as an object.
        """
        packed = pack(records)
        if not records or len(packed) % self._packed.itemsize > LARGEST_ARRAY_HEADER:
            return None
        start = len(packed) - len(records) * self._packed.itemsize
        if not 1 <= start <= LARGEST_ARRAY_HEADER:
            return None
        table = np.frombuffer(packed, self._packed, len(records), start)
        numbers = np.empty((len(self.numbers), len(records)))
        for values, field in zip(numbers, self._packed.names or (), strict=True):
            values[:] = table[field]
        return numbers

    def _build(self) -> None:
        names = self.numbers + self.others
        self._builds += 1
        if len(names) > MAX_KEYS or self._builds > MAX_BUILDS:
            raise NotRepresentable
        self._field = {key: f"f{at}" for at, key in enumerate(names)}
        numbers = len(self.numbers)
        fields: list[tuple[str, Any, Any]] = [
            (f"f{at}", Scalar if at < numbers else Any, ABSENT) for at in range(len(names))
        ]
        try:
            self._type: type[Record] = msgspec.defstruct(
                "Record",
                fields,
                rename={field: key for key, field in self._field.items()},
                gc=False,
                # An unknown key has to be noticed, or a series that begins later would be lost.
                forbid_unknown_fields=True,
            )
        except ValueError as error:  # quotes, backslashes, control characters, lone surrogates
            raise NotRepresentable from error
        self._decoder = msgspec.json.Decoder(self._type, strict=False)
        self._packed = self._packed_layout()

    def _packed_layout(self) -> np.dtype[np.void]:
        """Where the numbers of a record of floats lie in its MessagePack form."""
        at, offsets = len(pack(self._type())), [0] * len(self.numbers)
        length = at
        for index, key in reversed(list(enumerate(self.numbers))):
            offsets[index] = at - PACKED_FLOAT
            at -= PACKED_FLOAT + 1 + len(pack(key))
        return np.dtype(
            {
                "names": [self._field[key] for key in self.numbers],
                "formats": [">f8"] * len(self.numbers),
                "offsets": offsets,
                "itemsize": length,
            }
        )


def put_stand_ins(data: bytes) -> bytes:
    """Write numbers for NaN and Infinity; quoted ones become strings that spell those numbers."""
    return data.replace(b"NaN", NAN_STAND_IN).replace(b"Infinity", INF_STAND_IN)


def restore(numbers: Floats) -> None:
    """Turn stand-ins back into NaN and infinities, in place."""
    numbers[numbers == _NAN] = np.nan
    numbers[numbers == _INF] = np.inf
    numbers[numbers == -_INF] = -np.inf


def columns(keys: list[str], numbers: Floats) -> dict[str, Column]:
    """The columns of numbers of shape (keys, records); a key that no record has is left out."""
    absent = numbers.view(np.uint64) == ABSENT_BITS
    missing: list[int] = np.count_nonzero(absent, axis=1).tolist()
    found: dict[str, Column] = {}
    for key, values, gaps, count in zip(keys, numbers, absent, missing, strict=True):
        if count == 0:
            found[key] = Column(values=values)
        elif count < len(values):
            rows: NDArray[np.int64] = np.flatnonzero(~gaps).astype(np.int64, copy=False)
            found[key] = Column(values=values[rows], rows=rows)
    return found


class Flattener:
    """Numbers inside nested objects and strings, as columns named `outer/inner`."""

    def __init__(self) -> None:
        self._values: dict[str, list[float]] = {}
        self._rows: dict[str, list[int]] = {}
        self.ignored: dict[str, int] = {}

    def add(self, name: str, value: object, row: int, depth: int = 0) -> None:
        """Take a value of any kind in; what is no number is only counted."""
        if isinstance(value, dict):
            if depth >= MAX_DEPTH or name in SETTINGS_KEYS:
                self.ignored[name] = self.ignored.get(name, 0) + 1
                return
            parts = cast("dict[str, object]", value)
            if parts.keys() == _MEASURED:
                parts = {"mean": parts["mean"]}
            for key, part in parts.items():
                self.add(f"{name}/{key}" if name else key, part, row, depth + 1)
            return
        if value is None or value is ABSENT:
            return
        number = None if isinstance(value, list) else as_number(value)
        if number is None:
            self.ignored[name] = self.ignored.get(name, 0) + 1
            return
        rows = self._rows.setdefault(name, [])
        if rows and rows[-1] == row:
            return  # `{"a": {"b": 1}, "a/b": 2}`: two spellings of one name, the first is kept
        rows.append(row)
        self._values.setdefault(name, []).append(number)

    def columns(self, count: int) -> dict[str, Column]:
        """The columns of `count` records."""
        found: dict[str, Column] = {}
        for name, values in self._values.items():
            array = np.array(values, np.float64)
            restore(array)
            whole = len(values) == count
            rows = None if whole else np.array(self._rows[name], np.int64)
            found[name] = Column(values=array, rows=rows)
        return found


def _is_number(value: object) -> bool:
    """Whether msgspec reads this value into a number: one, none, or a string that it can parse."""
    if value is None or isinstance(value, int | float):
        return True
    if not isinstance(value, str):
        return False
    try:
        msgspec.convert(value, Scalar, strict=False)
    except (msgspec.ValidationError, UnicodeEncodeError):  # the latter of half a surrogate pair
        return False
    return True
