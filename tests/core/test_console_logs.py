from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from console_logs import boosting_rl_speech, language, own, progress_bars, vision
from console_logs.log import LOGS
from console_logs.read import points

MODULES = (language, vision, progress_bars, boosting_rl_speech, own)


@pytest.mark.parametrize("name", LOGS)
def test_log(name: str) -> None:
    lines, expected = LOGS[name]()
    found, _ = points("\n".join(lines).encode() + b"\n")
    for series, (count, last) in expected.items():
        table, _, key = series.partition(":")
        of_series = found[(table, key) if key and table in ("val", "test") else ("train", series)]
        assert len(of_series) == count, series
        assert last is None or of_series[-1][1] == last, series


@pytest.mark.parametrize("name", LOGS)
def test_steps_of_a_table_do_not_fall(name: str) -> None:
    if name == "two_runs":
        return
    lines, _ = LOGS[name]()
    found, _ = points("\n".join(lines).encode() + b"\n")
    for series, of_series in found.items():
        steps = [(axis, step) for axis, step, _ in of_series]
        assert all(a[0] != b[0] or a[1] <= b[1] for a, b in itertools.pairwise(steps)), series


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(list(LOGS)), st.lists(st.integers(1, 40), max_size=30))
def test_any_cut_gives_the_same(name: str, sizes: list[int]) -> None:
    lines = "\n".join(LOGS[name]()[0]).split("\n")
    chunks: list[bytes] = []
    at = 0
    for size in [*sizes, len(lines)]:
        if lines[at : at + size]:
            chunks.append(("\n".join(lines[at : at + size]) + "\n").encode())
        at += size
    assert repr(points(*chunks)) == repr(points(b"".join(chunks)))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_mutated_logs_never_raise(data: st.DataObject) -> None:
    lines, _ = LOGS[data.draw(st.sampled_from(list(LOGS)))]()
    text = bytearray("\n".join(lines).encode())
    for _ in range(data.draw(st.integers(1, 12))):
        at = data.draw(st.integers(0, len(text) - 1))
        piece = data.draw(
            st.binary(max_size=4)
            | st.sampled_from([b"nan", b"\r", b"1e999", b"|", b"[", b"{", b"\0", b"-", b"9" * 400])
        )
        text[at : at + data.draw(st.integers(0, 8))] = piece
    points(bytes(text))


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_never_raise(data: bytes) -> None:
    points(data)
