"""Builds the app and runs it on the terminal."""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import Sequence

import msgspec

from traintop.errors import SettingsError
from traintop.gpu import GpuMonitor
from traintop.session import Session
from traintop.settings import Settings, config_folder
from traintop_tui.actions import ACTIONS
from traintop_tui.app import TraintopApp
from traintop_tui.follow import READ_BYTES
from traintop_tui.hangup import at_hangup
from traintop_tui.model import Model
from traintop_tui.theme import TraintopTheme, load_themes

YOUNG = 20_000
"""New objects after which the garbage collector looks at them: a picture makes ten thousand, which
it must not stop a dozen times to look at."""


def make_app(
    sessions: Sequence[Session], settings: Settings, *, follow: bool = True
) -> TraintopApp:
    """Build the app without running it.

    Raises:
        SettingsError: There is no theme, or no action, of a name that the settings give.
    """
    actions = {action.id for action in ACTIONS}
    for name in settings.keys:
        if name not in actions:
            raise SettingsError(
                f"keys: there is no action {name!r}; `traintop config keys` lists them"
            )
    themes, problems = themes_of(settings)
    model = Model(list(sessions), settings, GpuMonitor())
    return TraintopApp(model, themes, problems=problems, follow=follow)


def themes_of(settings: Settings) -> tuple[dict[str, TraintopTheme], tuple[str, ...]]:
    """Return the themes by name, and what is wrong with those of the user.

    Raises:
        SettingsError: There is no theme of the name that the settings give.
    """
    themes, problems = load_themes(config_folder() / "themes")
    if settings.theme not in themes:
        raise SettingsError(f"there is no theme {settings.theme!r}; there are {', '.join(themes)}")
    return themes, problems


def settings_for_terminal(settings: Settings) -> Settings:
    """Return the settings with ASCII characters only where the terminal has no others."""
    if settings.ascii or _unicode_terminal():
        return settings
    return msgspec.structs.replace(settings, ascii=True)


def run_app(sessions: Sequence[Session], settings: Settings) -> int:
    """Run the app until the user leaves it.

    Returns:
        The exit code, or `BACK_TO_RUNS`.
    """
    app = make_app(sessions, settings_for_terminal(settings))
    if settings.on_finding or settings.webhook or settings.bell:
        from traintop_tui.alarms import alarms_of  # Most have none: not at every start.

        app.alarms = alarms_of(app, sessions, settings)
    # A first burst, so that the first picture has something in it.
    app.model.take([session.pump(time.time(), READ_BYTES) for session in sessions])
    at_hangup(app.model.jobs.close)
    gc.freeze()
    gc.set_threshold(YOUNG)
    gc.enable()
    left_for = app.run(mouse=settings.mouse)
    if app.alarms is not None:
        app.alarms.close()
    return left_for or app.return_code or 0


def _unicode_terminal() -> bool:
    encoding = (sys.stdout.encoding or "").lower()
    return "utf" in encoding and os.environ.get("TERM") not in ("dumb", "linux")
