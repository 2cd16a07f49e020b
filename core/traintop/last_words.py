"""What a run's console said when it died: the last line of a traceback, the killer's word."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from traintop.records import Event

LOOKED_AT = 200
"""Lines at the end of the log that are looked at; the tracebacks of many ranks are long."""

AFTERWARDS = 40
"""Lines that may follow the last word: launchers and schedulers report at length."""

TRACEBACK = "Traceback (most recent call last):"

EXCEPTION = re.compile(
    r"(?:\[?rank\s?\d+\]?:?\s*)?(?P<name>(?:[A-Za-z_]\w*\.)*[A-Z]\w*"
    r"(?:Error|Exception|Exit|Warning|Interrupt|Iteration))(?::\s|$)"
)
"""The line that ends a traceback: the name of an exception, with its module, and the message."""

KILLED = re.compile(
    r"CUDA out of memory|CUDA error:|NCCL (?:error|watchdog)|Segmentation fault|core dumped"
    r"|oom-kill|Out Of Memory|DUE TO (?:TIME LIMIT|PREEMPTION|NODE FAILURE)|^Killed$"
    r"|[Ll]oss is (?:nan|inf)[^a-z]*(?:stopping|exiting|abort)",
)
"""What else ends a run: the device, the system, the scheduler, the loop itself."""

OUT_OF_MEMORY = re.compile(r"out of memory|OutOfMemory|\boom(?![a-z])|MemoryError", re.IGNORECASE)

GOOD_END = re.compile(
    r"train(?:ing)? (?:is |has |was )?(?:complete|completed|finished|done|ended)\b"
    r"|(?:finished|completed|done|end of) training\b|['\"]train_runtime['\"]\s*:"
    r"|`?Trainer\.fit`? stopped: `max_|\b\d+ epochs completed in\b|Total training time",
    re.IGNORECASE,
)
"""How loops say that they came to their end: HF Trainer's summary, Lightning, ultralytics,
Detectron2 and the like, and what people print."""

LONGEST = 300
"""Characters of that line that are told: a message may hold a whole tensor."""

NOT_A_CRASH = ("KeyboardInterrupt", "SystemExit", "StopIteration")
"""Somebody, or the program itself, wanted it to end."""


class LastWord(NamedTuple):
    """The line that says why a run died."""

    text: str
    out_of_memory: bool


def last_word(lines: Sequence[str]) -> LastWord | None:
    """Find why a run died in the last lines of its log.

    Args:
        lines: The log, oldest first.

    Returns:
        None where nothing near the end says that it died.
    """
    lines = lines[-LOOKED_AT:]
    found: int | None = None
    traced = False
    for index, line in enumerate(lines):
        if TRACEBACK in line:
            traced = True
        elif traced and (match := EXCEPTION.match(line.strip())):
            traced = False
            name = match["name"].rpartition(".")[2]
            found = None if name in NOT_A_CRASH else index
        elif KILLED.search(line):
            found = index
    if found is None or len(lines) - found > AFTERWARDS:
        return None
    text = lines[found].strip()
    return LastWord(text[:LONGEST], OUT_OF_MEMORY.search(text) is not None)


def exit_word(events: Sequence[Event]) -> LastWord | None:
    """Say with which code a run ended that its tracker saw fail; None where that is not known."""
    for event in reversed(events):
        code = event.fields.get("exit_code")
        if event.event == "control" and event.fields.get("action") == "failed" and code:
            return LastWord(f"exit code {code}", out_of_memory=False)
    return None


def said_the_end(lines: Sequence[str]) -> bool:
    """Tell whether a log says near its end that the training came to its own."""
    return any(GOOD_END.search(line[:LONGEST]) for line in lines[-AFTERWARDS:])
