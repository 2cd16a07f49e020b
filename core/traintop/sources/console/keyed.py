"""The fields of a line: each number with the name before it and the unit behind it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from traintop.sources.console.compounds import compounds_of
from traintop.sources.console.counting import COUNTERS, count
from traintop.sources.console.field import Field
from traintop.sources.console.numbers import RATE, UNITS, is_count
from traintop.sources.console.vocabulary import (
    STOP_WORDS,
    is_metric,
    normal,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

LOOK_BACK = 200
"""Characters before a number among which its name is looked for."""

_OPENERS = re.compile(
    r"(?:[\"'\[({<#]|\b(?:tensor|array|Array|float|np\.float\d+|np\.int\d+|numpy\.float\d+"
    r"|jnp\.float\d+|DeviceArray|FloatTensor)\s*\(|\s)+$"
)
_SEPARATOR = re.compile(
    r"\s*(?:[:=]+>?|->|=>|：|≈|~|[\u2190-\u2bff\U0001f300-\U0001faff\ufe0f]+)\s*$"
)
_KEY = re.compile(
    r"(?:[^\W\d][\w./@%#+&*-]*|[%$#])(?:'s)?"
    r"(?: [A-Za-z(%@/][\w./@%+&*()-]*)*"
    r"(?:\s?\([\w\s./%@,#-]{1,24}\)|\[[\w\s./%@,-]{1,24}\])?\s*$"
)
_SECTION_END = re.compile(r"(?:[:\])>|]|\s-)\s*$")
_QUOTED = re.compile(r"(['\"])([^'\"]{1,120})\1\s*$")
_UNIT_WORD = re.compile(r"[A-Za-zµμ%°][A-Za-zµμ%/²·_]*")
_NEXT_FIELD = re.compile(r"[|,;\t\])}]|\s{2,}|$")
_METRIC_BEHIND = re.compile(r"\s([A-Za-z]\w*(?: [A-Za-z]\w*)?)\s*(?=[,;|]|$)")
_IN_BRACKETS = re.compile(r"[\w)] \([A-Za-z]+ $")
_LOCATION = re.compile(r"(?:[A-Za-z_]\w*\.[\w.]*[A-Za-z]|\([A-Za-z_][\w.]*|\t[\w.-]+):$")
_SOURCE = re.compile(r"\.(?:py|go|cc|cpp|cu|rs|jl):$")
_NESTED = re.compile(
    r"[\"']([^\"']{1,80})[\"']\s*:\s*\{|([A-Za-z_]\w*)\[(?=[A-Za-z_]\w*[=:])|([{\[])|([}\]])"
)


def fields_of(line: str, numbers: Sequence[re.Match[str]], first: int, start: int) -> list[Field]:
    """The fields of the numbers from `first` on, the message beginning at `start`."""
    fields: list[Field] = []
    path: list[str] = []
    nested = "{" in line or "[" in line
    count = len(numbers)
    ends = [n.end() for n in numbers]
    skip, totals, ranges = compounds_of(line, numbers, first)
    previous: Field | None = None
    lead = ""  # what stands before numbers that were passed over
    for index in range(first, count):
        found = numbers[index]
        field = Field(index, found[0])
        fields.append(field)
        before = index - 2 if index in ranges else index - 1
        begin = ends[before] if before >= first else start
        gap = line[begin : numbers[before + 1].start()]
        after = line[found.end() : numbers[index + 1].start() if index + 1 < count else len(line)]
        after = after[:LOOK_BACK]
        if nested:
            _follow(gap, path)
        field.key_start = begin
        if index in skip:
            field.kind = "skip"
            lead += gap
            previous = None if index + 1 in ranges else field
            continue
        _read_unit(field, after)
        if _belongs_to_name(gap, after, followed=index + 1 < count):
            field.kind = "name"
            previous = field
            continue
        inner = gap.strip()
        if (
            inner in ("(", "/(", "avg:", "(avg:", "(avg")
            and previous is not None
            and previous.name
            and after.lstrip()[:1] in (")", "%")
        ):
            field.kind = "average" if previous.kind == "value" and not previous.counter else "skip"
            if field.kind == "average":
                field.name = previous.name
                if (
                    found[0].startswith("+")
                    or previous.name.startswith("avg")
                    or (is_count(found[0]) and not is_count(previous.text))
                ):
                    field.kind = "skip"  # Coqui: by how much an average has changed.
            previous = None
            continue
        pair = (
            previous is not None
            and previous.leads
            and previous.counter == "epoch"
            and after[:1] == "]"
        )
        lent = (
            previous is not None
            and previous.counter == "step"
            and bool(previous.name)
            and inner in ("", ":")
        )
        behind = _METRIC_BEHIND.match(after) if inner == "," else None
        if (
            index > first
            and inner in ("", ",", "], [", "),", "~")
            and previous is not None
            and not pair
            and not lent
            and not (behind is not None and is_metric(behind[1]))
        ):
            field.kind = "skip"  # further numbers of a list
            continue
        field.total = totals.get(index, -1)
        rest = line[ends[field.total if field.total >= 0 else index] :][:LOOK_BACK]
        _name(
            field,
            gap,
            after,
            previous,
            path,
            line[max(start, found.start() - LOOK_BACK) : found.start()],
            max(start, found.start() - LOOK_BACK),
            rest,
        )
        field.before, lead = lead + field.before, ""
        if lent and previous is not None:  # Tacotron: `Train loss 120 0.5231`
            field.name, field.explicit, field.counter = previous.name, True, ""
            previous.name = ""
        elif behind is not None and not field.name and is_metric(behind[1]):
            field.name = behind[1]
        if gap.endswith(":") and is_count(found[0]) and _LOCATION.search(gap[-LOOK_BACK:]):
            known = field.counter or is_metric(field.name)
            if not known or _SOURCE.search(gap[-LOOK_BACK:]):
                field.kind = "skip"  # a line of the program: `(trainer:737)`
        if previous is not None and _is_sentence(previous, field, gap):
            previous.kind, field.name = "skip", previous.name
        previous = field
    return fields


def _read_unit(field: Field, after: str) -> None:
    found = _UNIT_WORD.match(after)
    if found is not None:
        rate = RATE.match(after)
        field.unit = rate[0] if rate else found[0]
        field.glued = True
        return
    words = after.lstrip(" ")
    rate = RATE.match(words)
    found = _UNIT_WORD.match(words)
    unit = rate[0] if rate else found[0] if found and found[0] in UNITS else ""
    if not unit or re.match(r"\s*[:=]", words[len(unit) :]):
        return
    if "/" in unit or unit in UNITS or _NEXT_FIELD.match(words[len(unit) :].lstrip(" ")):
        field.unit = unit


def _belongs_to_name(gap: str, after: str, *, followed: bool) -> bool:
    """Whether a number is part of a word: `top-1 acc`, `blocks/0/mlp`, `lr[0]: 0.1`.

    Args:
        gap: What stands before it, back to the number before.
        after: What stands behind it, up to the next number.
        followed: Whether there is a next number.
    """
    gap = gap[-LOOK_BACK:]
    if _IN_BRACKETS.search(gap) and re.match(r"\)\s*[:=]", after):
        return True
    word = re.search(r"([A-Za-z][\w./]*)([-/\[(#]| #)$", gap)
    if word is None:
        return bool(re.search(r"[A-Za-z0-9]-$", gap)) and after[:1].isalpha()
    if normal(word[1].rpartition("/")[2]) in COUNTERS and word[2] != "/":
        return False
    if word[2] in ("[", "("):
        return re.match(r"[\])]\s*[:=]", after) is not None
    if word[2] == " #":
        return after[:1] == ":"
    if followed and re.fullmatch(r"[:=]\s*", after):
        return True
    return re.match(r"[/:=_(. -](?!\s*[|,;]|\s*$)", after) is not None


def _name(
    field: Field,
    gap: str,
    after: str,
    previous: Field | None,
    path: list[str],
    before: str,
    begin: int,
    line_after: str,
) -> None:
    """Find the name before a number, or behind it; and whether it is a counter."""
    text = gap
    if previous is not None and previous.kind != "name":
        text = _without_unit(text, previous)
    joined = ""
    if previous is not None and previous.kind == "name":
        joined = before  # the name goes on over the number before
        text = joined
    away = max(len(text) - LOOK_BACK, 0)  # what stands farther away names nothing
    text = text[away:]
    key = _OPENERS.sub("", text)
    stripped = _SEPARATOR.sub("", key)
    field.explicit = stripped != key
    opener = text[len(key) :].strip()
    quoted = _QUOTED.search(stripped)
    if quoted is not None and field.explicit:
        field.name, start = quoted[2], quoted.start()
    else:
        found = _KEY.search(stripped)
        name, start = (found[0], found.start()) if found else ("", len(stripped))
        if not field.explicit and stripped[:start].endswith((".", "_")):
            name = ""
        field.name = _without_stop_words(name)
    if joined:
        field.key_start = begin + away + start
    else:
        field.key_start += len(gap) - len(text) + start
    field.before = stripped[:start]
    field.leads = previous is None and not field.before.strip(" \t[(")
    if path and any(path) and field.name:
        field.name = "/".join([*filter(None, path), field.name])
    count(field, opener, after, previous, line_after)
    if not field.name and not field.counter and not opener:
        _name_behind(field, after)


def _is_sentence(previous: Field, field: Field, gap: str) -> bool:
    """Whether a number stands in the midst of a name: `Accuracy on the 50000 test images: 54 %`."""
    return (
        previous.kind == "value"
        and not previous.counter
        and not previous.explicit
        and previous.name.count(" ") > 1
        and field.explicit
        and _NEXT_FIELD.match(gap) is None
        and re.search(r"[|,;\t]", gap) is None
    )


def _name_behind(field: Field, after: str) -> None:
    """The words behind a number name it where none stand before: `4688.25 ms`, `28.8% bf16 MFU`."""
    end = _NEXT_FIELD.search(after)
    words = after[: end.start() if end else None].strip()
    rate = RATE.match(words)
    if rate is not None and rate.end() == len(words):
        field.name = words
        return
    bare = words.removeprefix("%").strip() if field.unit == "%" else words
    if bare in ("ms", "s", "sec") or (
        re.fullmatch(r"[A-Za-z][\w/%]*(?: [A-Za-z][\w/%]*){0,2}", bare)
        and (field.unit == "%" or RATE.search(bare))
    ):
        field.name = bare


def _without_unit(text: str, previous: Field) -> str:
    """What stands between two numbers without the unit of the first."""
    if not previous.unit:
        return text
    lead = len(text) - len(text.lstrip(" "))
    if text[lead:].startswith(previous.unit):
        return text[lead + len(previous.unit) :]
    return text


def _without_stop_words(name: str) -> str:
    words = name.strip().split(" ")
    while words and words[0].lower() in STOP_WORDS:
        words.pop(0)
    while words and words[-1].lower() in STOP_WORDS:
        words.pop()
    return " ".join(words)


def _follow(gap: str, path: list[str]) -> None:
    """Keep account of the objects that a number is nested in."""
    for found in _NESTED.finditer(gap):
        if found[4]:
            if path:
                path.pop()
        elif len(path) < 8:
            path.append(found[1] or found[2] or "")
