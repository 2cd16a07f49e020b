"""What the table of a file's records is called."""

from __future__ import annotations

import re
from pathlib import Path

from traintop.sources.compressed import SUFFIXES
from traintop.sources.file_names import OTHERS, PRINTED, RECORDS
from traintop.sources.layout import OWN_FILES
from traintop.sources.stores import DATABASES, file_store

RANK = re.compile(r"rank\d+")
RANK_TABLE = re.compile(r"(?:^|(?<=/))rank(\d{1,5})(?:/|$)")
"""What the name of a table has in it that is of another rank than the one that is shown."""

_ENDINGS = frozenset({*SUFFIXES, *DATABASES, *RECORDS, *PRINTED, *OTHERS})


def table_of(path: Path, root: Path) -> str:
    """A name for the table of a file's records: its own without endings, below a rank's folder."""
    name = path.name
    store = file_store(name)
    if store in ("tfevents", "wandb"):
        return "events" if store == "tfevents" else "history"
    while (stem := Path(name).stem) != name and Path(name).suffix.lower() in _ENDINGS:
        name = stem
    if RANK.fullmatch(path.parent.name):
        return f"{path.parent.name}/{name}"
    if path.name in OWN_FILES or not path.is_relative_to(root):
        return name
    # A slash would make it the table of a split, so folders are joined by a dot.
    return ".".join((*path.relative_to(root).parent.parts, name))
