"""The thread that follows runs, against a clock of its own and, where it must be, a real folder."""

from __future__ import annotations

import itertools
import sys
import threading
from types import SimpleNamespace

import pytest
import watchfiles

from traintop.records import Update
from traintop_tui import file_events, follow
from traintop_tui.follow import LEAST_FRAME, LOADING_FRAME, STEADY_FRAME, Follower
from traintop_tui.inotify import Inotify

PUMP_TIME = 0.01
"""Seconds that a pump takes on the clock of these tests."""


class FakeClock:
    """A clock that goes on when somebody reads, and a stop that comes when the script is over."""

    def __init__(self, script):
        self.script = list(script)
        self.now = 100.0
        self.waits = []

    def monotonic(self):
        return self.now

    def time(self):
        return self.now

    def is_set(self):
        return not self.script

    def wait(self, seconds):
        assert seconds >= 0
        self.waits.append(seconds)
        self.now += seconds

    def set(self):
        self.script.clear()


class FakeSession:
    needs_polling = True

    def __init__(self, clock):
        self.clock = clock

    def pump(self, _now, max_bytes, max_judged):
        assert 0 < max_bytes <= 1 << 20
        assert 0 < max_judged <= 1000
        self.clock.now += PUMP_TIME
        return self.clock.script.pop(0)

    def rest(self, seconds):
        assert 0 < seconds < 0.05

    def folders(self):
        return []


def news(**fields):
    return Update(changed=True, **fields)


LOADING = news(more=True, bytes_read=1, bytes_total=2)
QUIET = Update()


def followed(monkeypatch, script, *, polls=(), samples=()):
    """Run the follower over a script; return when it told of what, and what else was called."""
    clock = FakeClock(script)
    posts, calls = [], []
    polls, samples = iter(polls), iter(samples)
    jobs = SimpleNamespace(
        poll=lambda: next(polls, False), load=lambda: calls.append("load"), active=False
    )
    gpu = SimpleNamespace(
        sample=lambda _now: next(samples, False), start=lambda: calls.append("start")
    )
    follower = Follower(
        [FakeSession(clock)],
        jobs,
        gpu,
        lambda updates: (posts.append((clock.now, updates[0])), calls.append("post")),
        lambda: calls.append("prepare"),
    )
    monkeypatch.setattr(follow, "time", clock)
    monkeypatch.setattr(follower, "_stop", clock)
    follower.run()
    return posts, calls, clock


def test_the_first_news_is_told_at_once_and_silence_is_not(monkeypatch):
    posts, _, _ = followed(monkeypatch, [news(last_step=1), QUIET, QUIET, QUIET])
    assert [update.last_step for _, update in posts] == [1]
    assert posts[0][0] == 100.0 + PUMP_TIME


def test_steady_news_come_no_more_often_than_pictures_are_drawn(monkeypatch):
    posts, _, _ = followed(monkeypatch, [news(last_step=n) for n in range(60)])
    times = [time for time, _ in posts]
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert len(posts) > 20
    assert min(gaps) >= LEAST_FRAME - 1e-9
    assert max(gaps) < 2 * LEAST_FRAME


def test_of_a_steady_stream_fewer_pictures_are_drawn_but_the_first_news_is_told_at_once(
    monkeypatch,
):
    posts, _, _ = followed(monkeypatch, [news(last_step=n, records=1) for n in range(200)])
    times = [time for time, _ in posts]
    assert times[0] == 100.0 + PUMP_TIME
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert min(gaps[1:]) >= STEADY_FRAME - 1e-9
    assert max(gaps) < 2 * STEADY_FRAME


def test_the_last_news_is_told_even_if_it_came_too_soon_for_a_picture(monkeypatch):
    posts, _, clock = followed(monkeypatch, [news(last_step=1), news(last_step=2), QUIET, QUIET])
    assert len(posts) == 2
    # What is told is the state after a wait; no news is lost by it.
    assert posts[1][0] - posts[0][0] >= LEAST_FRAME - 1e-9
    assert clock.waits[-1] <= follow.POLL


def test_while_history_is_loaded_reading_goes_before_drawing(monkeypatch):
    posts, _, clock = followed(monkeypatch, [LOADING] * 200)
    times = [time for time, _ in posts]
    assert all(
        after - before >= LOADING_FRAME - 1e-9 for before, after in itertools.pairwise(times)
    )
    assert clock.waits == []


def test_while_a_key_is_answered_history_waits_but_not_for_ever(monkeypatch):
    keys = iter([True] * 5)

    class Pressed(FakeSession):
        def pump(self, *limits):
            if next(keys, False):
                self.follower.hold()
            return super().pump(*limits)

    clock = FakeClock([LOADING] * 10)
    session = Pressed(clock)
    jobs = SimpleNamespace(poll=lambda: False, load=lambda: None, active=False)
    gpu = SimpleNamespace(sample=lambda _now: False, start=lambda: None)
    session.follower = Follower([session], jobs, gpu, lambda _updates: None)
    monkeypatch.setattr(follow, "time", clock)
    monkeypatch.setattr(session.follower, "_stop", clock)
    session.follower.run()
    assert len(clock.waits) == 5
    assert all(0 < wait <= follow.HOLD for wait in clock.waits)


def test_a_whole_history_is_told_at_once(monkeypatch):
    posts, _, _ = followed(monkeypatch, [LOADING, LOADING, LOADING, news(last_step=9), QUIET])
    assert [update.last_step for _, update in posts] == [None, 9]
    assert posts[1][0] == pytest.approx(posts[0][0] + 3 * PUMP_TIME)


def test_devices_and_earlier_results_wait_for_the_first_picture(monkeypatch):
    _, calls, _ = followed(monkeypatch, [LOADING, news(), QUIET, QUIET, news()])
    assert calls[:5] == ["post", "post", "start", "load", "prepare"]
    assert calls.count("start") == calls.count("load") == calls.count("prepare") == 1


@pytest.mark.parametrize("kind", ["polls", "samples"])
def test_news_of_jobs_and_devices_is_news(monkeypatch, kind):
    quiet, _, _ = followed(monkeypatch, [QUIET] * 5)
    posts, _, _ = followed(monkeypatch, [QUIET] * 5, **{kind: [False, True]})
    assert (len(quiet), len(posts)) == (1, 2)  # The first picture is drawn in any case.


def test_an_error_of_the_watch_leaves_the_heartbeat(monkeypatch, tmp_path):
    def watch(*_, **__):
        raise OSError("no more watches")

    monkeypatch.setattr(file_events, "Inotify", watch)
    monkeypatch.setattr(watchfiles, "watch", watch)
    monkeypatch.setattr(FakeSession, "needs_polling", False)
    monkeypatch.setattr(FakeSession, "folders", lambda _: [tmp_path])
    posts, _, clock = followed(monkeypatch, [news(), QUIET, QUIET, news(), QUIET])
    assert len(posts) == 2
    assert clock.waits


class FolderSession:
    """Tells the bytes of a file in a folder, which may go away and come back."""

    needs_polling = False

    def __init__(self, folder):
        self.folder = folder
        self.size = -1

    def pump(self, _now, _max_bytes, _max_judged):
        file = self.folder / "file"
        size = file.stat().st_size if file.is_file() else 0
        changed, self.size = size != self.size, size
        return Update(changed=changed, last_step=size)

    def folders(self):
        return [self.folder]


@pytest.mark.parametrize("inotify", sorted({file_events.HAS_INOTIFY, False}))
def test_it_follows_a_folder_that_goes_and_comes_back_and_stops_when_told(
    tmp_path, monkeypatch, inotify
):
    monkeypatch.setattr(file_events, "HAS_INOTIFY", inotify)
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "file").write_bytes(b"x")
    seen = {size: threading.Event() for size in range(4)}
    jobs = SimpleNamespace(poll=lambda: False, load=lambda: None, active=False)
    gpu = SimpleNamespace(sample=lambda _: False, start=lambda: None)
    follower = Follower(
        [FolderSession(folder)], jobs, gpu, lambda updates: seen[updates[0].last_step].set()
    )
    thread = threading.Thread(target=follower.run, daemon=True)
    thread.start()
    try:
        assert seen[1].wait(20)
        (folder / "file").write_bytes(b"xx")
        assert seen[2].wait(20)
        (folder / "file").unlink()
        folder.rmdir()
        assert seen[0].wait(20)
        folder.mkdir()
        (folder / "file").write_bytes(b"xxx")
        assert seen[3].wait(20)
    finally:
        follower.stop()
        thread.join(20)
    assert not thread.is_alive()


def test_something_else_to_look_after_ends_the_sleep(tmp_path, monkeypatch):
    monkeypatch.setattr(file_events, "HEARTBEAT", 600)
    session, stop, busy = FolderSession(tmp_path), threading.Event(), threading.Event()
    wait = file_events.file_events([session], stop, busy.is_set)
    timer = threading.Timer(0.2, busy.set)
    timer.start()
    next(wait)  # which would else take ten minutes
    timer.join()
    assert busy.is_set()


@pytest.mark.skipif(sys.platform != "linux", reason="inotify is of Linux")
def test_inotify_tells_of_what_a_writer_does_and_not_of_reading(tmp_path):
    file = tmp_path / "file"
    file.write_text("a")
    with Inotify([tmp_path]) as events:
        file.read_text()
        assert not events.wait(0.01, lambda: False)
        for change in (lambda: file.write_text("b"), lambda: file.rename(tmp_path / "other")):
            change()
            assert events.wait(10, lambda: False)
            assert not events.wait(0.01, lambda: False)  # Told once, however many they were.
        assert not events.wait(600, lambda: True)


@pytest.mark.skipif(sys.platform != "linux", reason="inotify is of Linux")
def test_inotify_says_which_folder_cannot_be_watched(tmp_path):
    with pytest.raises(FileNotFoundError):
        Inotify([tmp_path, tmp_path / "missing"])
