"""Bytes that can be read only once: taken in pieces, in order, each once."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from traintop.sources.pipe import PipeTail


def drained(writes: list[bytes], most: int) -> tuple[bytes, list[int]]:
    read_end, write_end = os.pipe()
    for data in writes:
        os.write(write_end, data)
    os.close(write_end)
    tail = PipeTail(Path("-"), read_end)
    got: list[bytes] = []
    taken: list[int] = []
    while tail.held_open or tail.pending:
        before = tail.bytes_read
        got.append(tail.read(most).data)
        taken.append(tail.bytes_read - before)
    os.close(read_end)
    assert tail.bytes_read == tail.bytes_total == sum(map(len, writes))
    return b"".join(got), taken


@settings(deadline=None, max_examples=60)
@given(st.lists(st.binary(min_size=1, max_size=3000), max_size=12), st.integers(1, 2000))
def test_everything_comes_once_and_in_order(writes: list[bytes], most: int) -> None:
    got, taken = drained(writes, most)
    assert got == b"".join(writes)
    assert max(taken, default=0) <= most
