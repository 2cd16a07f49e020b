"""The newest part of a file that has to be read from its start, to be shown until that is done.

A decoder that was fed the first bytes of the file, and so knows what its records look like, is fed
the last ones. What it finds there is nearly what it would have found after all that is between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

from traintop.records import (
    Begins,
    Event,
    LayerBlock,
    LayerNames,
    LayerStats,
    LogLines,
    News,
    Rows,
    RunInfo,
)
from traintop.sources.decoder import Decoder
from traintop.sources.tail import HEAD
from traintop.sources.text import byte_order_mark

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from traintop.records import Item

GRAIN = 1 << 15
"""Formats that are no lines are entered at a multiple of this many bytes: `.wandb` files are cut
into blocks of them."""


class Ends(NamedTuple):
    """The first and the last bytes of a file."""

    head: bytes
    newest: bytes
    offset: int
    """Where `newest` begins, a multiple of `GRAIN`."""


@runtime_checkable
class Leaping(Decoder, Protocol):
    """A format that is no lines, and that can be entered far from its start."""

    def leap(self, offset: int) -> None:
        """Forget what is not whole: what comes next is at this place, a multiple of `GRAIN`."""
        ...


def preview(ends: Ends, choose: Callable[[bytes], Decoder | str]) -> list[News]:
    """Read the newest part of a file; nothing where there is no telling what it means.

    Args:
        ends: Of the file.
        choose: The decoder for a file that begins with these bytes.
    """
    decoder = choose(ends.head[:HEAD])
    if isinstance(decoder, str):
        return []
    newest = ends.newest
    if decoder.by_lines and not byte_order_mark(ends.head):
        first = decoder.feed(ends.head[: ends.head.rfind(b"\n") + 1])
        newest = newest[newest.find(b"\n") + 1 : newest.rfind(b"\n") + 1]
    elif isinstance(decoder, Leaping):
        first = decoder.feed(ends.head)
        decoder.leap(ends.offset)
    else:
        return []
    last = (decoder.feed(newest) if newest else []) + decoder.finish()
    found = [item for item in last if _stands_by_itself(item)]
    if not found:
        return []
    known = [item for item in first if isinstance(item, RunInfo | LayerNames)]
    return [*known, *first_step(first), *found]


def first_step(items: Sequence[Item]) -> list[Begins]:
    """The first step of the first records of a file."""
    steps = [float(item.step[0]) for item in items if isinstance(item, Rows | LayerBlock)]
    steps += [float(item.step) for item in items if isinstance(item, LayerStats)]
    return [Begins(step=min(steps))] if steps else []


def _stands_by_itself(item: Item) -> bool:
    """Whether it says where it stands: records that are numbered do not."""
    if isinstance(item, Rows):
        return item.axis != "record"
    return isinstance(item, LayerStats | LayerBlock | LogLines | Event | RunInfo)
