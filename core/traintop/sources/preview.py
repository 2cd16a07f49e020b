"""The newest part of a file that has to be read from its start, to be shown until that is done.

A decoder that was fed the first bytes of the file, and so knows what its records look like, is fed
the last ones. What it finds there is nearly what it would have found after all that is between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

from traintop.records import (
    Begins,
    LayerBlock,
    LayerNames,
    LayerStats,
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

NEWEST = 1 << 19
"""Least bytes that are decoded for it: what the first picture waits for."""
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


def read_newest(ends: Ends, choose: Callable[[bytes], Decoder | str]) -> list[News]:
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
    placed = _go_on(_rows(first), _rows(last))
    found = [item for item in last if placed or not isinstance(item, Rows)]
    if not found:
        return []
    known = [item for item in first if isinstance(item, RunInfo | LayerNames)]
    return [*known, *first_step(first), *found]


def first_step(items: Sequence[Item]) -> list[Begins]:
    """The first step of the first records of a file."""
    steps = [float(item.step[0]) for item in items if isinstance(item, Rows | LayerBlock)]
    steps += [float(item.step) for item in items if isinstance(item, LayerStats)]
    return [Begins(step=min(steps))] if steps else []


def _rows(items: Sequence[Item]) -> list[Rows]:
    return [item for item in items if isinstance(item, Rows)]


def _go_on(first: list[Rows], last: list[Rows]) -> bool:
    """Whether the newest rows say where they stand, whatever came before them.

    Those that are numbered do not. Nor do those whose steps count anew in each epoch, which is seen
    where many epochs have brought too few steps: in the first ones there were more.
    """
    if any(rows.axis == "record" for rows in last):
        return False
    begun = {rows.table: (rows.step[-1], rows.epoch[-1]) for rows in first if rows.axis == "step"}
    for rows in last:
        if rows.axis != "step" or rows.table not in begun:
            continue
        step, epoch = begun[rows.table]
        # Each of the first epochs took at least so many steps; half of that is certainly too few.
        if (rows.step * (epoch + 1) < rows.epoch * step / 2).any():
            return False
    return True
