"""Fixtures of the folders that open the app: on a run, read whole, with no thread.

Tests say when something is read.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from app_driver import catch_up
from traintop.session import Session
from traintop.settings import Settings
from traintop_tui.launch_app import make_app

Opened = contextlib.AbstractAsyncContextManager[Pilot[int]]


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep settings and results of whoever runs the tests out of them."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def opened() -> Callable[..., Opened]:
    """Return a function that opens the app on paths."""

    @contextlib.asynccontextmanager
    async def open_app(
        *paths: Path, size: tuple[int, int] = (160, 45), **settings: Any
    ) -> AsyncIterator[Pilot[int]]:
        chosen = Settings(**settings)
        sessions = [Session(path, chosen) for path in paths]
        app = make_app(sessions, chosen, follow=False)
        async with app.run_test(size=size) as pilot:
            catch_up(app)
            await pilot.pause()
            app.redraw()
            await pilot.pause()
            yield pilot

    return open_app
