"""Reads the app's screen as a person would: what is drawn, how far it is, which screen it is."""

from __future__ import annotations

import random
import re
import time
from functools import partial

from figures import Figures, quantile
from tmux_screen import Screen

BRAILLE = re.compile("[\u2801-\u28ff]")
CURVE_GLYPHS = 60
"""So many braille characters are a curve and not an ornament."""
LOSS = re.compile(r"loss -?\d")
OVERVIEW = re.compile(r"Findings +\d+ open|Findings *$", re.MULTILINE)
"""The heading of its list of findings, also before there is a verdict."""
LAYERS = re.compile(r"per-layer|norm by layer")


def painted(text: str) -> bool:
    """Whether a curve and the value of the loss are there."""
    return LOSS.search(text) is not None and len(BRAILLE.findall(text)) >= CURVE_GLYPHS


def header(text: str) -> str:
    """The first line of a screen."""
    return text.partition("\n")[0]


def shown_step(text: str) -> int:
    """The step in the header, -1 if there is none."""
    found = re.search(r"step (\d+)", header(text))
    return int(found[1]) if found else -1


def is_full(text: str, last_step: int) -> bool:
    """Whether the whole history is shown."""
    return shown_step(text) >= last_step and "loading" not in header(text)


def is_judged(text: str, last_step: int) -> bool:
    """Whether the detectors have seen it all, too."""
    return is_full(text, last_step) and "judging" not in header(text)


def shows_value(text: str, step: int, value: str) -> bool:
    """Whether a record is on the screen: its step in the header and its loss at the chart."""
    return shown_step(text) >= step and re.search(rf"loss {value}\b", text) is not None


def times_of(milliseconds: list[float]) -> Figures:
    """The quantiles that are reported of latencies."""
    return {
        "p50_ms": quantile(milliseconds, 0.5),
        "p95_ms": quantile(milliseconds, 0.95),
        "max_ms": max(milliseconds),
    }


def key_times(screen: Screen, tries: int) -> Figures:
    """Switch between the screens 1 and 2, from screen 1 on, at irregular times.

    The first time a screen is shown it is built, which is reported by itself.
    """
    times: list[float] = []
    for attempt in range(tries + 1):
        key, wanted, other = (("2", LAYERS, OVERVIEW), ("1", OVERVIEW, LAYERS))[attempt % 2]
        time.sleep(random.uniform(0.2, 0.6))  # noqa: S311 - a time, not a secret
        pressed = time.monotonic()
        screen.press(key)
        seen, _ = screen.wait(partial(_switched, wanted, other), timeout=15, poll=0.003)
        times.append(1e3 * (seen + screen.started - pressed))
    return {**times_of(times[1:]), "first_ms": times[0]}


def _switched(wanted: re.Pattern[str], other: re.Pattern[str], text: str) -> bool:
    return wanted.search(text) is not None and other.search(text) is None
