"""`traintop check --follow`: findings as they open, change or end, until the runs end."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import threading
import time
from collections.abc import Generator, Sequence
from pathlib import Path

from traintop.baseline import compare
from traintop.checking import Options, baseline_of, outcome, safe
from traintop.notifications import Notifier, Receiver, receivers
from traintop.records import Finding, Update
from traintop.session import Session
from traintop.settings import Settings, load_settings
from traintop.triage import not_muted
from traintop.watching import Change, Watch
from traintop_tui.file_events import file_events
from traintop_tui.terminal_notice import TerminalNotice

COMPARED_EVERY = 5.0
"""Seconds between two comparisons with the baseline."""
TOLD_WITHIN = 1.0
"""Seconds in which changes are told though there is more to read."""
ENDED = ("finished", "crashed")


def follow(parsed: argparse.Namespace, paths: Sequence[str], options: Options) -> int:
    """Follow runs and print what changes.

    Args:
        parsed: The command line of `traintop check`.
        paths: The runs.
        options: The same for all runs.

    Returns:
        The exit code, as without --follow.

    Raises:
        PathError: A path does not exist or cannot be read.
        SettingsError: A setting is wrong, or there is no program or address to tell.
    """
    first = next((Path(path) for path in paths if path != "-"), None)
    flags = {name: getattr(parsed, name) for name in ("on_finding", "webhook", "bell", "notify")}
    settings, _ = load_settings(first, flags)
    followed = [_Followed(path, options, named=len(paths) > 1) for path in paths]
    for each in followed:
        if each.session.missing is not None:
            _complain(f"waiting for a run: {each.session.missing}")
    notifier = Notifier(all_receivers(settings), _complain)
    try:
        with _stopped_by_signals() as stop:
            _until_the_end(followed, options, notifier, stop)
    finally:
        notifier.close()
    code = 0
    for each in followed:
        if each.ended:
            each.session.finish()
        _tell([each], options, notifier, time.time())
        made = outcome(options, each.session, each.path)
        code = max(code, made.code)
        for error in made.errors:
            _complain(error)
    return code


def all_receivers(settings: Settings) -> list[Receiver]:
    """Return whom the settings want told of findings, the terminal among them.

    Raises:
        SettingsError: There is no such program, or it is no web address.
    """
    found = receivers(settings)
    if settings.bell or settings.notify != "off":
        stream = next((each for each in (sys.stderr, sys.stdout) if each.isatty()), None)
        if stream is None:
            _complain("--bell and --notify: no terminal here to ring or to notify on")
        else:
            found.append(TerminalNotice(stream, bell=settings.bell, notify=settings.notify))
    return found


class _Followed:
    """One run that is followed."""

    def __init__(self, path: str, options: Options, *, named: bool) -> None:
        settings, _ = load_settings(Path(path))
        self.path = path
        self.named = named
        self.session = Session(Path(path), settings)
        self.update = Update()
        self._open = True
        self._piped = path == "-"
        self._options = options
        self._watch = Watch(path)
        self._told = 0.0
        self._compared = 0.0
        self._comparison: tuple[Finding, ...] = ()

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return not self._open if self._piped else self.update.state in ENDED

    def pump(self, now: float) -> None:
        self._open = self.session.held_open  # Before it is read: what comes meanwhile is kept.
        self._piped = self._piped or self._open
        self.update = self.session.pump(now)

    def due(self, now: float) -> bool:
        """Whether it is time to tell: not of what a history that is being read will overrule."""
        return not self.update.more or now - self._told > TOLD_WITHIN

    def changes(self, now: float) -> list[Change]:
        """Return what changed since the last call."""
        self._told = now
        session, base = self.session, self._options.baseline
        if base is not None and abs(now - self._compared) > COMPARED_EVERY:
            self._compared = now
            self._comparison = compare(session, baseline_of(base)).findings
        every = (*session.findings(), *self._comparison)
        findings = not_muted(every, session.folder, session.settings.mutes)
        state = session.state(now)
        return self._watch.take(findings, state, session.judged_until(), now, of=session.run())


def _until_the_end(
    followed: Sequence[_Followed], options: Options, notifier: Notifier, stop: threading.Event
) -> None:
    waits = file_events([each.session for each in followed], stop)
    while not stop.is_set():
        now = time.time()
        for each in followed:
            each.pump(now)
        _tell([each for each in followed if each.due(now)], options, notifier, now)
        if any(each.update.more for each in followed):
            continue
        if all(each.ended for each in followed):
            return
        next(waits, None)


def _tell(followed: Sequence[_Followed], options: Options, notifier: Notifier, now: float) -> None:
    for each in followed:
        changes = each.changes(now)
        for change in changes:
            if options.format == "json":
                print(change.to_json(), flush=True)
            else:
                clock = time.strftime("%H:%M:%S", time.localtime(now))
                whose = f"{each.path}: " if each.named else ""
                print(safe(f"{clock} {whose}{change.to_text()}"), flush=True)
        notifier.tell(changes)


@contextlib.contextmanager
def _stopped_by_signals() -> Generator[threading.Event]:
    """Yield an event that Ctrl-C and a polite kill set: both end the following, not the report."""
    stop = threading.Event()

    def end(*_: object) -> None:
        stop.set()

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _complain(text: str) -> None:
    print(f"traintop: {safe(text)}", file=sys.stderr, flush=True)
