"""The lines of a log in sight: folded, filtered, followed; the same however they came."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traintop.records import LogLines
from traintop.store import LogStore
from traintop_tui.log_lens import Item, LogLens, compile_pattern, severity_of

TRACEBACK = "Traceback (most recent call last):"
FRAME = '  File "train.py", line 1, in <module>'
DURING = "During handling of the above exception, another exception occurred:"
CAUSED = "The above exception was the direct cause of the following exception:"


def log_of(lines, capacity=1000):
    log = LogStore(capacity)
    log.append(LogLines(lines=list(lines), steps=list(range(len(lines)))))
    return log


def lens_of(lines, capacity=1000):
    lens = LogLens(log_of(lines, capacity))
    lens.catch_up()
    return lens


def slow_blocks(lines):
    """Return (first, last, whether a traceback), judged with all lines at hand."""
    blocks = []
    at = 0
    while at < len(lines):
        first = at
        if TRACEBACK[:-1] not in lines[at]:
            blocks.append((at, at + 1, False))
            at += 1
            continue
        while True:
            at += 1
            while at < len(lines) and (
                not lines[at].strip() or lines[at][0] in " \t" or TRACEBACK[:-1] in lines[at]
            ):
                at += 1
            at = min(at + 1, len(lines))
            follow = at
            while follow < len(lines) and (
                not lines[follow].strip() or lines[follow] in (DURING, CAUSED)
            ):
                follow += 1
            chained = any(line in (DURING, CAUSED) for line in lines[at:follow])
            if not (chained and follow < len(lines) and TRACEBACK[:-1] in lines[follow]):
                break
            at = follow
        blocks.append((first, at, True))
    return blocks


def slow_items(lines, pattern=None, odd_only=False):
    items = []
    for first, last, trace in slow_blocks(lines):
        matches = pattern is None or any(pattern.search(line) for line in lines[first:last])
        odd = trace or not odd_only or severity_of(lines[first]) != "info"
        if matches and odd:
            items.append(Item(first, last))
    return items


def test_a_traceback_is_one_item_that_shows_its_exception():
    lens = lens_of(["before", TRACEBACK, FRAME, "    train()", "ValueError: no", "after"])
    assert [lens.text(item) for item in lens.items] == [
        "before",
        "ValueError: no  [traceback, 4 lines]",
        "after",
    ]


@pytest.mark.parametrize("link", [DURING, CAUSED])
def test_chained_exceptions_are_one_item(link):
    lines = [TRACEBACK, FRAME, "KeyError: 1", "", link, "", TRACEBACK, FRAME, "ValueError: 2", "on"]
    lens = lens_of(lines)
    assert lens.items == [Item(0, 9), Item(9, 10)]
    assert lens.text(lens.items[0]) == "ValueError: 2  [traceback, 9 lines]"


def test_two_tracebacks_that_do_not_belong_together_are_two_items():
    lens = lens_of([TRACEBACK, FRAME, "KeyError: 1", "", TRACEBACK, FRAME, "ValueError: 2"])
    assert lens.items == [Item(0, 3), Item(3, 4), Item(4, 7)]


def test_a_traceback_whose_lines_begin_with_the_rank_is_folded():
    lines = [TRACEBACK, FRAME, "    train()", "", "ValueError: no"]
    lens = lens_of([*(f"[rank0]: {line}".strip() for line in lines), "[rank0]: on"])
    assert lens.items == [Item(0, 5), Item(5, 6)]


def test_a_traceback_that_never_ends_is_in_sight():
    lens = lens_of(["before", TRACEBACK, FRAME])
    assert lens.items == [Item(0, 1), Item(1, 3)]
    lens._log.append(LogLines(lines=["    train()"], steps=[3]))
    lens.catch_up()
    assert lens.items == [Item(0, 1), Item(1, 4)]


def test_unfolding_and_folding_again():
    lens = lens_of(["before", TRACEBACK, FRAME, "ValueError: no", "after"])
    lens.toggle_fold(lens.items[1])
    assert lens.items == [Item(n, n + 1) for n in range(5)]
    lens.toggle_fold(lens.items[4])  # A line outside folds nothing.
    assert len(lens.items) == 5
    lens.toggle_fold(lens.items[2])
    assert lens.items == [Item(0, 1), Item(1, 4), Item(4, 5)]


def test_a_filter_looks_into_folded_tracebacks_and_can_be_taken_away():
    lens = lens_of(["a step", TRACEBACK, FRAME, "ValueError: no", "another step", "line"])
    lens.narrow(compile_pattern("TRAIN.PY"), odd_only=False)
    assert lens.items == [Item(1, 4)]
    lens.narrow(compile_pattern("step"), odd_only=False)
    assert [lens.text(item) for item in lens.items] == ["a step", "another step"]
    lens.narrow(None, odd_only=True)
    assert lens.items == [Item(1, 4)]
    lens.narrow(None, odd_only=False)
    assert len(lens.items) == 4


def test_what_is_no_regular_expression_is_searched_for_as_it_is():
    assert compile_pattern("loss [").search("the LOSS [0]")
    assert compile_pattern("a.c").search("abc")


@pytest.mark.parametrize(
    ("line", "severity"),
    [
        ("step 3 loss 0.1", "info"),
        ("loss is nan", "critical"),
        ("the finance data", "info"),
        ("RuntimeError: CUDA out of memory", "critical"),
        ("UserWarning: slow", "warning"),
        ("Gradient overflow. Skipping step", "warning"),
        ("information", "info"),
        ("", "info"),
    ],
)
def test_severity_by_words(line, severity):
    assert severity_of(line) == severity


def test_steps_and_lines_are_counted_with_those_dropped():
    log = log_of([f"line {n}" for n in range(10)], capacity=10)
    lens = LogLens(log)
    lens.catch_up()
    log.append(LogLines(lines=["new"], steps=[10]))
    lens.catch_up()
    assert log.dropped == 2
    assert lens.items[0] == Item(2, 3)
    assert (lens.line(2), lens.step(2)) == ("line 2", 2)
    assert (lens.line(0), lens.step(0)) == ("", -1)
    assert (lens.line(99), lens.step(99)) == ("", -1)


LINES = st.lists(
    st.one_of(
        st.sampled_from(
            [TRACEBACK, FRAME, "", "ValueError: no", DURING, CAUSED, "step 1 loss 2", "warning: x"]
        ),
        st.text(max_size=6),
    ),
    max_size=30,
)
BURSTS = st.lists(LINES, max_size=6)
PATTERNS = st.sampled_from([None, re.compile("step"), re.compile("no|x"), re.compile("File")])


@given(BURSTS, PATTERNS, st.booleans())
def test_followed_in_bursts_it_is_as_a_slow_reading_of_the_whole(bursts, pattern, odd_only):
    log = LogStore(10_000)
    lens = LogLens(log)
    lens.narrow(pattern, odd_only=odd_only)
    lines = []
    for burst in bursts:
        log.append(LogLines(lines=burst, steps=[0] * len(burst)))
        lines += burst
        lens.catch_up()
        assert lens.items == slow_items(lines, pattern, odd_only)


@given(BURSTS, st.integers(5, 40))
def test_while_lines_are_dropped_it_is_as_if_rebuilt(bursts, capacity):
    log = LogStore(capacity)
    lens = LogLens(log)
    for burst in bursts:
        log.append(LogLines(lines=burst, steps=[0] * len(burst)))
        lens.catch_up()
        rebuilt = LogLens(log)
        rebuilt.catch_up()
        kept = lens.items
        assert all(item.first >= log.dropped for item in kept)
        # All that may differ is the rest of a traceback whose beginning was dropped.
        assert rebuilt.items[len(rebuilt.items) - len(kept) :] == kept
        torn = rebuilt.items[: len(rebuilt.items) - len(kept)]
        assert not torn or log.dropped


@given(LINES, st.integers(0, 29))
def test_folding_shows_every_line_once(lines, toggled):
    lens = lens_of(lines)
    covered = [number for item in lens.items for number in range(*item)]
    assert covered == list(range(len(lines)))
    if lens.items:
        lens.toggle_fold(lens.items[toggled % len(lens.items)])
        assert [number for item in lens.items for number in range(*item)] == covered
