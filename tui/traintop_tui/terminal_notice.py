"""A finding on the terminal itself: the bell, and the notification of the desktop.

Notifications: `OSC 9 ; text` (iTerm2; also WezTerm, Ghostty, kitty, Windows Terminal) and
`OSC 777 ; notify ; title ; body` (rxvt-unicode; also foot and VTE). Terminals that know both would
show two, so one is chosen. tmux hands a sequence through where it is wrapped
(`set -g allow-passthrough on`, tmux(1)).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Literal, TextIO

from traintop.notifications import NotificationError, headline
from traintop.sources.text import clean
from traintop.watching import Change

Notify = Literal["off", "auto", "osc9", "osc777"]
LONGEST = 200
"""Characters of a notification."""


class TerminalNotice:
    """Rings and notifies on a terminal.

    Args:
        stream: Where the terminal is.
        bell: Whether to ring.
        notify: Which sequence to send.
        environment: Where the terminal's kind is read from.
    """

    name = "terminal"

    def __init__(
        self,
        stream: TextIO,
        *,
        bell: bool,
        notify: Notify,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self._stream = stream
        self._bell = bell
        self._notify: Notify = notify
        self._environment = environment

    def send(self, change: Change) -> None:
        """Ring and notify. Raises NotificationError."""
        text = "\a" if self._bell else ""
        if self._notify != "off":
            text += sequence(headline(change), self._notify, self._environment)
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError) as error:
            raise NotificationError(str(error)) from None


def sequence(text: str, notify: Notify, environment: Mapping[str, str]) -> str:
    """Return the sequence that shows a text as a notification of the desktop."""
    text = clean(text)[:LONGEST]
    if notify == "osc777" or (notify == "auto" and _knows_777(environment)):
        made = f"\x1b]777;notify;traintop;{text.replace(';', ',')}\x1b\\"
    else:
        # `OSC 9 ; 4 ;` is a progress bar: the name before it keeps a text from being one.
        made = f"\x1b]9;traintop: {text}\x1b\\"
    if "TMUX" not in environment:
        return made
    escaped = made.replace("\x1b", "\x1b\x1b")
    return f"\x1bPtmux;{escaped}\x1b\\"


def _knows_777(environment: Mapping[str, str]) -> bool:
    kind = environment.get("TERM", "")
    return "VTE_VERSION" in environment or kind.startswith(("rxvt", "foot"))
