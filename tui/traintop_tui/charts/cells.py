"""Rows of styled cells: what every chart is made of, and how two frames are compared.

A cell is a character of width one, or half of a character of width two. A row is a tuple of runs, a
run is a text and the name of its style; a theme says what the name looks like.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Run = tuple[str, str]
Row = tuple[Run, ...]
Rows = tuple[Row, ...]
Codes = NDArray[np.uint32]
"""Unicode code points of cells of width one, shape (height, width)."""
StyleIds = NDArray[np.int16]
"""For each cell an index into a list of style names, same shape."""

BLANK = ord(" ")
ELLIPSIS = "…"
ASCII_ELLIPSIS = "~"

_UNSETTLED = re.compile(
    "[\u1160-\u11ff\u2630-\u2637\u268a-\u268f\u3164\u4dc0-\u4dff\ud7b0-\ud7ff\uffa0"
    "\U0001d300-\U0001d376\U0001f3fb-\U0001f3ff]"
)
"""Characters whose width differs between versions of Unicode, and so between terminals:
loose Hangul letters, Yijing symbols, skin tones."""


@lru_cache(maxsize=4096)
def clean(text: str) -> str:
    """Return text that takes the same number of cells everywhere.

    Control characters and those of unsettled width become `?`; what takes no cell of its own
    (combining marks that have no composed form, joiners) is dropped: terminals disagree on it.
    """
    if text.isascii() and text.isprintable():
        return text
    kept = (
        char if char.isprintable() else "?" if unicodedata.category(char) != "Cf" else ""
        for char in unicodedata.normalize("NFC", text)
        if unicodedata.category(char) not in {"Mn", "Me", "Mc"}
    )
    return _UNSETTLED.sub("?", "".join(kept))


def cell_width(text: str) -> int:
    """Return how many cells cleaned text takes."""
    if text.isascii():
        return len(text)
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def cut(text: str, width: int) -> str:
    """Return the longest beginning of cleaned text that fits."""
    if text.isascii():
        return text[: max(width, 0)]
    used = 0
    for index, char in enumerate(text):
        used += cell_width(char)
        if used > width:
            return text[:index]
    return text


def fit(text: str, width: int, *, right: bool = False, ascii_only: bool = False) -> str:
    """Return text cut with an ellipsis, or padded, to exactly `width` cells."""
    text = clean(text)
    if ascii_only:
        text = text.encode("ascii", "replace").decode()
    if cell_width(text) > width:
        text = cut(text, width - 1) + (ASCII_ELLIPSIS if ascii_only else ELLIPSIS)
        text = text if width > 0 else ""
    padding = " " * (width - cell_width(text))
    return padding + text if right else text + padding


def fit_middle(text: str, width: int, *, ascii_only: bool = False) -> str:
    """Return text of exactly `width` cells, shortened in the middle."""
    text = clean(text)
    if cell_width(text) > width > 2:
        tail = cut(text[::-1], (width - 1) // 2)[::-1]
        head = cut(text, width - 1 - cell_width(tail))
        text = head + (ASCII_ELLIPSIS if ascii_only else ELLIPSIS) + tail
    return fit(text, width, ascii_only=ascii_only)


def fit_runs(
    runs: Iterable[Run], width: int, *, filler: str = "background", ascii_only: bool = False
) -> Row:
    """Return runs cut, or filled up with blanks of style `filler`, to exactly `width` cells."""
    row: list[Run] = []
    left = max(width, 0)
    for text, style in runs:
        needed = min(cell_width(clean(text)), left)
        if needed:
            row.append((fit(text, needed, ascii_only=ascii_only), style))
            left -= needed
    if left:
        row.append((" " * left, filler))
    return tuple(row)


def row_text(row: Row) -> str:
    """Return the text of a row without its styles."""
    return "".join(text for text, _ in row)


def row_width(row: Row) -> int:
    """Return how many cells a row takes."""
    return sum(cell_width(text) for text, _ in row)


def to_rows(codes: Codes, styles: StyleIds, names: list[str], spreading: int | None = None) -> Rows:
    """Turn a grid of code points into rows of runs.

    Args:
        codes: Shape (height, width), characters of width one.
        styles: Same shape, indexes into `names`.
        names: Style names; the first one is that of an empty cell.
        spreading: Styles from 1 to below this index colour nothing but the glyph, so blanks to the
            right of such a cell join its run: fewer runs are drawn faster and are fewer bytes.
    """
    if not codes.size:
        return ((),) * len(codes)
    if spreading is not None:
        styles = _spread(codes, styles, spreading)
    begins = np.empty(codes.shape, dtype=np.bool_)
    begins[:, 0] = True
    np.not_equal(styles[:, 1:], styles[:, :-1], out=begins[:, 1:])
    starts = np.flatnonzero(begins)
    text = codes.astype("<u4", copy=False).tobytes().decode("utf-32-le")
    firsts: list[int] = starts.tolist()
    ids: list[int] = styles.ravel()[starts].tolist()
    runs: list[Run] = [
        (text[first:last], names[style])
        for first, last, style in zip(firsts, [*firsts[1:], len(text)], ids, strict=True)
    ]
    ends: list[int] = np.cumsum(begins.sum(axis=1)).tolist()
    return tuple(tuple(runs[first:last]) for first, last in zip([0, *ends[:-1]], ends, strict=True))


def _spread(codes: Codes, styles: StyleIds, spreading: int) -> StyleIds:
    blank = codes == BLANK
    index: NDArray[np.int64] = np.where(blank, 0, np.arange(codes.shape[1], dtype=np.int64))
    np.maximum.accumulate(index, axis=1, out=index)
    nearest = np.take_along_axis(styles, index, axis=1)
    nearest[nearest >= spreading] = 0
    return np.where(blank, nearest, styles)


def changed_spans(old: Rows, new: Rows) -> list[tuple[int, int, int]]:
    """Compare two frames of one size.

    Returns:
        `(y, x, width)` of the part of each changed row that must be drawn again. A frame of
        another number of rows has changed wholly.
    """
    if len(old) != len(new):
        return [(y, 0, row_width(row)) for y, row in enumerate(new)]
    spans: list[tuple[int, int, int]] = []
    for y, (before, after) in enumerate(zip(old, new, strict=True)):
        if before == after:
            continue
        shortest = min(len(before), len(after))
        same = 0
        while same < shortest and before[same] == after[same]:
            same += 1
        tail = 0
        while tail < shortest - same and before[-1 - tail] == after[-1 - tail]:
            tail += 1
        total, x = row_width(after), row_width(after[:same])
        after_tail = row_width(after[len(after) - tail :]) if tail else 0
        first, last = before[same : len(before) - tail], after[same : len(after) - tail]
        if first and last and row_width(before) == total:
            x += _alike(first[0], last[0], 1)
            if x < total - after_tail:
                after_tail += min(_alike(first[-1], last[-1], -1), total - after_tail - x)
        spans.append((y, x, total - x - after_tail))
    return [span for span in spans if span[2] > 0]


def _alike(before: Run, after: Run, step: Literal[1, -1]) -> int:
    """Return how many cells at one end of two runs are the same."""
    (old, style), (new, other) = before, after
    # Where all characters are one cell wide, no other one belongs to a cell of theirs.
    if style != other or cell_width(old) != len(old) or cell_width(new) != len(new):
        return 0
    pairs = enumerate(zip(old[::step], new[::step], strict=False))
    return next((at for at, (one, two) in pairs if one != two), min(len(old), len(new)))
