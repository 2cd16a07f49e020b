"""Many lines of known makes at once: what has been understood line by line is then read in columns.

A line's make is told by its bytes with every number made `0`; that is done for a whole burst by the
bytes' own methods, as is cutting lines into tokens. Lines of one make have the same number of
tokens, so that the values of a series are every n-th of them. Whatever is not plain (a step that
falls, a new make of line, a block) is left to the reader that goes line by line, which finds the
same in it.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from traintop.sources.console.numbers import NUMBER, as_float

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from traintop.records import Floats
    from traintop.sources.console.plan import Plan

LEAST = 32
"""Fewer lines than this in a row are not worth it."""
MAX_MAKES = 4096
MAX_LINE = 2000

_ZEROS = bytes(48 if 48 <= byte < 58 else 69 if byte == 101 else byte for byte in range(256))
_TOKENS = bytes(byte if chr(byte) in "0123456789.eE+-\n" else 32 for byte in range(256))
_NUMBERS = msgspec.json.Decoder(list[float])


class Make(NamedTuple):
    """A make of lines whose numbers can be read in columns."""

    plan: Plan
    width: int
    """Tokens of a line."""
    places: dict[int, int]
    """Part of the line that is a number -> its place among the tokens."""
    fixed: tuple[tuple[int, bytes], ...]
    """Tokens with digits that belong to words and have to be as they are."""


class Columns(NamedTuple):
    """The numbers of lines of one make."""

    plan: Plan
    lines: NDArray[np.int64]
    """Shape (n,): which of the lines."""
    parts: dict[int, Floats]
    """Part -> shape (n,)."""
    tokens: list[bytes]
    make: Make


def keys_of(data: bytes) -> list[bytes]:
    """What tells the make of each line: its bytes with every number, however written, made `0`."""
    text = data.translate(_ZEROS, b",")
    for run, one in ((b"0000", b"0"), (b"00", b"0"), (b"00", b"0"), (b"00", b"0")):
        text = text.replace(run, one)
    text = text.replace(b"0.0", b"0").replace(b"0E-0", b"0").replace(b"0E+0", b"0")
    for before in (b" ", b":", b"=", b"("):
        text = text.replace(before + b"-0", before + b"0")
    while b"  " in text:
        text = text.replace(b"  ", b" ")
    return text.split(b"\n")


def make_of(line: str, plan: Plan) -> Make | None:
    """How lines like this one are read in columns; None if they cannot be."""
    if not line.isascii() or len(line) > MAX_LINE:
        return None
    raw = line.encode()
    tokens = raw.translate(_TOKENS, b",").split()
    places: dict[int, int] = {}
    taken: set[int] = set()
    for index, found in enumerate(NUMBER.finditer(line)):
        place = len(raw[: found.start()].translate(_TOKENS, b",").split())
        if place < len(tokens) and _same(tokens[place], found[0]):
            places[2 * index + 1] = place
            taken.add(place)
    for part in _needed(plan):
        if part not in places:
            return None
    fixed = tuple(
        (place, token)
        for place, token in enumerate(tokens)
        if place not in taken and any(48 <= byte < 58 for byte in token) and not _is_time(token)
    )
    return Make(plan, len(tokens), places, fixed)


def _is_time(token: bytes) -> bool:
    """Whether a token is a date, which changes from line to line and measures nothing."""
    return token.count(b"-") == 2


def _same(token: bytes, number: str) -> bool:
    try:
        return float(token) == as_float(number)
    except ValueError:
        return False


def _needed(plan: Plan) -> set[int]:
    """The parts of a line that something is read from."""
    needed = {value.part for value in plan.values} | {value.over for value in plan.values}
    for count in (plan.step, plan.epoch):
        if count is not None:
            needed |= {count.part, count.total}
    return needed - {0}


def read_columns(lines: list[bytes], makes: list[Make]) -> list[Columns] | None:
    """The numbers of lines, by make; None where one is not what its make says.

    Args:
        lines: Without line feeds.
        makes: The make of each.
    """
    by_make: dict[int, tuple[Make, list[int]]] = {}
    for index, make in enumerate(makes):
        by_make.setdefault(id(make), (make, []))[1].append(index)
    found: list[Columns] = []
    for make, chosen in by_make.values():
        some = lines if len(by_make) == 1 else [lines[index] for index in chosen]
        tokens = b"\n".join(some).translate(_TOKENS, b",").split()
        if len(tokens) != make.width * len(some):
            return None
        if any(set(tokens[place :: make.width]) != {token} for place, token in make.fixed):
            return None
        parts: dict[int, Floats] = {}
        for part in _needed(make.plan):
            cells = tokens[make.places[part] :: make.width]
            try:
                parts[part] = _floats(cells)
            except ValueError:
                return None
        found.append(Columns(make.plan, np.array(chosen, np.int64), parts, tokens, make))
    return found


def _floats(cells: list[bytes]) -> Floats:
    """Numbers as they are written.

    Raises:
        ValueError: One is none.
    """
    try:
        numbers = _NUMBERS.decode(b"[" + b",".join(cells) + b"]")
    except msgspec.MsgspecError:  # JSON knows no `.5` and no `007`.
        return np.array(list(map(float, cells)), np.float64)
    return np.array(numbers, np.float64)


def runs_of(makes: list[Make | None]) -> list[tuple[int, int, bool]]:
    """Cut lines into runs of those whose make is known and of the others: first, last, known.

    Runs too short to be worth it count among the others.
    """
    runs: list[tuple[int, int, bool]] = []
    first = 0
    for known, group in itertools.groupby(makes, key=lambda make: make is not None):
        last = first + sum(1 for _ in group)
        known = known and last - first >= LEAST
        if runs and not known and not runs[-1][2]:
            runs[-1] = (runs[-1][0], last, False)
        else:
            runs.append((first, last, known))
        first = last
    return runs
