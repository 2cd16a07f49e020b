"""The window of steps: zoom, pan, follow, cursor; whatever is done, it stays in the run."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traintop_tui.view import LEAST_WINDOW, SMOOTHINGS, View

RUN = (0.0, 1000.0)


def test_without_a_window_the_whole_run_is_shown():
    assert View().shown(RUN) == RUN
    assert View().shown((5.0, 5.0)) == (5.0, 6.0)


def test_a_growing_run_is_followed_in_jumps_and_not_step_by_step():
    view = View()
    windows = [view.shown((0.0, last), growing=True) for last in range(100, 1000)]
    assert all(last <= window[1] for last, window in zip(range(100, 1000), windows, strict=True))
    assert len(set(windows)) < 30


def test_moving_the_cursor_leaves_the_window_of_a_growing_run_where_it_is():
    view = View()
    before = view.shown(RUN, growing=True)
    view.move_cursor(RUN, -10)
    assert view.shown(RUN, growing=True) == before


def test_zoom_keeps_the_cursor_where_it_stands_in_the_window():
    view = View(cursor=300.0)
    view.zoom(RUN, 0.5)
    assert view.window == (150.0, 650.0)
    view.zoom(RUN, 0.5)
    assert view.window == (225.0, 475.0)
    view.zoom(RUN, 2.0)
    view.zoom(RUN, 2.0)
    assert view.window is None


def test_zoom_without_a_cursor_keeps_the_newest_step_in_sight():
    view = View()
    view.zoom(RUN, 0.5)
    assert view.window == (500.0, 1000.0)
    assert view.following


def test_zoom_ends_at_a_few_steps():
    view = View()
    for _ in range(50):
        view.zoom(RUN, 0.5)
    first, last = view.shown(RUN)
    assert last - first == LEAST_WINDOW


def test_pan_ends_at_both_ends_of_the_run():
    view = View()
    view.pan(RUN, -1)
    assert view.window is None  # The whole run has nowhere to go.
    view.zoom(RUN, 0.1)
    view.pan(RUN, -0.25)
    assert view.window == (875.0, 975.0)
    assert not view.following
    for _ in range(100):
        view.pan(RUN, -0.25)
    assert view.window == (0.0, 100.0)
    for _ in range(100):
        view.pan(RUN, 0.25)
    assert view.window == (900.0, 1000.0)
    assert view.following


def test_a_window_that_follows_jumps_by_tenths_and_one_that_does_not_stays():
    view = View(window=(900.0, 1000.0))
    assert view.shown((0.0, 1000.0)) == (900.0, 1000.0)
    assert view.shown((0.0, 1001.0)) == (910.0, 1010.0)
    assert view.shown((0.0, 1010.0)) == (910.0, 1010.0)
    assert view.shown((0.0, 1035.0)) == (940.0, 1040.0)
    view.following = False
    assert view.shown((0.0, 2000.0)) == (940.0, 1040.0)
    view.follow((0.0, 2000.0))
    assert view.shown((0.0, 2000.0)) == (1900.0, 2000.0)


def test_a_window_that_follows_goes_back_with_a_resumed_run():
    view = View(window=(900.0, 1000.0))
    first, last = view.shown((0.0, 405.0))
    assert first <= 405.0 <= last
    assert last - first == 100.0


def test_the_cursor_begins_at_the_newest_step_and_stays_in_the_run():
    view = View()
    view.move_cursor(RUN, -7)
    assert view.cursor == 1000.0
    view.move_cursor(RUN, -7)
    assert view.cursor == 993.0
    view.move_cursor(RUN, 1e9)
    assert view.cursor == 1000.0
    view.put_cursor(RUN, -5)
    assert view.cursor == 0.0


@pytest.mark.parametrize(
    ("step", "window"), [(500, (450.0, 550.0)), (3, (0.0, 100.0)), (998, (900.0, 1000.0))]
)
def test_a_window_goes_to_a_cursor_out_of_sight_and_not_past_the_run(step, window):
    view = View(window=(200.0, 300.0), following=False)
    view.put_cursor(RUN, step)
    assert view.window == window
    assert view.following == (window[1] == RUN[1])


def test_smoothing_goes_up_and_down_and_stops_at_the_ends():
    view = View(smoothing=0.58)
    for weight in (0.9, 0.97, 0.99, 0.99):
        view.smoother(1)
        assert view.smoothing == weight
    for _ in SMOOTHINGS:
        view.smoother(-1)
    assert view.smoothing == 0.0


STEPS = st.floats(-1e7, 1e7, allow_nan=False)
OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("zoom"), st.floats(0.01, 100)),
        st.tuples(st.just("pan"), st.floats(-3, 3)),
        st.tuples(st.just("move_cursor"), STEPS),
        st.tuples(st.just("put_cursor"), STEPS),
        st.tuples(st.just("follow"), st.just(None)),
        st.tuples(st.just("grow"), st.floats(0, 1e5)),
    ),
    max_size=25,
)


@given(st.floats(0, 1e6), st.floats(0, 1e6), OPERATIONS, st.booleans())
def test_whatever_is_done_the_window_is_in_the_run_and_not_inverted(begin, size, steps, growing):
    run = (begin, begin + size)
    view = View()
    for name, value in steps:
        if name == "grow":
            run = (run[0], run[1] + value)
        elif name == "follow":
            view.follow(run)
        else:
            getattr(view, name)(run, value)
        first, last = view.shown(run, growing=growing)
        assert first <= last
        # A followed window runs ahead of the run by a tenth of itself at most.
        slack = 1e-6 * max(run[1], 1.0)
        assert first >= run[0] - slack
        assert last <= run[1] + max(last - first, 1.0) / 10 + slack or run[0] == run[1]
        if view.cursor is not None:
            assert run[0] <= view.cursor <= run[1]
        if name in ("move_cursor", "put_cursor"):
            assert first - slack <= view.cursor <= last + slack
