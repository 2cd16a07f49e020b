"""Numbers in a line of text, and the units that follow them."""

from __future__ import annotations

import math
import re
from typing import NamedTuple

# A number is no part of a word, a version or a path: it follows no letter, digit, point or `@`. It
# begins with a class of characters so that the search can skip what is none at the speed of C.
_DIGITS = (
    r"[-+.\d](?<![A-Za-z0-9_.@].)(?:(?<=\d)|(?=\.?\d))"
    r"\d*(?:,\d{3}(?!\d))*(?:\.\d*)?(?:[eE][-+]?\d+)?"
)
# NaN and infinity only as a whole word that stands where a value does, not in a sentence.
_SPELLED = (
    r"(?<![A-Za-z0-9_.@-])(?<!\bof )(?<!\bis )(?<!\bno )(?<!\bor )(?<!\band )(?<!\bto )"
    r"[-+]?(?:nan|NaN|NAN|inf|Inf|INF|infinity|Infinity)(?=(?:ms|s|z|%)?(?![A-Za-z0-9_]))"
    r"(?! (?:or|and|in|is|was|loss|losses|values?|grads?|gradients?|iterations?|steps?|detected"
    r"|found|checks?)\b)"
)
NUMBER = re.compile(f"({_DIGITS})")
NUMBER_OR_SPELLED = re.compile(f"({_DIGITS}|{_SPELLED})")


MAX_COUNT = 16
"""Characters of the largest counter, with commas."""


class Unit(NamedTuple):
    """What a unit measures, and how much of the first unit of its kind it is."""

    kind: str
    size: float


_BYTES = {
    "B": 1.0, "bytes": 1.0, "KB": 1e3, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12,
    "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30, "TiB": 2.0**40,
}  # fmt: skip
_TIMES = {
    "ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "msec": 1e-3, "s": 1.0, "sec": 1.0,
    "secs": 1.0, "second": 1.0, "seconds": 1.0, "min": 60.0, "mins": 60.0, "minutes": 60.0,
    "hours": 3600.0, "hrs": 3600.0,
}  # fmt: skip
_MULTIPLES = {"k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}

UNITS = {
    **{name: Unit("bytes", size) for name, size in _BYTES.items()},
    **{name: Unit("time", size) for name, size in _TIMES.items()},
    **{name: Unit("multiple", size) for name, size in _MULTIPLES.items()},
    "%": Unit("%", 1.0),
    "percent": Unit("%", 1.0),
    "x": Unit("x", 1.0),
}
RATE = re.compile(
    r"(?:\w+/(?:s|sec|secs|second|step|it|iter|batch|epoch|sample|min|hour|day|gpu|GPU)"
    r"|s/\w+|[TGMP]?FLOPS?(?:/s)?(?:/\w+)?|tokens|samples|images|steps?|iters?|it|batches|GPU)(?![\w/])"
)


def as_float(text: str) -> float:
    """A number as `NUMBER_OR_SPELLED` finds it; NaN where two of them are glued together."""
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return float(text.replace(",", ""))
    except ValueError:
        return math.nan


def is_count(text: str) -> bool:
    """Whether a number is whole as it is written: a step, never a measurement."""
    text = text.removesuffix(".")  # at the end of a sentence
    return len(text) <= MAX_COUNT and (text.isdigit() or text.replace(",", "").isdigit())


def as_int(text: str, otherwise: int) -> int:
    """A whole number, with commas or without; `otherwise` where it is none."""
    try:
        return int(text.replace(",", ""))
    except ValueError:
        return otherwise
