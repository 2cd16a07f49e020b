"""Scalar events decoded in bulk: the events of one tag differ only in time, step and value.

An event is `9 time 16 step 42 length 10 length 10 length tag` and then, at places that are the
same in every event of a tag, the value and whatever else its writer adds. The first such event is
read field by field and becomes a template; the others are looked up by a hash of their tag and the
length of what follows the step. The checksum of each record proves that it is like its template:
what the constant bytes add to it is computed once, and each varying byte is looked up.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from traintop.records import Floats
from traintop.sources.scalars import NO_POINTS, Points
from traintop.sources.tfevents.crc32c import POSITIONS, checksum, position_table, unmask
from traintop.sources.tfevents.event import Event

PAD = 64
"""Bytes that must follow the last record in a buffer."""

MAX_TEMPLATES = 50_000
MAX_CHANGES = 4
"""Templates made for one tag: a writer may add to its first event what the others lack."""
_HEAD = 12
_MAX_STEP = 5
"""Bytes of a step; a larger one than 2^35 is read field by field."""
_MAX_TAG = 127
_BEFORE_REST = 10
"""Bytes of an event before the step."""

_LOW_BYTES = np.array([(1 << 8 * n) - 1 for n in range(9)], np.uint64)
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(29)

Indices = NDArray[np.int64]
Words = NDArray[np.uint64]


class Heads(NamedTuple):
    """What the events of a burst begin with."""

    starts: Indices
    lengths: Indices
    times: Floats
    steps: Words
    step_sizes: Indices
    """Bytes of each step as it was written; 0: the event is not of the usual form."""
    keys: Words
    """Tag and length of what follows the step, hashed."""

    def at(self, which: Indices) -> Heads:
        """Return some of them."""
        return Heads(
            self.starts[which],
            self.lengths[which],
            self.times[which],
            self.steps[which],
            self.step_sizes[which],
            self.keys[which],
        )


class Templates:
    """The kinds of scalar events met in a file."""

    def __init__(self) -> None:
        self._of_key: dict[int, int] = {}
        self._learnt: dict[int, int] = {}  # how many templates were made for a key
        self._constants: list[list[int]] = []
        self._sites: list[list[tuple[int, int, bool]]] = []
        self._table: _Table | None = None

    def knows(self, key: int) -> bool:
        """Whether there is a template for a key."""
        return key in self._of_key

    def decode(self, buffer: NDArray[np.uint8], heads: Heads) -> tuple[Points, Indices, Indices]:
        """Decode the events that are like one of the templates.

        Returns:
            The points; the event that each came from; the events that are like no template.
        """
        if self._table is None:
            self._table = _Table.make(self._of_key, self._constants, self._sites)
        return self._table.decode(buffer, heads)

    def learn(self, key: int, step_size: int, data: bytes, event: Event, tags: list[int]) -> None:
        """Make a template of an event, where that can be.

        Args:
            key: As in `Heads`.
            step_size: Bytes of the step.
            data: The event.
            event: What was read of it.
            tags: The number of the tag of each of its scalars.
        """
        usable = event.scalars and not event.others and all(one.code for one in event.scalars)
        learnt = self._learnt.get(key, 0)
        if (
            not usable
            or not step_size
            or learnt == MAX_CHANGES
            or len(self._sites) == MAX_TEMPLATES
            or len(data) > POSITIONS - _MAX_STEP
        ):
            return
        after = bytearray(data[_BEFORE_REST + step_size :])
        sites: list[tuple[int, int, bool]] = []
        for tag, one in zip(tags, event.scalars, strict=True):
            back, size = len(data) - one.at, struct.calcsize(one.code)
            after[len(after) - back : len(after) - back + size] = bytes(size)
            sites.append((tag, back, size == 8))
        self._constants.append(
            [
                checksum(b"\x09" + bytes(8) + b"\x10" + bytes(size) + after)
                for size in range(_MAX_STEP + 1)
            ]
        )
        self._learnt[key] = learnt + 1
        self._of_key[key] = len(self._sites)
        self._sites.append(sites)
        self._table = None


class _Table(NamedTuple):
    """Templates as arrays."""

    keys: Words
    """Shape (keys,), rising."""
    template: Indices
    """Shape (keys,): the template of each."""
    constant: NDArray[np.uint32]
    """Shape (templates, step sizes): the checksum with zeros for time, step and numbers."""
    sites: Indices
    """Shape (templates,): how many numbers an event has."""
    tag: Indices
    """Shape (templates, sites)."""
    back: Indices
    """Shape (templates, sites): bytes from where a number begins to the end of the event."""
    double: NDArray[np.bool_]
    """Shape (templates, sites): whether it has eight bytes."""

    @classmethod
    def make(
        cls,
        of_key: dict[int, int],
        constants: list[list[int]],
        sites: list[list[tuple[int, int, bool]]],
    ) -> _Table:
        keys = np.array(sorted(of_key), np.uint64)
        width = max(map(len, sites), default=0)
        grid = np.zeros((len(sites), width, 3), np.int64)
        for row, found in enumerate(sites):
            grid[row, : len(found)] = found
        return cls(
            keys,
            np.array([of_key[key] for key in keys.tolist()], np.int64),
            np.array(constants, np.uint32).reshape(-1, _MAX_STEP + 1),
            np.array([len(found) for found in sites], np.int64),
            grid[:, :, 0].copy(),
            grid[:, :, 1].copy(),
            grid[:, :, 2] == 1,
        )

    def decode(self, buffer: NDArray[np.uint8], heads: Heads) -> tuple[Points, Indices, Indices]:
        template = self._look_up(heads.keys)
        known = np.flatnonzero((template >= 0) & (heads.step_sizes > 0))
        template = template[known]
        lengths, sizes = heads.lengths[known], heads.step_sizes[known]
        steps, times = heads.steps[known], heads.times[known]
        starts = heads.starts[known]
        ends = starts + (_HEAD + lengths)
        words = view(buffer, "<u8")
        crc = self.constant[template, sizes]
        _add(crc, lengths - 2, times.view(np.uint64), 8)
        _add_steps(crc, lengths - (_BEFORE_REST + 1), words[starts + (_HEAD + _BEFORE_REST)], sizes)
        parts: list[tuple[Indices, Indices, Floats]] = []
        for site in range(self.tag.shape[1]):
            here = np.flatnonzero(self.sites[template] > site)
            if len(here):
                kinds = template[here]
                numbers, added = self._numbers(words, ends[here], kinds, site)
                crc[here] ^= added
                parts.append((here, self.tag[kinds, site], numbers))
        whole = crc == unmask(view(buffer, "<u4")[ends].astype(np.uint32))
        unlike = np.ones(len(heads.starts), np.bool_)
        unlike[known[whole]] = False
        return (*_points(parts, whole, known, steps, times), np.flatnonzero(unlike))

    def _numbers(
        self, words: Words, ends: Indices, kinds: Indices, site: int
    ) -> tuple[Floats, NDArray[np.uint32]]:
        """The numbers at one place of events, and what they add to the checksums."""
        back = self.back[kinds, site]
        raw = words[ends - back]
        values = raw.astype(np.uint32).view(np.float32).astype(np.float64)
        added = np.zeros(len(ends), np.uint32)
        _add(added, back - 1, raw, 4)
        wide = np.flatnonzero(self.double[kinds, site])
        if len(wide):
            values[wide] = raw[wide].view(np.float64)
            upper = added[wide]
            _add(upper, back[wide] - 5, raw[wide] >> np.uint64(32), 4)
            added[wide] = upper
        return values, added

    def _look_up(self, keys: Words) -> Indices:
        """The template of each key, -1 where there is none."""
        if not len(self.keys):
            return np.full(len(keys), -1)
        place = np.searchsorted(self.keys, keys)
        place[place == len(self.keys)] = 0
        return np.where(self.keys[place] == keys, self.template[place], -1)


def read_heads(buffer: NDArray[np.uint8], starts: Indices, lengths: Indices) -> Heads:
    """Read what events begin with: time, step and tag."""
    heads = np.ascontiguousarray(view(buffer, "V32")[starts]).view(np.uint8).reshape(-1, 32)
    times = np.ndarray((len(starts),), "<f8", heads, _HEAD + 1, (32,)).copy()
    step_at = _HEAD + _BEFORE_REST
    written = np.ndarray((len(starts),), "<u8", heads, step_at, (32,)).copy()
    more = np.ones(len(starts), np.bool_)
    sizes = np.ones(len(starts), np.int64)
    for place in range(_MAX_STEP):
        more &= heads[:, step_at + place] > 127
        if not more.any():
            break
        sizes += more
    usual = (
        (heads[:, _HEAD] == 9)
        & (heads[:, step_at - 1] == 16)
        & (sizes <= _MAX_STEP)
        & (lengths <= POSITIONS)
    )
    sizes[~usual] = 0
    steps = _varints(written & _LOW_BYTES[sizes])
    rest = starts + (step_at + sizes)
    tag_at, tag_size = _tags(view(buffer, "<u8")[rest], rest)
    short = starts + (_HEAD + lengths) >= tag_at + tag_size
    sizes[~(usual & (tag_size > 0) & short)] = 0
    keys = _hash(buffer, tag_at, tag_size, lengths - sizes)
    return Heads(starts, lengths, times, steps, sizes, keys)


def view(buffer: NDArray[np.uint8], dtype: str) -> NDArray[np.uint64]:
    """An element at every byte, each overlapping the next: gathers what lies at odd places."""
    kind = np.dtype(dtype)
    return np.ndarray((len(buffer) - kind.itemsize + 1,), kind, buffer, 0, (1,))


def _varints(words: Words) -> Words:
    """The numbers of at most five bytes each that lie in the low bytes of words."""
    number = words & np.uint64(0x7F)
    for place in range(1, _MAX_STEP):
        number |= words >> np.uint64(place) & np.uint64(0x7F << 7 * place)
    return number


def _tags(words: Words, rest: Indices) -> tuple[Indices, Indices]:
    """Where the tags begin, and their lengths; 0 where what follows the step is not as usual.

    It is the key 42 and the length of the summary, the key 10 and the length of its value, and the
    key 10 and the length of the tag. A length of 128 or more has two bytes.
    """
    bytes_ = words.view(np.uint8).reshape(-1, 8)
    long_summary = (bytes_[:, 1] > 127).astype(np.int64)
    row = np.arange(len(words))
    value_key = 2 + long_summary
    long_value = (bytes_[row, value_key + 1] > 127).astype(np.int64)
    tag_key = value_key + 2 + long_value
    size = bytes_[row, tag_key + 1].astype(np.int64)
    usual = (
        (bytes_[:, 0] == 42)
        & (bytes_[row, value_key] == 10)
        & (bytes_[row, tag_key] == 10)
        & (size <= _MAX_TAG)
    )
    size[~usual] = 0
    return rest + tag_key + 2, size


def _hash(buffer: NDArray[np.uint8], at: Indices, sizes: Indices, rest: Indices) -> Words:
    """Hash tags and the lengths of what follows the step, eight bytes at a time."""
    words = view(buffer, "<u8")
    hashes = rest.astype(np.uint64) * _MULTIPLIER
    last = len(words) - 1
    longest = int(sizes.max(initial=0))
    for begin in range(0, longest, 8):
        here = slice(None) if begin == 0 else np.flatnonzero(sizes > begin)
        size = np.minimum(sizes[here] - begin, 8)
        word = words[np.minimum(at[here] + begin, last)] & _LOW_BYTES[size]
        mixed = (hashes[here] ^ word) * _MULTIPLIER
        hashes[here] = mixed ^ mixed >> _SHIFT
    return hashes


def _add(crc: NDArray[np.uint32], follow: Indices, words: Words, size: int) -> None:
    """Add to checksums what the low bytes of words contribute; `follow` bytes follow the first."""
    table = position_table().reshape(-1)
    row = follow << 8
    for place in range(size):
        byte = (words >> np.uint64(8 * place)).astype(np.uint8)
        crc ^= table[row - (place << 8) + byte]


def _add_steps(crc: NDArray[np.uint32], follow: Indices, words: Words, sizes: Indices) -> None:
    """Add to checksums what steps of so many bytes contribute; `follow` bytes follow the first."""
    _add(crc, follow, words, 1)
    for place in range(1, _MAX_STEP):
        here = np.flatnonzero(sizes > place)
        if not len(here):
            break
        part = crc[here]
        _add(part, follow[here] - place, words[here] >> np.uint64(8 * place), 1)
        crc[here] = part


def _points(
    parts: list[tuple[Indices, Indices, Floats]],
    whole: NDArray[np.bool_],
    known: Indices,
    steps: Words,
    times: Floats,
) -> tuple[Points, Indices]:
    """Put the numbers of events that are whole in file order."""
    if not parts:
        return NO_POINTS, np.empty(0, np.int64)
    here, tags, values = (np.concatenate(column) for column in zip(*parts, strict=True))
    if len(parts) > 1:
        order = np.argsort(here, kind="stable")
        here, tags, values = here[order], tags[order], values[order]
    good = whole[here]
    if not good.all():
        here, tags, values = here[good], tags[good], values[good]
    return Points(tags, steps[here].astype(np.float64), times[here], values), known[here]
