from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traintop.sources.lines import CUT_MARK, KEPT_OF_A_CUT_LINE, LineSplitter


@pytest.mark.parametrize(
    ("chunks", "whole", "rest"),
    [
        ([b""], [b""], b""),
        ([b"a\n"], [b"a\n"], b""),
        ([b"a\nb"], [b"a\n"], b"b"),
        ([b"a", b"b", b"\n"], [b"", b"", b"ab\n"], b""),
        ([b"a\nb", b"c\nd\ne"], [b"a\n", b"bc\nd\n"], b"e"),
        ([b"\n\n", b"\n"], [b"\n\n", b"\n"], b""),
        ([b"a\r", b"\nb\r\n"], [b"", b"a\r\nb\r\n"], b""),
        ([b"\xc3", b"\xa4\n"], [b"", b"\xc3\xa4\n"], b""),
    ],
)
def test_whole_lines_are_given_back(chunks: list[bytes], whole: list[bytes], rest: bytes) -> None:
    splitter = LineSplitter()
    assert [splitter.feed(chunk) for chunk in chunks] == whole
    assert splitter.held == len(rest)
    assert splitter.flush() == rest
    assert splitter.held == 0


def slowly(data: bytes, limit: int) -> tuple[bytes, bytes]:
    """What a splitter has to give in all, one line at a time."""

    def cut(line: bytes) -> bytes:
        return line if len(line) <= limit else line[: min(limit, KEPT_OF_A_CUT_LINE)] + CUT_MARK

    *lines, rest = data.split(b"\n")
    return b"".join(cut(line) + b"\n" for line in lines), cut(rest)


@given(st.lists(st.binary(max_size=30).map(lambda b: b.replace(b"a", b"\n"))), st.integers(1, 40))
def test_any_cut_gives_the_same_lines(chunks: list[bytes], limit: int) -> None:
    splitter = LineSplitter(limit)
    whole = b"".join(splitter.feed(chunk) for chunk in chunks)
    assert (whole, splitter.flush()) == slowly(b"".join(chunks), limit)


def test_a_line_over_the_limit_is_not_held() -> None:
    splitter = LineSplitter(limit=10_000)
    for _ in range(1000):
        assert splitter.feed(b"x" * 1000) == b""
    assert splitter.held == 1_000_000
    assert sum(map(len, splitter._pieces)) <= KEPT_OF_A_CUT_LINE
    assert splitter.feed(b"\nnext\n") == b"x" * KEPT_OF_A_CUT_LINE + CUT_MARK + b"\nnext\n"


def test_ten_megabytes_in_small_pieces() -> None:
    splitter = LineSplitter()
    for _ in range(10_000):
        assert splitter.feed(b"y" * 1000) == b""
    assert splitter.feed(b"\n") == b"y" * 10_000_000 + b"\n"
