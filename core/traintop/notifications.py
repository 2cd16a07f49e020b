"""Tells others of findings: a command that is run, a web address that is posted to.

A run must not be able to choose what is executed or where its numbers go, so the command and the
address come from the user's own settings or the command line (`settings.USERS_OWN`), and nothing of
a finding is ever put into a command line: it comes on standard input and in the environment.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import queue
import shlex
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from traintop import __version__
from traintop.errors import SettingsError
from traintop.settings import Settings
from traintop.sources.text import clean
from traintop.watching import Change

TIME_LIMIT = 30.0
"""Seconds that a command may take."""
ANSWER_LIMIT = 10.0
"""Seconds that a web address may take to answer."""
RETRY_AFTER = 2.0
"""Seconds before the one further try."""
LEAST_PAUSE = 1.0
"""Seconds between two notifications to one receiver."""
WAITING = 20
"""Notifications that wait for a receiver; further ones are counted, not sent."""
LAST_WORDS = 5.0
"""Seconds that are waited at the end for what is still to be sent."""


class NotificationError(Exception):
    """A notification did not get through; its text says why."""


class Receiver(Protocol):
    """Somebody who is told of findings."""

    name: str
    """What to call it in a message about its failure."""

    def send(self, change: Change) -> None:
        """Tell of a finding. Raises NotificationError."""
        ...


def worth_telling(change: Change) -> bool:
    """Whether a change is one to be notified of: a finding, not advice, that is open and new."""
    finding = change.finding
    return change.event in ("opened", "severity") and (
        finding is not None and finding.severity != "info"
    )


def headline(change: Change) -> str:
    """A notification in one line, without control sequences."""
    return clean(f"{change.path}: {change.to_text()}")


def receivers(settings: Settings) -> list[Receiver]:
    """Return whom the settings want told of findings, wherever traintop runs.

    Raises:
        SettingsError: There is no such program, or it is no web address.
    """
    found: list[Receiver] = []
    if settings.on_finding is not None:
        found.append(Command(settings.on_finding))
    if settings.webhook is not None:
        found.append(Webhook(settings.webhook))
    return found


class Notifier:
    """Sends to receivers in threads of their own, one notification at a time to each.

    Args:
        receivers: Who is told.
        report: Called, from any thread, with what failed.
    """

    def __init__(self, receivers: Sequence[Receiver], report: Callable[[str], None]) -> None:
        self._report = report
        self._mailboxes: list[queue.Queue[Change | None]] = []
        self._threads: list[threading.Thread] = []
        self._lost = 0
        for receiver in receivers:
            mailbox: queue.Queue[Change | None] = queue.Queue(WAITING)
            # A daemon: a receiver that hangs must not keep the program.
            thread = threading.Thread(target=self._serve, args=(receiver, mailbox), daemon=True)
            thread.start()
            self._mailboxes.append(mailbox)
            self._threads.append(thread)

    def tell(self, changes: Sequence[Change]) -> None:
        """Send those changes that are worth telling; this does not wait."""
        for change in filter(worth_telling, changes):
            for mailbox in self._mailboxes:
                try:
                    mailbox.put_nowait(change)
                except queue.Full:
                    self._lost += 1

    def close(self) -> None:
        """Send what waits, for a few seconds at most, and say what was not sent."""
        until = time.monotonic() + LAST_WORDS
        for mailbox, thread in zip(self._mailboxes, self._threads, strict=True):
            with contextlib.suppress(queue.Full):
                mailbox.put(None, timeout=max(until - time.monotonic(), 0))
            thread.join(max(until - time.monotonic(), 0))
            self._lost += sum(change is not None for change in list(mailbox.queue))
        if self._lost:
            self._report(f"{self._lost} notifications were not sent: they came too fast")

    def _serve(self, receiver: Receiver, mailbox: queue.Queue[Change | None]) -> None:
        while (change := mailbox.get()) is not None:
            began = time.monotonic()
            try:
                receiver.send(change)
            except NotificationError as error:
                self._report(f"{receiver.name}: {error}")
            except Exception as error:  # noqa: BLE001 - the next one may get through
                self._report(f"{receiver.name}: {type(error).__name__}: {clean(str(error))}")
            if not mailbox.empty():
                time.sleep(max(began + LEAST_PAUSE - time.monotonic(), 0))


class Command:
    """Runs a program for each finding, without a shell.

    The finding is on its standard input as a line of JSON, and in the environment as
    TRAINTOP_EVENT, _PATH, _ID, _SEVERITY, _TITLE, _ONSET_STEP, _STEP and _TEXT.

    Args:
        line: The program and its arguments, quoted as for a shell.

    Raises:
        SettingsError: The line cannot be taken apart, or there is no such program.
    """

    name = "on_finding"

    def __init__(self, line: str) -> None:
        try:
            self._command = shlex.split(line)
        except ValueError as error:
            raise SettingsError(f"on_finding: {line!r}: {error}") from None
        if not self._command:
            raise SettingsError("on_finding: name a program")
        if shutil.which(self._command[0]) is None:
            raise SettingsError(
                f"on_finding: there is no program {self._command[0]!r}; it is run without a shell,"
                " whose words (pipes, variables) need: sh -c '...'"
            )

    def send(self, change: Change) -> None:
        """Run the program and wait for it. Raises NotificationError."""
        # Files and no pipes: a program that reads nothing, or leaves children, holds nobody up.
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as said:
            given.write(change.to_json().encode() + b"\n")
            given.seek(0)
            try:
                process = subprocess.Popen(  # noqa: S603 - what the user named, without a shell
                    self._command,
                    stdin=given,
                    stdout=subprocess.DEVNULL,
                    stderr=said,
                    env={**os.environ, **_environment(change)},
                    start_new_session=True,
                )
            except OSError as error:
                raise NotificationError(f"{self._command[0]}: {error.strerror}") from None
            try:
                code = process.wait(TIME_LIMIT)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                raise NotificationError(f"ended after {TIME_LIMIT:g} seconds") from None
            if code:
                said.seek(0)
                lines = said.read(1 << 16).decode(errors="replace").strip().splitlines()
                last = f": {clean(lines[-1])}" if lines else ""
                raise NotificationError(f"{self._command[0]} ended with status {code}{last}")


def _environment(change: Change) -> dict[str, str]:
    values: dict[str, object] = {
        "EVENT": change.event,
        "PATH": change.path,
        "STEP": change.last_step,
        "TEXT": headline(change),
    }
    if (finding := change.finding) is not None:
        values |= {
            "ID": finding.id,
            "SEVERITY": finding.severity,
            "TITLE": finding.title,
            "ONSET_STEP": finding.onset_step,
        }
    return {
        f"TRAINTOP_{name}": clean(str(value)) for name, value in values.items() if value is not None
    }


class Webhook:
    """Posts each finding to a web address as JSON; `text` is a line that chat services show.

    Args:
        url: An http or https address. Messages name its host only: the rest is often a secret.

    Raises:
        SettingsError: It is no such address.
    """

    def __init__(self, url: str) -> None:
        try:
            parts = urllib.parse.urlsplit(url)
            host = parts.hostname
        except ValueError:
            parts, host = urllib.parse.urlsplit(""), None
        if parts.scheme not in ("http", "https") or not host:
            raise SettingsError("webhook: give an address that begins with http:// or https://")
        self.name = f"webhook {host}"
        self._url = url
        self._opener = _opener()

    def send(self, change: Change) -> None:
        """Post, and once more if there is no answer or a server's error. May raise."""
        body = msgspec.json.decode(change.to_json(), type=dict[str, object])
        data = msgspec.json.encode({"text": headline(change), **body})
        headers = {"Content-Type": "application/json", "User-Agent": f"traintop/{__version__}"}
        request = urllib.request.Request(self._url, data, headers)  # noqa: S310 - http or https, looked at above
        why = self._post(request)
        if why is not None:
            time.sleep(RETRY_AFTER)
            why = self._post(request)
        if why is not None:
            raise NotificationError(why)

    def _post(self, request: urllib.request.Request) -> str | None:
        """Return why it is worth another try, None where it got through."""
        try:
            with self._opener.open(request, timeout=ANSWER_LIMIT):
                return None
        except urllib.error.HTTPError as error:
            with error:
                why = f"answered {error.code} {clean(str(error.reason))}"
            if error.code < 500:  # It would be refused again.
                raise NotificationError(why) from None
            return why
        except (OSError, ValueError, http.client.HTTPException) as error:
            return clean(str(getattr(error, "reason", error))) or type(error).__name__


def _opener() -> urllib.request.OpenerDirector:
    """What urllib opens addresses with, less redirects, which lose what was to be posted."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener
