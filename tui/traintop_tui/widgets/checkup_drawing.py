"""The result of `checkup`: a line a part under its section, and what stopped the rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from traintop_tui.charts.cells import Row, Rows, fit, fit_runs

_MARKS = {
    "healthy": ("ok", "severity.info"),
    "info": ("ok", "severity.info"),
    "warning": ("!", "severity.warning"),
    "critical": ("!!", "severity.critical"),
    "failed": ("?", "label"),
    "skipped": ("-", "label"),
    "blocked": ("x", "label"),
}
_TITLE_WIDTH = 22


class _Part(msgspec.Struct, frozen=True):
    title: str
    status: str
    line: str


class _Section(msgspec.Struct, frozen=True):
    name: str
    verdict: str
    parts: list[_Part]


class _Result(msgspec.Struct, frozen=True):
    verdict: str
    sections: list[_Section]


def draw_checkup(result: Mapping[str, Any], width: int, height: int, braille: bool) -> Rows:
    """Draw the sections; where they have no room, only the parts, and a count of the rest.

    Raises:
        msgspec.ValidationError: The result is damaged.
    """
    read = msgspec.convert(result, _Result)
    if width < 1 or height < 1:
        return ((),) * max(height, 0)
    rows: list[Row] = []
    for section in read.sections:
        rows.append(((f"{section.name}  ", "title"), (section.verdict.upper(), _style(section))))
        rows += [_row(part) for part in section.parts]
    if len(rows) > height:
        rows = [_row(part) for section in read.sections for part in section.parts]
    if len(rows) > height:
        left = len(rows) - height + 1
        rows = [*rows[: height - 1], ((f"{left} more", "label"),)]
    rows += [()] * (height - len(rows))
    return tuple(fit_runs(row, width, ascii_only=not braille) for row in rows)


def _style(section: _Section) -> str:
    return _MARKS.get(section.verdict, ("", "label"))[1]


def _row(part: _Part) -> Row:
    mark, style = _MARKS.get(part.status, ("?", "label"))
    return (
        (f" {mark:>2} ", style),
        (fit(part.title, _TITLE_WIDTH) + " ", "text"),
        (part.line, style if part.status in ("warning", "critical") else "label"),
    )
