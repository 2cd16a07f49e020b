"""Making console text safe to show: it is written by strangers, and a terminal obeys what it reads.

Removed are escape sequences (colours, titles, cursor movements, device strings), control characters
and the invisible characters that turn the direction of text around. What a carriage return has
overwritten is not shown, but each state of a progress bar can be had for parsing.
"""

from __future__ import annotations

import codecs
import re

TAB = 8

_SUSPECT = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]"
)

# ECMA-48: control strings (OSC, DCS, SOS, PM, APC) up to their terminator, control sequences, and
# short escapes. A control string ends where the next one begins, or many unfinished ones would each
# be searched to the end of the line; of an unfinished one only the introducer goes.
_ESCAPES = re.compile(
    r"(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x90\x98\x9c-\x9f]{0,4096}(?:\x07|\x1b\\|\x9c)"
    r"|(?:\x1b\[|\x9b)[0-?]{0,256}[ -/]{0,16}[@-~]?"
    r"|\x1b[\]PX^_]"
    r"|\x1b[ -/]{0,16}[0-Z\\`-~]?"
)
_BACKSPACES = re.compile(r"\x08+")


def decode(data: bytes) -> str:
    """Bytes as text; what is no UTF-8 becomes U+FFFD."""
    return data.decode("utf-8", "replace")


def is_clean(text: str) -> bool:
    """Whether nothing has to be taken out of a text; line feeds are no matter."""
    return not _SUSPECT.search(text.replace("\n", ""))


def clean(line: str) -> str:
    """One line as it may be shown: what a terminal would have left standing, without controls."""
    if not _SUSPECT.search(line):
        return line
    states = pieces(line)
    return states[-1] if states else ""


def pieces(line: str) -> list[str]:
    """The states that a line went through, each overwriting the one before it; blank ones left out.

    A line without carriage returns has one state. Backspaces, which some progress bars use, count
    as a return to the start of the line.
    """
    if not _SUSPECT.search(line):
        return [line] if line.strip() else []
    if "\x1b" in line or any("\x90" <= char <= "\x9f" for char in line):
        line = _ESCAPES.sub("", line)
    line = _BACKSPACES.sub("\r", line)
    states = (_SUSPECT.sub("", state.expandtabs(TAB)) for state in line.split("\r"))
    return [state.rstrip() for state in states if state.strip()]


def byte_order_mark(data: bytes) -> str | None:
    """The encoding that a byte order mark at the start announces, where it is not UTF-8."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    return None
