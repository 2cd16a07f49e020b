"""Rows of plain numbers at the speed of C: separated values are rewritten into JSON, and parsed."""

from __future__ import annotations

import itertools

import msgspec
import numpy as np

from traintop.records import Floats
from traintop.sources.schema import ABSENT_BITS, INF_STAND_IN, NAN_STAND_IN, restore

_ABSENT_STAND_IN = b"7.09319e281"
_ABSENT = float(_ABSENT_STAND_IN)
_WORDS = (
    (b"-nan", NAN_STAND_IN),
    (b"nan", NAN_STAND_IN),
    (b"NaN", NAN_STAND_IN),
    (b"NAN", NAN_STAND_IN),
    (b"Infinity", INF_STAND_IN),
    (b"inf", INF_STAND_IN),
    (b"Inf", INF_STAND_IN),
    (b"NA", _ABSENT_STAND_IN),
)
_BLANKS = (
    (b",,", b"," + _ABSENT_STAND_IN + b","),
    (b"\n,", b"\n" + _ABSENT_STAND_IN + b","),
    (b",\n", b"," + _ABSENT_STAND_IN + b"\n"),
)
_DECODER = msgspec.json.Decoder(list[list[float]])


def parse_block(data: bytes, delimiter: bytes, width: int) -> Floats | None:
    """The numbers of whole lines; None if a cell is anything but a number, NaN or blank.

    Args:
        data: Lines, the last with or without its line feed.
        delimiter: One byte; a blank stands for any number of them. With a semicolon, commas are
            decimal ones.
        width: Cells that every line must have.

    Returns:
        Shape (lines, width), with `ABSENT_BITS` where a cell is blank or `NA`.
    """
    if b'"' in data or b"[" in data or b"]" in data:
        return None
    text = b"\n" + data.removesuffix(b"\n") + b"\n"
    if b"\r" in text:
        text = text.replace(b"\r\n", b"\n")
    if delimiter == b" ":
        text = b"\n".join(b",".join(line.split()) for line in text.split(b"\n"))
    elif delimiter != b",":
        if b"," in text and delimiter != b";":
            return None
        text = text.replace(b",", b".").replace(delimiter, b",")
    for word, stand_in in _WORDS:
        if word in text:
            text = text.replace(word, stand_in)
    # Twice between commas: of `,,,` the first pass sees only every other pair.
    for blank, filled in (*_BLANKS, _BLANKS[0]):
        if blank in text:
            text = text.replace(blank, filled)
    lines = text.count(b"\n") - 1
    try:
        rows = _DECODER.decode(b"[[" + text[1:-1].replace(b"\n", b"],[") + b"]]")
    except msgspec.MsgspecError:
        return None
    if len(rows) != lines or set(map(len, rows)) != {width}:
        return None
    cells = itertools.chain.from_iterable(rows)
    numbers = np.fromiter(cells, np.float64, lines * width).reshape(lines, width)
    restore(numbers)
    numbers.view(np.uint64)[numbers == _ABSENT] = ABSENT_BITS
    return numbers
