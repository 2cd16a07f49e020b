"""Telling a table of separated values from other text, by its first lines."""

from __future__ import annotations

import codecs
import itertools
import re
from pathlib import Path
from typing import NamedTuple

from traintop.sources.cells import is_absent, number
from traintop.sources.keys import EPOCH_KEYS, STEP_KEYS, plain
from traintop.sources.roles import role_of

DELIMITERS = (",", "\t", ";", "|")
"""What may stand between cells; of two that give as many, the first. Else it is blanks."""

BLANKS = " "

UNNAMED = "index"
"""What a column without a name is called: row numbers, as pandas writes them."""

LONGEST_NAME = 120
"""Characters of a column's name; a sentence that is longer is none."""

_SENTENCE = re.compile(r"[!?:] |\w{5}\. |[{}=<>]|\w+ \w+ \w+ \w+ \w+")
EPISODES = ("r", "l", "t")
"""The columns of a gym monitor: return, length and time of an episode."""

_AXES = frozenset({*STEP_KEYS, *EPOCH_KEYS})


class Dialect(NamedTuple):
    """How a table is written."""

    delimiter: str
    names: tuple[str, ...]
    """The columns, each name once; made up where there is no header."""
    has_header: bool


def split(line: str, delimiter: str) -> list[str]:
    """The cells of a record, without blanks and quotes around them."""
    if delimiter == BLANKS:
        return line.split()
    if '"' in line:
        import csv  # Where a file turns out to have columns: most have none.

        try:
            rows = list(csv.reader([line], delimiter=delimiter, skipinitialspace=True))
        except csv.Error:  # a cell of more than 128 KiB
            rows = []
        if len(rows) == 1:
            return [cell.strip() for cell in rows[0]]
    return [cell.strip() for cell in line.split(delimiter)]


def read_header(line: str, comment: str = "") -> Dialect:
    """The dialect that the first record of a table shows.

    Args:
        line: The record.
        comment: The comment before it, without its mark: the header, as `numpy.savetxt` writes it.
    """
    counts = {delimiter: len(split(line, delimiter)) for delimiter in DELIMITERS}
    delimiter = max(DELIMITERS, key=counts.__getitem__)
    if counts[delimiter] == 1:
        delimiter = BLANKS
    cells = split(line, delimiter)
    while len(cells) > 1 and not cells[-1]:
        cells.pop()  # the line ends with a separator
    if any(_is_value(cell) for cell in cells) and not any(map(_is_name, cells)):
        said = split(comment, delimiter)
        named = len(said) == len(cells) and all(map(_is_name, said))
        names = said if named else [f"column_{at}" for at in range(1, len(cells) + 1)]
        return Dialect(delimiter, unique(names), has_header=False)
    return Dialect(delimiter, unique(cells), has_header=True)


def unique(names: list[str]) -> tuple[str, ...]:
    """Names of columns, each once: a second `loss` is `loss.1`."""
    taken: dict[str, int] = {}
    found: list[str] = []
    for name in names:
        said = name or UNNAMED
        again = taken.get(said, 0)
        taken[said] = again + 1
        found.append(f"{said}.{again}" if again else said)
    return tuple(found)


def looks_like_header(cells: list[str]) -> bool:
    """Whether a record holds nothing but names of columns."""
    return len(cells) > 1 and all(map(_is_name, cells[1:])) and (not cells[0] or _is_name(cells[0]))


def is_header_again(cells: list[str], names: tuple[str, ...]) -> bool:
    """Whether a record below the header is one too: the same again, or that of other columns."""
    return looks_like_header(cells) and not set(names).isdisjoint(cells)


def recognise(head: str, *, named_so: bool) -> Dialect | None:
    """The dialect of a text that begins so; None if it is no table.

    Args:
        head: The first bytes as text; the last line may be torn.
        named_so: Whether the file's name says that it is a table: that decides where there is a
            header alone, or a single column.
    """
    whole, _, torn = head.replace("\r\n", "\n").rpartition("\n")
    lines = [line for line in whole.split("\n") if line.strip()]
    comments = [line for line in lines if line.startswith("#")]
    records = [line for line in lines if not line.startswith("#")]
    if not records:
        header = torn.rpartition(",")[0] if len(head) > LONGEST_NAME else torn
        records = [header] if header and not header.startswith("#") else []
    if not records:
        return None
    dialect = read_header(records[0], comments[-1].lstrip("# ") if comments else "")
    width = len(dialect.names)
    if width < 2 and not named_so:
        return None
    rows = [split(line, dialect.delimiter) for line in records]
    if dialect.has_header:
        cells = rows[0][:width]
        if not looks_like_header(cells) and not (width == 1 and _is_name(cells[0])):
            return None
        rows = [row for row in rows[1:] if not is_header_again(row, dialect.names)]
        if not rows and dialect.delimiter != BLANKS:
            return dialect if named_so or is_of_training(dialect.names) else None
        if dialect.delimiter == BLANKS and not all(map(_is_filled, itertools.chain(*rows))):
            return None  # words, as they stand in any text
    elif (not comments and len(rows) < 3) or not all(map(_is_filled, itertools.chain(*rows))):
        return None
    if dialect.delimiter == BLANKS and not any(len(row) == width for row in rows):
        return None  # names of several words, which single blanks do not part
    return dialect if _is_table(rows, width) else None


def of_file(path: Path, head: bytes) -> Dialect | None:
    """The dialect of a file that begins with these bytes; None if it is no table."""
    named_so = not {".csv", ".tsv"}.isdisjoint(map(str.lower, path.suffixes))
    text = head.removeprefix(codecs.BOM_UTF8).decode("utf-8", "replace")
    return recognise(text, named_so=named_so)


def holds_training(path: Path, head: bytes) -> bool:
    """Whether a file that begins with these bytes is a table of a training's measurements."""
    found = of_file(path, head)
    return found is not None and is_of_training(found.names)


def _is_table(rows: list[list[str]], width: int) -> bool:
    """Whether most rows are as wide as the header, and a column of them holds numbers."""
    whole = [row[:width] for row in rows if len(row) >= width and not any(row[width:])]
    if len(whole) * 2 < len(rows):
        # Rows of a quoted cell with line feeds are cut; those of timm lack whole groups of columns.
        return width > 3 and sum(map(_is_value, rows[0])) * 2 > len(rows[0]) > 2
    for column in zip(*whole, strict=True):
        filled = [cell for cell in column if not is_absent(cell)]
        if filled and all(map(_is_value, filled)):
            return True
    return False


def is_of_training(names: tuple[str, ...]) -> bool:
    """Whether columns are those of a training's measurements, rather than of any other table."""
    return has_axis(names) or any(map(role_of, names))


def has_axis(names: tuple[str, ...]) -> bool:
    """Whether columns say where a record stands, by their names."""
    return not _AXES.isdisjoint(map(plain, names)) or names[:3] == EPISODES


def _is_value(cell: str) -> bool:
    return number(cell) is not None


def _is_filled(cell: str) -> bool:
    return is_absent(cell) or _is_value(cell)


def _is_name(cell: str) -> bool:
    return (
        0 < len(cell) <= LONGEST_NAME
        and number(cell) is None
        and not is_absent(cell)
        and not _SENTENCE.search(cell)
    )
