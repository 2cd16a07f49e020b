"""The app as it is started, and what it does with the news of its thread."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from app_driver import NOW, text_of
from traintop.errors import SettingsError
from traintop.records import Update
from traintop.session import Session
from traintop.settings import Settings
from traintop_tui import launch_app
from traintop_tui.app import TraintopApp
from traintop_tui.launch_app import make_app, run_app
from traintop_tui.messages import News, ReadingFailed


@pytest.fixture
def started(monkeypatch, run_folder):
    """Return a function that starts the app on a stand-in for a terminal and returns it."""
    apps = []

    def start(encoding="utf-8", term="xterm", **settings):
        monkeypatch.setattr(
            TraintopApp, "run", lambda app, **how: apps.append((app, how.get("mouse")))
        )
        monkeypatch.setattr(
            launch_app, "sys", SimpleNamespace(stdout=SimpleNamespace(encoding=encoding))
        )
        monkeypatch.setenv("TERM", term)
        monkeypatch.setattr("gc.freeze", lambda: None)
        chosen = Settings(**settings)
        assert run_app([Session(run_folder, chosen)], chosen) == 0
        return apps[-1]

    return start


@pytest.mark.parametrize(
    ("encoding", "term", "plain"),
    [
        ("utf-8", "xterm-256color", False),
        ("UTF-8", "screen", False),
        ("ascii", "xterm", True),
        (None, "xterm", True),
        ("utf-8", "dumb", True),
        ("utf-8", "linux", True),
    ],
)
def test_a_terminal_without_braille_gets_ascii(started, encoding, term, plain):
    app, _ = started(encoding, term)
    assert app.model.view.ascii == plain


def test_the_first_picture_has_something_in_it_and_the_mouse_is_as_set(started):
    app, mouse = started(mouse=False)
    assert mouse is False
    assert app.model.run is not None
    assert app.model.update.records > 0


def test_a_theme_that_is_not_there_is_said_with_those_that_are(run_folder):
    chosen = Settings(theme="traintop-drak")
    with pytest.raises(SettingsError, match=r"'traintop-drak'.*traintop-dark"):
        make_app([Session(run_folder, chosen)], chosen)


def test_a_newer_message_of_news_replaces_an_older_one_and_nothing_else():
    news = News([Update()])
    assert news.can_replace(News([Update()]))
    assert not news.can_replace(ReadingFailed(ValueError("x")))


async def test_news_are_taken_and_drawn(opened, run_folder):
    async with opened(run_folder) as pilot:
        app = pilot.app
        with (run_folder / "train_diagnostics.jsonl").open("a") as file:
            file.write('{"step": 300, "loss": 7.25}\n')
        app.post_message(News([app.model.session.pump(NOW + 10)]))
        await pilot.pause()
        assert "step 300" in text_of(app)
        assert "7.25" in text_of(app)


async def test_reading_that_has_failed_is_said_and_the_screen_stays(opened, run_folder):
    async with opened(run_folder) as pilot:
        pilot.app.post_message(ReadingFailed(OSError("[bold]the disk is gone")))
        await pilot.pause()
        [notice] = pilot.app._notifications
        assert "OSError: [bold]the disk is gone" in notice.message
        assert notice.severity == "error"
        assert pilot.app.is_running
