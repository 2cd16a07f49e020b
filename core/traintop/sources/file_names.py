"""What the name of a file says that it may hold; its content decides."""

from __future__ import annotations

import re

from traintop.sources.compressed import SUFFIXES
from traintop.sources.layout import OWN_FILES
from traintop.sources.stores import DATABASES, EVENTS, MARKS, WANDB

RECORDS = (".jsonl", ".ndjson", ".csv", ".tsv")
"""Endings of files that hold a record a line."""
PRINTED = (".log", ".out", ".err")
"""Endings of what a program prints."""
OTHERS = (".json", ".txt", ".dat")
"""Endings of files that may hold a run's curves, its output, or anything else."""


def _ending(*endings: str) -> str:
    return f"({'|'.join(map(re.escape, endings))})"


_PACKED = _ending(*SUFFIXES) + "?"
_RECORDS = re.compile(f".*{_ending(*RECORDS)}{_PACKED}", re.IGNORECASE)
_PRINTED = re.compile(f".*{_ending(*PRINTED)}{_PACKED}", re.IGNORECASE)
_TEXT_LOG = re.compile(rf".*(log|out|err|train|console|stdio).*\.txt{_PACKED}", re.IGNORECASE)
_ANY = re.compile(
    f"(.*{_ending(*RECORDS, *PRINTED, *OTHERS)}|[^.]+){_PACKED}"
    f"|.*{_ending(*DATABASES, WANDB)}|.*{EVENTS}.*",
    re.IGNORECASE,
)
_PASSING = re.compile(r"\..*|.*(~|\.(sw[a-p]|tmp|temp|bak|part|lock))", re.IGNORECASE)


def is_passing(name: str) -> bool:
    """Whether a name is hidden, or one of what editors and writers leave beside a file."""
    return _PASSING.fullmatch(name) is not None


def may_be_of_run(name: str) -> bool:
    """Whether a file of this name may be one of a run's: no picture, no program."""
    return name in MARKS or _ANY.fullmatch(name) is not None


def holds_records(name: str) -> bool:
    """Whether a name says that a record stands on each line."""
    return _RECORDS.fullmatch(name) is not None


def is_log(name: str) -> bool:
    """Whether a name says that it is what a program prints."""
    return _PRINTED.fullmatch(name) is not None


def may_be_log(name: str) -> bool:
    """Whether a text of this name is taken for what a program prints."""
    return is_log(name) or holds_records(name) or _TEXT_LOG.fullmatch(name) is not None


def rank(name: str) -> int:
    """Sorts files of our own format first, then records, then all others."""
    if name in OWN_FILES:
        return OWN_FILES.index(name)
    return len(OWN_FILES) + (not holds_records(name))
