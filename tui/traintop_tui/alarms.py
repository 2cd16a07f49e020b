"""Tells others of the findings that the app shows: a command, a web address, the bell.

What is handed to the app comes from the notifier's threads: `call_later` may be called from them.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from traintop.notifications import Notifier, receivers
from traintop.records import Update
from traintop.session import Session
from traintop.settings import Settings
from traintop.triage import not_muted
from traintop.watching import Change, Watch

if TYPE_CHECKING:
    from textual.app import App


class Alarms:
    """Watches the findings of sessions and sends those that are new.

    Args:
        sessions: What is shown.
        notifier: Who sends.
    """

    def __init__(self, sessions: Sequence[Session], notifier: Notifier) -> None:
        self._watched = [(session, Watch(str(session.path))) for session in sessions]
        self._notifier = notifier

    def look(self, updates: Sequence[Update]) -> None:
        """Send what is new; not while a history is read, whose findings may be over at its end."""
        now = time.time()
        for (session, watch), update in zip(self._watched, updates, strict=True):
            if not update.more:
                last, mutes = session.judged_until(), session.settings.mutes
                findings = not_muted(session.findings(), session.folder, mutes)
                changes = watch.take(findings, update.state, last, now, of=session.run())
                self._notifier.tell(changes)

    def close(self) -> None:
        """Send what waits, for a few seconds at most."""
        self._notifier.close()


def alarms_of(app: App[Any], sessions: Sequence[Session], settings: Settings) -> Alarms | None:
    """Return the alarms that the settings ask for, None where they ask for none.

    Raises:
        SettingsError: There is no such program, or it is no web address.
    """
    found = receivers(settings)
    if settings.bell:
        found.append(_Bell(app))
    if not found:
        return None

    def report(text: str) -> None:
        said = partial(app.notify, text, severity="error", markup=False)
        if not app.is_running or not app.call_later(said):
            print(f"traintop: {text}", file=sys.stderr)

    return Alarms(sessions, Notifier(found, report))


class _Bell:
    name = "bell"

    def __init__(self, app: App[Any]) -> None:
        self._app = app

    def send(self, change: Change) -> None:  # noqa: ARG002 - what a receiver is given
        if self._app.is_running:
            self._app.call_later(self._app.bell)
