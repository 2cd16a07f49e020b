"""What stands before a message: ranks, times, levels, names of loggers and of source files."""

from __future__ import annotations

import re
from typing import NamedTuple

from traintop.sources.keys import SPLITS

_DATE = r"\d{4}[-/.]\d\d?[-/.]\d\d?"
_CLOCK = r"\d\d?:\d\d:\d\d(?:[.,:]\d+)?(?:\s?(?:Z|UTC|AM|PM|[+-]\d\d:?\d\d))?"
_LEVEL = r"(?:TRACE|DEBUG|INFO|NOTICE|WARN(?:ING)?|ERROR|CRITICAL|FATAL|SUCCESS|SILENT|INF|WRN)"
_STAMP = "|".join(
    (
        rf"{_DATE}[T ,_-]{{0,2}}{_CLOCK}",
        rf"\d\d?[-/]\d\d?(?:[-/]\d\d(?:\d\d)?)?[ T]{_CLOCK}",
        rf"(?:[A-Z][a-z]{{2}},? )?[A-Z][a-z]{{2}} +\d\d?,? (?:\d{{4}} )?{_CLOCK}(?: \d{{4}})?",
        rf"\d\d?[- ][A-Z][a-z]{{2}}[- ]\d{{2,4}} {_CLOCK}",
        rf"\d{{6,8}}[ _-]{_CLOCK}",
        _CLOCK,
        _DATE,
        r"\d{10}(?:\.\d+)?",
    )
)
_PARTS = re.compile(
    r"\s*(?:"
    r"\[(?:rank|default|local_?rank|proc|Rank|RANK|GPU|gpu)[ :=]?(?P<rank>\d{1,5})\]:?"
    r"|\[\d+,(?P<mpi>\d{1,5})\]<std(?:out|err)>:"
    r"|(?:rank|Rank|RANK)[ =:]?(?P<named>\d{1,5})\s?[:|\]>-]\s"
    r"|\((?:\w+\s)?pid=\d+[^)]{0,80}\)"
    rf"|\[(?:{_STAMP}) [\w.-]{{1,40}}\](?=\s?\()"
    r"|\([\w./-]+\.py \d+\):"
    rf"|[\[(<]?(?:{_STAMP})[\])>]?:?(?=[\s|,\[:-]|$)"
    r"|[IWEF]\d{4,8} \d\d:\d\d:\d\d\.\d+\s+\d+ [^\]\s]{1,80}\]"
    rf"|[\[(<]{{0,2}}\s?{_LEVEL}\s?[\])>]{{0,2}}(?:\s?:[\w.]*:|(?=[\s|:\[\]-]))"
    r"|\[[\w./-]+\.py(?::\d+)?(?::\w+)?\]"
    r"|\[(?P<logger>[A-Za-z_][\w.]*)(?::\d+)?\](?=\s*[\[-])"
    r"|[\w./-]+\.py:\d+(?:\s?\(\w+\))?[\]:]?"
    rf"|[A-Za-z_][\w.-]*:?\s+(?:[-|]\s+)?(?=\[?{_LEVEL}\b)"
    rf"|[A-Za-z_][\w.]*(?:\.\w+)*:\w+:\d+(?=\s)"
    r"|[A-Za-z_][\w.-]*:\d+(?=\t)"
    r"|[-|:>]+(?=\s)"
    r"|Node\[\d+\]"
    r")"
)
_SLURM = re.compile(r"\s{0,5}(\d{1,5}): (?!-?[\d.]+, )(?!\s*(?:learn|test|best):)(?=\s*\S)")
MOST = 12


class Prefix(NamedTuple):
    """What was found before a message."""

    end: int
    """Where the message begins."""
    rank: int | None
    """The place of the digits of the rank in the line; None where no rank is named."""
    split: str | None
    """The part of the data that the name of the logger means."""
    bare: bool = False
    """Whether the rank is a number alone, which may be a step as well."""


def prefix_of(line: str) -> Prefix:
    """Measure what stands before a message."""
    end = 0
    rank: int | None = None
    split: str | None = None
    slurm = _SLURM.match(line)
    if slurm is not None:
        end, rank = slurm.end(), slurm.start(1)
    for _ in range(MOST):
        found = _PARTS.match(line, end)
        if found is None or found.end() == end:
            break
        for group in ("rank", "named", "mpi"):
            if found[group] is not None:
                rank = found.start(group)
        logger = found["logger"]
        if isinstance(logger, str) and logger.lower() in SPLITS:
            split = SPLITS[logger.lower()]
        end = found.end()
    while end < len(line) and line[end].isspace():
        end += 1
    return Prefix(end, rank, split, slurm is not None and rank == slurm.start(1))
